use serde_json::{Value, json};

use crate::{all, document, only, takes};

fn with_body(version: &str, schema: Value, schemas: Value) -> openapi_tools::Operation {
    let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    only(version, "/x", json!({ "post": { "requestBody": body } }), schemas)
}

#[test]
fn a_recursive_schema_stays_whole_at_every_depth() {
    let schemas = json!({
        "Tree": { "type": "object", "required": ["name"], "properties": {
            "name": { "type": "string" },
            "children": { "type": "array", "items": { "$ref": "#/components/schemas/Tree" } },
            "owner": { "$ref": "#/components/schemas/Owner" } } },
        "Owner": { "type": "object", "properties": {
            "trees": { "type": "array", "items": { "$ref": "#/components/schemas/Tree" } } } },
    });
    let tool = with_body("3.0.3", json!({ "$ref": "#/components/schemas/Tree" }), schemas);
    let tree = |leaf: Value| {
        json!({ "body": { "name": "a", "children": [{ "name": "b", "owner": { "trees": [
            { "name": "c", "children": [leaf] }] } }] } })
    };
    assert!(takes(&tool, &tree(json!({ "name": "d" }))));
    assert!(!takes(&tool, &tree(json!({ "name": 7 }))));
    assert!(!takes(&tool, &tree(json!({}))));
}

#[test]
fn references_in_a_circle_and_out_of_the_document_are_told() {
    let schemas = json!({ "A": { "$ref": "#/components/schemas/B" }, "B": { "$ref": "#/components/schemas/A" } });
    for (reference, word) in [
        ("#/components/schemas/Nothing", "points nowhere"),
        ("https://evil.example/schema.json", "leads out"),
        ("other.yaml#/Thing", "leads out"),
    ] {
        let body =
            json!({ "content": { "application/json": { "schema": { "$ref": reference } } } });
        let paths = json!({ "/x": { "post": { "requestBody": body } } });
        let import = all(&document("3.1.0", paths, schemas.clone()));
        assert!(import.problems[0].reason.contains(word), "{:?}", import.problems);
    }
    // A schema that is nothing but itself says nothing, and harms nobody.
    let tool = with_body("3.1.0", json!({ "$ref": "#/components/schemas/A" }), schemas);
    assert_eq!(tool.method(), "POST");
    let circle =
        json!({ "/x": { "post": { "requestBody": { "$ref": "#/paths/~1x/post/requestBody" } } } });
    assert_eq!(all(&document("3.1.0", circle, json!({}))).problems.len(), 1);
}

#[test]
fn what_may_be_null_may_be_null_in_both_versions() {
    let old = json!({ "type": "object", "properties": {
        "a": { "type": "string", "nullable": true },
        "b": { "type": "string", "enum": ["x"], "nullable": true },
        "c": { "nullable": true, "allOf": [{ "$ref": "#/components/schemas/C" }] },
        "d": { "type": "string" } } });
    let new = json!({ "type": "object", "properties": {
        "a": { "type": ["string", "null"] },
        "b": { "enum": ["x", null] },
        "c": { "anyOf": [{ "$ref": "#/components/schemas/C" }, { "type": "null" }] },
        "d": { "type": "string" } } });
    let schemas = json!({ "C": { "type": "object", "required": ["e"], "properties": { "e": { "type": "integer" } } } });
    for (version, schema) in [("3.0.0", old), ("3.1.0", new)] {
        let tool = with_body(version, schema, schemas.clone());
        for name in ["a", "b", "c"] {
            assert!(takes(&tool, &json!({ "body": { name: null } })), "{version} {name}");
        }
        assert!(!takes(&tool, &json!({ "body": { "d": null } })));
        assert!(!takes(&tool, &json!({ "body": { "b": "y" } })));
        assert!(!takes(&tool, &json!({ "body": { "c": {} } })));
    }
}

#[test]
fn all_of_one_of_and_any_of_mean_what_they_say() {
    let schemas = json!({
        "Base": { "type": "object", "required": ["id"], "properties": { "id": { "type": "integer" } } },
        "Cat": { "type": "object", "required": ["kind", "lives"], "properties": { "kind": { "const": "cat" }, "lives": { "type": "integer" } } },
        "Dog": { "type": "object", "required": ["kind"], "properties": { "kind": { "const": "dog" } } },
    });
    let schema = json!({
        "allOf": [{ "$ref": "#/components/schemas/Base" }, { "required": ["pet"] }],
        "properties": { "pet": { "oneOf": [{ "$ref": "#/components/schemas/Cat" }, { "$ref": "#/components/schemas/Dog" }],
            "discriminator": { "propertyName": "kind" } } } });
    let tool = with_body("3.1.0", schema, schemas);
    assert!(takes(&tool, &json!({ "body": { "id": 1, "pet": { "kind": "dog" } } })));
    assert!(!takes(&tool, &json!({ "body": { "id": 1, "pet": { "kind": "cat" } } })));
    assert!(!takes(&tool, &json!({ "body": { "pet": { "kind": "dog" } } })));
    assert!(!takes(&tool, &json!({ "body": { "id": 1 } })));
}

#[test]
fn bounds_of_3_0_hold_and_read_only_fields_are_not_asked_for() {
    let schema = json!({ "type": "object", "required": ["id", "n"], "properties": {
        "id": { "type": "string", "readOnly": true },
        "n": { "type": "integer", "minimum": 0, "exclusiveMinimum": true, "maximum": 5 } },
        "additionalProperties": false });
    let tool = with_body("3.0.3", schema, json!({}));
    assert!(takes(&tool, &json!({ "body": { "n": 1 } })));
    assert!(!takes(&tool, &json!({ "body": { "n": 0 } })));
    assert!(!takes(&tool, &json!({ "body": { "n": 6 } })));
    assert!(!takes(&tool, &json!({ "body": { "n": 1, "id": "x" } })));
    assert!(!takes(&tool, &json!({ "body": { "n": 1 }, "headers": {} })));
    assert!(!takes(&tool, &json!({})));
}

#[test]
fn words_beside_a_reference_count_in_3_1() {
    let schemas = json!({ "N": { "type": "integer" } });
    let schema = json!({ "type": "object", "properties": {
        "n": { "$ref": "#/components/schemas/N", "maximum": 3, "description": "Few." },
        "m": { "$ref": "#/components/schemas/N", "description": "Any." } } });
    let tool = with_body("3.1.0", schema, schemas);
    assert!(!takes(&tool, &json!({ "body": { "n": 4 } })));
    assert!(!takes(&tool, &json!({ "body": { "n": "x" } })));
    assert!(takes(&tool, &json!({ "body": { "n": 3, "m": 4 } })));
    let m = &tool.parameters()["properties"]["body"]["properties"]["m"];
    assert_eq!(*m, json!({ "type": "integer", "description": "Any." }));
}

#[test]
fn a_schema_without_end_is_told_and_one_of_many_references_stays_small() {
    // Each refers to the next twice: put in place, they would be 2^30.
    let mut schemas = serde_json::Map::new();
    for n in 0..30 {
        let next = json!({ "$ref": format!("#/components/schemas/S{}", n + 1) });
        schemas.insert(
            format!("S{n}"),
            json!({ "type": "object", "properties": { "a": next, "b": next } }),
        );
    }
    schemas.insert("S30".into(), json!({ "type": "string" }));
    let tool =
        with_body("3.1.0", json!({ "$ref": "#/components/schemas/S0" }), Value::Object(schemas));
    assert!(tool.parameters().to_string().len() < 64 * 1024);
    assert!(!takes(&tool, &json!({ "body": { "a": { "b": 7 } } })));
    let properties: serde_json::Map<_, _> =
        (0..30_000).map(|n| (format!("p{n}"), json!({ "type": "string" }))).collect();
    let body =
        json!({ "content": { "application/json": { "schema": { "properties": properties } } } });
    let import =
        all(&document("3.1.0", json!({ "/x": { "post": { "requestBody": body } } }), json!({})));
    assert!(import.problems[0].reason.contains("parts"), "{:?}", import.problems);
}

#[test]
fn alternatives_of_a_condition_stay_exclusive_behind_a_reference() {
    let either = json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] });
    let many: Vec<Value> = (0..500).map(|n| json!({ "title": format!("n{n}") })).collect();
    let reference = json!({ "$ref": "#/components/schemas/Either" });
    let item = json!({ "get": { "parameters": [
        { "name": "q", "in": "query", "schema": { "anyOf": many } },
        { "name": "is", "in": "query", "schema": reference },
        { "name": "not", "in": "query", "schema": { "not": reference } },
    ] } });
    let tool = only("3.1.0", "/a", item, json!({ "Either": either }));
    // `7` is both, and so does not fit exactly one.
    assert!(takes(&tool, &json!({ "is": 7 })) && takes(&tool, &json!({ "not": 7 })));
    assert!(!takes(&tool, &json!({ "not": 7.5 })));
}

#[test]
fn long_texts_are_not_repeated_for_each_reference() {
    let reference = json!({ "$ref": "#/components/schemas/Long" });
    let fields: serde_json::Map<String, Value> =
        (0..300).map(|n| (format!("f{n}"), reference.clone())).collect();
    let item = json!({ "post": { "requestBody": { "content": { "application/json": {
        "schema": { "type": "object", "properties": fields } } } } } });
    let of = |length: usize| {
        let long = json!({ "type": "string", "description": "x".repeat(length) });
        all(&document("3.1.0", json!({ "/a": item }), json!({ "Long": long })))
    };
    let import = of(20_000);
    assert_eq!(import.problems, []);
    assert!(import.operations[0].parameters().to_string().len() < 150_000);
    assert!(of(2_000_000).problems[0].reason.contains("texts"));
}

#[test]
fn a_schemas_own_definitions_are_not_copied_without_end() {
    let own = json!({ "$defs": { "a": { "const": "x".repeat(400_000) } }, "type": "string" });
    let parts: Vec<Value> =
        (0..100).map(|_| json!({ "$ref": "#/components/schemas/Own" })).collect();
    let item = json!({ "get": { "parameters": [
        { "name": "q", "in": "query", "schema": { "anyOf": parts } }] } });
    let import = all(&document("3.1.0", json!({ "/a": item }), json!({ "Own": own })));
    assert!(import.problems[0].reason.contains("definitions of their own"), "{import:?}");
}

//! Schemas as frameworks write them: what they allow is allowed, and what is written wrongly costs a
//! keyword, not the tool.

use serde_json::{Value, json};

use crate::{all, document, only, takes};

fn tool(version: &str, schema: Value, schemas: Value) -> openapi_tools::Operation {
    let body = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    only(version, "/x", json!({ "post": { "requestBody": body } }), schemas)
}

fn table(schema: Value, schemas: Value, fits: &[Value], fits_not: &[Value]) {
    for version in ["3.0.3", "3.1.0"] {
        let tool = tool(version, schema.clone(), schemas.clone());
        for value in fits {
            assert!(
                takes(&tool, &json!({ "body": value })),
                "{version} {schema} must take {value}"
            );
        }
        for value in fits_not {
            assert!(
                !takes(&tool, &json!({ "body": value })),
                "{version} {schema} must not take {value}"
            );
        }
    }
}

#[test]
fn two_alternatives_that_fit_are_no_reason_to_refuse() {
    let none = || json!({});
    // Litestar: `int | float`, `datetime | date`.
    table(
        json!({ "oneOf": [{ "type": "integer" }, { "type": "number" }] }),
        none(),
        &[json!(7), json!(7.5)],
        &[json!("7")],
    );
    let dates = json!({ "oneOf": [{ "type": "string", "format": "date-time" }, { "type": "string", "format": "date" }] });
    table(dates, none(), &[json!("2026-11-29"), json!("2026-11-29T10:00:00Z")], &[json!(7)]);
    // drf-spectacular: a URL that may be blank; an enum that may be blank or null.
    let url = json!({ "oneOf": [{ "type": "string", "format": "uri" }, { "type": "string", "maxLength": 0 }] });
    table(url, none(), &[json!(""), json!("https://example.org")], &[]);
    let schemas = json!({ "Color": { "enum": ["r", "g"] }, "Blank": { "enum": [""] }, "Null": { "enum": [null] } });
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let color = json!({ "nullable": true, "oneOf": [reference("Color"), reference("Blank"), reference("Null")] });
    table(color, schemas, &[json!("r"), json!(""), json!(null)], &[json!("x")]);
    // Beside other alternatives both hold.
    let both = json!({ "anyOf": [{ "required": ["a"] }, { "required": ["b"] }], "oneOf": [{ "required": ["c"] }, { "required": ["d"] }] });
    table(
        both,
        none(),
        &[json!({ "a": 1, "c": 1, "d": 1 })],
        &[json!({ "a": 1 }), json!({ "c": 1 })],
    );
    let with_all = json!({ "allOf": [{ "required": ["x"] }], "anyOf": [{ "required": ["a"] }], "oneOf": [{ "required": ["c"] }] });
    table(
        with_all,
        none(),
        &[json!({ "x": 1, "a": 1, "c": 1 })],
        &[json!({ "a": 1, "c": 1 }), json!({ "x": 1, "a": 1 })],
    );
    // Where it refuses, it keeps its meaning.
    let not = json!({ "not": { "oneOf": [{ "required": ["a"] }, { "required": ["b"] }] } });
    table(not, none(), &[json!({ "a": 1, "b": 1 }), json!({})], &[json!({ "a": 1 })]);
    table(json!({ "oneOf": [] }), none(), &[json!(1)], &[]);
}

#[test]
fn null_beside_a_reference_is_meant() {
    let schemas = json!({ "N": { "type": "integer" } });
    let schema = json!({ "properties": {
        "a": { "$ref": "#/components/schemas/N", "nullable": true },
        "b": { "$ref": "#/components/schemas/N", "nullable": true, "description": "B." },
        "c": { "type": ["integer", "null"] },
        "d": { "type": "string", "enum": ["x"], "nullable": true },
        "e": { "const": "x", "nullable": true },
        "f": { "anyOf": [{ "type": "integer" }], "nullable": true },
        "g": { "nullable": true },
        "h": { "type": ["string", "string", "null"] },
        "i": { "allOf": [{ "$ref": "#/components/schemas/N" }], "nullable": true } } });
    let nulls: Vec<Value> =
        ["a", "b", "c", "d", "e", "f", "g", "h", "i"].iter().map(|n| json!({ *n: null })).collect();
    let wrong: Vec<Value> =
        ["a", "b", "c", "d", "e", "f", "i"].iter().map(|n| json!({ *n: {} })).collect();
    table(schema, schemas, &nulls, &wrong);
}

#[test]
fn what_only_the_server_writes_is_not_asked_for_wherever_it_is_said() {
    let schemas = json!({
        "Id": { "type": "integer", "readOnly": true },
        "Base": { "type": "object", "properties": { "id": { "$ref": "#/components/schemas/Id" }, "at": { "type": "string", "readOnly": true } } },
        "Child": { "allOf": [{ "$ref": "#/components/schemas/Base" },
            { "type": "object", "required": ["id", "at", "name"], "properties": { "name": { "type": "string" }, "secret": { "type": "string", "writeOnly": true } } }] },
        "Nested": { "type": "object", "required": ["id", "child"], "properties": {
            "child": { "$ref": "#/components/schemas/Child" }, "id": { "type": "integer" } } },
    });
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    table(
        reference("Child"),
        schemas.clone(),
        &[json!({ "name": "a", "secret": "s" })],
        &[json!({})],
    );
    // A name is read-only where it is said, and not below.
    let fits = json!({ "id": 1, "child": { "name": "a" } });
    table(reference("Nested"), schemas.clone(), &[fits], &[json!({ "child": { "name": "a" } })]);
    let child = tool("3.1.0", reference("Child"), schemas);
    let text = child.parameters().to_string();
    assert!(
        !text.contains("\"id\"") && !text.contains("\"at\"") && text.contains("secret"),
        "{text}"
    );
}

#[test]
fn parts_that_are_closed_can_be_filled_together() {
    let part = |name: &str| json!({ "type": "object", "properties": { name: { "type": "integer" } }, "required": [name], "additionalProperties": false });
    let schema = json!({ "allOf": [part("a"), part("b")] });
    table(schema, json!({}), &[json!({ "a": 1, "b": 2 })], &[json!({ "a": 1 })]);
    let around = json!({ "allOf": [{ "properties": { "a": {} } }], "properties": { "b": {} }, "additionalProperties": false });
    table(around, json!({}), &[json!({ "a": 1, "b": 2 })], &[json!({ "c": 1 })]);
    let alternatives = json!({ "anyOf": [part("a"), part("b")] });
    table(alternatives, json!({}), &[json!({ "a": 1 })], &[json!({ "a": 1, "c": 1 })]);
}

#[test]
fn a_discriminator_says_how_each_alternative_is_known() {
    let schemas = json!({
        "Pet": { "type": "object", "required": ["kind"], "properties": { "kind": { "type": "string" } } },
        "Cat": { "allOf": [{ "$ref": "#/components/schemas/Pet" }, { "type": "object", "properties": { "lives": { "type": "integer" } } }] },
        "Dog": { "type": "object", "properties": { "barks": { "type": "boolean" } } },
        "Cow": { "type": "object", "properties": { "kind": { "const": "moo" } } },
    });
    let of = |mapping: Value| {
        let mut discriminator = json!({ "propertyName": "kind" });
        if mapping.is_object() {
            discriminator["mapping"] = mapping;
        }
        json!({ "discriminator": discriminator, "oneOf": [{ "$ref": "#/components/schemas/Cat" },
            { "$ref": "#/components/schemas/Dog" }, { "$ref": "#/components/schemas/Cow" }] })
    };
    let kind = |kind: &str| json!({ "kind": kind });
    table(
        of(json!(null)),
        schemas.clone(),
        &[kind("Cat"), kind("Dog"), kind("moo")],
        &[kind("Bird")],
    );
    let mapping = json!({ "cat": "#/components/schemas/Cat", "kitten": "Cat", "dog": "Dog" });
    table(
        of(mapping),
        schemas,
        &[kind("cat"), kind("kitten"), kind("dog"), kind("moo")],
        &[kind("Cat"), kind("Dog")],
    );
}

#[test]
fn what_is_written_wrongly_costs_a_keyword() {
    let schema = json!({ "type": "object", "properties": {
        "a": { "type": "date" }, "b": { "type": "String" }, "c": { "type": "file" }, "d": { "type": ["integer", "any"] },
        "e": { "type": "string", "minLength": "1", "maxLength": null, "pattern": 7, "format": 3, "description": [] },
        "f": { "type": "string", "enum": [] }, "g": { "type": "string", "enum": "a" }, "h": { "type": "number", "multipleOf": 0 },
        "i": { "type": "array", "items": null }, "j": { "type": "array", "minItems": 1.0, "uniqueItems": "yes" },
        "k": { "type": "array", "items": [{ "type": "integer" }, { "type": "string" }], "additionalItems": false },
        "l": { "type": "object", "required": true, "properties": null, "additionalProperties": null },
        "m": { "type": "number", "minimum": "0", "exclusiveMaximum": "9" }, "n": { "default": null, "example": 1, "xml": {} },
        "o": { "type": "string", "required": "yes" }, "p": { "type": "number", "multipleOf": 0.01 },
    } });
    let fits = [
        json!({ "a": "x", "b": "x", "c": "x", "d": 1, "e": "", "f": "x", "g": "b", "h": 1, "i": [1], "j": [1, 1], "k": [1, "a"],
            "l": { "x": 1 }, "m": -1, "n": 1, "o": "x" }),
        json!({ "p": 19.99 }),
        json!({ "p": 0.29 }),
        json!({ "p": 1234567.89 }),
    ];
    let fits_not = [
        json!({ "b": 1 }),
        json!({ "d": "x" }),
        json!({ "j": [] }),
        json!({ "k": ["a"] }),
        json!({ "k": [1, "a", 2] }),
        json!({ "p": 0.001 }),
    ];
    table(schema, json!({}), &fits, &fits_not);
}

#[test]
fn what_cannot_be_a_schema_is_told() {
    for (schema, word) in [
        (json!("x"), "neither"),
        (json!({ "properties": [] }), "properties"),
        (json!({ "anyOf": {} }), "anyOf"),
    ] {
        let body = json!({ "content": { "application/json": { "schema": schema } } });
        let import = all(&document(
            "3.1.0",
            json!({ "/x": { "post": { "requestBody": body } } }),
            json!({}),
        ));
        assert!(import.problems[0].reason.contains(word), "{:?}", import.problems);
    }
}

#[test]
fn definitions_of_a_schema_are_its_own() {
    let owner = |kind: &str| {
        json!({ "type": "object", "properties": { "name": { "type": kind },
        "friend": { "$ref": "#/$defs/Owner" }, "near": { "$ref": "#/definitions/Near" } }, "definitions": { "Near": { "type": "boolean" } } })
    };
    let of = |kind: &str| {
        json!({ "$defs": { "Owner": owner(kind) }, "properties": {
        "owner": { "anyOf": [{ "$ref": "#/$defs/Owner" }, { "type": "null" }] } } })
    };
    let both = json!({ "properties": { "a": of("string"), "b": of("integer") } });
    let owned =
        |name: &str, value: Value| json!({ name: { "owner": { "name": value, "near": true } } });
    let deep =
        |value: Value| json!({ "a": { "owner": { "friend": { "friend": { "name": value } } } } });
    table(
        both,
        json!({}),
        &[
            owned("a", json!("x")),
            owned("b", json!(1)),
            json!({ "a": { "owner": null } }),
            deep(json!("x")),
        ],
        &[
            owned("a", json!(1)),
            owned("b", json!("x")),
            deep(json!(1)),
            json!({ "a": { "owner": { "near": 1 } } }),
        ],
    );
    // One that nobody has is told, and the tool stays.
    let body = json!({ "content": { "application/json": { "schema": { "properties": {
        "a": { "$ref": "#/$defs/Gone" }, "b": { "$ref": "#/$defs/Gone" }, "c": { "type": "integer" } } } } } });
    let import =
        all(&document("3.0.3", json!({ "/x": { "post": { "requestBody": body } } }), json!({})));
    assert_eq!(import.problems.len(), 1, "{:?}", import.problems);
    assert!(import.problems[0].reason.contains("#/$defs/Gone"), "{:?}", import.problems);
    assert!(takes(&import.operations[0], &json!({ "body": { "a": { "x": 1 } } })));
    assert!(!takes(&import.operations[0], &json!({ "body": { "c": "x" } })));
}

#[test]
fn a_type_that_no_listed_value_has_is_dropped() {
    let schema = json!({ "properties": { "a": { "type": "object", "default": "", "enum": ["", "draft"] },
        "b": { "type": "integer", "enum": [1, 2.0] }, "c": { "type": ["string", "null"], "enum": ["x", null] } } });
    let fits =
        [json!({ "a": "draft" }), json!({ "a": "" }), json!({ "b": 2 }), json!({ "c": null })];
    table(
        schema,
        json!({}),
        &fits,
        &[json!({ "a": "x" }), json!({ "a": {} }), json!({ "b": "1" })],
    );
}

use proptest::prelude::*;

use super::*;

#[test]
fn a_plain_object_goes_out_as_it_is() {
    let schema =
        json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "^x$" } } });
    assert_eq!(for_tool(&schema, false), schema);
    assert_eq!(
        for_tool(&json!({ "type": "object" }), false),
        json!({ "type": "object", "properties": {} })
    );
}

#[test]
fn combinations_at_the_root_become_one_object_and_are_told() {
    let schema = json!({
        "description": "Either.",
        "oneOf": [
            { "type": "object", "properties": { "id": { "type": "string" }, "n": {} }, "required": ["id", "n"] },
            { "$ref": "#/$defs/b" },
        ],
        "allOf": [{ "properties": { "who": { "type": "string" } }, "required": ["who"] }],
        "$defs": { "b": { "properties": { "name": { "type": "string" }, "n": {} }, "required": ["name", "n"] } },
    });
    let flat = for_tool(&schema, false);
    assert_eq!(flat["type"], "object");
    let names: Vec<_> = flat["properties"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(flat["required"], json!(["who", "n"]));
    let told = flat["description"].as_str().unwrap();
    assert!(told.starts_with("Either.") && told.contains("exactly one of"), "{told}");
    assert!(flat.get("oneOf").is_none() && flat.get("$defs").is_some());
}

#[test]
fn what_the_subset_does_not_know_is_said_in_words() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object", "additionalProperties": false, "required": ["a", "gone"],
        "properties": {
            "a": { "type": ["string", "null"], "pattern": "^x$", "description": "An a." },
            "b": { "const": "only" },
            "c": { "oneOf": [{ "type": "integer" }, { "type": "null" }] },
            "d": { "type": "array" },
            "e": { "enum": [1, 2] },
            "f": { "$ref": "#/$defs/node" },
        },
        "$defs": { "node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/node" } } } },
    });
    let out = subset(&schema);
    assert_eq!(out["required"], json!(["a"]));
    let all = &out["properties"];
    assert_eq!(
        all["a"],
        json!({ "type": "string", "nullable": true, "description": "An a. (pattern: \"^x$\")" })
    );
    assert_eq!(all["b"], json!({ "type": "string", "enum": ["only"] }));
    assert_eq!(all["c"], json!({ "type": "integer", "nullable": true }));
    assert_eq!(all["d"], json!({ "type": "array", "items": { "type": "string" } }));
    assert_eq!(all["e"]["description"], "(one of [1,2])");
    let text = out.to_string();
    assert!(
        !text.contains("$ref") && !text.contains("$schema") && !text.contains("additional"),
        "{text}"
    );
}

#[test]
fn strict_is_what_leaves_nothing_open() {
    let strict = json!({ "type": "object", "additionalProperties": false, "required": ["a"],
        "properties": { "a": { "type": "array", "items": { "type": "string" } } } });
    assert!(is_strict(&strict));
    let mut open = strict.clone();
    open["additionalProperties"] = json!(true);
    assert!(!is_strict(&open));
    let mut optional = strict.clone();
    optional["required"] = json!([]);
    assert!(!is_strict(&optional));
    let mut pattern = strict;
    pattern["properties"]["a"]["items"]["pattern"] = json!("x");
    assert!(!is_strict(&pattern));
    assert!(!is_strict(&json!({ "type": "string" })) && !is_strict(&json!(true)));
}

fn any_schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({ "type": "string" })),
        Just(json!({ "type": ["integer", "null"] })),
        Just(json!({ "$ref": "#" })),
        Just(json!({ "$ref": "#/nowhere" })),
        Just(json!(true)),
        Just(json!({ "enum": ["a", 1] })),
        Just(json!({ "not": { "type": "null" } })),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            inner.clone().prop_map(|s| json!({ "type": "array", "items": s })),
            inner.clone().prop_map(
                |s| json!({ "type": "object", "properties": { "p": s }, "required": ["p"] })
            ),
            (list, prop_oneof!["anyOf", "oneOf", "allOf"])
                .prop_map(|(parts, word)| json!({ (word): parts })),
        ]
    })
}

proptest! {
    #[test]
    fn any_schema_becomes_one_that_is_taken(schema in any_schema()) {
        let tool = for_tool(&schema, false);
        prop_assert_eq!(&tool["type"], "object");
        prop_assert!(tool["properties"].is_object());
        for word in ["oneOf", "anyOf", "allOf", "not", "enum"] {
            prop_assert!(tool.get(word).is_none(), "{word}");
        }
        let plain = subset(&schema).to_string();
        for word in ["\"$ref\":", "\"oneOf\":", "\"allOf\":", "\"const\":"] {
            prop_assert!(!plain.contains(word), "{plain}");
        }
    }
}

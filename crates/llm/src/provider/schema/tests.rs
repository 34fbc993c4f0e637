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
fn an_empty_text_and_null_among_alternatives_are_told_and_not_listed() {
    let defs = json!({ "Color": { "enum": ["r", "g"], "description": "A color." }, "Blank": { "enum": [""] }, "Null": { "enum": [null] } });
    let reference = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    for (schema, expected) in [
        // drf-spectacular.
        (
            json!({ "anyOf": [reference("Color"), reference("Blank"), reference("Null")] }),
            json!({ "type": "string", "enum": ["r", "g"], "nullable": true, "description": "A color. (or an empty text)" }),
        ),
        (
            json!({ "anyOf": [{ "type": "string", "format": "uri" }, { "type": "string", "maxLength": 0 }] }),
            json!({ "type": "string", "description": "(format: \"uri\") (or an empty text)" }),
        ),
        // marshmallow.
        (
            json!({ "enum": ["", "a"] }),
            json!({ "type": "string", "enum": ["a"], "description": "(or an empty text)" }),
        ),
        (json!({ "enum": [""] }), json!({ "type": "string", "description": "(one of [\"\"])" })),
        (
            json!({ "enum": [null] }),
            json!({ "type": "string", "nullable": true, "description": "(one of [null])" }),
        ),
        (
            json!({ "const": null }),
            json!({ "type": "string", "nullable": true, "description": "(always null)" }),
        ),
        (
            json!({ "anyOf": [reference("Blank"), reference("Null")] }),
            json!({ "type": "string", "nullable": true, "description": "(or an empty text)" }),
        ),
        (json!({ "enum": [1, 2] }), json!({ "type": "integer", "description": "(one of [1,2])" })),
        (
            json!({ "enum": [1.5, null] }),
            json!({ "type": "number", "nullable": true, "description": "(one of [1.5,null])" }),
        ),
        (json!({ "const": true }), json!({ "type": "boolean", "description": "(always true)" })),
        (
            json!({ "enum": ["a", 1] }),
            json!({ "type": "string", "description": "(one of [\"a\",1])" }),
        ),
    ] {
        let root = json!({ "type": "object", "properties": { "p": schema }, "$defs": defs });
        assert_eq!(subset(&root)["properties"]["p"], expected, "{schema}");
    }
}

/// The schema at a path of properties and items.
fn at<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(schema, |schema, name| match name {
        "[]" => &schema["items"],
        name => &schema["properties"][name],
    })
}

#[test]
fn scalars_keep_their_types_however_deep_they_are() {
    let leaf = json!({ "type": "object", "properties": { "n": { "type": "integer", "description": "Deep." },
        "o": { "anyOf": [{ "type": "boolean" }, { "type": "null" }] }, "e": { "enum": ["a"] } } });
    let deep =
        (0..15).fold(leaf, |inner, _| json!({ "type": "object", "properties": { "p": inner } }));
    let out = subset(&for_tool(&deep, true));
    let path = "p.".repeat(15);
    assert_eq!(
        *at(&out, &format!("{path}n")),
        json!({ "type": "integer", "description": "Deep." })
    );
    assert_eq!(*at(&out, &format!("{path}o")), json!({ "type": "boolean", "nullable": true }));
    assert_eq!(*at(&out, &format!("{path}e")), json!({ "type": "string", "enum": ["a"] }));
    // Deeper than anybody takes, it ends with a word on it.
    let deeper = (0..40).fold(
        json!({ "type": "integer" }),
        |inner, _| json!({ "type": "object", "properties": { "p": inner } }),
    );
    let out = subset(&deeper);
    let text = out.to_string();
    assert!(text.contains("nested too deeply") && !text.contains("integer"), "{text}");
}

#[test]
fn a_recursive_schema_is_cut_where_it_repeats_itself_and_says_so() {
    let schema = json!({
        "type": "object", "properties": { "tree": { "$ref": "#/$defs/Tree", "description": "The root." } },
        "$defs": { "Tree": { "type": "object", "description": "A tree.", "properties": {
            "n": { "type": "integer" },
            "children": { "type": "array", "items": { "$ref": "#/$defs/Tree" } },
            "next": { "$ref": "#/$defs/Tree", "description": "The next one." } } } },
    });
    let out = subset(&schema);
    assert_eq!(at(&out, "tree")["description"], "The root.");
    for path in [
        "tree.n",
        "tree.next.n",
        "tree.next.next.n",
        "tree.children.[].n",
        "tree.children.[].children.[].n",
    ] {
        assert_eq!(*at(&out, path), json!({ "type": "integer" }), "{path}");
    }
    let cut = at(&out, "tree.next.next.next");
    assert_eq!(
        *cut,
        json!({ "type": "object", "description": "The next one. (of the same form as the Tree above)" })
    );
    let list = json!({ "type": "object", "properties": { "l": { "$ref": "#/$defs/L" } },
        "$defs": { "L": { "type": "array", "items": { "$ref": "#/$defs/L" } } } });
    let cut = at(&subset(&list), "l.[].[].[]").clone();
    assert_eq!(cut["type"], "array");
    assert!(cut["description"].as_str().unwrap().contains("the L above"), "{cut}");
    // A schema that is nothing but itself ends, too.
    let nothing = json!({ "type": "object", "properties": { "x": { "$ref": "#/$defs/X" } }, "$defs": { "X": { "anyOf": [{ "$ref": "#/$defs/X" }, { "type": "integer" }] } } });
    assert!(subset(&nothing).to_string().contains("integer"));
}

#[test]
fn what_is_told_in_words_has_no_references() {
    let json = json!({ "anyOf": [{ "type": "string" }, { "type": "number" }, { "type": "array", "items": { "$ref": "#/$defs/json" } },
        { "type": "object", "additionalProperties": { "$ref": "#/$defs/json" } }] });
    let schema = json!({ "type": "object", "properties": { "any": { "$ref": "#/$defs/json" }, "by_name": { "type": "object",
        "additionalProperties": { "$ref": "#/$defs/n" } } }, "$defs": { "json": json, "n": { "type": "integer" } } });
    let text = subset(&schema).to_string();
    assert!(!text.contains("$ref") && !text.contains("$defs"), "{text}");
    let by_name = at(&subset(&schema), "by_name").clone();
    assert_eq!(by_name["description"], "(additionalProperties: {\"type\":\"integer\"})");
}

#[test]
fn the_parts_of_a_tuple_keep_their_types() {
    let schema = json!({ "type": "object", "properties": {
        "pair": { "type": "array", "minItems": 2, "maxItems": 2, "prefixItems": [{ "type": "integer" }, { "type": "string" }] },
        "same": { "type": "array", "prefixItems": [{ "type": "number" }, { "type": "number" }], "items": false } } });
    let as_they_are = |name: &str| name.to_owned();
    let out = subset(&Cleaner::new(&schema, true, &as_they_are).any());
    assert_eq!(
        *at(&out, "pair.[]"),
        json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] })
    );
    assert!(at(&out, "pair")["description"].as_str().unwrap().contains("in this order"), "{out}");
    assert_eq!(*at(&out, "same.[]"), json!({ "type": "number" }));
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

/// Definitions of which each refers to the next one.
fn chain(length: usize, part: impl Fn(Value) -> Value) -> Value {
    let next = |n: usize| part(json!({ "$ref": format!("#/$defs/n{}", n + 1) }));
    let mut all: Map<String, Value> = (0..length).map(|n| (format!("n{n}"), next(n))).collect();
    all.insert(format!("n{length}"), json!({ "type": "string" }));
    json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/n0" } }, "$defs": all })
}

#[test]
fn what_doubles_with_each_reference_ends_in_the_subset() {
    for word in ["anyOf", "oneOf", "allOf"] {
        let doubled = |next: Value| {
            let other = json!({ "allOf": [next], "title": "another" });
            json!({ word: [next, other, { "type": "integer" }] })
        };
        let told = subset(&chain(60, doubled)).to_string();
        assert!(told.len() < 2_000_000, "{word}: {}", told.len());
    }
    let noted = |next: Value| json!({ "not": next, "if": next, "then": next, "else": next });
    assert!(subset(&chain(60, noted)).to_string().len() < 2_000_000);
}

#[test]
fn a_long_chain_of_conditions_ends_in_the_subset() {
    let told = subset(&chain(4_000, |next| json!({ "not": next }))).to_string();
    assert!(told.len() < 100_000, "{}", told.len());
}

#[test]
fn a_text_or_null_stays_one_when_there_is_no_room_left() {
    let text = json!({ "anyOf": [{ "type": "string" }, { "type": "null" }] });
    let fields: Map<String, Value> =
        (0..MAX_NODES + 10).map(|n| (format!("f{n}"), text.clone())).collect();
    let out = subset(&json!({ "type": "object", "properties": fields }));
    let last = &out["properties"][format!("f{}", MAX_NODES + 9)];
    assert_eq!(*last, json!({ "type": "string", "nullable": true }));
}

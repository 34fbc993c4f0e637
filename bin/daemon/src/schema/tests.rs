use serde_json::{Value, json};

use super::*;

fn compile(schema: &Value) -> Compiled {
    Schema::compile(schema).unwrap()
}

/// Each definition refers to the next one twice.
fn doubling(steps: usize) -> Value {
    let mut definitions = serde_json::Map::new();
    for n in 0..steps {
        let next = json!({ "$ref": format!("#/$defs/d{}", n + 1) });
        definitions.insert(format!("d{n}"), json!({ "anyOf": [next, next] }));
    }
    definitions.insert(format!("d{steps}"), json!({ "type": "integer" }));
    json!({ "$ref": "#/$defs/d0", "$defs": definitions })
}

#[test]
fn what_would_be_too_large_is_refused_before_it_is_compiled() {
    let mut deep = json!({});
    for _ in 0..500 {
        deep = json!({ "not": deep });
    }
    for (schema, limit) in [
        (doubling(40), "100000 schemas"),
        (deep, "400"),
        (json!({ "description": "x".repeat(300_000) }), "256 KiB"),
        (json!({ "enum": vec![0; 6_000] }), "5000"),
        (json!({ "x": vec![json!(vec![0; 4_000]); 20] }), "50000"),
        (json!({ "$ref": "https://example.com/s.json" }), "nothing is fetched"),
        (json!({ "$ref": "file:///etc/passwd" }), "nothing is fetched"),
        (json!({ "$ref": "#/$defs/none" }), "not inside"),
    ] {
        let why = Schema::compile(&schema).unwrap_err();
        assert!(why.contains(limit), "{why}");
    }
    assert!(compile(&doubling(8)).schema.check(&json!(1), 1).is_ok());
}

#[test]
fn a_pattern_that_cannot_be_checked_costs_itself() {
    for pattern in [
        r"^a\Z",
        r"[\ud800-\udbff]",
        r"^{.*}$",
        r"^(?!a)b",
        "((a{1000}){1000}){1000}",
        "(",
        "(?<=a)b",
    ] {
        let schema = json!({ "properties": { "a": { "pattern": pattern, "maxLength": 2 } } });
        let compiled = compile(&schema);
        let is_checked = compiled.unchecked.is_empty();
        assert_eq!(compiled.unchecked.len(), usize::from(!is_checked), "{:?}", compiled.unchecked);
        if pattern != r"^{.*}$" && pattern != r"[\ud800-\udbff]" {
            assert!(!is_checked, "{pattern}");
            assert!(compiled.unchecked[0].contains("/properties/a"), "{:?}", compiled.unchecked);
            assert!(compiled.schema.check(&json!({ "a": "?" }), 1).is_ok(), "{pattern}");
        }
        assert!(compiled.schema.check(&json!({ "a": "???" }), 1).is_err(), "{pattern}");
    }
    let names = json!({ "patternProperties": { "(?=x)": {}, "^b": { "type": "integer" } },
        "additionalProperties": false });
    let compiled = compile(&names);
    assert_eq!(compiled.unchecked.len(), 1);
    assert!(compiled.schema.check(&json!({ "x": 1 }), 1).is_ok());
    assert!(compiled.schema.check(&json!({ "b": "1" }), 1).is_err());
    let heavy: serde_json::Map<_, _> = (0..60)
        .map(|n| (format!("p{n}"), json!({ "pattern": format!(r"^(\w{{0,20}}{n}){{1,2}}$") })))
        .collect();
    assert!(!compile(&json!({ "properties": heavy })).unchecked.is_empty());
    // A property of this name is none.
    let named =
        json!({ "properties": { "pattern": { "type": "string" } }, "enum": [{ "pattern": "(" }] });
    assert_eq!(compile(&named).unchecked, Vec::<String>::new());
}

#[test]
fn validating_has_a_budget() {
    let next = || json!({ "properties": { "x": { "$ref": "#" } }, "required": ["x"] });
    let schema = compile(&json!({ "anyOf": [next(), next(), next(), next()] })).schema;
    let mut instance = json!({});
    for _ in 0..100 {
        instance = json!({ "x": instance });
    }
    let why = schema.check(&instance, 5).unwrap_err();
    assert!(why[0].contains("too much work"), "{why:?}");
    // All of these fail everywhere: nothing is listed.
    let next = || json!({ "properties": { "x": { "$ref": "#" } } });
    let schema = compile(&json!({ "required": ["y"], "allOf": [next(), next(), next()] })).schema;
    let why = schema.check(&instance, 5).unwrap_err();
    assert!(why[0].contains("too large to say where"), "{why:?}");
    let many = compile(&json!({ "items": { "enum": (0..4_000).collect::<Vec<_>>() } })).schema;
    assert!(many.check(&json!(vec![-1; 100_000]), 5).is_err());
    let why = many.check(&json!(vec![3_999; 100_000]), 5).unwrap_err();
    assert!(why[0].contains("too much work"), "{why:?}");
}

#[test]
fn errors_name_their_places() {
    let tree = json!({ "type": "object", "properties": { "n": { "type": "integer" },
        "next": { "type": "array", "items": { "$ref": "#" } } } });
    let schema = compile(&tree).schema;
    assert!(schema.check(&json!({ "n": 1, "next": [{ "n": 2 }] }), 5).is_ok());
    let why = schema.check(&json!({ "next": [{ "n": "x" }, { "n": 1.5 }] }), 5).unwrap_err();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[0].starts_with("/next/0/n: "), "{why:?}");
}

use serde_json::{Value, json};

use super::*;

fn compile(schema: &Value) -> Compiled {
    Schema::compile(schema, &mut Budget::default()).unwrap()
}

/// Each definition refers to all others.
fn crowd(n: usize) -> Value {
    let all: Vec<_> = (0..n).map(|at| json!({ "$ref": format!("#/$defs/d{at}") })).collect();
    let definitions: serde_json::Map<_, _> = (0..n)
        .map(|at| (format!("d{at}"), json!({ "properties": { "x": { "anyOf": all } } })))
        .collect();
    json!({ "$ref": "#/$defs/d0", "$defs": definitions })
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
        (doubling(40), "20000 schemas"),
        (deep, "128"),
        (json!({ "description": "x".repeat(300_000) }), "256 KiB"),
        (json!({ "enum": vec![0; 6_000] }), "5000"),
        (json!({ "x": vec![json!(vec![0; 4_000]); 20] }), "50000"),
        (json!({ "$ref": "https://example.com/s.json" }), "nothing is fetched"),
        (json!({ "$ref": "file:///etc/passwd" }), "nothing is fetched"),
        (json!({ "$ref": "#/$defs/none" }), "no schema inside"),
        (json!({ "$ref": "#/enum/0", "enum": [{ "pattern": "a" }] }), "no schema inside"),
        (json!({ "$ref": "#/x/default", "x": { "default": {} } }), "no schema inside"),
    ] {
        let why = Schema::compile(&schema, &mut Budget::default()).unwrap_err();
        assert!(why.contains(limit), "{why}");
    }
    assert!(compile(&doubling(8)).schema.check_here(&json!(1), 1).is_ok());
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
        "a++b",
    ] {
        let schema = json!({ "properties": { "a": { "pattern": pattern, "maxLength": 2 } } });
        let compiled = compile(&schema);
        let is_checked = compiled.unchecked.is_empty();
        assert_eq!(compiled.unchecked.len(), usize::from(!is_checked), "{:?}", compiled.unchecked);
        if pattern != r"^{.*}$" && pattern != r"[\ud800-\udbff]" {
            assert!(!is_checked, "{pattern}");
            assert!(compiled.unchecked[0].contains("/properties/a"), "{:?}", compiled.unchecked);
            assert!(compiled.schema.check_here(&json!({ "a": "?" }), 1).is_ok(), "{pattern}");
        }
        assert!(compiled.schema.check_here(&json!({ "a": "???" }), 1).is_err(), "{pattern}");
    }
    let names = json!({ "patternProperties": { "(?=x)": {}, "^b": { "type": "integer" } },
        "additionalProperties": false });
    let compiled = compile(&names);
    assert_eq!(compiled.unchecked.len(), 1);
    assert!(compiled.schema.check_here(&json!({ "x": 1 }), 1).is_ok());
    assert!(compiled.schema.check_here(&json!({ "b": "1" }), 1).is_err());
    let heavy: serde_json::Map<_, _> = (0..30)
        .map(|n| (format!("p{n}"), json!({ "pattern": format!(r"^\pL{{1,4}}{n}$") })))
        .collect();
    let heavy = json!({ "properties": heavy });
    assert_eq!(compile(&heavy).unchecked, Vec::<String>::new());
    let mut budget = Budget { pattern_bytes: 2_000_000, ..Budget::default() };
    let told = Schema::compile(&heavy, &mut budget).unwrap().unchecked;
    assert!(told.len() == 11 && told[10].contains("more patterns are not checked"), "{told:?}");
    // A property of this name is none.
    let named =
        json!({ "properties": { "pattern": { "type": "string" } }, "enum": [{ "pattern": "(" }] });
    assert_eq!(compile(&named).unchecked, Vec::<String>::new());
}

#[test]
fn what_a_reference_makes_a_schema_is_bounded_like_one() {
    let bad = || json!({ "pattern": "(?!a)b", "maxLength": 2 });
    for (place, words) in [
        ("#/x/7", json!({ "x": { "7": bad() } })),
        ("#/x/0/1", json!({ "x": [[true, bad()]] })),
        ("#/components/schemas/Y", json!({ "components": { "schemas": { "Y": bad() } } })),
        ("#/$defs/enum", json!({ "$defs": { "enum": bad() } })),
        (
            "#/properties/properties/enum",
            json!({ "properties": { "properties": { "enum": bad() } } }),
        ),
    ] {
        let mut schema = words.clone();
        schema["allOf"] = json!([{ "$ref": place }]);
        if place == "#/properties/properties/enum" {
            // `enum` is a keyword there.
            assert!(Schema::compile(&schema, &mut Budget::default()).is_err());
            continue;
        }
        let compiled = compile(&schema);
        assert_eq!(compiled.unchecked.len(), 1, "{place}: {:?}", compiled.unchecked);
        assert!(compiled.schema.check_here(&json!("???"), 1).is_err(), "{place}");
        assert!(compiled.schema.check_here(&json!("?"), 1).is_ok(), "{place}");
        let many = json!({ "items": { "enum": (0..4_000).collect::<Vec<_>>() } });
        let text = schema.to_string().replace(&bad().to_string(), &many.to_string());
        let many = compile(&serde_json::from_str(&text).unwrap()).schema;
        let why = many.check_here(&json!(vec![3_999; 100_000]), 5).unwrap_err();
        assert!(why[0].contains("too much work"), "{place}: {why:?}");
    }
    let names = json!({ "dependentRequired": { "a": ["b"] }, "enum": [{ "a": 1, "b": {} }] });
    assert!(compile(&names).schema.check_here(&json!({ "a": 1, "b": {} }), 1).is_ok());
}

#[test]
fn only_so_many_patterns_are_tried_in_vain() {
    let mut patterns: serde_json::Map<_, _> = (0..40)
        .map(|n| (format!("p{n}"), json!({ "pattern": format!("(?!{})x", n % 30) })))
        .collect();
    patterns.insert("q".to_owned(), json!({ "pattern": "^good$" }));
    let mut budget = Budget::default();
    let compiled = Schema::compile(&json!({ "properties": patterns }), &mut budget).unwrap();
    assert_eq!((budget.bad_patterns, budget.refused.len()), (0, 20));
    assert!(compiled.schema.check_here(&json!({ "q": "bad" }), 1).is_ok());
    // The same one counts once.
    let same: Vec<_> = (0..30).map(|_| json!({ "pattern": "(?!a)b" })).collect();
    let mut budget = Budget::default();
    let schema = json!({ "allOf": [{ "anyOf": same }, { "pattern": "^good$" }] });
    let compiled = Schema::compile(&schema, &mut budget).unwrap();
    assert_eq!(budget.bad_patterns, 19);
    assert!(compiled.schema.check_here(&json!("bad"), 1).is_err());
}

#[test]
fn validating_has_a_budget() {
    let mut instance = json!({});
    for _ in 0..100 {
        instance = json!({ "x": instance });
    }
    // All of these fail everywhere: nothing is listed.
    let next = || json!({ "properties": { "x": { "$ref": "#" } } });
    let schema = compile(&json!({ "required": ["y"], "allOf": [next(), next(), next()] })).schema;
    let why = schema.check_here(&instance, 5).unwrap_err();
    assert!(why[0].contains("too large to say where"), "{why:?}");
    let many = compile(&json!({ "items": { "enum": (0..4_000).collect::<Vec<_>>() } })).schema;
    assert!(many.check_here(&json!(vec![-1; 100_000]), 5).is_err());
    let why = many.check_here(&json!(vec![3_999; 100_000]), 5).unwrap_err();
    assert!(why[0].contains("too much work"), "{why:?}");
}

#[test]
fn a_crowd_of_references_takes_bounded_time() {
    let compiled = compile(&crowd(40));
    let mut instance = json!({});
    for _ in 0..20 {
        instance = json!({ "x": instance });
    }
    let _done = compiled.schema.check_here(&instance, 5);
}

#[test]
fn a_way_that_is_too_long_for_the_stack_is_refused() {
    let mut chain = serde_json::Map::new();
    for n in 0..200 {
        chain.insert(format!("d{n}"), json!({ "$ref": format!("#/$defs/d{}", n + 1) }));
    }
    chain.insert("d200".to_owned(), json!({ "properties": { "x": { "$ref": "#" } } }));
    let schema = compile(&json!({ "$ref": "#/$defs/d0", "$defs": chain })).schema;
    let mut instance = json!({});
    for _ in 0..5 {
        instance = json!({ "x": instance });
    }
    assert_eq!(schema.check_here(&instance, 5), Ok(()));
    for _ in 0..100 {
        instance = json!({ "x": instance });
    }
    assert!(schema.check_here(&instance, 5).unwrap_err()[0].contains("too deeply"));
    chain_of(300);
}

fn chain_of(n: usize) {
    let definitions: serde_json::Map<_, _> = (0..n)
        .map(|at| (format!("d{at}"), json!({ "$ref": format!("#/$defs/d{}", at + 1) })))
        .chain([(format!("d{n}"), json!(true))])
        .collect();
    let schema = json!({ "$ref": "#/$defs/d0", "$defs": definitions });
    let why = Schema::compile(&schema, &mut Budget::default()).unwrap_err();
    assert!(why.contains("256"), "{why}");
}

#[test]
fn the_schemas_of_a_source_have_a_budget_together() {
    let mut budget = Budget { schemas: 1_500, ..Budget::default() };
    assert!(Schema::compile(&doubling(8), &mut budget).is_ok());
    let why = Schema::compile(&doubling(8), &mut budget).unwrap_err();
    assert!(why.contains("one too many"), "{why}");
}

#[test]
fn errors_name_their_places() {
    let tree = json!({ "type": "object", "properties": { "n": { "type": "integer" },
        "next": { "type": "array", "items": { "$ref": "#" } } } });
    let schema = compile(&tree).schema;
    assert!(schema.check_here(&json!({ "n": 1, "next": [{ "n": 2 }] }), 5).is_ok());
    let why = schema.check_here(&json!({ "next": [{ "n": "x" }, { "n": 1.5 }] }), 5).unwrap_err();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[0].starts_with("/next/0/n: "), "{why:?}");
}

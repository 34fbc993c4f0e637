use serde_json::json;

use super::*;

fn judge(when: Value, arguments: Value) -> Verdict {
    let condition = Condition::parse(&when).unwrap();
    condition.judge(arguments.as_object().unwrap())
}

/// `+` fulfilled, `-` unfulfilled, `?` unclear.
fn mark(when: Value, arguments: Value) -> char {
    match judge(when, arguments) {
        Verdict::Fulfilled => '+',
        Verdict::Unfulfilled { .. } => '-',
        Verdict::Unclear { .. } => '?',
    }
}

#[test]
fn words_say_what_an_argument_has_to_be() {
    for (schema, value, expected) in [
        (json!({ "gt": 100 }), json!(100), '-'),
        (json!({ "gt": 100 }), json!(100.01), '+'),
        (json!({ "gte": 100 }), json!(100.0), '+'),
        (json!({ "lt": 5 }), json!(5), '-'),
        (json!({ "lte": 5, "gte": 1 }), json!(5), '+'),
        (json!({ "lte": 5, "gte": 1 }), json!(0), '-'),
        (json!({ "lte": 50 }), json!(18446744073709551615u64), '-'),
        (json!({ "eq": "EUR" }), json!("EUR"), '+'),
        (json!({ "eq": "EUR" }), json!("eur"), '-'),
        (json!({ "in": ["EUR", "USD"] }), json!("USD"), '+'),
        (json!({ "in": ["EUR", "USD"] }), json!("GBP"), '-'),
        (json!({ "pattern": "@example\\.com$" }), json!("a@example.com"), '+'),
        (json!({ "pattern": "@example\\.com$" }), json!("a@evil.com"), '-'),
        (json!({ "type": "integer" }), json!(1.5), '-'),
        (json!({ "type": "integer" }), json!("1"), '-'),
        (json!({ "maxLength": 3 }), json!("abc"), '+'),
        (json!({ "maxItems": 1, "items": { "eq": "a" } }), json!(["a"]), '+'),
        (json!({ "items": { "eq": "a" } }), json!(["a", "b"]), '-'),
        (json!({ "contains": { "eq": "a" } }), json!(["b", "a"]), '+'),
        (json!({ "contains": { "gt": 1 }, "minContains": 2 }), json!([2, 1, 3]), '+'),
        (json!({ "contains": { "gt": 1 }, "minContains": 2 }), json!([2, 1]), '-'),
        (json!({ "contains": { "gt": 1 }, "maxContains": 1 }), json!([2, 1, 3]), '-'),
        (json!({ "contains": { "gt": 1 }, "minContains": 0 }), json!([]), '+'),
        (json!({ "contains": { "gt": 1 }, "maxContains": 1 }), json!([2, "x"]), '?'),
        (json!({ "contains": { "gt": 1 }, "maxContains": 1 }), json!([2, 3, "x"]), '-'),
        (json!({ "patternProperties": { "^n": { "lt": 9 } } }), json!({ "n1": 5, "m": 50 }), '+'),
        (json!({ "patternProperties": { "^n": { "lt": 9 } } }), json!({ "n1": 5, "n2": 50 }), '-'),
        (json!({ "patternProperties": { "^n": { "lt": 9 } } }), json!({ "n": "5" }), '?'),
        (
            json!({ "patternProperties": { "^n": true }, "additionalProperties": false }),
            json!({ "n": 5 }),
            '+',
        ),
        (
            json!({ "patternProperties": { "^n": true }, "additionalProperties": false }),
            json!({ "n": 5, "m": 5 }),
            '-',
        ),
        (json!({ "propertyNames": { "maxLength": 1 } }), json!({ "n": 5 }), '+'),
        (json!({ "propertyNames": { "maxLength": 1 } }), json!({ "nn": 5 }), '-'),
        (json!({ "propertyNames": { "maxLength": 1 } }), json!("nn"), '?'),
        (json!({ "dependentRequired": { "a": ["b"] } }), json!({ "a": 5 }), '-'),
        (json!({ "dependentSchemas": { "a": { "maxProperties": 1 } } }), json!({ "b": 5 }), '+'),
        (
            json!({ "dependentSchemas": { "a": { "maxProperties": 1 } } }),
            json!({ "a": 1, "b": 5 }),
            '-',
        ),
        (json!({ "not": { "in": ["x", "y"] } }), json!("z"), '+'),
        (json!({ "not": { "in": ["x", "y"] } }), json!("x"), '-'),
        (json!({ "anyOf": [{ "lt": 1 }, { "gt": 9 }] }), json!(10), '+'),
        (json!({ "anyOf": [{ "lt": 1 }, { "gt": 9 }] }), json!(5), '-'),
        (json!({ "oneOf": [{ "gt": 1 }, { "gt": 9 }] }), json!(10), '-'),
        (json!({ "if": { "gt": 5 }, "then": { "lt": 9 } }), json!(4), '+'),
        (json!({ "if": { "gt": 5 }, "then": { "lt": 9 } }), json!(9), '-'),
        (json!(true), json!(null), '+'),
        (json!(false), json!(null), '-'),
        (json!({}), json!(null), '+'),
    ] {
        let judged = mark(json!({ "a": schema }), json!({ "a": value }));
        assert_eq!(judged, expected, "{schema} {value}");
    }
}

#[test]
fn what_is_missing_or_of_another_type_is_not_clear() {
    for (when, arguments) in [
        (json!({ "a": { "gt": 1 } }), json!({})),
        (json!({ "a": true }), json!({ "b": 1 })),
        (json!({ "a": { "gt": 100 } }), json!({ "a": "500" })),
        (json!({ "a": { "gt": 100 } }), json!({ "a": null })),
        (json!({ "a": { "type": "number", "gt": 100 } }), json!({ "a": "500" })),
        (json!({ "a": { "not": { "lte": 100 } } }), json!({ "a": "500" })),
        (json!({ "a": { "allOf": [{ "gt": 100 }] } }), json!({ "a": ["500"] })),
        (json!({ "a": { "anyOf": [{ "gt": 100 }, { "lt": 1 }] } }), json!({ "a": "500" })),
        (json!({ "a": { "if": { "gt": 1 }, "then": false } }), json!({ "a": "5" })),
        (json!({ "a": { "pattern": "x" } }), json!({ "a": 7 })),
        (json!({ "a": { "eq": 100 } }), json!({ "a": "100" })),
        (json!({ "a": { "in": ["x", 1] } }), json!({ "a": true })),
        (json!({ "a": { "maxItems": 1 } }), json!({ "a": "x" })),
        (json!({ "a": { "items": { "gt": 1 } } }), json!({ "a": 5 })),
        (json!({ "a": { "items": { "gt": 1 } } }), json!({ "a": [5, "6"] })),
        (json!({ "a": { "properties": { "b": { "gt": 1 } } } }), json!({ "a": {} })),
        (json!({ "a": { "properties": { "b": { "gt": 1 } } } }), json!({ "a": 5 })),
        (json!({ "a.b": { "gt": 1 } }), json!({ "a": 5 })),
        (json!({ "a.b": { "gt": 1 } }), json!({ "a": { "c": 5 } })),
        // Whatever the other arguments are.
        (json!({ "a": { "gt": 1 }, "b": { "eq": "x" } }), json!({ "b": "y" })),
        (json!({ "b": { "eq": "x" }, "a": { "gt": 1 } }), json!({ "b": "y" })),
    ] {
        let verdict = judge(when.clone(), arguments.clone());
        assert!(matches!(verdict, Verdict::Unclear { .. }), "{when} {arguments} {verdict:?}");
        assert!(verdict.asks() && !verdict.allows());
    }
}

#[test]
fn an_alternatives_type_decides_before_its_other_words() {
    let either = json!({ "a": { "anyOf": [
        { "type": "string", "pattern": "^[0-9]$" }, { "type": "number", "lte": 9 }
    ] } });
    for (value, expected) in
        [(json!("5"), '+'), (json!(5), '+'), (json!(50), '-'), (json!(null), '-')]
    {
        assert_eq!(mark(either.clone(), json!({ "a": value })), expected, "{value}");
    }
}

#[test]
fn dots_lead_into_objects() {
    let when = json!({ "card.limit.sum": { "lte": 50 } });
    assert_eq!(mark(when.clone(), json!({ "card": { "limit": { "sum": 50 } } })), '+');
    assert_eq!(mark(when.clone(), json!({ "card": { "limit": { "sum": 51 } } })), '-');
    // A name with dots in it is no way round.
    assert_eq!(mark(when, json!({ "card.limit.sum": 5 })), '?');
    assert_eq!(mark(json!({}), json!({ "a": 1 })), '+');
}

#[test]
fn the_reason_names_the_argument() {
    let why = |when, arguments| judge(when, arguments).why_not().unwrap_or_default().to_owned();
    let amount = json!({ "amount": { "lte": 50 } });
    assert_eq!(why(amount.clone(), json!({})), "amount: is missing");
    assert_eq!(
        why(amount.clone(), json!({ "amount": "5" })),
        "amount: lte is for a number, and this is a text"
    );
    let text = why(amount, json!({ "amount": 500 }));
    assert!(text.starts_with("amount: 500 is") && text.contains("50"), "{text}");
}

#[test]
fn a_condition_of_a_wrong_form_is_refused_with_its_place() {
    for (when, expected) in [
        (json!([]), "must be an object of schemas"),
        (json!({ "a": 5 }), r#"a: must be an object, such as {"eq": 5}"#),
        (json!({ "a": { "gtt": 5 } }), r#"a: unknown word "gtt"; did you mean "gt"#),
        (json!({ "a": { "$ref": "#" } }), "unknown word \"$ref\""),
        (json!({ "a": { "format": "email" } }), "a: format only describes a value"),
        (json!({ "a": { "patternProperties": { "(": {} } } }), "a.patternProperties: "),
        (json!({ "a": { "minContains": 1.5 } }), "a.minContains: must be a whole number"),
        (json!({ "a": { "gt": "5" } }), "a: "),
        (json!({ "a": { "in": [] } }), "a.in: must be a list of values"),
        (json!({ "a": { "in": "x" } }), "a.in: must be a list of values"),
        (json!({ "a": { "gt": 1, "exclusiveMinimum": 1 } }), "say the same"),
        (json!({ "a": { "pattern": "(" } }), "a: "),
        (json!({ "a": { "type": "float" } }), "a: "),
        (json!({ "a": { "anyOf": [] } }), "a.anyOf: must be a list of schemas"),
        (json!({ "a": { "not": { "lt": 1, "x": 2 } } }), "a.not: unknown word"),
        (json!({ "a": { "then": {} } }), "without if"),
        (json!({ "a..b": {} }), "must name an argument"),
        (json!({ "": {} }), "must name an argument"),
        (json!({ "a": { "description": "x".repeat(9_000) } }), "the limit is 8192"),
    ] {
        let problems = Condition::parse(&when).unwrap_err().join("; ");
        assert!(problems.contains(expected), "{when}: {problems}");
    }
    let many: Map<_, _> = (0..33).map(|n| (format!("a{n}"), json!({}))).collect();
    assert!(Condition::parse(&Value::Object(many)).is_err());
    let mut deep = json!({});
    for _ in 0..20 {
        deep = json!({ "not": deep });
    }
    assert!(Condition::parse(&json!({ "a": deep })).is_err());
}

#[test]
fn what_takes_too_much_work_to_judge_is_not_clear() {
    let when = json!({ "a": { "pattern": "(a|b|c|d){200}$" } });
    let text = "ab".repeat(8_000_000);
    assert_eq!(mark(when, json!({ "a": text })), '?');
}

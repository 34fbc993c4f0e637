//! Whole published documents (scripts/documents.sh): each operation is a tool that can be called, or a
//! problem with its reason.

use std::collections::BTreeSet;

use openapi_tools::{Document, Operation};
use serde_json::{Map, Value, json};

use crate::all;

/// File, operations, tools, problems, and the tools for which [`example`] finds no arguments: the table of
/// docs/OPENAPI.md. A document that is not here is new.
const DOCUMENTS: [(&str, usize, usize, usize, usize); 19] = [
    ("github.json", 1223, 1222, 1, 25),
    ("kubernetes.json", 833, 833, 0, 0),
    ("kubernetes-1.13.json", 1002, 1002, 0, 0),
    ("stripe.json", 452, 452, 0, 0),
    ("asana.json", 167, 166, 1, 0),
    ("twilio.json", 195, 195, 0, 7),
    ("discourse.json", 84, 62, 22, 0),
    ("box.json", 258, 250, 8, 0),
    ("openai.json", 28, 23, 5, 0),
    ("notion.json", 13, 13, 0, 0),
    ("digitalocean.json", 290, 289, 1, 12),
    ("jira.json", 499, 495, 4, 1),
    ("mastodon.json", 127, 114, 13, 0),
    ("gitea.json", 346, 343, 3, 0),
    ("netlify.json", 181, 176, 5, 0),
    ("directus.json", 136, 134, 2, 0),
    ("blockfrost.yaml", 129, 126, 3, 0),
    ("star-trek.yaml", 120, 120, 0, 0),
    ("train-travel.json", 7, 7, 0, 0),
];

#[test]
fn each_operation_of_a_published_document_is_a_tool_that_can_be_called_or_a_named_problem() {
    let Some(folder) = std::env::var_os("WOMBAT_TEST_DOCUMENTS") else {
        return test_support::lacks("a collection of published OpenAPI documents", "documents");
    };
    let mut counted = Vec::new();
    for (file, ..) in DOCUMENTS {
        let text = std::fs::read_to_string(std::path::Path::new(&folder).join(file)).unwrap();
        let document =
            Document::parse(&text, &[], "").unwrap_or_else(|why| panic!("{file}: {why}"));
        let operations = document.candidates().count();
        let import = all(&document);
        let names: BTreeSet<&str> = import.operations.iter().map(Operation::name).collect();
        assert_eq!(names.len(), import.operations.len(), "{file}: each has a name of its own");
        let mut without_example = 0;
        for tool in &import.operations {
            let place = format!("{file}: {} {}", tool.method(), tool.path());
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            assert!(
                (1..=64).contains(&tool.name().len()) && tool.name().chars().all(is_name),
                "{place}: {}",
                tool.name()
            );
            let schema = tool.parameters();
            assert_eq!(schema["type"], "object", "{place}");
            let Some(arguments) = valid_example(schema) else {
                without_example += 1;
                continue;
            };
            let request = tool
                .request(&arguments)
                .unwrap_or_else(|why| panic!("{place}: {arguments}: {why}"));
            assert!(
                request.path.starts_with('/') && !request.path.contains(['{', '}', '?', '#', ' ']),
                "{place}: {}",
                request.path
            );
            assert!(!request.query.contains(['#', ' ']), "{place}: {}", request.query);
        }
        let problems = import.problems.iter().filter(|problem| !problem.reason.is_empty()).count();
        assert_eq!(problems, import.problems.len(), "{file}: each problem has a reason");
        counted.push((file, operations, import.operations.len(), problems, without_example));
    }
    assert_eq!(counted, DOCUMENTS, "file, operations, tools, problems, without an example");
}

/// Arguments that the schema takes: the required ones alone, or all.
fn valid_example(schema: &Value) -> Option<Value> {
    let validator = jsonschema::options()
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(schema)
        .ok()?;
    let tries = [false, true].map(|optional| example(schema, schema, optional, 0));
    tries.into_iter().find(|arguments| validator.is_valid(arguments))
}

/// A value that a schema is likely to take.
fn example(root: &Value, schema: &Value, optional: bool, depth: usize) -> Value {
    let reference =
        schema["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    if let Some(referred) = reference.filter(|_| depth < 12) {
        return example(root, referred, optional, depth + 1);
    }
    for given in [&schema["const"], &schema["default"], &schema["enum"][0]] {
        if !given.is_null() {
            return given.clone();
        }
    }
    let mut value = match kind(schema) {
        "integer" | "number" => {
            let (low, above) = (
                schema["minimum"].as_f64(),
                schema["exclusiveMinimum"].as_f64().map(|it| it + 1.0),
            );
            let step = schema["multipleOf"].as_f64().unwrap_or(1.0);
            let least = low.or(above).or_else(|| schema["maximum"].as_f64()).unwrap_or(step);
            let number = (least / step).ceil() * step;
            if number.fract() == 0.0 { json!(number as i64) } else { json!(number) }
        }
        "boolean" => json!(true),
        "null" => Value::Null,
        "array" => {
            let least = schema["minItems"].as_u64().unwrap_or(0).min(3);
            json!(
                (0..least)
                    .map(|_| example(root, &schema["items"], optional, depth + 1))
                    .collect::<Vec<_>>()
            )
        }
        "string" => text(schema).into(),
        _ => object(root, schema, optional, depth),
    };
    for part in schema["allOf"].as_array().into_iter().flatten().filter(|_| depth < 12) {
        let part = example(root, part, optional, depth + 1);
        match (&mut value, part) {
            (Value::Object(fields), Value::Object(more)) => fields.extend(more),
            (value, part) => *value = part,
        }
    }
    for word in ["anyOf", "oneOf"] {
        let Some(part) =
            schema[word].as_array().and_then(|parts| parts.first()).filter(|_| depth < 12)
        else {
            continue;
        };
        match (&mut value, example(root, part, optional, depth + 1)) {
            (Value::Object(fields), Value::Object(more)) => fields.extend(more),
            (value, part) => *value = part,
        }
    }
    value
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null")
        }
        _ if schema["pattern"].is_string() || schema["format"].is_string() => "string",
        _ => "object",
    }
}

fn text(schema: &Value) -> String {
    // Twilio's identifiers.
    if let Some((begin, "[0-9a-fA-F]{32}$")) =
        schema["pattern"].as_str().and_then(|it| it.split_at_checked(3))
    {
        return format!("{}{}", begin.trim_start_matches('^'), "0".repeat(32));
    }
    let text = match schema["format"].as_str().unwrap_or_default() {
        "date" => "2026-11-29",
        "date-time" => "2026-11-29T10:00:00Z",
        "uuid" => "7b1e0d8a-5c1f-4e0e-9a53-0a4d0a6d5e11",
        "uri" | "url" => "https://example.com/a",
        "email" => "ann@example.com",
        _ => "abc",
    };
    let least = schema["minLength"].as_u64().unwrap_or(0).try_into().unwrap_or(0);
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX).try_into().unwrap_or(usize::MAX);
    format!("{text}{}", "a".repeat(usize::saturating_sub(least, text.len())))
        .chars()
        .take(most)
        .collect()
}

fn object(root: &Value, schema: &Value, optional: bool, depth: usize) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        if required.contains(&name.as_str()) || (optional && depth == 0) {
            fields.insert(name.clone(), example(root, of, optional, depth + 1));
        }
    }
    for name in required {
        fields.entry(name).or_insert_with(|| json!("abc"));
    }
    Value::Object(fields)
}

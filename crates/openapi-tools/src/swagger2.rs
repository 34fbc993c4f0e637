//! Swagger 2.0 (the OpenAPI Specification 2.0) as OpenAPI 3. Definitions stay where they are: references
//! to them lead there as before.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use crate::pointer::resolve;
use crate::schema::size;

/// The fields of a parameter that are no part of its schema.
const NOT_SCHEMA: [&str; 6] =
    ["allowEmptyValue", "collectionFormat", "description", "in", "name", "required"];

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The most media types that are looked at of `consumes` and `produces`.
const MAX_KINDS: usize = 32;

/// The most parameters of an operation that override those of its path.
const MAX_OWN: usize = 1_000;

/// The most bytes of parameters and bodies that are copied from where they are shared.
const MAX_COPIED_BYTES: usize = 64 * 1024 * 1024;

/// How lists without a `collectionFormat` are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lists {
    /// One value with commas: the specification's default.
    Joined,
    /// One pair for each item: what Fastify takes, whose documents never say so.
    Repeated,
}

impl Lists {
    /// By the text of the document: `@fastify/swagger` describes each answer that has no description in
    /// these words (its `lib/spec/swagger/utils.js`, 9.9).
    fn of_document(text: &str) -> Self {
        const WORDS: &str = "Default Response";
        let mut places = text.match_indices(WORDS);
        let is_fastify = !text.contains("collectionFormat")
            && places.any(|(at, _)| {
                let ends = text[at + WORDS.len()..].starts_with(['"', '\'', '\n', '\r']);
                ends && describes_answer(&text[..at])
            });
        if is_fastify { Self::Repeated } else { Self::Joined }
    }
}

/// Whether what comes next is the description of an answer: the first thing below a status.
fn describes_answer(before: &str) -> bool {
    let quotes = ['"', '\''];
    let value_of = |text: &'_ str| -> Option<usize> {
        let key = text.trim_end().trim_end_matches('{').trim_end().strip_suffix(':')?;
        Some(key.trim_end().trim_end_matches(quotes).len())
    };
    let description = value_of(before.trim_end_matches(quotes)).map(|end| &before[..end]);
    let outer = description.and_then(|text| text.strip_suffix("description"));
    let outer = outer.map(|text| text.trim_end_matches(quotes));
    let status = outer.and_then(|text| value_of(text).map(|end| &text[..end]));
    status.is_some_and(|text| {
        let name = text.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        name == "default" || (name.len() == 3 && name.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// Whether a document is Swagger 2.0.
pub(crate) fn is_swagger_2(root: &Value) -> bool {
    match root.get("swagger") {
        Some(Value::String(version)) => version.starts_with("2."),
        // YAML without quotes.
        Some(Value::Number(version)) => version.as_f64() == Some(2.0),
        Some(_) | None => false,
    }
}

/// Converts a document; `None` when it becomes too large. `text` is what it was read from.
pub(crate) fn upgrade(mut root: Value, text: &str) -> Option<Value> {
    let left = Cell::new(MAX_COPIED_BYTES);
    let lists = Lists::of_document(text);
    let paths = root.get("paths").and_then(Value::as_object).cloned().unwrap_or_default();
    let converted: Map<String, Value> = paths
        .into_iter()
        .map(|(path, item)| {
            let item = path_item(&root, item, lists, &left);
            (path, item)
        })
        .collect();
    if left.get() == 0 {
        return None;
    }
    let base = root.get("basePath").and_then(Value::as_str).unwrap_or_default();
    let base = format!("/{}", base.trim_start_matches('/'));
    if let Value::Object(fields) = &mut root {
        fields.insert("openapi".to_owned(), "3.1.0".into());
        fields.insert("servers".to_owned(), json!([{ "url": base }]));
        fields.insert("paths".to_owned(), Value::Object(converted));
    }
    nullable(&mut root);
    Some(root)
}

fn path_item(root: &Value, item: Value, lists: Lists, left: &Cell<usize>) -> Value {
    let Value::Object(mut item) = item else { return item };
    let shared = parameters(root, item.remove("parameters").as_ref(), left);
    for (key, operation) in &mut item {
        let is_operation = matches!(key.as_str(), "get" | "post" | "put" | "patch" | "delete");
        if let Value::Object(operation) = operation
            && is_operation
        {
            convert(root, operation, &shared, lists, left);
        }
    }
    Value::Object(item)
}

/// The parameters of a list, its references followed. What is no parameter stays as it is, and is told
/// as a problem later.
fn parameters(root: &Value, list: Option<&Value>, left: &Cell<usize>) -> Vec<Value> {
    let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |one| {
        let found = resolve(root, one).unwrap_or(one);
        copied(found, left)
    };
    list.iter().map(one).collect()
}

/// A copy of a value; nothing where there is no room left.
fn copied(value: &Value, left: &Cell<usize>) -> Value {
    left.set(left.get().saturating_sub(size(value)));
    if left.get() == 0 { Value::Null } else { value.clone() }
}

fn convert(
    root: &Value,
    operation: &mut Map<String, Value>,
    shared: &[Value],
    lists: Lists,
    left: &Cell<usize>,
) {
    if operation.get("parameters").is_some_and(|own| !own.is_array()) {
        return;
    }
    let own = parameters(root, operation.remove("parameters").as_ref(), left);
    // Each of both is looked for among the others; too many are told as a problem later.
    let shared = if own.len() > MAX_OWN { &[] } else { shared };
    let is_own = |other: &Value| {
        own.iter().any(|one| {
            one.get("in") == other.get("in")
                && (one.get("name") == other.get("name") || is_in(other, "body"))
        })
    };
    let all = shared.iter().filter(|other| !is_own(other)).chain(&own);
    let (mut plain, mut fields, mut body) = (Vec::new(), Vec::new(), None);
    for parameter in all {
        match parameter.get("in").and_then(Value::as_str) {
            Some("body") => body = Some(parameter),
            Some("formData") => fields.push(parameter),
            _ => plain.push(converted(parameter, lists)),
        }
    }
    let consumes = operation.remove("consumes");
    let consumes = consumes.as_ref().or_else(|| root.get("consumes")).and_then(Value::as_array);
    let kinds = consumes.into_iter().flatten().filter_map(Value::as_str);
    let kinds: Vec<&str> = kinds.take(MAX_KINDS).collect();
    let request = match body {
        Some(body) => Some(json_body(root, body, &kinds, left)),
        None if fields.is_empty() => None,
        None => Some(form(&fields, &kinds, lists)),
    };
    let produces = operation.remove("produces");
    let produces = produces.as_ref().or_else(|| root.get("produces")).and_then(Value::as_array);
    let kinds = produces.into_iter().flatten().filter_map(Value::as_str).take(MAX_KINDS);
    let content: Map<String, Value> = kinds.map(|kind| (kind.to_owned(), json!({}))).collect();
    operation.insert("responses".to_owned(), json!({ "200": { "content": content } }));
    operation.insert("parameters".to_owned(), Value::Array(plain));
    operation.extend(request.map(|request| ("requestBody".to_owned(), request)));
}

fn is_in(parameter: &Value, place: &str) -> bool {
    parameter.get("in").and_then(Value::as_str) == Some(place)
}

/// A body as OpenAPI 3 has it. One with fields that it must have is required, too: many frameworks never
/// say so.
fn json_body(root: &Value, body: &Value, kinds: &[&str], left: &Cell<usize>) -> Value {
    let schema = body.get("schema").cloned().unwrap_or(Value::Bool(true));
    let fields = resolve(root, &schema).ok().and_then(|schema| schema.get("required")?.as_array());
    let required = is_required(body) || fields.is_some_and(|fields| !fields.is_empty());
    let kinds = if kinds.is_empty() { &[JSON][..] } else { kinds };
    let media =
        kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": copied(&schema, left) })));
    json!({ "required": required, "content": media.collect::<Map<_, _>>() })
}

/// The body of a form. Files fit into `multipart/form-data` alone.
fn form(fields: &[&Value], kinds: &[&str], lists: Lists) -> Value {
    // Fastify writes a file as OpenAPI 3 does.
    let is = |field: &Value, key: &str, word: &str| field.get(key).is_some_and(|it| it == word);
    let is_file = |field: &Value| is(field, "type", "file") || is(field, "format", "binary");
    let needs_file = fields.iter().any(|field| is_file(field) && is_required(field));
    let has_file = fields.iter().any(|field| is_file(field));
    let takes = |kind: &str| kinds.iter().any(|own| own.split(';').next() == Some(kind));
    let multipart = takes(MULTIPART) || has_file;
    let mut content = Map::new();
    // Some frameworks list `application/json` alone, and take what forms have always been.
    if !needs_file && (takes(FORM) || !multipart) {
        let plain: Vec<&Value> = fields.iter().filter(|field| !is_file(field)).copied().collect();
        content.insert(FORM.to_owned(), form_media(&plain, lists));
    }
    if multipart {
        content.insert(MULTIPART.to_owned(), form_media(fields, lists));
    }
    let required = fields.iter().any(|field| is_required(field));
    json!({ "required": required, "content": content })
}

fn form_media(fields: &[&Value], lists: Lists) -> Value {
    let (mut properties, mut required, mut encoding) = (Map::new(), Vec::new(), Map::new());
    for field in fields {
        let Some(name) = field.get("name").and_then(Value::as_str) else { continue };
        let mut schema = schema(field);
        if let (Value::Object(schema), Some(text)) = (&mut schema, field.get("description")) {
            schema.insert("description".to_owned(), text.clone());
        }
        properties.insert(name.to_owned(), schema);
        if is_required(field) {
            required.push(name);
        }
        if let Some((style, explode)) = list_style(field, lists) {
            encoding.insert(name.to_owned(), json!({ "style": style, "explode": explode }));
        }
    }
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    json!({ "schema": schema, "encoding": encoding })
}

/// A parameter of path, query or header as OpenAPI 3 has it.
fn converted(parameter: &Value, lists: Lists) -> Value {
    // A reference that leads nowhere is told later; some frameworks write a schema as OpenAPI 3 does.
    let has_schema = parameter.get("type").is_none() && parameter.get("schema").is_some();
    if has_schema || parameter.get("$ref").is_some() {
        return parameter.clone();
    }
    let Value::Object(fields) = parameter else { return parameter.clone() };
    let kept = fields.iter().filter(|(key, _)| NOT_SCHEMA.contains(&key.as_str()));
    let mut out: Map<String, Value> =
        kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    out.remove("collectionFormat");
    out.insert("schema".to_owned(), schema(parameter));
    if is_in(parameter, "query")
        && let Some((style, explode)) = list_style(parameter, lists)
    {
        out.insert("style".to_owned(), style.into());
        out.insert("explode".to_owned(), explode.into());
    }
    Value::Object(out)
}

/// The schema of a parameter, which stands in the parameter itself.
fn schema(parameter: &Value) -> Value {
    let fields = parameter.as_object().into_iter().flatten();
    let kept = fields.filter(|(key, _)| !NOT_SCHEMA.contains(&key.as_str()));
    let mut schema: Map<String, Value> =
        kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if schema.get("type").and_then(Value::as_str) == Some("file") {
        schema.insert("type".to_owned(), "string".into());
        schema.insert("format".to_owned(), "binary".into());
    }
    Value::Object(schema)
}

/// How a list is sent; `None` for what is no list.
fn list_style(parameter: &Value, lists: Lists) -> Option<(&'static str, bool)> {
    let is_list = match parameter.get("type")? {
        Value::String(kind) => kind == "array",
        Value::Array(kinds) => kinds.iter().any(|kind| kind == "array"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    };
    if !is_list {
        return None;
    }
    Some(match parameter.get("collectionFormat").and_then(Value::as_str) {
        Some("multi") => ("form", true),
        Some("ssv") => ("spaceDelimited", false),
        Some("pipes") => ("pipeDelimited", false),
        // OpenAPI 3 has no such style.
        Some("tsv") => ("tabDelimited", false),
        Some(_) => ("form", false),
        None => ("form", lists == Lists::Repeated),
    })
}

fn is_required(parameter: &Value) -> bool {
    parameter.get("required") == Some(&Value::Bool(true))
}

/// `x-nullable: true`, which stands for what Swagger 2.0 cannot say.
fn nullable(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("x-nullable") == Some(&Value::Bool(true)) {
                fields.insert("nullable".to_owned(), Value::Bool(true));
            }
            fields.values_mut().for_each(nullable);
        }
        Value::Array(items) => items.iter_mut().for_each(nullable),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

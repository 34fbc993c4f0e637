//! `output` of a role: the JSON Schema that its replies fit.

use serde_json::{Map, Value};

/// The largest schema, bytes of JSON.
pub const MAX_SCHEMA_BYTES: usize = 64 * 1024;

/// The deepest nesting of a schema: objects and lists within each other.
pub const MAX_SCHEMA_DEPTH: usize = 32;

/// The longest name.
const MAX_NAME: usize = 64;

/// The name of an output that is given none.
const NAME: &str = "result";

/// The output that replies have to have: JSON of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputSpec {
    /// The schema, whose validity is not checked here.
    pub schema: Value,
    /// Its name for the model's provider: letters, digits, `_`, `-`.
    pub name: String,
    /// Whether a run fails that has no such reply, instead of answering with text.
    pub strict: bool,
}

impl OutputSpec {
    /// Reads `{schema, name?, strict?}`.
    ///
    /// # Errors
    /// Each problem with the place below the value, such as `schema`; the value itself is the empty place.
    pub fn read(value: &Value) -> Result<Self, Vec<(&'static str, String)>> {
        let Some(fields) = value.as_object() else {
            return Err(vec![("", "must be an object with schema".to_owned())]);
        };
        let mut problems = Vec::new();
        let given = |name: &str| fields.get(name).filter(|value| !value.is_null());
        for key in fields.keys().filter(|key| !["schema", "name", "strict"].contains(&&***key)) {
            let key: String = key.chars().take(40).collect();
            problems.push(("", format!("unknown key {key:?}; it has schema, name and strict")));
        }
        let schema = match given("schema") {
            None => Err("is required".to_owned()),
            Some(schema) => usable(schema).map(|()| schema.clone()),
        };
        let name = match given("name") {
            None => Ok(NAME.to_owned()),
            Some(Value::String(name)) if is_name(name) => Ok(name.clone()),
            Some(_) => Err(format!("must be 1 to {MAX_NAME} letters, digits, '_' or '-'")),
        };
        let strict = match given("strict") {
            None => Ok(true),
            Some(Value::Bool(strict)) => Ok(*strict),
            Some(_) => Err("must be true or false".to_owned()),
        };
        match (schema, name, strict) {
            (Ok(schema), Ok(name), Ok(strict)) if problems.is_empty() => {
                Ok(Self { schema, name, strict })
            }
            (schema, name, strict) => {
                problems.extend(schema.err().map(|why| ("schema", why)));
                problems.extend(name.err().map(|why| ("name", why)));
                problems.extend(strict.err().map(|why| ("strict", why)));
                Err(problems)
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// Whether a schema has the size of one.
fn usable(schema: &Value) -> Result<(), String> {
    if !schema.is_object() {
        return Err("must be a JSON Schema: an object".to_owned());
    }
    // First, because writing a value calls itself for each level.
    if depth(schema) > MAX_SCHEMA_DEPTH {
        return Err(format!("is nested more than {MAX_SCHEMA_DEPTH} levels deep"));
    }
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(format!("exceeds {} KiB", MAX_SCHEMA_BYTES / 1024));
    }
    Ok(())
}

/// How many objects and lists are within each other.
fn depth(value: &Value) -> usize {
    let (mut deepest, mut todo) = (0, vec![(value, 1)]);
    while let Some((value, at)) = todo.pop() {
        match value {
            Value::Array(items) => todo.extend(items.iter().map(|item| (item, at + 1))),
            Value::Object(fields) => todo.extend(fields.values().map(|value| (value, at + 1))),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => continue,
        }
        deepest = deepest.max(at);
    }
    deepest
}

/// The outputs of all entries as they are written: `${NAME}` in a schema is no variable.
pub(super) fn as_written(raw: &Value) -> Vec<Option<Value>> {
    let entries = raw.get("agents").and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    entries.map(|entry| entry.get("output").cloned()).collect()
}

/// Puts them back after variables were filled in.
pub(super) fn restore(raw: &mut Value, outputs: Vec<Option<Value>>) {
    let entries = raw.get_mut("agents").and_then(Value::as_array_mut).into_iter().flatten();
    for (entry, output) in entries.zip(outputs) {
        if let (Some(entry), Some(output)) = (entry.as_object_mut(), output) {
            entry.insert("output".to_owned(), output);
        }
    }
}

/// The output of an entry, and what is wrong with it: the path and the reason.
pub(super) fn of_entry(entry: &Map<String, Value>) -> Result<Option<OutputSpec>, Vec<String>> {
    let Some(value) = entry.get("output").filter(|value| !value.is_null()) else {
        return Ok(None);
    };
    OutputSpec::read(value).map(Some).map_err(|problems| {
        let told = problems.into_iter().map(|(place, why)| match place {
            "" => format!("output: {why}"),
            place => format!("output.{place}: {why}"),
        });
        told.collect()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({ "type": "integer" }), |inner, _| json!({ "items": inner }))
    }

    #[test]
    fn an_output_has_a_schema_of_some_size_and_a_name() {
        let whole = json!({ "schema": { "type": "object" }, "name": "bill-1", "strict": false });
        let read = OutputSpec::read(&whole).unwrap();
        assert_eq!((read.name.as_str(), read.strict), ("bill-1", false));
        let least = OutputSpec::read(&json!({ "schema": nested(MAX_SCHEMA_DEPTH), "name": null }));
        assert_eq!(least.map(|read| (read.name, read.strict)), Ok(("result".to_owned(), true)));
        let large = |bytes: usize| json!({ "description": "x".repeat(bytes - 18) });
        assert!(OutputSpec::read(&json!({ "schema": large(MAX_SCHEMA_BYTES) })).is_ok());
        for (given, place, word) in [
            (json!([]), "", "object"),
            (json!({}), "schema", "required"),
            (json!({ "schema": true }), "schema", "object"),
            (json!({ "schema": "{}" }), "schema", "object"),
            (json!({ "schema": nested(MAX_SCHEMA_DEPTH + 1) }), "schema", "32 levels"),
            (json!({ "schema": large(MAX_SCHEMA_BYTES + 1) }), "schema", "64 KiB"),
            (json!({ "schema": {}, "name": "a b" }), "name", "letters"),
            (json!({ "schema": {}, "name": "" }), "name", "letters"),
            (json!({ "schema": {}, "name": "x".repeat(65) }), "name", "64"),
            (json!({ "schema": {}, "strict": "yes" }), "strict", "true or false"),
            (json!({ "schema": {}, "Strict": true }), "", "Strict"),
        ] {
            let problems = OutputSpec::read(&given).unwrap_err();
            let (at, why) = &problems[0];
            assert!(*at == place && why.contains(word), "{at}: {why}");
        }
    }
}

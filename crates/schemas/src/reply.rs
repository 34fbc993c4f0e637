//! The reply of a model that has to be JSON of a schema: the schema compiled in full, the reply read and
//! checked.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::{Budget, Schema};

/// How many validation errors are reported.
const MAX_ERRORS: usize = 20;

/// How long compiling a schema may take.
const COMPILE_TIMEOUT: Duration = Duration::from_secs(10);

/// Compiles a schema (draft 7, 2019-09 or 2020-12 by its `$schema`, else the newest), on a thread that
/// serves nobody else. References to other documents are rejected; nothing is fetched.
pub async fn compile(schema: &Value) -> Result<Arc<Schema>, String> {
    if !schema.is_object() {
        return Err("must be a JSON Schema: an object".to_owned());
    }
    let schema = schema.clone();
    let compiled =
        tokio::task::spawn_blocking(move || Schema::compile(&schema, &mut Budget::strict()));
    let compiled = match tokio::time::timeout(COMPILE_TIMEOUT, compiled).await {
        Ok(Ok(Ok(compiled))) => compiled,
        Ok(Ok(Err(why))) => return Err(format!("is not a usable JSON Schema: it {why}")),
        Ok(Err(_)) | Err(_) => {
            return Err("is not a usable JSON Schema: compiling it takes too long".to_owned());
        }
    };
    // The caller can correct it: nothing is left unchecked.
    match compiled.unchecked.first() {
        None => Ok(Arc::new(compiled.schema)),
        Some(what) => Err(format!("is not a usable JSON Schema: {what}")),
    }
}

/// A reply, and what is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The JSON, or the whole text where it is none.
    pub output: Value,
    /// What does not fit the schema; empty when all does.
    pub errors: Vec<String>,
}

/// Reads a reply as JSON, and validates it. A key that stands twice is an error: readers would not agree
/// on what the reply says.
pub async fn check(text: &str, schema: &Arc<Schema>) -> Checked {
    let output = match strict_json::parse(unfenced(text).as_bytes()) {
        Ok(output) => output,
        Err(error) => {
            let output = serde_json::from_str(unfenced(text));
            let output = output.unwrap_or_else(|_| Value::String(text.to_owned()));
            return Checked { output, errors: vec![format!("not JSON: {error}")] };
        }
    };
    let errors = schema.check(&output, MAX_ERRORS).await.err().unwrap_or_default();
    Checked { output, errors }
}

/// The text without the code block that models like to put JSON into.
pub fn unfenced(text: &str) -> &str {
    let text = text.trim();
    let Some(rest) = text.strip_prefix("```") else { return text };
    let Some((_, rest)) = rest.split_once('\n') else { return text };
    rest.strip_suffix("```").map_or(text, str::trim)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_is_found_in_a_code_block_too() {
        for text in ["{\"a\":1}", "```json\n{\"a\":1}\n```", " ```\n{\"a\":1}```\n"] {
            assert_eq!(unfenced(text), "{\"a\":1}", "{text}");
        }
        assert_eq!(unfenced("``` no"), "``` no");
    }

    #[tokio::test]
    async fn schemas_of_both_drafts_are_understood_and_nothing_is_fetched() {
        let seven = json!({ "$schema": "http://json-schema.org/draft-07/schema#", "items": [{ "type": "string" }] });
        let newest = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "prefixItems": [{ "type": "string" }] });
        for schema in [seven, newest] {
            let validator = compile(&schema).await.unwrap();
            assert!(
                validator.check(&json!(["a"]), 1).await.is_ok()
                    && validator.check(&json!([1]), 1).await.is_err(),
                "{schema}"
            );
        }
        let local = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "integer" } } });
        assert!(compile(&local).await.unwrap().check(&json!("x"), 1).await.is_err());
        for bad in [
            json!(7),
            json!({ "type": "no-such-type" }),
            json!({ "$ref": "https://example.com/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "pattern": "(" }),
        ] {
            assert!(compile(&bad).await.is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn formats_are_checked_in_every_draft_and_unknown_ones_are_not() {
        for draft in [
            "http://json-schema.org/draft-07/schema#",
            "https://json-schema.org/draft/2020-12/schema",
        ] {
            let schema = json!({ "$schema": draft, "properties": {
                "day": { "type": "string", "format": "date" }, "own": { "format": "no-such" } } });
            let schema = compile(&schema).await.unwrap();
            assert!(schema.check(&json!({ "day": "2026-11-29", "own": "x" }), 1).await.is_ok());
            let errors = schema.check(&json!({ "day": "yesterday" }), 1).await.unwrap_err();
            assert!(errors[0].starts_with("/day: "), "{draft}: {errors:?}");
        }
    }

    #[tokio::test]
    async fn a_key_that_stands_twice_is_no_reply() {
        let schema = compile(&json!({ "type": "object" })).await.unwrap();
        let checked = check(r#"{"a":"evil","a":1}"#, &schema).await;
        assert!(checked.errors[0].contains("stands twice"), "{checked:?}");
        assert_eq!(checked.output, json!({ "a": 1 }));
    }
}

//! `ask_user`: a question to a person, for whose answer the run waits.

use futures::FutureExt as _;
use serde_json::{Map, Value, json};

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::own_call::{OwnCall, Question};
use super::reply::ToolReply;
use schemas::{Budget, Schema};

/// The tool's name.
pub const ASK_USER: &str = "ask_user";

/// The longest question, characters.
const MAX_QUESTION: usize = 2_000;

/// The largest schema of an answer, bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 8 * 1024;

/// How many options there may be to choose from.
const OPTIONS: std::ops::RangeInclusive<usize> = 2..=20;

/// The longest option, characters.
const MAX_OPTION: usize = 1_000;

pub(super) const TOOL: EnabledTool = EnabledTool {
    name: ASK_USER,
    description: "Ask the user a question and wait for the answer. Use it when only they can know or decide \
                  something that you need to go on. Give options where the answer is one of a few, or a JSON \
                  Schema where it has to have a form; neither for an answer in words. Ask one thing at a time, \
                  and only what you cannot find out yourself.",
    parameters,
    needs: &["decisions", "tool_requests", "run_journal"],
    approves: false,
    call: |_: &ToolContext<'_>, arguments, _| read(arguments).boxed(),
};

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "question": { "type": "string", "minLength": 1, "maxLength": MAX_QUESTION, "description": "The question, complete in itself." },
            "options": {
                "type": "array", "items": { "type": "string", "minLength": 1, "maxLength": MAX_OPTION },
                "minItems": OPTIONS.start(), "maxItems": OPTIONS.end(),
                "description": "The answers to choose from."
            },
            "schema": { "type": "object", "description": "A JSON Schema that the answer has to fit." }
        },
        "required": ["question"],
        "additionalProperties": false
    })
}

/// Reads a question whose arguments fit the tool's schema.
async fn read(arguments: &Value) -> ToolReply {
    let refused = |why: &str| ToolReply::NotMade(format!("the question was not asked: {why}"));
    let Some(given) = arguments.as_object() else { return refused("there is none") };
    let given: Map<String, Value> = given
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let text = given.get("question").and_then(Value::as_str).unwrap_or_default();
    if text.trim().is_empty() {
        return refused("it is empty");
    }
    match (given.get("schema"), given.get("options").and_then(Value::as_array)) {
        (Some(_), Some(_)) => return refused("it has a schema and options; leave one of them out"),
        (Some(schema), None) => {
            if let Err(why) = usable(schema).await {
                return refused(&format!("its schema {why}"));
            }
        }
        (None, Some(options)) => {
            if let Err(why) = distinct(options) {
                return refused(&why);
            }
        }
        (None, None) => {}
    }
    ToolReply::OfRun(OwnCall::Question(Box::new(Question { arguments: given })))
}

/// Whether a schema can be used for an answer.
async fn usable(schema: &Value) -> Result<(), String> {
    if schema.to_string().len() > MAX_SCHEMA_BYTES {
        return Err(format!("is larger than {} KiB", MAX_SCHEMA_BYTES / 1024));
    }
    let schema = schema.clone();
    let compiled = tokio::task::spawn_blocking(move || {
        let compiled = Schema::compile(&schema, &mut Budget::strict())?;
        compiled.unchecked.into_iter().next().map_or(Ok(()), Err)
    });
    compiled.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// Whether a person can tell the options apart by what is typed: letter case and outer spaces do not count.
fn distinct(options: &[Value]) -> Result<(), String> {
    let mut seen: Vec<String> = Vec::new();
    for option in options {
        let plain = option.as_str().unwrap_or_default().trim().to_lowercase();
        if plain.is_empty() {
            return Err("one of its options is empty".to_owned());
        }
        if seen.contains(&plain) {
            return Err(format!("{plain:?} is an option twice"));
        }
        seen.push(plain);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_that_nobody_could_answer_is_not_asked() {
        for (arguments, told) in [
            (json!({ "question": " \n" }), "is empty"),
            (json!({ "question": "?", "options": ["a", "b"], "schema": {} }), "leave one"),
            (json!({ "question": "?", "options": ["Yes", " yes"] }), "twice"),
            (json!({ "question": "?", "options": ["Yes", "  "] }), "options is empty"),
            (json!({ "question": "?", "schema": { "type": 7 } }), "its schema is invalid"),
            (json!({ "question": "?", "schema": { "pattern": "(?=x)" } }), "its schema"),
            (json!({ "question": "?", "schema": { "const": "x".repeat(9_000) } }), "8 KiB"),
        ] {
            match read(&arguments).await {
                ToolReply::NotMade(why) => assert!(why.contains(told), "{why}"),
                other => panic!("{arguments}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_question_is_asked_as_the_model_gave_it() {
        let options = json!({ "question": "Which?", "options": ["a", "b"], "schema": null });
        let ToolReply::OfRun(OwnCall::Question(question)) = read(&options).await else { panic!() };
        assert_eq!(
            Value::Object(question.arguments),
            json!({ "question": "Which?", "options": ["a", "b"] })
        );
        let schema =
            json!({ "question": "When?", "schema": { "type": "string", "format": "date" } });
        assert!(matches!(read(&schema).await, ToolReply::OfRun(_)));
    }
}

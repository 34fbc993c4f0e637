//! What counts as an answer to a question, given as JSON or as a person writes it.

use mc_client::tool_requests::Question;
use schemas::reply::compile;
use serde_json::Value;

use crate::mentions::mentioned_roles;

/// How many things that are wrong are told.
pub(crate) const MAX_ERRORS: usize = 20;

/// Whether two options are the same: in capitals or not, with spaces around them or not.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}

/// The answer that a JSON value is: an option as it is written in the question, a text, or what fits the schema.
pub(crate) async fn given(question: &Question, value: &Value) -> Result<Value, Vec<String>> {
    if let Some(options) = &question.options {
        let given = value.as_str();
        let option =
            options.iter().find(|option| given.is_some_and(|given| is_same(given, option)));
        let named = || format!("must be one of the options: {}", options.join(", "));
        return option.map(|option| Value::String(option.clone())).ok_or_else(|| vec![named()]);
    }
    let Some(schema) = &question.schema else {
        let is_filled = value.as_str().is_some_and(|text| !text.trim().is_empty());
        return if is_filled { Ok(value.clone()) } else { Err(vec!["must be a text".to_owned()]) };
    };
    // It was compiled before it was stored.
    let schema =
        compile(schema).await.map_err(|why| vec![format!("the question's schema {why}")])?;
    schema.check(value, MAX_ERRORS).await.map(|()| value.clone())
}

/// The answer that a person's text is: an option, a text, or else JSON. Whom it is to (`@role`) is no part of it.
pub(crate) async fn written(
    question: &Question,
    role: &str,
    text: &str,
) -> Result<Value, Vec<String>> {
    let text = addressed_to(role, text);
    let as_text = Value::String(text.to_owned());
    if question.schema.is_none() {
        return given(question, &as_text).await;
    }
    if let Ok(answer) = given(question, &as_text).await {
        return Ok(answer);
    }
    let value = strict_json::parse(text.as_bytes())
        .map_err(|error| vec![format!("must be JSON that fits the question's schema; {error}")])?;
    given(question, &value).await
}

/// A text without white space around it, and without the role that it is addressed to.
fn addressed_to<'a>(role: &str, text: &'a str) -> &'a str {
    let text = text.trim();
    let Some(rest) = text.strip_prefix('@').and_then(|rest| rest.strip_prefix(role)) else {
        return text;
    };
    if mentioned_roles(text).first().is_none_or(|first| first != role) {
        return text;
    }
    let rest = rest.strip_prefix([',', ':']).unwrap_or(rest);
    if rest.starts_with(|c: char| !c.is_whitespace()) { text } else { rest.trim() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn question(more: Value) -> Question {
        let mut all = json!({ "question": "Which?" });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    #[tokio::test]
    async fn a_persons_words_become_an_answer() {
        let options = question(json!({ "options": ["Red", "Dark blue"] }));
        let free = question(json!({}));
        let of = |schema: Value| question(json!({ "schema": schema }));
        for (question, text, answer) in [
            (&options, " red ", Some(json!("Red"))),
            (&options, "@scout: DARK BLUE", Some(json!("Dark blue"))),
            (&options, "@scouts red", None),
            (&options, "green", None),
            (&free, " as you like ", Some(json!("as you like"))),
            (&free, "@scout, both", Some(json!("both"))),
            (&free, "mail a@scout", Some(json!("mail a@scout"))),
            (&free, "@scout", None),
            (&of(json!({ "type": "integer" })), "7", Some(json!(7))),
            (&of(json!({ "type": "integer" })), "@scout 7", Some(json!(7))),
            (&of(json!({ "type": "integer" })), "seven", None),
            (&of(json!({ "type": ["string", "integer"] })), "7", Some(json!("7"))),
            (&of(json!({ "enum": [true, "no"] })), "true", Some(json!(true))),
            (&of(json!({ "type": "object" })), "{\"a\": 1, \"a\": 2}", None),
        ] {
            assert_eq!(written(question, "scout", text).await.ok(), answer, "{text}");
        }
    }

    #[tokio::test]
    async fn a_value_has_to_fit() {
        let options = question(json!({ "options": ["Red", "Blue"] }));
        assert_eq!(given(&options, &json!("BLUE ")).await, Ok(json!("Blue")));
        let errors = given(&options, &json!(1)).await.unwrap_err();
        assert_eq!(errors, ["must be one of the options: Red, Blue"]);
        for blank in [json!(""), json!(" "), json!(1), json!(null)] {
            assert!(given(&question(json!({})), &blank).await.is_err(), "{blank}");
        }
        let sum = question(json!({ "schema": { "properties": { "sum": { "type": "number" } } } }));
        let errors = given(&sum, &json!({ "sum": "5" })).await.unwrap_err();
        assert!(errors[0].starts_with("/sum: "), "{errors:?}");
        let null = question(json!({ "schema": { "type": "null" } }));
        assert_eq!(given(&null, &Value::Null).await, Ok(Value::Null));
    }
}

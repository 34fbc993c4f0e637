//! Questions that an agent asks the person at the terminal.

use daemon_client::{RequestKind, RunAnswer, ToolRequest};
use serde_json::Value;

use super::clean::{clean, one_line};

/// How much is shown of an option, characters.
const OPTION: usize = 200;

/// A question that waits.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asked {
    /// The id of its request.
    pub(super) id: String,
    /// Whether the answer is text.
    is_text: bool,
}

impl Asked {
    /// What is typed, as an answer: JSON where the question wants some.
    pub(super) fn read(&self, typed: &str) -> Value {
        let json = serde_json::from_str(typed).ok().filter(|_| !self.is_text);
        json.unwrap_or_else(|| Value::String(typed.trim().to_owned()))
    }
}

/// The questions of an answer.
pub(super) fn of(answer: &RunAnswer) -> Vec<Asked> {
    let requests = answer.tool_requests.iter().flat_map(|requests| requests.iter());
    let questions = requests.filter(|request| request.kind == RequestKind::Question);
    let asked = questions.map(|request| {
        let schema = request.parameters.as_ref();
        let is_string = schema.is_some_and(|schema| schema["type"] == "string");
        Asked { id: request.id.clone(), is_text: request.options.is_some() || is_string }
    });
    asked.collect()
}

/// A question as it is shown.
pub(super) fn told(request: &ToolRequest) -> String {
    let mut text = clean(request.question.as_deref().unwrap_or_default());
    for option in request.options.iter().flatten() {
        text.push_str("\n  - ");
        text.push_str(&one_line(option, OPTION));
    }
    text + "\n(/answer …, or answer in the backend)"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_typed_is_text_or_json_as_the_question_wants_it() {
        let request = |parameters: Value| ToolRequest {
            id: "q".to_owned(),
            kind: RequestKind::Question,
            parameters: Some(parameters),
            ..ToolRequest::default()
        };
        for (parameters, typed, read) in [
            (json!({ "type": "string" }), " 7 ", json!("7")),
            (json!({ "type": "integer" }), "7", json!(7)),
            (json!({ "type": "integer" }), "seven", json!("seven")),
        ] {
            let requests = Some(vec![request(parameters)].into());
            let answer = RunAnswer { tool_requests: requests, ..RunAnswer::default() };
            assert_eq!(of(&answer)[0].read(typed), read);
        }
    }
}

//! How a model is held to a schema of its answer: by the provider's own structured output where it has
//! one that leaves the tools usable, else by a tool that takes the answer, else by the prompt alone, in
//! which the caller tells the schema in any case. Each attempt chooses anew, so that a fallback gets the
//! form of its own provider.

use std::borrow::Cow;

use serde_json::Value;

use super::answer::Answer;
use super::history;
use crate::event::FinishReason;
use crate::final_tool::{FinalTool, RESULT};
use crate::request::{LlmRequest, ToolChoice};

/// How a request holds the model to its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerForm {
    /// As it is: without a schema, or with the provider's structured output.
    AsItIs,
    /// With the provider's structured output, which does not go with tools: none may be called any more,
    /// and the earlier calls are told as text.
    WithoutTools,
    /// By a tool.
    Tool,
    /// By the prompt.
    Prompt,
}

impl AnswerForm {
    /// The form for a provider whose structured output can be used or not, without tools and beside them.
    pub(super) fn of(request: &LlmRequest, alone: bool, beside_tools: bool) -> Self {
        let may_call = request.tool_choice == ToolChoice::Auto;
        match (&request.response_schema, request.sends_tools()) {
            (None, _) => Self::AsItIs,
            (Some(_), false) if alone => Self::AsItIs,
            (Some(_), true) if beside_tools => Self::AsItIs,
            (Some(_), true) if alone && !may_call => Self::WithoutTools,
            (Some(_), _) if may_call => Self::Tool,
            (Some(_), _) => Self::Prompt,
        }
    }

    /// The request in this form, and the tool that takes the answer, if there is one.
    pub(super) fn apply(self, request: &LlmRequest) -> (Cow<'_, LlmRequest>, Option<FinalTool>) {
        match (self, &request.response_schema) {
            (Self::AsItIs, _) | (_, None) => (Cow::Borrowed(request), None),
            (Self::WithoutTools, Some(_)) => (Cow::Owned(history::without_tools(request)), None),
            (Self::Prompt, Some(_)) => {
                (Cow::Owned(LlmRequest { response_schema: None, ..request.clone() }), None)
            }
            (Self::Tool, Some(wanted)) => {
                let (tools, tool) = wanted.with_final_tool(&request.tools);
                let request = LlmRequest { tools, response_schema: None, ..request.clone() };
                (Cow::Owned(request), Some(tool))
            }
        }
    }
}

impl FinalTool {
    /// Makes the call of this tool the text of the answer. Beside calls of other tools, whose results
    /// the model waits for, it comes too early and is dropped.
    pub(super) fn take(&self, answer: &mut Answer) {
        let message = &mut answer.message;
        let Some(at) = message.tool_calls.iter().position(|call| call.name == self.name) else {
            return;
        };
        let call = message.tool_calls.swap_remove(at);
        message.tool_calls.retain(|call| call.name != self.name);
        if !message.tool_calls.is_empty() {
            return;
        }
        let mut arguments = call.arguments;
        if self.is_wrapped
            && let Some(result) = arguments.get_mut(RESULT)
        {
            arguments = result.take();
        }
        message.text = match arguments {
            // Arguments that are not JSON.
            Value::String(text) if !self.is_wrapped => text,
            arguments => arguments.to_string(),
        };
        // They lead to a call that is no part of the conversation any more.
        message.thoughts = None;
        if answer.finish_reason == FinishReason::ToolCalls {
            answer.finish_reason = FinishReason::Stop;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::Usage;
    use crate::final_tool::{NAME, with_final_tool};
    use crate::request::{AssistantMessage, ResponseSchema, ToolCall};

    fn answer(text: &str, calls: &[(&str, Value)]) -> Answer {
        let tool_calls = calls.iter().enumerate().map(|(n, (name, arguments))| ToolCall {
            id: n.to_string(),
            name: (*name).to_owned(),
            arguments: arguments.clone(),
            provider_state: None,
        });
        let message = AssistantMessage {
            text: text.to_owned(),
            tool_calls: tool_calls.collect(),
            thoughts: None,
        };
        Answer { message, finish_reason: FinishReason::ToolCalls, usage: Usage::default() }
    }

    fn taken(schema: Value, calls: &[(&str, Value)]) -> (String, usize) {
        let wanted = ResponseSchema::new("result", schema);
        let (_, tool) = with_final_tool(&wanted, &[]);
        let mut answer = answer("Here it is:", calls);
        tool.take(&mut answer);
        (answer.message.text, answer.message.tool_calls.len())
    }

    #[test]
    fn the_call_of_the_tool_is_the_answer() {
        let object = json!({ "type": "object" });
        let call = |arguments| taken(object.clone(), &[(NAME, arguments)]);
        assert_eq!(call(json!({ "a": 1 })), (r#"{"a":1}"#.to_owned(), 0));
        assert_eq!(call(json!("{\"a\":")), ("{\"a\":".to_owned(), 0));
        let list = json!({ "type": "array" });
        let wrapped = taken(list.clone(), &[(NAME, json!({ "result": [1, 2] }))]);
        assert_eq!(wrapped, ("[1,2]".to_owned(), 0));
        let text = taken(json!({ "type": "string" }), &[(NAME, json!({ "result": "hi" }))]);
        assert_eq!(text, ("\"hi\"".to_owned(), 0));
        // The results of the others come first.
        let both = taken(object, &[(NAME, json!({})), ("find", json!({}))]);
        assert_eq!(both, ("Here it is:".to_owned(), 1));
        assert_eq!(taken(list, &[]), ("Here it is:".to_owned(), 0));
    }
}

//! Our requests as genai's, and genai's answers as ours.

use std::hash::{BuildHasher as _, RandomState};

use genai::chat::{
    ChatMessage, ChatOptions, ChatRequest, ChatResponse, ChatResponseFormat, ChatRole, ContentPart,
    JsonSpec, MessageContent, ReasoningEffort, StopReason, StreamEnd, Tool, ToolCall as GenaiCall,
    ToolChoice as GenaiChoice, ToolResponse, Usage as GenaiUsage,
};
use serde_json::{Map, Value, json};

use crate::catalog;
use crate::event::{FinishReason, Usage};
use crate::model::{ModelRef, Provider};
use crate::provider::{Answer, Failure};
use crate::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolChoice};

/// Where `provider_state` keeps Gemini's thought signatures.
const SIGNATURES: &str = "thought_signatures";

/// The conversation and the tools.
pub(super) fn request(request: &LlmRequest) -> ChatRequest {
    let mut chat = ChatRequest::new(request.messages.iter().map(message).collect());
    if sends_tools(request) {
        chat = chat.with_tools(request.tools.iter().map(|tool| {
            Tool::new(&tool.name)
                .with_description(&tool.description)
                .with_schema(tool.parameters.clone())
        }));
    }
    chat
}

/// Limits, sampling, form.
pub(super) fn options(model: &ModelRef, request: &LlmRequest) -> ChatOptions {
    let mut options = ChatOptions::default();
    if let Some(limit) = request.max_output_tokens {
        options = options.with_max_tokens(limit);
    }
    let fixed =
        catalog::find(model.provider, &model.name).is_some_and(|entry| entry.fixed_sampling);
    if let Some(temperature) = request.temperature.filter(|_| !fixed) {
        options = options.with_temperature(temperature);
    }
    if request.tool_choice == ToolChoice::None && sends_tools(request) {
        options = options.with_tool_choice(GenaiChoice::None);
    }
    if let Some(wanted) = &request.response_schema {
        let spec = JsonSpec::new(&wanted.name, wanted.schema.clone());
        options = options.with_response_format(ChatResponseFormat::JsonSpec(spec));
    }
    // genai reads an effort from the end of a model's name (`-low`) and sends the name without it.
    // An effort that it has no word for keeps the name whole.
    let is_open_ai_kind = !matches!(model.provider, Provider::Anthropic | Provider::Google);
    if is_open_ai_kind && ReasoningEffort::from_model_name(&model.name).0.is_some() {
        options = options.with_reasoning_effort(ReasoningEffort::Budget(0));
    }
    options
}

/// Tools that may not be called are still sent where the conversation has used them: some providers
/// refuse such a conversation otherwise.
fn sends_tools(request: &LlmRequest) -> bool {
    let used = || request.messages.iter().any(|message| matches!(message, Message::Tool { .. }));
    !request.tools.is_empty() && (request.tool_choice == ToolChoice::Auto || used())
}

fn message(message: &Message) -> ChatMessage {
    match message {
        Message::System { content } => ChatMessage::system(content.as_str()),
        Message::User { content } => ChatMessage::user(content.as_str()),
        Message::Assistant(turn) => {
            let mut content = MessageContent::default();
            if !turn.text.is_empty() {
                content.push(turn.text.as_str());
            }
            for call in &turn.tool_calls {
                content.push(ContentPart::ToolCall(write_call(call)));
            }
            ChatMessage::new(ChatRole::Assistant, content)
        }
        Message::Tool { call_id, name, content } => {
            let response = ToolResponse::new(call_id, content).with_fn_name(name);
            ChatMessage::new(ChatRole::Tool, response)
        }
    }
}

fn write_call(call: &ToolCall) -> GenaiCall {
    let signatures = call.provider_state.as_ref().and_then(|state| state.get(SIGNATURES));
    GenaiCall {
        call_id: call.id.clone(),
        fn_name: call.name.clone(),
        // Providers want an object; what the model wrote instead of one is told in the result.
        fn_arguments: match &call.arguments {
            object @ Value::Object(_) => object.clone(),
            _ => Value::Object(Map::new()),
        },
        thought_signatures: signatures.and_then(|list| serde_json::from_value(list.clone()).ok()),
    }
}

/// A whole answer.
pub(super) fn answer(provider: Provider, response: ChatResponse) -> Result<Answer, Failure> {
    if let Some(raw) = &response.captured_raw_body {
        // Some servers report a failure with status 200.
        if let Some(error) = raw.get("error").filter(|error| !error.is_null()) {
            return Err(Failure::of_error_object(provider, error));
        }
        let holds_an_answer = ["choices", "content", "candidates", "output", "promptFeedback"];
        if !holds_an_answer.iter().any(|name| raw.get(name).is_some()) {
            return Err(Failure::bad_answer("the answer has none of the fields of an answer"));
        }
    }
    // The library trims the text; where an answer was cut off, the blank at its end counts.
    let raw = response.captured_raw_body.as_ref();
    let text = raw.and_then(|raw| raw.pointer("/choices/0/message/content")?.as_str());
    let message = read_content(response.content, text.map(str::to_owned));
    Ok(Answer {
        finish_reason: finish_reason(response.stop_reason.as_ref(), &message),
        usage: usage(&response.usage),
        message,
    })
}

/// The last event of a stream; `text` is all that came before it.
pub(super) fn end(end: StreamEnd, text: String) -> Answer {
    let message = read_content(end.captured_content.unwrap_or_default(), Some(text));
    Answer {
        finish_reason: finish_reason(end.captured_stop_reason.as_ref(), &message),
        usage: end.captured_usage.as_ref().map(usage).unwrap_or_default(),
        message,
    }
}

/// What genai could not read may still be an answer: a model that wrote a tool's arguments badly
/// must be told so, and for that its call is needed.
pub(super) fn rescue(provider: Provider, error: genai::Error) -> Result<Answer, Failure> {
    let read = match &error {
        genai::Error::ChatResponseGeneration { response_body, .. } => lenient(response_body),
        _ => None,
    };
    read.ok_or_else(|| Failure::of_genai(provider, &error))
}

/// Reads an answer of OpenAI's kind whose calls are not as they should be.
fn lenient(body: &Value) -> Option<Answer> {
    let choice = body.pointer("/choices/0")?;
    let calls = choice.pointer("/message/tool_calls")?.as_array()?;
    let tool_calls: Vec<ToolCall> = calls
        .iter()
        .filter_map(|call| {
            let arguments = call.pointer("/function/arguments").cloned().unwrap_or_default();
            let arguments = match arguments {
                Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
                Value::Null => Value::Object(Map::new()),
                other => other,
            };
            Some(ToolCall {
                id: call_id(call.get("id").and_then(Value::as_str).unwrap_or_default()),
                name: call.pointer("/function/name")?.as_str()?.to_owned(),
                arguments,
                provider_state: None,
            })
        })
        .collect();
    let text = choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default();
    let stop = choice.get("finish_reason").and_then(Value::as_str);
    let stop = stop.map(|reason| StopReason::from(reason.to_owned()));
    let usage: GenaiUsage = body
        .get("usage")
        .and_then(|usage| serde_json::from_value(usage.clone()).ok())
        .unwrap_or_default();
    let message = AssistantMessage { text: text.to_owned(), tool_calls };
    Some(Answer {
        finish_reason: finish_reason(stop.as_ref(), &message),
        usage: self::usage(&usage),
        message,
    })
}

fn read_content(content: MessageContent, streamed: Option<String>) -> AssistantMessage {
    let mut text = String::new();
    let mut tool_calls = Vec::new();
    for part in content.into_parts() {
        match part {
            ContentPart::Text(part) => text.push_str(&part),
            ContentPart::ToolCall(call) => tool_calls.push(read_call(call)),
            // Pictures, reasoning and what else there may be are no part of a reply.
            _ => {}
        }
    }
    AssistantMessage { text: streamed.unwrap_or(text), tool_calls }
}

fn read_call(call: GenaiCall) -> ToolCall {
    let arguments = match call.fn_arguments {
        // A stream gives the text of the arguments, and none at all where there are no arguments.
        Value::String(text) if text.trim().is_empty() => Value::Object(Map::new()),
        Value::Null => Value::Object(Map::new()),
        other => other,
    };
    ToolCall {
        id: call_id(&call.call_id),
        name: call.fn_name,
        arguments,
        provider_state: call.thought_signatures.map(|list| json!({ SIGNATURES: list })),
    }
}

/// The provider's id of a call, or a fresh one where it gives none.
fn call_id(given: &str) -> String {
    if given.is_empty() {
        // Unlike enough: ids only have to differ within one conversation.
        return format!("call_{:016x}", RandomState::new().hash_one(given));
    }
    given.to_owned()
}

fn finish_reason(reason: Option<&StopReason>, message: &AssistantMessage) -> FinishReason {
    match reason {
        Some(StopReason::MaxTokens(_)) => FinishReason::Length,
        Some(StopReason::ContentFilter(_)) => FinishReason::ContentFilter,
        Some(StopReason::ToolCall(_)) => FinishReason::ToolCalls,
        // Gemini and some compatible servers say `stop` although they want tools called.
        _ if !message.tool_calls.is_empty() => FinishReason::ToolCalls,
        Some(StopReason::Completed(_) | StopReason::StopSequence(_)) => FinishReason::Stop,
        Some(StopReason::Other(_)) | None => FinishReason::Other,
    }
}

fn usage(usage: &GenaiUsage) -> Usage {
    let count = |n: Option<i32>| n.and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
    let prompt = count(usage.prompt_tokens);
    let completion = count(usage.completion_tokens);
    let details = usage.prompt_tokens_details.as_ref();
    Usage {
        prompt_tokens: prompt,
        completion_tokens: completion,
        total_tokens: count(usage.total_tokens).max(prompt + completion),
        cached_tokens: count(details.and_then(|details| details.cached_tokens)),
        cache_write_tokens: count(details.and_then(|details| details.cache_creation_tokens)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_are_no_json_are_kept_as_text() {
        let body = json!({
            "choices": [{ "finish_reason": "tool_calls", "message": { "content": null, "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "f", "arguments": "{not json" } },
                { "function": { "name": "g", "arguments": "{\"x\":1}" } },
            ]}}],
            "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
        });
        let answer = lenient(&body).unwrap();
        assert_eq!(answer.message.tool_calls[0].arguments, json!("{not json"));
        assert_eq!(answer.message.tool_calls[1].arguments, json!({"x": 1}));
        assert!(answer.message.tool_calls[1].id.starts_with("call_"));
        assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
        assert_eq!(answer.usage.total_tokens, 7);
    }
}

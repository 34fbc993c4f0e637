//! Messages, instructions and tools as OpenTelemetry's conventions for generative AI write them into a trace
//! (<https://github.com/open-telemetry/semantic-conventions-genai>): roles, and parts with types.

use llm::event::FinishReason;
use llm::media::Media;
use llm::model::Provider;
use llm::request::{AssistantMessage, Message, ToolSpec};
use serde_json::{Value, json};

/// The instructions that stand before a conversation.
pub(super) fn instructions(messages: &[Message]) -> Value {
    let texts = messages[..first_turn(messages)].iter().filter_map(|message| match message {
        Message::System { content } => Some(text(content)),
        _ => None,
    });
    texts.collect()
}

/// The conversation after them, oldest message first.
pub(super) fn input(messages: &[Message]) -> Value {
    messages[first_turn(messages)..].iter().map(message).collect()
}

/// How many messages are instructions that stand before the conversation.
fn first_turn(messages: &[Message]) -> usize {
    let is_system = |message: &&Message| matches!(message, Message::System { .. });
    messages.iter().take_while(is_system).count()
}

fn message(message: &Message) -> Value {
    match message {
        Message::System { content } => json!({ "role": "system", "parts": [text(content)] }),
        Message::User { content, media } => user(content, media.iter().map(attachment)),
        Message::Assistant(turn) => json!({ "role": "assistant", "parts": parts(turn) }),
        Message::Tool { call_id, content, media, .. } => {
            let response =
                json!({ "type": "tool_call_response", "id": call_id, "response": content });
            let parts = std::iter::once(response).chain(media.iter().map(attachment));
            json!({ "role": "tool", "parts": parts.collect::<Vec<_>>() })
        }
    }
}

/// What a person says, with what comes with it.
pub(super) fn user(content: &str, attachments: impl Iterator<Item = Value>) -> Value {
    let said = (!content.is_empty()).then(|| text(content));
    json!({ "role": "user", "parts": said.into_iter().chain(attachments).collect::<Vec<_>>() })
}

/// What a model answers.
pub(super) fn output(turn: &AssistantMessage, why: FinishReason) -> Value {
    json!([{ "role": "assistant", "parts": parts(turn), "finish_reason": finish_reason(why) }])
}

/// What an agent answers.
pub(super) fn reply(content: &str, why: &str) -> Value {
    json!([{ "role": "assistant", "parts": [text(content)], "finish_reason": why }])
}

fn parts(turn: &AssistantMessage) -> Vec<Value> {
    let thoughts = turn.thoughts.as_ref().map(|thoughts| llm::thought_text(&thoughts.content));
    let thoughts = thoughts.filter(|thoughts| !thoughts.is_empty());
    let thoughts = thoughts.map(|content| json!({ "type": "reasoning", "content": content }));
    let said = (!turn.text.is_empty()).then(|| text(&turn.text));
    let calls = turn.tool_calls.iter().map(|call| {
        json!({ "type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments })
    });
    thoughts.into_iter().chain(said).chain(calls).collect()
}

fn text(content: &str) -> Value {
    json!({ "type": "text", "content": content })
}

/// An image or a document, of which a trace has no bytes: they are known by their hash.
fn attachment(media: &Media) -> Value {
    file(media.name(), media.media_type(), media.size(), media.sha256())
}

/// A file that goes with a message: a part of a type of its own, as none of the conventions' does without bytes,
/// address or a provider's id.
pub(super) fn file(name: &str, media_type: &str, size: u64, sha256: &str) -> Value {
    let kinds = ["image", "video", "audio"];
    let modality =
        kinds.into_iter().find(|kind| media_type.starts_with(kind)).unwrap_or("document");
    json!({ "type": "attachment", "modality": modality, "mime_type": media_type, "name": name, "size": size,
        "sha256": sha256 })
}

/// The tools that a model may call.
pub(super) fn definitions(tools: &[ToolSpec]) -> Value {
    let definition = |tool: &ToolSpec| {
        json!({ "type": "function", "name": tool.name, "description": tool.description,
            "parameters": tool.parameters })
    };
    tools.iter().map(definition).collect()
}

/// Why a model stopped.
pub(super) fn finish_reason(why: FinishReason) -> &'static str {
    match why {
        FinishReason::Stop => "stop",
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_call",
        FinishReason::ContentFilter => "content_filter",
    }
}

/// A provider.
pub(super) fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Google => "gcp.gemini",
        Provider::Xai => "x_ai",
        Provider::Mistral => "mistral_ai",
        Provider::OpenAi
        | Provider::Anthropic
        | Provider::Groq
        | Provider::OpenRouter
        | Provider::Ollama
        | Provider::Offline => provider.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use llm::request::{Thoughts, ToolCall};

    use super::*;

    fn turn() -> AssistantMessage {
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "find".to_owned(),
            arguments: json!({ "q": "x" }),
            provider_state: Some(json!({ "signature": "s" })),
        };
        let content =
            json!([{ "own": { "type": "thinking", "thinking": "Hm.", "signature": "s" } }]);
        let thoughts = Some(Thoughts { provider: Provider::Anthropic, content });
        AssistantMessage { text: "I look.".to_owned(), tool_calls: vec![call], thoughts }
    }

    #[test]
    fn a_conversation_has_roles_and_parts_and_its_instructions_stand_apart() {
        let picture = Media::gone("a.png", "image/png", 7, "abc");
        let messages = [
            Message::system("Be brief."),
            Message::system("Be kind."),
            Message::user_with("What is it?", vec![picture]),
            Message::Assistant(turn()),
            Message::tool("c1", "find", "{\"n\":1}"),
            Message::system("Now answer."),
        ];
        assert_eq!(
            instructions(&messages),
            json!([{ "type": "text", "content": "Be brief." }, { "type": "text", "content": "Be kind." }])
        );
        let attachment = json!({ "type": "attachment", "modality": "image", "mime_type": "image/png",
            "name": "a.png", "size": 7, "sha256": "abc" });
        let call =
            json!({ "type": "tool_call", "id": "c1", "name": "find", "arguments": { "q": "x" } });
        assert_eq!(
            input(&messages),
            json!([
                { "role": "user", "parts": [{ "type": "text", "content": "What is it?" }, attachment] },
                { "role": "assistant", "parts": [{ "type": "reasoning", "content": "Hm." },
                    { "type": "text", "content": "I look." }, call] },
                { "role": "tool", "parts":
                    [{ "type": "tool_call_response", "id": "c1", "response": "{\"n\":1}" }] },
                { "role": "system", "parts": [{ "type": "text", "content": "Now answer." }] },
            ])
        );
    }

    #[test]
    fn an_answer_says_why_it_ended_and_a_tool_what_it_takes() {
        let answer = output(&turn(), FinishReason::ToolCalls);
        assert_eq!(answer[0]["finish_reason"], "tool_call");
        assert_eq!(answer[0]["parts"][2]["name"], "find");
        let tool = ToolSpec {
            name: "find".to_owned(),
            description: "Finds.".to_owned(),
            parameters: json!({ "type": "object" }),
        };
        let told = json!([{ "type": "function", "name": "find", "description": "Finds.",
            "parameters": { "type": "object" } }]);
        assert_eq!(definitions(&[tool]), told);
    }
}

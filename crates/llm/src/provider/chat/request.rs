//! Requests: the body without tools, and the tools.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::{calls, thoughts};
use crate::catalog;
use crate::final_tool;
use crate::media::Media;
use crate::model::{ModelRef, Provider};
use crate::provider::history::{self, Order};
use crate::provider::media;
use crate::provider::quirks::Quirks;
use crate::provider::schema;
use crate::provider::tool_form::WireTool;
use crate::provider::wire::{self, ObjectWriter, write_list, write_value};
use crate::request::{
    AssistantMessage, LlmRequest, Message, ResponseSchema, ToolCall, ToolChoice, ToolList,
};

/// How a server is told that no tool may be called any more, and what it wants of a conversation.
#[derive(Debug, Clone, Copy)]
struct Server {
    /// It takes tools beside `tool_choice: none`, and keeps to that. All others get neither tools nor
    /// calls: Ollama ignores it (<https://github.com/ollama/ollama/issues/17921>), Groq fails when
    /// the model calls one all the same (<https://github.com/OpenHands/OpenHands/issues/11725>), and
    /// of OpenRouter and other people's servers it is not known.
    ///
    /// Sources: <https://platform.openai.com/docs/api-reference/chat/create>,
    /// <https://docs.x.ai/docs/guides/function-calling>,
    /// <https://docs.mistral.ai/capabilities/function_calling/>
    takes_none: bool,
    order: Order,
}

impl Server {
    fn of(provider: Provider, is_own_server: bool) -> Self {
        let is_open_ai = provider == Provider::OpenAi && is_own_server;
        let is_hosted = is_open_ai || matches!(provider, Provider::Xai | Provider::Groq);
        Self {
            takes_none: is_open_ai || matches!(provider, Provider::Xai | Provider::Mistral),
            order: Order { system_anywhere: is_open_ai, is_strict: !is_hosted },
        }
    }
}

/// The request in the form that the server accepts; the same one if it has that form.
pub(in crate::provider) fn fitted(
    provider: Provider,
    is_own_server: bool,
    request: &LlmRequest,
) -> Cow<'_, LlmRequest> {
    let server = Server::of(provider, is_own_server);
    let may_call = !request.tools.is_empty() && request.tool_choice == ToolChoice::Auto;
    let is_text = !may_call && !server.takes_none && history::uses_tools(&request.messages);
    let messages = if is_text {
        Cow::Owned(history::as_text(&request.messages))
    } else {
        history::paired(&request.messages)
    };
    // <https://platform.openai.com/docs/api-reference/chat/create>: "For tool messages, only type `text`
    // is supported."
    let messages = media::results_as_text(messages, |_| false);
    match history::ordered(messages, server.order) {
        Cow::Borrowed(_) => Cow::Borrowed(request),
        Cow::Owned(messages) => Cow::Owned(LlmRequest {
            model: request.model.clone(),
            messages,
            tools: if is_text { ToolList::default() } else { request.tools.clone() },
            response_schema: request.response_schema.clone(),
            ..*request
        }),
    }
}

/// The messages of a request as JSON.
pub(in crate::provider) fn messages(
    model: &ModelRef,
    request: &LlmRequest,
    quirks: &Quirks,
    is_own_server: bool,
) -> String {
    let writer = Writer { model, is_own_server, takes_null: !quirks.no_null_content };
    let mut out = String::new();
    write_list(&request.messages, &mut out, |message, out| writer.message(message, out));
    out
}

/// The body of a request, without its messages and tools.
pub(in crate::provider) fn body(
    model: &ModelRef,
    request: &LlmRequest,
    quirks: &Quirks,
    is_own_server: bool,
) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(model.name));
    if request.sends_tools() && request.tool_choice == ToolChoice::None {
        body.insert("tool_choice".into(), json!("none"));
    }
    if let Some(limit) = request.output_limit(model) {
        // OpenAI's models know the new name, its reasoning models only that; most other servers know
        // only the old one.
        let is_known = || catalog::find(model.provider, &model.name).is_some();
        let is_new = model.provider == Provider::OpenAi && (is_own_server || is_known());
        let name = match quirks.limit_name {
            Some(name) => name.as_str(),
            None if is_new => "max_completion_tokens",
            None => "max_tokens",
        };
        body.insert(name.into(), json!(limit));
    }
    // <https://docs.mistral.ai/api/>
    let highest = if model.provider == Provider::Mistral { 1.5 } else { 2.0 };
    if let Some(temperature) = request.temperature_for(model, highest)
        && !quirks.no_temperature
    {
        body.insert("temperature".into(), json!(temperature));
    }
    if let Some(wanted) = &request.response_schema {
        body.insert(
            "response_format".into(),
            json!({ "type": "json_schema", "json_schema": {
                "name": wanted.name,
                "schema": wanted.schema,
                "strict": schema::is_strict(&wanted.schema),
            }}),
        );
    }
    body.insert("stream".into(), json!(true));
    // Mistral rejects unknown parameters, and sends the usage anyway.
    if model.provider != Provider::Mistral {
        body.insert("stream_options".into(), json!({ "include_usage": true }));
    }
    Value::Object(body)
}

/// Whether the answer of a model can be held to a schema by `response_format`, without tools and beside
/// them.
pub(in crate::provider) fn holds_to_schema(
    model: &ModelRef,
    wanted: &ResponseSchema,
    is_own_server: bool,
) -> (bool, bool) {
    let is_known = || is_own_server || catalog::find(model.provider, &model.name).is_some();
    // <https://platform.openai.com/docs/guides/structured-outputs>: the root must be an object.
    let is_object = final_tool::is_object(&wanted.schema);
    match model.provider {
        // Few models, and none beside tools (<https://console.groq.com/docs/structured-outputs>).
        Provider::Groq => {
            let able = ["openai/gpt-oss", "moonshotai/kimi-k2", "meta-llama/llama-4"];
            (able.iter().any(|name| model.name.starts_with(name)), false)
        }
        // Beside tools it is for the text alone. Other servers make a grammar of it, so that no tool is
        // ever called (vLLM: <https://github.com/vllm-project/vllm/issues/39929>).
        Provider::OpenAi => (is_object, is_object && is_known()),
        Provider::OpenRouter => (is_object, is_object && model.name.starts_with("openai/")),
        // <https://docs.x.ai/docs/guides/structured-outputs>: beside tools since Grok 4.
        Provider::Xai => (true, !["grok-2", "grok-3"].iter().any(|m| model.name.starts_with(m))),
        // Ollama makes a grammar of it (<https://github.com/ollama/ollama/issues/8095>); Mistral does not
        // document the two together.
        Provider::Ollama
        | Provider::Mistral
        | Provider::Anthropic
        | Provider::Google
        | Provider::Offline => (true, false),
    }
}

/// Tools in the form of the protocol.
pub(in crate::provider) fn tools(tools: &[WireTool]) -> Value {
    let tools = tools.iter().map(|tool| {
        json!({ "type": "function", "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        }})
    });
    tools.collect()
}

/// The longest id of a call that OpenAI accepts (<https://github.com/camel-ai/camel/issues/2215>), also
/// behind OpenRouter (<https://github.com/openclaw/openclaw/pull/875>).
const MAX_OPENAI_ID: usize = 40;

/// The longest id of a call that is kept for Anthropic's models behind OpenRouter.
const MAX_ANTHROPIC_ID: usize = 64;

/// Writes messages for a server.
#[derive(Debug, Clone, Copy)]
struct Writer<'a> {
    model: &'a ModelRef,
    is_own_server: bool,
    /// Whether a turn with calls may have no content.
    takes_null: bool,
}

impl Writer<'_> {
    fn message(self, message: &Message, out: &mut String) {
        let mut object = ObjectWriter::new(out);
        match message {
            Message::System { content } => {
                object.text("role", "system");
                object.text("content", content);
            }
            Message::User { content, media } if media.is_empty() => {
                object.text("role", "user");
                object.text("content", content);
            }
            Message::User { content, media } => {
                object.text("role", "user");
                let is_mistral = self.model.provider == Provider::Mistral;
                let text = |text: &str| json!({ "type": "text", "text": text });
                let item = |media: &Media| media::chat_item(media, is_mistral);
                let parts = media::parts(content, media, text, item);
                write_list(&parts, object.field("content"), write_value);
            }
            Message::Assistant(turn) => self.assistant(turn, &mut object),
            Message::Tool { call_id, name, content, .. } => {
                object.text("role", "tool");
                object.text("tool_call_id", &self.id(call_id));
                object.text("content", content);
                if self.model.provider == Provider::Mistral {
                    object.text("name", name);
                }
            }
        }
        object.end();
    }

    fn assistant(self, turn: &AssistantMessage, object: &mut ObjectWriter<'_>) {
        let Self { model, is_own_server, takes_null } = self;
        let thoughts = turn.thoughts_of(model.provider);
        let accepts =
            |field: &str| thoughts::accepts(model.provider, is_own_server, &model.name, field);
        object.text("role", "assistant");
        match thoughts::content(thoughts).filter(|_| accepts(thoughts::CONTENT)) {
            Some(content) => object.value(thoughts::CONTENT, content),
            None if turn.text.is_empty() && !turn.tool_calls.is_empty() && takes_null => {
                object.value(thoughts::CONTENT, &Value::Null);
            }
            None => object.text(thoughts::CONTENT, &turn.text),
        }
        if !turn.tool_calls.is_empty() {
            let out = object.field("tool_calls");
            write_list(&turn.tool_calls, out, |call, out| self.tool_call(call, out));
        }
        for (name, value) in thoughts::others(thoughts).filter(|(name, _)| accepts(name)) {
            object.value(name, value);
        }
    }

    fn tool_call(self, call: &ToolCall, out: &mut String) {
        let mut object = ObjectWriter::new(out);
        object.text("id", &self.id(&call.id));
        object.text("type", "function");
        let mut function = ObjectWriter::new(object.field("function"));
        function.text("name", &call.name);
        function.text("arguments", &wire::object_text(&call.arguments));
        function.end();
        if let Some(extra) = calls::extra_of(call.provider_state.as_ref(), self.model.provider) {
            object.value(calls::EXTRA, extra);
        }
        object.end();
    }

    /// Mistral accepts only ids of nine letters and digits
    /// (<https://github.com/mistralai/mistral-common/blob/main/src/mistral_common/protocol/instruct/validator.py>),
    /// OpenAI no long ones, and Anthropic, also behind OpenRouter, letters, digits, `_` and `-`; those of
    /// other providers in the same conversation are adapted.
    fn id(self, id: &str) -> Cow<'_, str> {
        // FNV-1a: stable across processes.
        let hash = || {
            id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            })
        };
        let is_short = id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        let is_open_ai = || match self.model.provider {
            Provider::OpenAi => {
                self.is_own_server || catalog::find(self.model.provider, &self.model.name).is_some()
            }
            Provider::OpenRouter => self.model.name.starts_with("openai/"),
            _ => false,
        };
        let fits_anthropic = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let is_anthropic = self.model.provider == Provider::OpenRouter
            && self.model.name.starts_with("anthropic/");
        if is_anthropic && (id.len() > MAX_ANTHROPIC_ID || !id.chars().all(fits_anthropic)) {
            format!("call_{:016x}", hash()).into()
        } else if self.model.provider == Provider::Mistral && !is_short {
            format!("{:09x}", hash() & 0xf_ffff_ffff).into()
        } else if id.len() > MAX_OPENAI_ID && is_open_ai() {
            format!("call_{:016x}", hash()).into()
        } else {
            id.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(provider: Provider, model: &str, is_own_server: bool, id: &str) -> String {
        let model = &ModelRef::new(provider, model);
        Writer { model, is_own_server, takes_null: true }.id(id).into_owned()
    }

    #[test]
    fn ids_of_others_fit_mistral_and_stay_the_same() {
        let mistral = |given| id(Provider::Mistral, "m", true, given);
        assert_eq!(mistral("abcDEF123"), "abcDEF123");
        let made = mistral("toolu_01A");
        assert_eq!(made, mistral("toolu_01A"));
        assert!(made.len() == 9 && made.bytes().all(|b| b.is_ascii_alphanumeric()), "{made}");
        assert_ne!(made, mistral("toolu_01B"));
        assert_eq!(id(Provider::Groq, "m", true, "toolu_01A"), "toolu_01A");
    }

    #[test]
    fn long_ids_are_shortened_for_openai_alone() {
        let long = "x".repeat(41);
        assert_eq!(id(Provider::OpenAi, "gpt-5", true, &long).len(), 21);
        assert_eq!(id(Provider::OpenRouter, "openai/gpt-5", true, &long).len(), 21);
        assert_eq!(id(Provider::OpenAi, "gpt-5", true, &long[1..]), long[1..]);
        assert_eq!(id(Provider::OpenAi, "other", false, &long), long);
        assert_eq!(id(Provider::OpenRouter, "google/gemini-3-pro", true, &long), long);
    }
}

//! A provider's server, protocol and API key.

mod places;

use std::borrow::Cow;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::model::{ModelRef, Provider};
use crate::provider::answer::Answer;
use crate::provider::answer_form::AnswerForm;
use crate::provider::anthropic::AnthropicReader;
use crate::provider::chat::ChatReader;
use crate::provider::failure::Failure;
use crate::provider::gemini::GeminiReader;
use crate::provider::quirks::Quirks;
use crate::provider::responses::ResponsesReader;
use crate::provider::tool_form::{Refused, Rules, ToolForm};
use crate::provider::wire::{Reader, json_text};
use crate::provider::{anthropic, chat, gemini, history, media, responses, schema};
use crate::request::{AssistantMessage, LlmRequest, ToolList, ToolSpec};
use crate::settings::{Endpoint, LlmConfigError, OpenAiApi};

/// The version of Anthropic's protocol.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The protocol of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

impl Protocol {
    /// The name that distinguishes serialised tools.
    fn name(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// The path below the server's address.
    fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Responses => "responses",
            Self::Anthropic => "messages",
            Self::Gemini => "",
        }
    }
}

/// A provider's server and key.
#[derive(Debug, Clone)]
pub(super) struct Target {
    provider: Provider,
    protocol: Protocol,
    /// The URL of all requests; with Gemini the base of the model's path.
    url: Url,
    key: Option<SecretString>,
    /// The key, if any, and other headers of the protocol.
    headers: HeaderMap,
    /// Whether the server is the provider's own, which always requires a key.
    is_own_server: bool,
}

impl Target {
    /// Checks a provider's settings; `None` for the offline provider, which has no server.
    ///
    /// # Errors
    /// When the address or the key is invalid.
    pub(super) fn new(
        provider: Provider,
        endpoint: &Endpoint,
        openai_api: OpenAiApi,
    ) -> Result<Option<Self>, LlmConfigError> {
        let Some((protocol, own_server, version)) = wire(provider, openai_api) else {
            return Ok(None);
        };
        let headers = headers(protocol, endpoint.api_key.as_ref()).ok_or_else(|| {
            LlmConfigError::Key { variable: provider.key_variable().unwrap_or("the key") }
        })?;
        let variable = provider.base_url_variable().unwrap_or("the address");
        let refuse = |reason: &str| LlmConfigError::BaseUrl { variable, reason: reason.to_owned() };
        let parse = |text: &str| Url::parse(text).map_err(|error| refuse(&error.to_string()));
        let base = match &endpoint.base_url {
            None => format!("{own_server}{version}"),
            Some(text) => {
                let url = parse(text)?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(refuse("it does not begin with http:// or https://"));
                }
                if url.query().is_some() || url.fragment().is_some() {
                    return Err(refuse("it has a query or a fragment"));
                }
                let text = text.trim_end_matches('/');
                // Some addresses contain the version, although the SDKs add it.
                let version = if text.ends_with(version.trim_matches('/')) { "/" } else { version };
                format!("{text}{version}")
            }
        };
        let is_own_server = base.starts_with(own_server);
        let url = parse(&(base + protocol.path()))?;
        let key = endpoint.api_key.clone();
        Ok(Some(Self { provider, protocol, url, key, headers, is_own_server }))
    }

    /// The variable that must be set before the provider can be called.
    pub(super) fn missing_key(&self) -> Option<&'static str> {
        let needed = self.is_own_server && self.key.is_none();
        self.provider.key_variable().filter(|_| needed)
    }

    /// The URL of a request.
    pub(super) fn url(&self, model: &str) -> Url {
        let mut url = self.url.clone();
        if self.protocol == Protocol::Gemini {
            // The model is part of the path.
            let path = gemini::path(model);
            let (path, query) = match path.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (path.as_str(), None),
            };
            url.set_path(&[self.url.path(), path].concat());
            url.set_query(query);
        }
        url
    }

    /// The headers of each request, including the key.
    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// How a request holds the model to the schema of its answer.
    pub(super) fn answer_form(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        quirks: &Quirks,
    ) -> AnswerForm {
        let Some(wanted) = request.response_schema.as_ref() else { return AnswerForm::AsItIs };
        let (alone, beside_tools) = match self.protocol {
            _ if quirks.no_answer_schema => (false, false),
            Protocol::Chat | Protocol::Responses => {
                chat::holds_to_schema(model, wanted, self.is_own_server)
            }
            // <https://docs.claude.com/en/docs/build-with-claude/structured-outputs>: every object is
            // closed, and tools may be called.
            Protocol::Anthropic => {
                let can = anthropic::has_structured_output(&model.name)
                    && schema::is_strict(&wanted.schema);
                (can, can)
            }
            Protocol::Gemini => (true, gemini::holds_beside_tools(&model.name)),
        };
        AnswerForm::of(request, alone, beside_tools)
    }

    /// The tools in the form that the provider takes.
    pub(super) fn tools(
        &self,
        model: &ModelRef,
        tools: &ToolList,
        plain: bool,
        refused: Option<Refused>,
    ) -> Arc<ToolForm> {
        let (protocol, rules) = (self.protocol.name(), Rules::of(model, plain));
        let make = |specs: &[ToolSpec]| {
            ToolForm::of(protocol, rules, refused.clone(), specs, |tools| match self.protocol {
                Protocol::Chat => chat::tools(tools),
                Protocol::Responses => responses::tools(tools),
                Protocol::Anthropic => anthropic::tools(tools),
                Protocol::Gemini => gemini::tools(tools),
            })
        };
        tools.form(|form: &ToolForm| form.is_of(protocol, rules, refused.as_ref()), make)
    }

    /// The body of a request as JSON, with the tools in this form.
    pub(super) fn body(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        quirks: &Quirks,
        tools: &ToolForm,
    ) -> String {
        media::filled(self.draft(model, request, quirks, tools), &request.messages)
    }

    /// The body with marks in the places of images and documents.
    pub(super) fn draft(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        quirks: &Quirks,
        tools: &ToolForm,
    ) -> String {
        let request = &*tools.outgoing(request);
        let plain = quirks.no_thoughts.then(|| history::without_thoughts(request));
        let request = plain.as_ref().unwrap_or(request);
        let fitted = match self.protocol {
            Protocol::Chat => chat::fitted(self.provider, self.is_own_server, request),
            Protocol::Responses | Protocol::Anthropic | Protocol::Gemini => Cow::Borrowed(request),
        };
        let request = &*fitted;
        let mut body = json_text(&self.without_tools(model, request, quirks));
        if self.protocol == Protocol::Chat {
            append(
                &mut body,
                "messages",
                &chat::messages(model, request, quirks, self.is_own_server),
            );
        }
        // The tools are the larger part of most requests, and serialised only once.
        if let Some(tools) = tools.json().filter(|_| request.sends_tools()) {
            append(&mut body, "tools", tools);
        }
        body
    }

    fn without_tools(&self, model: &ModelRef, request: &LlmRequest, quirks: &Quirks) -> Value {
        let mut body = match self.protocol {
            Protocol::Chat => chat::body(model, request, quirks, self.is_own_server),
            Protocol::Responses => responses::body(model, request, quirks, self.is_own_server),
            Protocol::Anthropic => anthropic::body(model, request, quirks),
            Protocol::Gemini => gemini::body(model, request, quirks),
        };
        quirks.trim(&mut body);
        body
    }

    /// The output limit as it is sent to a server that may call an answer complete that it has cut off
    /// there: llama.cpp's Responses do. OpenAI's own server says so, and so do those of the other
    /// protocols.
    pub(super) fn unsaid_limit(
        &self,
        model: &ModelRef,
        request: &LlmRequest,
        quirks: &Quirks,
    ) -> Option<u64> {
        if self.protocol != Protocol::Responses || self.is_own_server {
            return None;
        }
        let mut body = json!({ "max_output_tokens": responses::output_limit(model, request)? });
        quirks.trim(&mut body);
        body["max_output_tokens"].as_u64()
    }

    /// Parses a complete response.
    ///
    /// # Errors
    /// When it is an error or not an answer.
    pub(super) fn parse(&self, body: &Value) -> Result<Answer, Failure> {
        match self.protocol {
            Protocol::Chat => chat::parse(self.provider, body),
            Protocol::Responses => responses::parse(self.provider, body),
            Protocol::Anthropic => anthropic::parse(self.provider, body),
            Protocol::Gemini => gemini::parse(self.provider, body),
        }
    }

    /// A reader for a streamed response.
    pub(super) fn reader(&self) -> Box<dyn Reader> {
        match self.protocol {
            Protocol::Chat => Box::new(ChatReader::new(self.provider)),
            Protocol::Responses => Box::new(ResponsesReader::new(self.provider)),
            Protocol::Anthropic => Box::new(AnthropicReader::new(self.provider)),
            Protocol::Gemini => Box::new(GeminiReader::new(self.provider)),
        }
    }

    /// The failure in an event with the name `error`, which may be any JSON, or text.
    pub(super) fn error(&self, data: &str) -> Failure {
        let data = serde_json::from_str(data).unwrap_or_else(|_| json!({ "message": data }));
        Failure::of_error_object(self.provider, &data)
    }

    /// Keeps the text of an answer as it came, before thoughts were taken out of it, where it goes back
    /// in that form.
    pub(super) fn keep_text(&self, message: &mut AssistantMessage, text: String) {
        match self.protocol {
            Protocol::Chat => chat::keep_text(self.provider, message, text),
            Protocol::Responses | Protocol::Anthropic | Protocol::Gemini => {}
        }
    }

    /// Removes the API key from the texts of a failure: some servers repeat it.
    pub(super) fn scrub(&self, failure: Failure) -> Failure {
        match &self.key {
            Some(key) => failure.without_secret(key.expose_secret()),
            None => failure,
        }
    }
}

/// Appends a field to an object that has some.
fn append(object: &mut String, name: &str, json: &str) {
    if object.pop() == Some('}') {
        object.reserve(name.len() + json.len() + 5);
        object.extend([",\"", name, "\":", json, "}"]);
    }
}

/// The headers of each request; `None` when the key is not a valid header value.
fn headers(protocol: Protocol, key: Option<&SecretString>) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    if protocol == Protocol::Anthropic {
        headers.insert(HeaderName::from_static("anthropic-version"), ANTHROPIC_VERSION);
    }
    if let Some(key) = key {
        let key = key.expose_secret();
        let (name, value) = match protocol {
            Protocol::Chat | Protocol::Responses => (AUTHORIZATION, format!("Bearer {key}")),
            Protocol::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            Protocol::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
        };
        let mut value = HeaderValue::from_str(&value).ok()?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Some(headers)
}

/// The protocol, the provider's own server, and what the official SDKs insert between that and the
/// path (OpenAI-style addresses already end in it).
fn wire(
    provider: Provider,
    openai_api: OpenAiApi,
) -> Option<(Protocol, &'static str, &'static str)> {
    Some(match provider {
        Provider::OpenAi => match openai_api {
            OpenAiApi::Chat => (Protocol::Chat, "https://api.openai.com/v1", "/"),
            OpenAiApi::Responses => (Protocol::Responses, "https://api.openai.com/v1", "/"),
        },
        Provider::Anthropic => (Protocol::Anthropic, "https://api.anthropic.com", "/v1/"),
        Provider::Google => {
            (Protocol::Gemini, "https://generativelanguage.googleapis.com", "/v1beta/")
        }
        Provider::Xai => (Protocol::Chat, "https://api.x.ai/v1", "/"),
        Provider::Groq => (Protocol::Chat, "https://api.groq.com/openai/v1", "/"),
        Provider::Mistral => (Protocol::Chat, "https://api.mistral.ai/v1", "/"),
        Provider::OpenRouter => (Protocol::Chat, "https://openrouter.ai/api/v1", "/"),
        // Ollama has an OpenAI-compatible API under /v1, with tools and usage.
        Provider::Ollama => (Protocol::Chat, "http://localhost:11434/v1", "/"),
        Provider::Offline => return None,
    })
}

#[cfg(test)]
mod tests;

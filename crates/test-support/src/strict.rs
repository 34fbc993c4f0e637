//! What real providers refuse, as a table of rules. A fake that accepts everything proves nothing: a
//! request goes through [`check`] before a fake answers it, and what the provider itself would refuse is
//! refused with the provider's status and in its form.
//!
//! Each rule names the published source that it was learned from: the provider's reference, or a public
//! report that quotes the provider's refusal.

mod anthropic;
mod anthropic_turns;
mod chat;
mod chat_tools;
mod chat_turns;
mod gemini;
mod gemini_schema;
mod limits;
mod media;
mod responses;
mod responses_params;
mod schema;
mod servers;
mod view;

use axum::http::HeaderMap;
use serde_json::{Value, json};

pub use limits::output_limit;
pub use media::{Sent, sent as media};

/// A provider's server, as far as it differs in what it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// OpenAI's Chat Completions.
    OpenAi,
    /// xAI.
    Xai,
    /// Groq.
    Groq,
    /// Mistral's own platform.
    Mistral,
    /// OpenRouter.
    OpenRouter,
    /// Moonshot's Kimi and DeepSeek, whose thinking models want their thoughts back.
    Kimi,
    /// Ollama's OpenAI-compatible API.
    Ollama,
    /// llama.cpp's server with a model whose chat template insists on alternating turns.
    Template,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's `generateContent`.
    Gemini,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::OpenAi,
        Self::Xai,
        Self::Groq,
        Self::Mistral,
        Self::OpenRouter,
        Self::Kimi,
        Self::Ollama,
        Self::Template,
        Self::Responses,
        Self::Anthropic,
        Self::Gemini,
    ];

    /// The variants of Chat Completions.
    pub const CHAT: [Self; 8] = [
        Self::OpenAi,
        Self::Xai,
        Self::Groq,
        Self::Mistral,
        Self::OpenRouter,
        Self::Kimi,
        Self::Ollama,
        Self::Template,
    ];

    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Xai => "xai",
            Self::Groq => "groq",
            Self::Mistral => "mistral",
            Self::OpenRouter => "openrouter",
            Self::Kimi => "kimi",
            Self::Ollama => "ollama",
            Self::Template => "template",
            Self::Responses => "responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }
}

impl Profile {
    /// The provider in the settings (`LLM_PROVIDER`) that speaks to such a server.
    pub fn provider(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Responses | Self::Kimi | Self::Template => "openai",
            Self::Gemini => "google",
            Self::Xai
            | Self::Groq
            | Self::Mistral
            | Self::OpenRouter
            | Self::Ollama
            | Self::Anthropic => self.name(),
        }
    }

    /// A model that it has.
    pub fn model(self) -> &'static str {
        match self {
            Self::OpenAi => "gpt-4o-mini",
            Self::Responses => "gpt-5",
            Self::Kimi => "kimi-k2-thinking",
            Self::Template => "devstral-small-2",
            Self::Xai => "grok-4",
            Self::Groq => "openai/gpt-oss-120b",
            Self::Mistral => "mistral-large-latest",
            Self::OpenRouter => "anthropic/claude-sonnet-4.5",
            Self::Ollama => "qwen3",
            Self::Anthropic => "claude-sonnet-4-5",
            Self::Gemini => "gemini-3-pro",
        }
    }
}

/// A request, and what the server knows when it comes.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The server that it came to.
    pub profile: Profile,
    /// Path and query.
    pub path: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Value,
    /// Whether the server wants a key; one on the same machine often does not.
    pub needs_key: bool,
    /// The turns that the server sent before, in the form of its protocol, so that it recognises them
    /// when they come back.
    pub sent: &'a [Value],
}

impl Call<'_> {
    /// Whether OpenAI's own limits hold: behind OpenRouter, those of the model's provider do.
    fn is_open_ai(&self) -> bool {
        self.profile != Profile::OpenRouter || self.model().starts_with("openai/")
    }
}

/// Something that a provider refuses.
#[derive(Debug)]
pub struct Rule {
    /// What must be so.
    pub name: &'static str,
    /// The servers that insist on it.
    pub profiles: &'static [Profile],
    /// Where that is published.
    pub source: &'static str,
    status: u16,
    /// The provider's complaint, if the rule is broken.
    complaint: fn(&Call<'_>) -> Option<String>,
}

impl Rule {
    const fn new(
        name: &'static str,
        profiles: &'static [Profile],
        source: &'static str,
        complaint: fn(&Call<'_>) -> Option<String>,
    ) -> Self {
        Self { name, profiles, source, status: 400, complaint }
    }

    const fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// A provider's refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The broken rule.
    pub rule: &'static str,
    /// The complaint.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
    /// The body, in the provider's form.
    pub body: Value,
}

/// All rules.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    [
        chat::RULES,
        chat_tools::RULES,
        chat_turns::RULES,
        servers::RULES,
        responses::RULES,
        responses_params::RULES,
        anthropic::RULES,
        anthropic_turns::RULES,
        gemini::RULES,
        gemini_schema::RULES,
        media::RULES,
    ]
    .into_iter()
    .flatten()
}

/// Checks a request as the provider does.
///
/// # Errors
/// With the first rule that it breaks.
pub fn check(call: &Call<'_>) -> Result<(), Refusal> {
    for rule in rules().filter(|rule| rule.profiles.contains(&call.profile)) {
        if let Some(message) = (rule.complaint)(call) {
            let body = error(call.profile, rule.status, &message);
            return Err(Refusal { rule: rule.name, message, status: rule.status, body });
        }
    }
    Ok(())
}

/// The name, the description and the arguments' schema of each tool in a request's body.
pub fn tools(profile: Profile, body: &Value) -> Vec<(&str, &str, &Value)> {
    let tools = view::tools(profile, body).into_iter();
    tools.map(|tool| (tool.name, tool.description, tool.parameters)).collect()
}

/// An error in the provider's form.
pub fn error(profile: Profile, status: u16, message: &str) -> Value {
    let kind = match status {
        401 => "authentication_error",
        404 => "not_found_error",
        _ => "invalid_request_error",
    };
    match profile {
        Profile::OpenAi | Profile::Responses | Profile::Groq | Profile::Kimi | Profile::Ollama => {
            json!({ "error": { "message": message, "type": kind, "param": null, "code": null } })
        }
        Profile::Xai => json!({ "code": "Client specified an invalid argument", "error": message }),
        Profile::Mistral if status == 422 => {
            json!({ "detail": [{ "type": "extra_forbidden", "loc": ["body"], "msg": message }] })
        }
        Profile::Mistral => {
            json!({ "object": "error", "message": message, "type": kind, "param": null, "code": "3000" })
        }
        Profile::OpenRouter => {
            let raw = json!({ "error": { "message": message, "type": kind } }).to_string();
            json!({ "error": { "message": "Provider returned error", "code": status,
                "metadata": { "raw": raw, "provider_name": "Any" } } })
        }
        Profile::Template => {
            json!({ "error": { "code": status, "message": message, "type": "server_error" } })
        }
        Profile::Anthropic => {
            json!({ "type": "error", "error": { "type": kind, "message": message } })
        }
        Profile::Gemini => {
            json!({ "error": { "code": status, "message": message, "status": "INVALID_ARGUMENT" } })
        }
    }
}

#[cfg(test)]
mod tests;

//! Providers, `provider/model` names and tiers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::media::fits;

/// The longest name of a model that is accepted.
const MAX_NAME_LEN: usize = 200;

/// A provider of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// OpenAI, and every compatible server.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google Gemini.
    Google,
    /// xAI.
    Xai,
    /// Groq.
    Groq,
    /// Mistral.
    Mistral,
    /// OpenRouter.
    OpenRouter,
    /// A local Ollama.
    Ollama,
    /// No network: answers from a script.
    Offline,
}

impl Provider {
    /// All providers, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::Google,
        Self::Xai,
        Self::Groq,
        Self::Mistral,
        Self::OpenRouter,
        Self::Ollama,
        Self::Offline,
    ];

    /// The name in settings and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::Google => "google",
            Self::Xai => "xai",
            Self::Groq => "groq",
            Self::Mistral => "mistral",
            Self::OpenRouter => "openrouter",
            Self::Ollama => "ollama",
            Self::Offline => "offline",
        }
    }

    /// The environment variable that holds the key (`GOOGLE_API_KEY` also works for Gemini).
    pub fn key_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Google => Some("GEMINI_API_KEY"),
            Self::Xai => Some("XAI_API_KEY"),
            Self::Groq => Some("GROQ_API_KEY"),
            Self::Mistral => Some("MISTRAL_API_KEY"),
            Self::OpenRouter => Some("OPENROUTER_API_KEY"),
            Self::Ollama | Self::Offline => None,
        }
    }

    /// The environment variable with the address of another server.
    pub fn base_url_variable(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("OPENAI_BASE_URL"),
            Self::Anthropic => Some("ANTHROPIC_BASE_URL"),
            Self::Google => Some("GEMINI_BASE_URL"),
            Self::Xai => Some("XAI_BASE_URL"),
            Self::Groq => Some("GROQ_BASE_URL"),
            Self::Mistral => Some("MISTRAL_BASE_URL"),
            Self::OpenRouter => Some("OPENROUTER_BASE_URL"),
            Self::Ollama => Some("OLLAMA_BASE_URL"),
            Self::Offline => None,
        }
    }

    /// Whether the provider's own server requires a key. (A compatible server may not: see
    /// [`LlmClient::configured`](crate::LlmClient::configured).)
    pub fn needs_key(self) -> bool {
        self.key_variable().is_some()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Provider {
    type Err = ModelError;

    /// Reads a provider's name in any case; `gemini` is another name of `google`.
    fn from_str(text: &str) -> Result<Self, ModelError> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("gemini") {
            return Ok(Self::Google);
        }
        Self::ALL
            .into_iter()
            .find(|provider| text.eq_ignore_ascii_case(provider.as_str()))
            .ok_or_else(|| ModelError::UnknownProvider(text.to_owned()))
    }
}

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// The provider.
    pub provider: Provider,
    /// The provider's own name for it.
    pub name: String,
}

impl ModelRef {
    /// A model by its provider and the provider's own name.
    pub fn new(provider: Provider, name: impl Into<String>) -> Self {
        Self { provider, name: name.into() }
    }

    /// Reads `model` or `provider/model` (docs/CONFIGURATION.md, `LLM_PROVIDER`): a first part
    /// that names a known provider is the provider, anything else belongs to the model's name.
    ///
    /// OpenRouter's own names look like `openai/gpt-4o`, so where it is the default provider the whole
    /// text is the name, and `provider:model` selects another provider. Elsewhere a colon belongs to
    /// the name, as in Ollama's `mistral:7b`.
    ///
    /// # Errors
    /// When the name is empty or contains characters that no model name has. (Names become part of a
    /// URL at some providers, and callers of the daemon may choose one.)
    pub fn parse(text: &str, default_provider: Provider) -> Result<Self, ModelError> {
        let model = Self::parse_pattern(text, default_provider)?;
        if model.name.contains('*') {
            return Err(ModelError::BadName(model.name));
        }
        Ok(model)
    }

    /// As [`Self::parse`], of a name in which `*` may stand for anything.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_pattern(text: &str, default_provider: Provider) -> Result<Self, ModelError> {
        let text = text.trim();
        let separator = if default_provider == Provider::OpenRouter { ':' } else { '/' };
        let (provider, name) = text
            .split_once(separator)
            .and_then(|(first, rest)| Some((first.parse::<Provider>().ok()?, rest)))
            .unwrap_or((default_provider, text));
        if name.is_empty() {
            return Err(ModelError::Empty);
        }
        if !is_plausible(&name.replace('*', "x")) {
            return Err(ModelError::BadName(name.chars().take(MAX_NAME_LEN).collect()));
        }
        Ok(Self::new(provider, name))
    }
}

impl ModelRef {
    /// Whether it is one that a pattern means: of the same provider, with a name in which `*` may stand for
    /// anything.
    pub fn fits(&self, pattern: &Self) -> bool {
        self.provider == pattern.provider && fits(&pattern.name, &self.name)
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.name)
    }
}

/// Whether a name is safe in a URL and in a log line.
fn is_plausible(name: &str) -> bool {
    name.len() <= MAX_NAME_LEN
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/@+~".contains(&b))
        && name.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Why a text is not a model name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// There is no name, or only a provider.
    #[error("the model name is empty")]
    Empty,
    /// The name contains characters that no model name has.
    #[error("'{0}' is not a model name: it may have letters, digits and -_.:/@+~, at most 200")]
    BadName(String),
    /// No provider has this name.
    #[error(
        "'{0}' is not a provider; the providers are openai, anthropic, google, xai, groq, mistral, \
         openrouter, ollama and offline"
    )]
    UnknownProvider(String),
}

/// A class of models by quality and price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// `LLM_MODEL_DEFAULT`.
    #[default]
    Default,
    /// `LLM_MODEL_CHEAP`, else the default.
    Cheap,
    /// `LLM_MODEL_BEST`, else the default.
    Best,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_first_part_is_the_provider_and_anything_else_is_part_of_the_name() {
        use Provider::{Anthropic, Google, Groq, Mistral, Ollama, OpenAi, OpenRouter};
        for (text, default, provider, name) in [
            ("gpt-4o-mini", OpenAi, OpenAi, "gpt-4o-mini"),
            ("anthropic/claude-sonnet-4-5", OpenAi, Anthropic, "claude-sonnet-4-5"),
            ("gemini/gemini-2.5-flash", OpenAi, Google, "gemini-2.5-flash"),
            ("Google/gemini-2.5-flash", OpenAi, Google, "gemini-2.5-flash"),
            ("meta-llama/Llama-3.3-70B", OpenAi, OpenAi, "meta-llama/Llama-3.3-70B"),
            ("groq/openai/gpt-oss-120b", OpenAi, Groq, "openai/gpt-oss-120b"),
            ("openrouter/openai/gpt-4o", OpenAi, OpenRouter, "openai/gpt-4o"),
            ("mistral:7b", Ollama, Ollama, "mistral:7b"),
            ("ollama/llama3.2:3b", OpenAi, Ollama, "llama3.2:3b"),
            (" claude-x ", Anthropic, Anthropic, "claude-x"),
            // With OpenRouter as the default the whole text is its name for the model …
            ("openai/gpt-4o", OpenRouter, OpenRouter, "openai/gpt-4o"),
            ("meta-llama/llama-3:free", OpenRouter, OpenRouter, "meta-llama/llama-3:free"),
            ("openrouter/auto", OpenRouter, OpenRouter, "openrouter/auto"),
            // … and a colon selects another provider.
            ("mistral:mistral-large-latest", OpenRouter, Mistral, "mistral-large-latest"),
            ("gemini:gemini-2.5-pro", OpenRouter, Google, "gemini-2.5-pro"),
        ] {
            assert_eq!(ModelRef::parse(text, default), Ok(ModelRef::new(provider, name)), "{text}");
        }
    }

    #[test]
    fn a_text_that_names_no_model_is_refused() {
        for text in ["", "  ", "openai/"] {
            assert_eq!(ModelRef::parse(text, Provider::OpenAi), Err(ModelError::Empty), "{text}");
        }
        for text in ["a b", "../x", "a/../b", "a?b", "a#b", "a//b", "ü", &"x".repeat(201)] {
            let refused = ModelRef::parse(text, Provider::Google);
            assert!(matches!(refused, Err(ModelError::BadName(_))), "{text}");
        }
    }

    #[test]
    fn every_provider_is_read_by_its_own_name() {
        for provider in Provider::ALL {
            assert_eq!(provider.as_str().parse(), Ok(provider));
            let json = serde_json::to_string(&provider).unwrap();
            assert_eq!(json, format!("\"{provider}\""));
        }
        assert!("open-ai".parse::<Provider>().is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            for provider in Provider::ALL {
                if let Ok(model) = ModelRef::parse(&text, provider) {
                    proptest::prop_assert!(!model.name.is_empty());
                }
            }
        }
    }
}

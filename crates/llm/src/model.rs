//! `provider/model` names, tiers, context windows and prices.

use serde::{Deserialize, Serialize};

/// A provider of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// OpenAI, and every server that speaks its protocol.
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

/// A model of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// Who offers it.
    pub provider: Provider,
    /// The provider's own name for it.
    pub name: String,
}

//! Settings of the client: models, servers, keys, retries and timeouts.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::model::{ModelRef, Provider};

/// The settings of an [`LlmClient`](crate::LlmClient).
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// The model of the default tier.
    pub default: ModelRef,
    /// The model of the cheap tier; the default model when `None`.
    pub cheap: Option<ModelRef>,
    /// The model of the best tier; the default model when `None`.
    pub best: Option<ModelRef>,
    /// The fallback model, called when the requested one fails.
    pub fallback: Option<ModelRef>,
    /// Which of OpenAI's two protocols is used with it.
    pub openai_api: OpenAiApi,
    /// Servers and keys; a provider that is not listed has its default server and no key.
    pub endpoints: HashMap<Provider, Endpoint>,
    /// Retries.
    pub retry: RetrySettings,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// The script of the offline provider; the built-in one when `None`.
    pub offline_script: Option<PathBuf>,
    /// The folder to record each exchange to.
    pub record_dir: Option<PathBuf>,
    /// The folder to replay recorded answers from, instead of calling providers.
    pub replay_dir: Option<PathBuf>,
    /// Models that read images, beside those of the built-in table; `*` in a name stands for anything.
    pub image_models: Vec<ModelRef>,
    /// Models that read PDFs, likewise.
    pub pdf_models: Vec<ModelRef>,
}

impl LlmSettings {
    /// Settings with one model, and defaults for the rest.
    pub fn new(default: ModelRef) -> Self {
        Self {
            default,
            cheap: None,
            best: None,
            fallback: None,
            openai_api: OpenAiApi::default(),
            endpoints: HashMap::new(),
            retry: RetrySettings::default(),
            timeouts: Timeouts::default(),
            offline_script: None,
            record_dir: None,
            replay_dir: None,
            image_models: Vec::new(),
            pdf_models: Vec::new(),
        }
    }
}

/// OpenAI's protocols (`OPENAI_API`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenAiApi {
    /// Chat Completions, which every compatible server supports.
    #[default]
    Chat,
    /// Responses.
    Responses,
}

/// A provider's server and key.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// The address as the provider's own SDK takes it: OpenAI-style ones end in `/v1`, Anthropic's
    /// and Gemini's do not. The provider's default server when `None`.
    pub base_url: Option<String>,
    /// The API key.
    pub api_key: Option<SecretString>,
}

/// When and how often a failed call is retried (docs/RUNS.md, "LLM calls").
#[derive(Debug, Clone)]
pub struct RetrySettings {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The delay before the second attempt; doubles with each further one.
    pub delay: Duration,
    /// The longest delay of the backoff. (A provider's `Retry-After` may be longer.)
    pub max_delay: Duration,
    /// The jitter: by which fraction of itself a delay may be shorter or longer, 0 to 1.
    pub jitter: f64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(30),
            jitter: 0.1,
        }
    }
}

/// Timeouts of one attempt. The connect timeout is the HTTP client's own.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From sending the request to the response's headers, and from those to the first byte of its
    /// body.
    pub first_byte: Duration,
    /// The longest pause between two chunks of the response. Some servers send nothing while the
    /// model writes a tool call, and a sign of life every 30 seconds.
    pub idle: Duration,
    /// The limit of the sum of all delays between the attempts of one call.
    pub waits_total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            waits_total: Duration::from_secs(60),
        }
    }
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LlmConfigError {
    /// An address is not valid.
    #[error("{variable} is not an http or https address: {reason}")]
    BaseUrl {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong. Never the address, which may contain a password.
        reason: String,
    },
    /// A key contains characters that no HTTP header may have.
    #[error("{variable} contains characters that an API key cannot have (perhaps a line break)")]
    Key {
        /// The environment variable.
        variable: &'static str,
    },
    /// The offline script cannot be used.
    #[error("LLM_OFFLINE_SCRIPT: {0}")]
    OfflineScript(String),
    /// The folder of recorded answers cannot be used.
    #[error("{0}")]
    Recordings(String),
    /// Answers are either recorded or replayed.
    #[error("LLM_RECORD_DIR and LLM_REPLAY_DIR are both set; set only one of them")]
    RecordAndReplay,
    /// The built-in table of models cannot be read, which is a bug.
    #[error("the built-in table of models cannot be read: {0}")]
    Catalog(String),
}

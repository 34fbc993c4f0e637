//! What the client must be told: models, servers, keys, and how patient it is.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::model::{ModelRef, Provider};

/// Everything that an [`LlmClient`](crate::LlmClient) needs to know.
#[derive(Debug, Clone)]
pub struct LlmSettings {
    /// The model of the default tier.
    pub default: ModelRef,
    /// The model of the cheap tier; the default's when absent.
    pub cheap: Option<ModelRef>,
    /// The model of the best tier; the default's when absent.
    pub best: Option<ModelRef>,
    /// The model to ask when the one that was asked for cannot answer.
    pub fallback: Option<ModelRef>,
    /// Which of OpenAI's two protocols is spoken with it.
    pub openai_api: OpenAiApi,
    /// Servers and keys; a provider that is missing has its own server and no key.
    pub endpoints: HashMap<Provider, Endpoint>,
    /// Retries.
    pub retry: RetrySettings,
    /// Time limits.
    pub timeouts: Timeouts,
    /// The script of the offline provider; the built-in one when absent.
    pub offline_script: Option<PathBuf>,
    /// Where each exchange is written down.
    pub record_dir: Option<PathBuf>,
    /// Where answers come from instead of from providers.
    pub replay_dir: Option<PathBuf>,
}

impl LlmSettings {
    /// One model, and defaults for the rest.
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
        }
    }
}

/// OpenAI's protocols (`OPENAI_API`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenAiApi {
    /// Chat Completions, which every compatible server speaks too.
    #[default]
    Chat,
    /// Responses.
    Responses,
}

/// A provider's server and key.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// The address as the provider's own SDK takes it: OpenAI-style ones end in `/v1`, Anthropic's
    /// and Gemini's do not. The provider's own server when absent.
    pub base_url: Option<String>,
    /// The key.
    pub api_key: Option<SecretString>,
}

/// When and how often a call is tried again (docs/RUNS.md, "LLM calls").
#[derive(Debug, Clone)]
pub struct RetrySettings {
    /// Tries altogether, the first included; at least 1.
    pub attempts: u32,
    /// The wait before the second try; it doubles from there.
    pub delay: Duration,
    /// The longest wait of the client's own choice. (A provider's `Retry-After` may be longer.)
    pub max_delay: Duration,
    /// By which fraction of itself a wait may be shorter or longer, 0 to 1.
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

/// Time limits of one try. The limit on the connection is the HTTP client's own.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// From the request to the first byte of the answer's body.
    pub first_byte: Duration,
    /// Silence between two pieces of the answer.
    pub idle: Duration,
    /// All waits between the tries of one call together.
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

/// A setting that no client can be built from.
#[derive(Debug, thiserror::Error)]
pub enum LlmConfigError {
    /// An address is none.
    #[error("{variable} is no http or https address: {reason}")]
    BaseUrl {
        /// The variable that holds it.
        variable: &'static str,
        /// What is wrong. Never the address, which may hold a password.
        reason: String,
    },
    /// A key holds characters that no HTTP header may have.
    #[error("{variable} holds characters that no key has (a line break, perhaps)")]
    Key {
        /// The variable that holds it.
        variable: &'static str,
    },
    /// The offline script cannot be used.
    #[error("LLM_OFFLINE_SCRIPT: {0}")]
    OfflineScript(String),
    /// A folder of recorded answers cannot be used.
    #[error("{0}")]
    Recordings(String),
    /// Answers can be recorded or replayed, not both.
    #[error("LLM_RECORD_DIR and LLM_REPLAY_DIR are both set; leave one out")]
    RecordAndReplay,
    /// The built-in table of models cannot be read, which is a fault of the program.
    #[error("the built-in table of models cannot be read: {0}")]
    Catalog(String),
}

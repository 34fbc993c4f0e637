//! Why a model call failed.

use std::time::Duration;

use crate::model::Provider;

/// The kinds of failure that a caller may want to distinguish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LlmErrorKind {
    /// The provider needs a key and none is set. Holds the name of the environment variable.
    NotConfigured {
        /// The variable to set, such as `OPENAI_API_KEY`.
        variable: &'static str,
    },
    /// The provider refused the key, or what it may do. Holds the name of the environment variable.
    Auth {
        /// The variable that holds the key; `None` where the provider takes no key.
        variable: Option<&'static str>,
    },
    /// Overloaded, rate limited, unreachable or timed out, after all retries and the fallback.
    Unavailable,
    /// The account's quota, credit or spending limit is used up; retrying does not help.
    QuotaExhausted,
    /// The provider rejected the request as invalid: a parameter, a schema, the order of messages. The
    /// message has its own sentence.
    InvalidRequest,
    /// The provider rejected the request for a reason that is not known here, or does not serve this
    /// model or region; the message has its own sentence.
    Rejected,
    /// The conversation exceeds the model's context window, or the account's limit for one request.
    ContextTooLong,
    /// A content filter blocked the prompt.
    ContentFiltered,
    /// The answer could not be understood, or a stream broke off after its first text.
    BadAnswer,
    /// The model went on calling tools although none was allowed.
    ForbiddenCall,
}

/// A failure of one call, after retries and fallback.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct LlmError {
    /// The kind of failure.
    pub kind: LlmErrorKind,
    /// A sentence for the caller, with the provider's own words where they help: no key.
    pub message: String,
    /// The cause, for the log: never a key.
    pub cause: String,
    /// The provider that failed last.
    pub provider: Provider,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// How long the provider asks to wait before the next call.
    pub retry_after: Option<Duration>,
}

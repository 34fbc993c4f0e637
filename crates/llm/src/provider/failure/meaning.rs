//! What an error of a provider means, and what follows from it.

use crate::error::LlmErrorKind;
use crate::model::Provider;

/// What an error means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The account's credit, quota or spending limit is used up.
    Spent,
    /// The key is wrong, or may not do this.
    KeyRefused,
    /// The provider does not serve the region that the request came from.
    RegionRefused,
    /// There is no such model, or not for this account.
    ModelUnavailable,
    /// Too many requests or tokens at a time; a wait helps.
    RateLimited,
    /// One request is larger than all that the account may send in a minute: no wait helps.
    RequestTooLarge,
    /// The conversation is larger than the model's context window.
    ContextTooLong,
    /// The provider is overloaded or broken.
    Overloaded,
    /// The provider gave up on its own model.
    TimedOut,
    /// A content filter refused the request.
    Filtered,
    /// The model generated something that its own server cannot use; the next sample may be better.
    BadSample,
    /// The schema of a tool is refused.
    ToolSchemaRefused,
    /// The schema of the answer, or any, is refused.
    AnswerSchemaRefused,
    /// A parameter is refused, or its value.
    ParameterRefused,
    /// Thoughts that were sent back are refused: they were another model's, or what stood before them
    /// has changed.
    ThoughtsRefused,
    /// An image or a document is refused, or any.
    MediaRefused,
    /// The request is malformed in another way.
    Malformed,
    /// The table does not know it.
    Unknown,
}

impl Meaning {
    /// The kind of failure, and whether a retry of the same request may succeed. `status` decides
    /// where the meaning is not known, and without one, whether the provider said anything at all.
    pub(super) fn kind(
        self,
        provider: Provider,
        status: Option<u16>,
        is_silent: bool,
    ) -> (LlmErrorKind, bool) {
        match self {
            Self::Spent => (LlmErrorKind::QuotaExhausted, false),
            Self::KeyRefused => (LlmErrorKind::Auth { variable: provider.key_variable() }, false),
            Self::RegionRefused | Self::ModelUnavailable => (LlmErrorKind::Rejected, false),
            Self::RateLimited | Self::Overloaded | Self::TimedOut => {
                (LlmErrorKind::Unavailable, true)
            }
            Self::RequestTooLarge | Self::ContextTooLong => (LlmErrorKind::ContextTooLong, false),
            Self::Filtered => (LlmErrorKind::ContentFiltered, false),
            Self::BadSample => (LlmErrorKind::BadAnswer, true),
            Self::ToolSchemaRefused
            | Self::AnswerSchemaRefused
            | Self::ParameterRefused
            | Self::ThoughtsRefused
            | Self::MediaRefused
            | Self::Malformed => (LlmErrorKind::InvalidRequest, false),
            Self::Unknown => match status {
                // An error in a success that says nothing is the server's fault.
                None if is_silent => (LlmErrorKind::Unavailable, true),
                None => (LlmErrorKind::Rejected, false),
                Some(408 | 409 | 429 | 500 | 502 | 503 | 504 | 529) => {
                    (LlmErrorKind::Unavailable, true)
                }
                Some(501 | 505..=599) => (LlmErrorKind::Unavailable, false),
                Some(_) => (LlmErrorKind::Rejected, false),
            },
        }
    }

    /// The status that stands for the meaning of an error in a success.
    pub(super) fn status(self) -> Option<u16> {
        Some(match self {
            Self::Spent => 402,
            Self::KeyRefused => 401,
            Self::RegionRefused => 403,
            Self::ModelUnavailable => 404,
            Self::RateLimited => 429,
            Self::RequestTooLarge | Self::ContextTooLong => 413,
            Self::Overloaded => 529,
            Self::TimedOut => 504,
            Self::Filtered
            | Self::ToolSchemaRefused
            | Self::AnswerSchemaRefused
            | Self::ParameterRefused
            | Self::ThoughtsRefused
            | Self::MediaRefused
            | Self::Malformed => 400,
            Self::BadSample | Self::Unknown => return None,
        })
    }
}

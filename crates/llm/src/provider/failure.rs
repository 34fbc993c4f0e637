//! A failed attempt: what it means, whether a retry may help, and the texts for caller and log.

mod delay;
mod details;
mod meaning;
mod pattern;
mod secrets;
mod sentence;
mod table;

use std::time::{Duration, SystemTime};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use outbound::SendError;
use reqwest::Url;
use serde_json::Value;

use self::details::ErrorDetails;
pub(super) use self::meaning::Meaning;
use crate::error::{LlmError, LlmErrorKind};
use crate::model::Provider;

/// The most characters of a provider's own sentence.
const MAX_SENTENCE_CHARS: usize = 400;
/// The most characters of a finish reason that is not known.
const MAX_REASON_CHARS: usize = 64;

/// How the cause begins where TLS failed.
const INSECURE: &str = "no secure connection: ";

/// A failed attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) kind: LlmErrorKind,
    /// Whether a retry of the same request may succeed.
    pub(crate) retryable: bool,
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<Duration>,
    /// The provider's error code, such as `unsupported_parameter`.
    pub(crate) code: Option<String>,
    /// For the log.
    pub(crate) cause: String,
    /// The address to which no connection could be made, without a password or a query.
    pub(crate) unreachable: Option<Box<str>>,
    /// What the provider itself said; `None` where the failure is not its word.
    pub(crate) stated: Option<Box<Stated>>,
}

/// An error by a provider's own account.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stated {
    meaning: Meaning,
    /// The parameter that it refuses, such as `temperature`.
    param: Option<String>,
    /// Its sentence, without secrets; empty where it said nothing.
    sentence: String,
}

/// How a connection failed.
struct Lost<'a> {
    is_invalid: bool,
    is_connect: bool,
    is_timeout: bool,
    cause: Option<&'a (dyn std::error::Error + 'static)>,
    url: Option<&'a Url>,
}

impl Failure {
    /// A failure without an HTTP status.
    pub(crate) fn new(kind: LlmErrorKind, cause: impl Into<String>) -> Self {
        let retryable = kind == LlmErrorKind::Unavailable;
        Self {
            kind,
            retryable,
            status: None,
            retry_after: None,
            code: None,
            cause: cause.into(),
            unreachable: None,
            stated: None,
        }
    }

    /// Unreachable, too slow, or disconnected: a retry may help.
    pub(crate) fn unavailable(cause: impl Into<String>) -> Self {
        Self::new(LlmErrorKind::Unavailable, cause)
    }

    /// The provider's key is not set.
    pub(crate) fn not_configured(variable: &'static str) -> Self {
        Self::new(LlmErrorKind::NotConfigured { variable }, format!("{variable} is not set"))
    }

    /// A stream that ended before its answer did.
    pub(crate) fn cut_off() -> Self {
        Self::unavailable("the stream ended before the answer was complete")
    }

    /// A failure of the connection. Its text does not contain the URL, which might contain a password.
    pub(crate) fn of_reqwest(error: &reqwest::Error) -> Self {
        Self::lost(&Lost {
            is_invalid: error.is_builder(),
            is_connect: error.is_connect(),
            is_timeout: error.is_timeout(),
            cause: std::error::Error::source(error),
            url: error.url(),
        })
    }

    /// The same for a request without an answer.
    pub(crate) fn unsent(error: &SendError) -> Self {
        Self::lost(&Lost {
            is_invalid: error.is_invalid(),
            is_connect: error.is_connect(),
            is_timeout: error.is_timeout(),
            cause: error.cause(),
            url: error.url(),
        })
    }

    fn lost(error: &Lost<'_>) -> Self {
        if error.is_invalid {
            return Self::new(
                LlmErrorKind::InvalidRequest,
                "the request is invalid and was not sent",
            );
        }
        let what = if error.is_connect {
            "connection failed"
        } else if error.is_timeout {
            "timeout"
        } else {
            "connection lost"
        };
        // The innermost source has the reason (refused, no such host, reset); the error itself has the
        // URL.
        let cause = error.cause.map(shown::cause);
        if let Some(cause) = cause.as_ref().filter(|cause| cause.is_tls()) {
            // Somebody has to put it right.
            return Self { retryable: false, ..Self::unavailable(format!("{INSECURE}{cause}")) };
        }
        let cause = match cause {
            Some(cause) if error.is_connect => cause.to_string(),
            Some(cause) => format!("{what}: {cause}"),
            None => what.to_owned(),
        };
        let address = error.url.filter(|_| error.is_connect);
        let unreachable = address.map(|url| shown::url(url.as_str()).to_string().into());
        Self { unreachable, ..Self::unavailable(cause) }
    }

    /// An answer that cannot be parsed.
    pub(crate) fn bad_answer(cause: impl Into<String>) -> Self {
        Self::new(LlmErrorKind::BadAnswer, cause)
    }

    /// An answer that ended in a way that its protocol does not call good, such as `network_error`.
    /// It may be better the next time.
    pub(crate) fn bad_end(reason: &str) -> Self {
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let failure = Self::bad_answer(format!("the answer ended with {reason:?}"));
        Self { retryable: true, code: Some(reason), ..failure }
    }

    /// An answer that is no JSON: it broke off, or something on the way did not let it through whole.
    /// It may be better the next time.
    pub(crate) fn garbled(cause: &str) -> Self {
        Self { retryable: true, ..Self::bad_answer(cause) }
    }

    /// A response with an error status.
    pub(crate) fn of_response(
        provider: Provider,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let now = SystemTime::now();
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // Every provider says in JSON that it refuses a key; a page comes from what stands before it.
        if matches!(status.as_u16(), 401 | 403 | 407 | 511) && shown::is_page(kind, body) {
            let page = secrets::scrubbed(&shown::page(kind, body), MAX_SENTENCE_CHARS);
            let cause = format!(
                "answered by something in between ({page}), with status {}",
                status.as_u16()
            );
            let retry_after = retry::retry_after(headers, now);
            let status = Some(status.as_u16());
            return Self { retryable: false, status, retry_after, ..Self::unavailable(cause) };
        }
        let details = ErrorDetails::parse(body);
        let wait = retry::retry_after(headers, now).or(details.retry_after);
        let failure = Self::of_details(provider, Some(status.as_u16()), details);
        // The time at which a limit is renewed says nothing about other failures.
        let reset = || delay::of_headers(headers, now).filter(|_| status == 429);
        Self { retry_after: wait.or_else(reset), ..failure }
    }

    /// An error in the body or an event of a success: `error` is its object, or that which holds it.
    pub(crate) fn of_error_object(provider: Provider, error: &Value) -> Self {
        Self::of_details(provider, None, ErrorDetails::of_object(error))
    }

    /// The parameter that an error's body names, and its messages, without what they repeat of the
    /// request.
    pub(super) fn lines_of(body: &[u8]) -> String {
        ErrorDetails::parse(body).lines()
    }

    /// A failure that the offline script plays.
    pub(crate) fn scripted(status: u16, retry_after: Option<Duration>) -> Self {
        let failure = Self::of_details(Provider::Offline, Some(status), ErrorDetails::default());
        Self { retry_after, ..failure }
    }

    fn of_details(provider: Provider, status: Option<u16>, details: ErrorDetails) -> Self {
        let meaning = table::meaning(provider, status, &details);
        let stated = status.or(details.statuses.first().copied());
        let is_silent = details.codes.is_empty() && details.texts.is_empty();
        let (kind, retryable) = meaning.kind(provider, stated, is_silent);
        // What was refused within a success, and nobody knows why, came with the status of one.
        let unknown = if kind == LlmErrorKind::Rejected { 200 } else { 500 };
        let status = stated.or_else(|| meaning.status()).unwrap_or(unknown);
        let words = details.codes.iter().map(|word| word.trim_start_matches(details::BASE_RESP));
        let code = words.filter(|word| is_code(word)).map(str::to_owned).next();
        let said = secrets::scrubbed(&details.sentence(), MAX_SENTENCE_CHARS);
        let cause = match (&code, said.as_str()) {
            (Some(code), "") => format!("HTTP {status} ({code})"),
            (Some(code), said) => format!("HTTP {status} ({code}): {said}"),
            (None, "") => format!("HTTP {status}"),
            (None, said) => format!("HTTP {status}: {said}"),
        };
        Self {
            kind,
            retryable,
            status: Some(status),
            retry_after: details.retry_after,
            code,
            unreachable: None,
            cause,
            stated: Some(Box::new(Stated { meaning, param: details.param, sentence: said })),
        }
    }

    /// What the provider's error means.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        self.stated.as_ref().map(|stated| stated.meaning)
    }

    /// The parameter that the provider refuses.
    pub(super) fn param(&self) -> Option<&str> {
        self.stated.as_ref()?.param.as_deref()
    }

    /// The provider's own sentence; empty where it said nothing.
    pub(super) fn said(&self) -> &str {
        self.stated.as_ref().map_or("", |stated| &stated.sentence)
    }

    /// Whether another model may succeed at once where this one failed for good. A conversation that is
    /// too long, or filtered, mostly fails there, too.
    pub(crate) fn may_succeed_elsewhere(&self) -> bool {
        match self.kind {
            LlmErrorKind::NotConfigured { .. }
            | LlmErrorKind::Auth { .. }
            | LlmErrorKind::Unavailable
            | LlmErrorKind::QuotaExhausted
            | LlmErrorKind::InvalidRequest
            | LlmErrorKind::Rejected
            | LlmErrorKind::BadAnswer
            | LlmErrorKind::ForbiddenCall => true,
            // The limit of a minute is the account's, not the model's.
            LlmErrorKind::ContextTooLong => self.meaning() == Some(Meaning::RequestTooLarge),
            LlmErrorKind::ContentFiltered => false,
        }
    }

    /// Removes a secret that the server repeated.
    pub(super) fn without_secret(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.cause = self.cause.replace(secret, "[key]");
            if let Some(stated) = &mut self.stated {
                stated.sentence = stated.sentence.replace(secret, "[key]");
            }
        }
        self
    }

    /// The numbers in the provider's sentence.
    pub(super) fn numbers(&self) -> Vec<u64> {
        pattern::numbers(self.said()).collect()
    }

    /// The number behind one of these words in the provider's sentence.
    pub(super) fn number_after(&self, words: &[&str]) -> Option<u64> {
        pattern::number_after(&pattern::normalized(self.said()), words)
    }

    /// Whether the provider's sentence contains a phrase.
    pub(super) fn says(&self, phrase: &str) -> bool {
        pattern::contains(&pattern::normalized(self.said()), phrase)
    }

    /// The error that the caller gets.
    pub(crate) fn into_error(self, provider: Provider) -> LlmError {
        let message = sentence::of(&self, provider);
        LlmError {
            kind: self.kind,
            message,
            cause: self.cause,
            provider,
            status: self.status,
            retry_after: self.retry_after,
        }
    }
}

/// Whether a text is a code, and not a message that might contain something secret.
fn is_code(word: &str) -> bool {
    word.len() <= 64
        && word.bytes().all(|b| {
            b.is_ascii_lowercase()
                || b.is_ascii_digit() && word.len() <= 4
                || b == b'_'
                || b == b'.'
        })
}

#[cfg(test)]
mod tests;

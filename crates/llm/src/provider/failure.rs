//! A failed attempt: its kind, whether a retry may help, and the texts for caller and log.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::error::{LlmError, LlmErrorKind};
use crate::model::Provider;

/// The most characters of a provider's message in a cause.
const MAX_CAUSE_CHARS: usize = 400;
/// The most characters of a finish reason that is not known.
const MAX_REASON_CHARS: usize = 64;

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
}

impl Failure {
    /// A failure without an HTTP status.
    pub(crate) fn new(kind: LlmErrorKind, cause: impl Into<String>) -> Self {
        let retryable = kind == LlmErrorKind::Unavailable;
        Self { kind, retryable, status: None, retry_after: None, code: None, cause: cause.into() }
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
        if error.is_builder() {
            return Self::new(
                LlmErrorKind::InvalidRequest,
                "the request is invalid and was not sent",
            );
        }
        let what = if error.is_connect() {
            "connection failed"
        } else if error.is_timeout() {
            "timeout"
        } else {
            "connection lost"
        };
        // The innermost source has the reason (refused, no such host, reset); the error itself has the
        // URL.
        let mut cause = what.to_owned();
        let mut source = std::error::Error::source(error);
        while let Some(inner) = source {
            cause = format!("{what}: {inner}");
            source = inner.source();
        }
        Self::unavailable(cause)
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

    /// A response with an error status.
    pub(crate) fn of_response(
        provider: Provider,
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Self {
        let details = ErrorDetails::parse(body);
        let retry_after = retry::retry_after(headers, SystemTime::now()).or(details.retry_after);
        Self { retry_after, ..classify(provider, status.as_u16(), &details) }
    }

    /// An error in the body or an event of a success: `error` is its object.
    pub(crate) fn of_error_object(provider: Provider, error: &Value) -> Self {
        let details = ErrorDetails::of_object(error);
        let status = details.status.unwrap_or_else(|| status_of_codes(&details.codes));
        Self { retry_after: details.retry_after, ..classify(provider, status, &details) }
    }

    /// A failure that the offline script plays.
    pub(crate) fn scripted(status: u16, retry_after: Option<Duration>) -> Self {
        Self { retry_after, ..classify(Provider::Offline, status, &ErrorDetails::default()) }
    }

    /// The error that the caller gets.
    pub(crate) fn into_error(self, provider: Provider) -> LlmError {
        let message = sentence(&self, provider);
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

/// The details of an error's body.
#[derive(Debug, Default)]
struct ErrorDetails {
    /// The status in the body itself.
    status: Option<u16>,
    /// Codes and types, in lower case.
    codes: Vec<String>,
    /// The message.
    message: String,
    retry_after: Option<Duration>,
}

impl ErrorDetails {
    fn parse(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(body) => Self::of_object(&body),
            Err(_) => {
                Self { message: String::from_utf8_lossy(body).into_owned(), ..Self::default() }
            }
        }
    }

    /// Parses the shapes in use: `{"error": {message, type, code, status}}`, the same as the first
    /// item of a list, the inner object alone, and `{"error": "message"}`.
    fn of_object(body: &Value) -> Self {
        let body = body.as_array().and_then(|items| items.first()).unwrap_or(body);
        let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
        let message = error
            .as_str()
            .or_else(|| error.get("message").and_then(Value::as_str))
            .or_else(|| error.get("detail").and_then(Value::as_str))
            .unwrap_or_default();
        let reasons = error.get("details").and_then(Value::as_array).into_iter().flatten();
        let codes = [error.get("code"), error.get("type"), error.get("status")]
            .into_iter()
            .chain(reasons.map(|detail| detail.get("reason")))
            .filter_map(|value| value?.as_str())
            .map(str::to_lowercase)
            .collect();
        let number = |value: &Value| value.as_u64().and_then(|n| u16::try_from(n).ok());
        let status =
            error.get("code").and_then(number).or_else(|| error.get("status").and_then(number));
        Self {
            status: status.filter(|status| (400..600).contains(status)),
            codes,
            message: message.to_owned(),
            retry_after: google_retry_delay(error),
        }
    }

    fn has_code(&self, codes: &[&str]) -> bool {
        self.codes.iter().any(|code| codes.contains(&code.as_str()))
    }

    fn says(&self, lower: &str, phrases: &[&str]) -> bool {
        phrases.iter().any(|phrase| lower.contains(phrase))
    }
}

/// The `retryDelay` of a Google error (`google.rpc.RetryInfo`), such as `"34.5s"`.
fn google_retry_delay(error: &Value) -> Option<Duration> {
    error
        .get("details")?
        .as_array()?
        .iter()
        .find_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s'))
        .and_then(retry::retry_after_seconds)
}

/// The status that matches the codes of an error without one.
fn status_of_codes(codes: &[String]) -> u16 {
    let has = |wanted: &[&str]| codes.iter().any(|code| wanted.contains(&code.as_str()));
    if has(&["overloaded_error"]) {
        529
    } else if has(&["rate_limit_error", "rate_limit_exceeded", "resource_exhausted"]) {
        429
    } else if has(&["authentication_error", "permission_error", "invalid_api_key"]) {
        401
    } else if has(&["invalid_request_error", "invalid_prompt", "not_found_error"]) {
        400
    } else {
        // An error in a success without a known code is the server's fault.
        500
    }
}

/// Classifies an error. The codes and phrases are those of the providers' API references and of real
/// answers.
fn classify(provider: Provider, status: u16, details: &ErrorDetails) -> Failure {
    let lower = details.message.to_lowercase();
    let quota = details.has_code(&["insufficient_quota", "billing_error", "payment_required"])
        || status == 402
        || details.says(&lower, &["credit balance is too low", "insufficient credits"])
        // Gemini sends this for its rate limits, too, and then with a delay.
        || (details.retry_after.is_none() && details.says(&lower, &["exceeded your current quota"]));
    let too_long = status == 413 && details.has_code(&["request_too_large"])
        || details.has_code(&["context_length_exceeded", "context_window_exceeded"])
        || details.says(
            &lower,
            &[
                "prompt is too long",
                "maximum context length",
                "context length exceeded",
                "exceeds the context window",
                "exceed the context window",
                "input is too long",
                "exceeds the maximum number of tokens",
                "exceeds the available context size",
                "reduce the length of the messages",
            ],
        );
    let filtered = details.has_code(&[
        "content_filter",
        "content_policy_violation",
        "responsibleaipolicyviolation",
        "safety",
    ]) || details.says(
        &lower,
        &[
            "content management policy",
            "content_filter",
            "responsibleai",
            "safety system",
            "content filtering policy",
            "requires moderation",
        ],
    );
    let bad_key = matches!(status, 401 | 403)
        || details.has_code(&["api_key_invalid", "invalid_api_key"])
        || details.says(&lower, &["incorrect api key", "api key not valid"]);

    let (kind, retryable) = match status {
        400 | 402 | 403 | 413 | 422 | 429 if quota => (LlmErrorKind::QuotaExhausted, false),
        400 | 413 | 422 if too_long => (LlmErrorKind::ContextTooLong, false),
        400 | 403 | 422 if filtered => (LlmErrorKind::ContentFiltered, false),
        400 | 401 | 403 if bad_key => {
            (LlmErrorKind::Auth { variable: provider.key_variable() }, false)
        }
        408 | 409 | 429 | 500 | 502 | 503 | 504 | 529 => (LlmErrorKind::Unavailable, true),
        501 | 505..=599 => (LlmErrorKind::Unavailable, false),
        _ => (LlmErrorKind::InvalidRequest, false),
    };
    let code = details.codes.first().filter(|word| is_code(word)).cloned();
    let text: String = details.message.chars().take(MAX_CAUSE_CHARS).collect();
    let cause = match (&code, text.trim()) {
        (Some(code), "") => format!("HTTP {status} ({code})"),
        (Some(code), text) => format!("HTTP {status} ({code}): {text}"),
        (None, "") => format!("HTTP {status}"),
        (None, text) => format!("HTTP {status}: {text}"),
    };
    Failure { kind, retryable, status: Some(status), retry_after: None, code, cause }
}

/// Whether a text is a code, and not a message that might contain something secret.
fn is_code(word: &str) -> bool {
    word.len() <= 64 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'.')
}

/// The message for the caller.
fn sentence(failure: &Failure, provider: Provider) -> String {
    let code = failure.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    match &failure.kind {
        LlmErrorKind::NotConfigured { variable } => {
            format!("No API key for {provider} is set. Set {variable}.")
        }
        LlmErrorKind::Auth { variable: Some(variable) } => {
            format!("{provider} rejected the API key. Check {variable}.")
        }
        LlmErrorKind::Auth { variable: None } => format!("{provider} denied access."),
        LlmErrorKind::Unavailable => {
            format!("{provider} is overloaded or cannot be reached. Try again later.")
        }
        LlmErrorKind::QuotaExhausted => {
            format!("The account at {provider} has used up its quota or credit{code}.")
        }
        LlmErrorKind::InvalidRequest | LlmErrorKind::Rejected => match failure.status {
            Some(status) => format!("{provider} rejected the request: HTTP {status}{code}."),
            None => format!("{provider} cannot handle the request: {}.", failure.cause),
        },
        LlmErrorKind::ContextTooLong => {
            "The conversation exceeds the model's context window.".to_owned()
        }
        LlmErrorKind::ContentFiltered => {
            format!("{provider}'s content filter blocked the request{code}.")
        }
        LlmErrorKind::BadAnswer => match &failure.code {
            Some(reason) => {
                format!("{provider} ended its answer with {reason:?} instead of completing it.")
            }
            None => {
                format!("{provider} returned an answer that is incomplete or cannot be parsed.")
            }
        },
    }
}

#[cfg(test)]
mod tests;

//! Why a call to the backend failed.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::reason::Reason;
use crate::token::{LEEWAY, TokenError};

/// A failed call, after its retries.
#[derive(Debug, Clone, thiserror::Error)]
pub enum McError {
    /// The connection failed or was lost.
    #[error("{}{cause}", if *.is_tls { "" } else { "the backend cannot be reached: " })]
    Unreachable {
        /// What happened; with TLS a whole sentence, which names the server.
        cause: String,
        /// Whether TLS is what failed: the backend is there, and what to do is said.
        is_tls: bool,
    },
    /// The timeout or deadline passed.
    #[error("timeout: the backend did not answer in time")]
    Timeout,
    /// The backend returned an error status.
    #[error("the backend answered {status}{}: {message}{}", to(.caller.as_deref()), clocks(*.clock_ahead))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The contract's `code`.
        code: Option<String>,
        /// The contract's `error`, or what could be read of the answer.
        message: String,
        /// The contract's `details`.
        details: Option<Box<Value>>,
        /// How long the backend asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
        /// By how many seconds its clock (`Date`) is ahead of ours, where a token was refused and that
        /// is more than tokens allow.
        clock_ahead: Option<i32>,
        /// Whether it asks for the header `Authorization: Bearer` (`WWW-Authenticate`, RFC 6750, section
        /// 3), which was not sent.
        wants_bearer: bool,
        /// Who called, where that was refused (401 or 403): user and role.
        caller: Option<Box<str>>,
        /// Which of the backend's addresses was called, where that was refused.
        address: Option<Arc<str>>,
    },
    /// Something between here and the backend answered in its place: a proxy, a firewall, a page to
    /// log in. Nothing is known of the backend, and nothing is wrong with a token.
    #[error(
        "answered by something in between ({page}), with status {status}{}, and not by the backend; \
         look at the proxies and gateways before BACKEND_URL{}",
        to(.caller.as_deref()),
        or_middleware(.caller.as_deref())
    )]
    InBetween {
        /// The HTTP status.
        status: u16,
        /// The title of its page, or the beginning of its text.
        page: String,
        /// Who called, where that was refused (401 or 403): user and role.
        caller: Option<Box<str>>,
        /// How long it asks to wait (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The body of a success is not what the contract requires.
    #[error("the backend's answer could not be understood: {cause}")]
    BadAnswer {
        /// What is wrong with it.
        cause: String,
    },
    /// The agent token could not be minted.
    #[error(transparent)]
    Token(#[from] TokenError),
}

impl McError {
    /// The error of an answer with an error status.
    pub(crate) fn of_answer(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = retry::retry_after(headers, SystemTime::now());
        let wants_bearer = status == 401 && names_bearer(headers);
        let (message, code, details) = match Reason::read(body) {
            Some(reason) if !is_always_of_something_else(status) => {
                (reason.message, reason.code, reason.details.map(Box::new))
            }
            _ if is_of_something_else(status, headers, body) => {
                return Self::in_between(status, headers, body);
            }
            _ => (excerpt(headers, body), None, None),
        };
        let clock_ahead = clock_ahead(headers, SystemTime::now()).filter(|_| status == 401);
        let (caller, address) = (None, None);
        Self::Status {
            status,
            code,
            message,
            details,
            retry_after,
            clock_ahead,
            wants_bearer,
            caller,
            address,
        }
    }

    /// The error of an answer that the backend did not give.
    pub(crate) fn in_between(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let retry_after = retry::retry_after(headers, SystemTime::now());
        let page = shown::page(media_type(headers), body);
        Self::InBetween { status, page, caller: None, retry_after }
    }

    /// Adds who called, if that is what was refused, and whether `Authorization: Bearer` was sent.
    #[must_use]
    pub(crate) fn for_caller(mut self, who: impl FnOnce() -> (String, bool)) -> Self {
        match &mut self {
            Self::Status { status: 401 | 403, caller, wants_bearer, .. } => {
                let (user, sent_bearer) = who();
                *caller = Some(user.into());
                *wants_bearer &= !sent_bearer;
            }
            Self::InBetween { status: 401 | 403, caller, .. } => *caller = Some(who().0.into()),
            Self::Status { .. }
            | Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => {}
        }
        self
    }

    /// Adds which address was called, if who called was refused.
    #[must_use]
    pub(crate) fn at(mut self, called: &Arc<str>) -> Self {
        // An address may hold a password.
        if let Self::Status { caller: Some(_), address, .. } = &mut self
            && !called.contains('@')
        {
            *address = Some(Arc::clone(called));
        }
        self
    }

    /// Whether something between here and the backend answered.
    pub fn is_in_between(&self) -> bool {
        matches!(self, Self::InBetween { .. })
    }

    /// Whether TLS failed, in a way that somebody has to put right.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Unreachable { is_tls: true, .. })
    }

    /// Whether the same call may succeed later: connection errors, timeouts, 408, 425, 429 and 5xx
    /// except 501.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout => true,
            Self::Status { status, .. } | Self::InBetween { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599) && *status != 501
            }
            Self::BadAnswer { .. } | Self::Token(_) => false,
        }
    }

    /// How long the backend asks to wait (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } | Self::InBetween { retry_after, .. } => *retry_after,
            Self::Unreachable { .. } | Self::Timeout | Self::BadAnswer { .. } | Self::Token(_) => {
                None
            }
        }
    }

    /// The HTTP status, if the backend answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            // Its status says nothing of the object or the token.
            Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }

    /// The contract's `code`.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Status { code, .. } => code.as_deref(),
            Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }

    /// Whether the object does not exist or belongs to another user.
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the user's data was erased since this began: it ends, and nothing of it is stored.
    pub fn is_user_erased(&self) -> bool {
        matches!(self, Self::Status { status: 401, code: Some(code), .. } if code == USER_ERASED)
    }

    /// The same, where the backend need not be asked again.
    pub(crate) fn user_erased() -> Self {
        Self::Status {
            status: 401,
            code: Some(USER_ERASED.to_owned()),
            message: "the data of the user was erased: what began before ends".to_owned(),
            details: None,
            retry_after: None,
            clock_ahead: None,
            wants_bearer: false,
            caller: None,
            address: None,
        }
    }

    /// Whether the backend rejected the token.
    pub fn is_auth(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// A sentence on a token that the backend has rejected: whose, what the backend says, and what to
    /// look at.
    pub fn rejection(&self) -> String {
        self.rejection_at("BACKEND_URL")
    }

    /// The same, where another variable has the backend's address.
    pub fn rejection_at(&self, variable: &str) -> String {
        let Self::Status { status, message, clock_ahead, wants_bearer, caller, .. } = self else {
            return self.to_string();
        };
        let whose = caller.as_deref().map(|caller| format!(" of {caller}")).unwrap_or_default();
        let check = match wants_bearer {
            true => "its middleware asks for the header Authorization: set AGENT_JWT_BEARER=true \
                 (docs/TOKENS.md); else check AGENT_JWT_SECRET on both sides, and that the backend \
                 knows this user"
                .to_owned(),
            // It has said what to check itself.
            false if message.contains("AGENT_JWT_") => {
                format!("is it your backend that answers there ({variable})?")
            }
            false => format!(
                "check AGENT_JWT_SECRET on both sides, that the backend knows this user, and that it is \
                 your backend which answers there ({variable})"
            ),
        };
        let advice = clock_ahead.map_or(check, apart);
        let advice = if advice.is_empty() { advice } else { format!("; {advice}") };
        format!("the backend rejects the agent token{whose}: {status}, {message}{advice}")
    }

    /// The same, after the address at which that happened.
    pub fn rejection_there(&self) -> String {
        match self {
            Self::Status { address: Some(address), .. } => {
                format!("{address}: {}", self.rejection())
            }
            Self::Status { .. }
            | Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => self.rejection(),
        }
    }

    /// The original object of a create whose key was used with another body.
    pub fn conflicting_original<T: DeserializeOwned>(&self) -> Option<T> {
        match self {
            Self::Status { status: 409, code: Some(code), details: Some(details), .. }
                if code == "idempotency_conflict" =>
            {
                Original::deserialize(&**details).ok().map(|known| known.original)
            }
            Self::Status { .. }
            | Self::InBetween { .. }
            | Self::Unreachable { .. }
            | Self::Timeout
            | Self::BadAnswer { .. }
            | Self::Token(_) => None,
        }
    }
}

/// The details of 409 `idempotency_conflict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Original<T> {
    /// What was created under the key.
    pub original: T,
}

/// The code of a 401 with which a token is refused because its user's data was erased since.
pub const USER_ERASED: &str = "user_erased";

/// The details of 401 `user_erased`. Clocks differ, so that it is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedAgo {
    /// How many milliseconds ago the data was erased.
    pub erased_ms_ago: u64,
}

/// How long ago the user's data was erased, where that is why a token was refused.
pub(crate) fn erased_ago(status: u16, body: &[u8]) -> Option<Duration> {
    let reason = Reason::read(body).filter(|_| status == 401)?;
    if reason.code.as_deref() != Some(USER_ERASED) {
        return None;
    }
    let told = reason.details.and_then(|details| ErasedAgo::deserialize(details).ok());
    Some(Duration::from_millis(told.map_or(0, |told| told.erased_ms_ago)))
}

/// The caller in brackets.
fn to(caller: Option<&str>) -> String {
    caller.map(|caller| format!(" to {caller}")).unwrap_or_default()
}

/// By how many seconds the clock of an answer is ahead of ours, where that is more than tokens allow.
fn clock_ahead(headers: &HeaderMap, now: SystemTime) -> Option<i32> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?;
    let seconds = match theirs.duration_since(now) {
        Ok(ahead) => i32::try_from(ahead.as_secs()).ok()?,
        Err(behind) => -i32::try_from(behind.duration().as_secs()).ok()?,
    };
    (u64::from(seconds.unsigned_abs()) > LEEWAY.as_secs()).then_some(seconds)
}

fn apart(seconds: i32) -> String {
    let way = if seconds > 0 { "ahead of" } else { "behind" };
    format!(
        "the clocks differ: the backend's is {} s {way} this machine's, and tokens allow {} s; set both \
         by NTP",
        seconds.unsigned_abs(),
        LEEWAY.as_secs()
    )
}

fn clocks(ahead: Option<i32>) -> String {
    ahead.map(|seconds| format!(" ({})", apart(seconds))).unwrap_or_default()
}

/// What to look at besides, where a caller was refused without JSON.
fn or_middleware(caller: Option<&str>) -> &'static str {
    if caller.is_some() { ", and at the backend's own middleware, should it answer so" } else { "" }
}

/// Whether the answer asks for the header `Authorization: Bearer`.
fn names_bearer(headers: &HeaderMap) -> bool {
    let asked = headers.get_all(header::WWW_AUTHENTICATE).iter();
    asked
        .filter_map(|asked| asked.to_str().ok())
        .any(|asked| asked.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer")))
}

/// Whether no backend answers so, whatever it says: with a proxy's question for a password, or by leading
/// elsewhere.
fn is_always_of_something_else(status: u16) -> bool {
    matches!(status, 300..=399 | 407)
}

/// Whether an error that says nothing in JSON comes from something else than the backend: backends reject
/// tokens in JSON, or by the header of RFC 6750, and what is sent in their place while they are away are
/// pages.
fn is_of_something_else(status: u16, headers: &HeaderMap, body: &[u8]) -> bool {
    match status {
        status if is_always_of_something_else(status) => true,
        401 if names_bearer(headers) => shown::is_page(media_type(headers), body),
        401 | 403 => true,
        502..=504 | 511 => shown::is_page(media_type(headers), body),
        _ => false,
    }
}

fn media_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
}

/// A readable excerpt of an answer that is not JSON.
fn excerpt(headers: &HeaderMap, body: &[u8]) -> String {
    let media_type = media_type(headers);
    let text = shown::page(media_type, body);
    if shown::is_page(media_type, body) { format!("a page ({text})") } else { text }
}

#[cfg(test)]
mod tests;

//! One call of the backend and its answer.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;

use crate::error::McError;

/// The largest answer of a contract endpoint that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The largest run that is read: 64 MiB of steps, and what is around them.
pub(crate) const MAX_RUN_BYTES: usize = 80 * 1024 * 1024;

/// The media type of nearly all bodies.
const JSON: &str = "application/json";

/// The header that makes an update, or a write outside the contract, safe to repeat.
pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// One call, before it is sent.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    /// The media type of the body.
    pub(crate) content_type: Cow<'static, str>,
    /// Whether the call is safe to repeat.
    pub(crate) repeatable: bool,
    pub(crate) max_bytes: usize,
    /// The limit of an answer that is a picture or a document of its own type, where it is another one.
    pub(crate) max_media_bytes: Option<usize>,
    pub(crate) cut_long_answer: bool,
    /// Whether the endpoint is outside the contract, and may answer with anything.
    pub(crate) is_foreign: bool,
    /// The accepted media type of the answer.
    pub(crate) accept: Cow<'static, str>,
}

impl Call {
    /// A call of this path; `GET`, `PUT` and `DELETE` are idempotent and so repeatable.
    pub(crate) fn new(method: Method, path_and_query: &str) -> Self {
        let repeatable = matches!(method, Method::GET | Method::PUT | Method::DELETE);
        Self {
            method,
            path_and_query: path_and_query.to_owned(),
            headers: HeaderMap::new(),
            body: None,
            content_type: JSON.into(),
            repeatable,
            max_bytes: MAX_ANSWER_BYTES,
            max_media_bytes: None,
            cut_long_answer: false,
            is_foreign: false,
            accept: JSON.into(),
        }
    }

    /// Asks for another media type than JSON.
    pub(crate) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept.into();
        self
    }

    pub(crate) fn get(path_and_query: &str) -> Self {
        Self::new(Method::GET, path_and_query)
    }

    /// A create: repeatable when it has an idempotency key.
    pub(crate) fn create(
        path: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<Self, McError> {
        let mut call = Self::new(Method::POST, path).json(body)?;
        call.repeatable = key.is_some();
        Ok(call)
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self, McError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| McError::BadAnswer { cause: format!("request as JSON: {error}") })?;
        self.body = Some(bytes.into());
        Ok(self)
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Result<Self, McError> {
        let value = HeaderValue::from_str(value)
            .map_err(|error| McError::BadAnswer { cause: format!("header {name}: {error}") })?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The path alone, for logs: a query may contain user data.
    pub(crate) fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }

    /// Marks the call as safe to repeat.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// An answer, as it came. Public as the answer of endpoints outside the contract.
#[derive(Debug, Clone)]
pub struct RawResponse {
    /// The HTTP status, of any class.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as far as it was read.
    pub body: Bytes,
    /// Whether it was cut off at the limit.
    pub truncated: bool,
}

/// A failed attempt, with the answer if there was one.
pub(crate) struct Failure {
    pub(crate) error: McError,
    pub(crate) answer: Option<RawResponse>,
}

impl From<McError> for Failure {
    fn from(error: McError) -> Self {
        Self { error, answer: None }
    }
}

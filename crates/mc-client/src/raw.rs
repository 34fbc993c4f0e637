//! Calls of the application's own endpoints, outside the contract.

use http::Method;
use serde_json::Value;

use crate::call::{Call, Failure, IDEMPOTENCY_KEY};
use crate::client::AgentClient;
use crate::error::McError;

pub use crate::call::RawResponse;

/// The media type of HTML forms.
const FORM: &str = "application/x-www-form-urlencoded";

/// A call of an endpoint outside the contract.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The method.
    pub method: Method,
    /// Path and query, beginning with `/`; already normalised and encoded.
    pub path_and_query: String,
    /// The body.
    pub body: Option<RawBody>,
    /// Sent as header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The most bytes of the answer that are read; the rest is dropped.
    pub max_bytes: usize,
}

/// The body of a call of an endpoint outside the contract.
#[derive(Debug, Clone, PartialEq)]
pub enum RawBody {
    /// As `application/json`.
    Json(Value),
    /// As `application/x-www-form-urlencoded`; already encoded.
    Form(String),
}

impl From<Value> for RawBody {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl AgentClient {
    /// Calls an endpoint of the backend outside the contract. An error status is an answer here, not
    /// an error. Only reads are retried: whether other endpoints honour the key is not known.
    pub async fn raw(&self, request: RawRequest) -> Result<RawResponse, McError> {
        let mut call = Call::new(request.method, &request.path_and_query);
        call.repeatable = call.method == Method::GET;
        call.max_bytes = request.max_bytes;
        call.cut_long_answer = true;
        call.is_foreign = true;
        match &request.body {
            Some(RawBody::Json(body)) => call = call.json(body)?,
            Some(RawBody::Form(form)) => {
                call.body = Some(form.clone().into());
                call.content_type = FORM;
            }
            None => {}
        }
        if let Some(key) = request.idempotency_key {
            call = call.header(IDEMPOTENCY_KEY, &key)?;
        }
        match self.caller.answer(&call).await {
            Ok(answer) => Ok(answer),
            Err(Failure { answer: Some(answer), .. }) => Ok(answer),
            Err(Failure { error, answer: None }) => Err(error),
        }
    }
}

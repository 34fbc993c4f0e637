//! Errors in the forms of both bindings: JSON-RPC's error object, and google.rpc.Status.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::super::error::{ApiError, retry_after_value};

/// The kind of an error, which determines its JSON-RPC code, its HTTP status, the name of
/// google.rpc and the protocol's own reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TaskNotFound,
    TaskNotCancelable,
    PushNotSupported,
    Unsupported,
    ContentType,
    NoExtendedCard,
    Version,
    Params,
    Request,
    Method,
    Json,
    Internal,
}

impl Kind {
    const fn forms(self) -> (i64, u16, &'static str, &'static str) {
        match self {
            Self::TaskNotFound => (-32_001, 404, "NOT_FOUND", "TASK_NOT_FOUND"),
            Self::TaskNotCancelable => (-32_002, 400, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"),
            Self::PushNotSupported => {
                (-32_003, 400, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED")
            }
            Self::Unsupported => (-32_004, 400, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"),
            Self::ContentType => (-32_005, 400, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"),
            Self::NoExtendedCard => {
                (-32_007, 400, "FAILED_PRECONDITION", "EXTENDED_AGENT_CARD_NOT_CONFIGURED")
            }
            Self::Version => (-32_009, 400, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"),
            Self::Params => (-32_602, 400, "INVALID_ARGUMENT", "INVALID_PARAMS"),
            Self::Request => (-32_600, 400, "INVALID_ARGUMENT", "INVALID_REQUEST"),
            Self::Method => (-32_601, 404, "NOT_FOUND", "METHOD_NOT_FOUND"),
            Self::Json => (-32_700, 400, "INVALID_ARGUMENT", "INVALID_JSON"),
            Self::Internal => (-32_603, 500, "INTERNAL", "INTERNAL_ERROR"),
        }
    }
}

/// A failed request.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    message: String,
    /// The daemon's own error, where there is one: its code, status and Retry-After.
    own: Option<Box<ApiError>>,
}

impl Fault {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), own: None }
    }

    /// The task does not exist, or belongs to another user.
    pub(super) fn no_task(id: &str) -> Self {
        Self::new(Kind::TaskNotFound, format!("there is no task {id:?} for this user"))
    }

    /// The typed details that both bindings have: the protocol's reason, with the daemon's own code and
    /// details, and the fields that are wrong.
    fn details(&self) -> Value {
        let (.., reason) = self.kind.forms();
        // The metadata of google.rpc.ErrorInfo is a map of strings.
        let metadata = self.own.as_ref().map(|own| {
            let details = match &own.body.details {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            json!({ "code": own.body.code, "details": details })
        });
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason, "domain": "a2a-protocol.org",
            "metadata": metadata.unwrap_or_else(|| json!({})),
        })];
        let problems = self.own.as_ref().map(|own| own.body.problems()).unwrap_or_default();
        if !problems.is_empty() {
            let violation =
                |(field, why): (&String, &String)| json!({ "field": field, "description": why });
            let violations: Vec<_> = problems.iter().map(violation).collect();
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations,
            }));
        }
        Value::Array(details)
    }

    /// JSON-RPC's error object.
    fn rpc(&self) -> Value {
        let (code, ..) = self.kind.forms();
        json!({ "code": code, "message": self.message, "data": self.details() })
    }

    /// The response of the JSON-RPC binding. `status` is 200, except for errors before the request was
    /// read.
    pub(super) fn rpc_response(&self, id: &Value, status: StatusCode) -> Response {
        let body = json!({ "jsonrpc": "2.0", "id": id, "error": self.rpc() });
        self.with_headers((status, Json(body)).into_response())
    }

    /// google.rpc.Status, as the HTTP+JSON binding has it.
    pub(super) fn status(&self) -> Value {
        let (_, http, name, _) = self.kind.forms();
        let http = match &self.own {
            // The protocol has a status of its own for this.
            Some(_) if self.kind == Kind::ContentType => http,
            Some(own) => own.status.as_u16(),
            None => http,
        };
        let name = match http {
            401 => "UNAUTHENTICATED",
            403 => "PERMISSION_DENIED",
            404 => "NOT_FOUND",
            409 => "ABORTED",
            429 => "RESOURCE_EXHAUSTED",
            503 => "UNAVAILABLE",
            504 => "DEADLINE_EXCEEDED",
            _ => name,
        };
        json!({ "error": { "code": http, "status": name, "message": self.message,
            "details": self.details() } })
    }

    /// The response of the HTTP+JSON binding.
    pub(super) fn rest_response(&self) -> Response {
        let body = self.status();
        let status = body["error"]["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.with_headers(super::json_response(status, &body))
    }

    /// Adds the headers of the daemon's own error.
    fn with_headers(&self, mut response: Response) -> Response {
        if let Some(wait) = self.own.as_ref().and_then(|own| own.retry_after) {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after_value(wait));
        }
        if response.status() == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<ApiError> for Fault {
    fn from(error: ApiError) -> Self {
        let kind = match &*error.body.code {
            "task_not_found" => Kind::TaskNotFound,
            "malformed_json" => Kind::Json,
            "unsupported_media_type" => Kind::ContentType,
            _ if error.status.is_client_error() => Kind::Params,
            _ => Kind::Internal,
        };
        Self { kind, message: error.body.error.clone(), own: Some(Box::new(error)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_form_of_each_binding() {
        let fault = Fault::no_task("t1");
        let error = fault.rpc();
        assert_eq!(error["code"], -32_001);
        let info = &error["data"][0];
        assert_eq!(info["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(info["reason"], "TASK_NOT_FOUND");
        let status = fault.status();
        assert_eq!(status["error"]["code"], 404);
        assert_eq!(status["error"]["details"][0]["reason"], "TASK_NOT_FOUND");
        assert_eq!(fault.rest_response().status(), 404);
    }

    #[test]
    fn wrong_fields_are_violations() {
        let fields = [("url".to_owned(), "is required".to_owned())].into();
        let fault = Fault::from(ApiError::fields("invalid_payload", fields));
        for details in [&fault.rpc()["data"], &fault.status()["error"]["details"]] {
            assert_eq!(details[1]["@type"], "type.googleapis.com/google.rpc.BadRequest");
            let violation = &details[1]["fieldViolations"][0];
            assert_eq!(
                (&violation["field"], &violation["description"]),
                (&json!("url"), &json!("is required"))
            );
        }
    }

    #[test]
    fn the_daemons_own_errors_keep_status_code_and_wait() {
        let mut own = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too much");
        own.retry_after = Some(std::time::Duration::from_millis(1_500));
        let fault = Fault::from(own);
        assert_eq!(fault.kind, Kind::Internal);
        assert_eq!(fault.rpc()["data"][0]["metadata"]["code"], "overloaded");
        assert_eq!(fault.status()["error"]["status"], "UNAVAILABLE");
        let response = fault.rest_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(2))
        );
    }
}

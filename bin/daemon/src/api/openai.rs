//! The OpenAI-compatible API: roles are models; a chat completion is a run, and so is a response
//! (docs/PROTOCOLS.md).

mod encoder;
mod fields;
mod read;
mod read_response;
mod response_encoder;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde_json::{Value, json};
use service::trace::TraceId;

use super::error::ApiError;
use super::extract::{BodyWithFiles, Segment};
use super::protocol_request::{known_role, roles};
use super::run_stream::RunStream;
use super::sse::{self, Event};
use crate::agent::launch;
use crate::state::App;
use encoder::Encoder;
use read::read;
use response_encoder::ResponseEncoder;

/// Failures before anything was done, which the official clients may retry on their own. After any
/// other failure tools may have run.
const RETRYABLE: [&str; 3] = ["overloaded", "draining", "session_busy"];

/// The endpoints.
pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/v1/models", get(models).fallback(no_method))
        .route("/v1/models/{model}", get(model).fallback(no_method))
        .route("/v1/chat/completions", post(completions).fallback(no_method))
        .route("/v1/responses", post(responses).fallback(no_method))
        .route("/v1", any(no_endpoint))
        .route("/v1/", any(no_endpoint))
        .route("/v1/{*path}", any(no_endpoint))
}

/// Clients of this protocol read no other form of errors.
async fn no_endpoint(method: Method, uri: Uri) -> Response {
    let mut error = ApiError::not_found();
    error.body.error = format!("there is no {method} {}", uri.path());
    error_response(&error)
}

async fn no_method() -> Response {
    let why = "this endpoint does not support that method";
    error_response(&ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why))
}

/// An error in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`.
pub(super) fn error_response(error: &ApiError) -> Response {
    let repeat = if RETRYABLE.contains(&&*error.body.code) { "true" } else { "false" };
    let body = error_body(error);
    let mut response = error.clone().into_response();
    let mut formatted = (response.status(), Json(body)).into_response();
    if let Some(wait) = response.headers_mut().remove(http::header::RETRY_AFTER) {
        formatted.headers_mut().insert(http::header::RETRY_AFTER, wait);
    }
    formatted.headers_mut().insert("x-should-retry", HeaderValue::from_static(repeat));
    formatted
}

fn error_body(error: &ApiError) -> Value {
    let body = &error.body;
    let problems = body.problems();
    let param = problems.keys().next();
    json!({ "error": {
        "message": body.error,
        "type": error_type(error.status),
        "param": param,
        "code": body.code,
        "details": body.details,
    } })
}

fn error_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::PAYMENT_REQUIRED => "insufficient_quota",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn model_object(role: &str) -> Value {
    json!({ "id": role, "object": "model", "created": 0, "owned_by": "wombat" })
}

async fn models(State(app): State<App>) -> Response {
    match roles(&app) {
        Ok(roles) => {
            let data: Vec<_> =
                roles.iter().map(|agent| model_object(agent.role.as_str())).collect();
            Json(json!({ "object": "list", "data": data })).into_response()
        }
        Err(error) => error_response(&error),
    }
}

async fn model(State(app): State<App>, name: Result<Segment, ApiError>) -> Response {
    let found = name.and_then(|Segment(name)| known_role(&app, &name));
    match found {
        Ok(role) => Json(model_object(role.as_str())).into_response(),
        Err(error) => error_response(&as_model_error(error)),
    }
}

/// Rewrites an unknown role as an unknown model; the details keep the daemon's own code.
fn as_model_error(mut error: ApiError) -> ApiError {
    if error.body.code == "unknown_role" {
        error.body.details["code"] = json!(error.body.code);
        error.body.code = "model_not_found".into();
        error.body.details["fields"] = json!({ "model": "is not a role of the workspace" });
    }
    error
}

/// What the fields of `output` are called in a request.
struct FormatNames {
    whole: &'static str,
    schema: &'static str,
    name: &'static str,
    limit: &'static str,
}

/// Those of a chat completion.
const OF_COMPLETION: FormatNames = FormatNames {
    whole: "response_format",
    schema: "response_format.json_schema.schema",
    name: "response_format.json_schema.name",
    limit: "max_completion_tokens",
};

/// Those of a response.
const OF_RESPONSE: FormatNames = FormatNames {
    whole: "text.format",
    schema: "text.format.schema",
    name: "text.format.name",
    limit: "max_output_tokens",
};

/// Names the fields of `output` as they are in the request.
fn as_format_error(mut error: ApiError, names: &FormatNames) -> ApiError {
    let Value::Object(fields) = error.body.details["fields"].take() else { return error };
    let renamed = |name: String| match name.as_str() {
        "output.schema" => names.schema.to_owned(),
        "output.name" => names.name.to_owned(),
        "output" => names.whole.to_owned(),
        "limits.max_output_tokens" => names.limit.to_owned(),
        _ => name,
    };
    let fields = fields.into_iter().map(|(name, why)| {
        let why = why.as_str().unwrap_or_default().to_owned();
        (renamed(name), why)
    });
    let named = match &*error.body.code {
        "invalid_payload" => ApiError::fields("invalid_payload", fields.collect()),
        _ => {
            error.body.details["fields"] = fields.map(|(name, why)| (name, json!(why))).collect();
            return error;
        }
    };
    ApiError { retry_after: error.retry_after, ..named }
}

async fn completions(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    match complete(app, trace, &headers, body).await {
        Ok(response) => response,
        Err(error) => error_response(&as_model_error(error)),
    }
}

async fn complete(
    app: App,
    trace: TraceId,
    headers: &HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Result<Response, ApiError> {
    let BodyWithFiles { object, bytes, place } = body?;
    let (mut protocol_request, wanted) = read(&app.settings.files, &object, headers)?;
    (protocol_request.body_bytes, protocol_request.place) = (bytes, place);
    drop(object);
    let mut encoder = Encoder::new(&protocol_request.role, wanted);
    let request = protocol_request.validate(&app, &trace).await;
    let request = request.map_err(|error| as_format_error(error, &OF_COMPLETION))?;
    encoder.holds_text = request.output.is_some();
    if encoder.wanted.is_none() {
        let answer = launch::send(&app, request, trace).await?;
        return Ok(Json(encoder.completion(&answer)).into_response());
    }
    let updates = RunStream::start(app, request, trace).await?;
    Ok(sse::response(
        updates.flat_map(move |update| {
            stream::iter(encoder.encode(update).into_iter().map(Event::data))
        }),
    ))
}

async fn responses(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    headers: HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Response {
    match Box::pin(respond(app, trace, &headers, body)).await {
        Ok(response) => response,
        Err(error) => error_response(&as_model_error(error)),
    }
}

async fn respond(
    app: App,
    trace: TraceId,
    headers: &HeaderMap,
    body: Result<BodyWithFiles, ApiError>,
) -> Result<Response, ApiError> {
    let BodyWithFiles { object, bytes, place } = body?;
    let asked = read_response::read(&app.settings.files, &object, headers)?;
    let (mut protocol_request, streams) = (asked.request, asked.streams);
    (protocol_request.body_bytes, protocol_request.place) = (bytes, place);
    let mut encoder = ResponseEncoder::new(&protocol_request.role, asked.told);
    drop(object);
    let request = protocol_request.validate(&app, &trace).await;
    let request = request.map_err(|error| as_format_error(error, &OF_RESPONSE))?;
    encoder.holds_text = request.output.is_some();
    if !streams {
        let answer = launch::send(&app, request, trace).await?;
        return Ok(Json(encoder.whole(&answer)).into_response());
    }
    let updates = RunStream::start(app, request, trace).await?;
    Ok(sse::response(updates.flat_map(move |update| stream::iter(encoder.encode(update)))))
}

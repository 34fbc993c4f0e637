//! `answers` beside `resume_run_key`: questions of the run are answered before it goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::{RunKey, canonical_json, sha256_hex};
use mc_client::tool_requests::{ToolRequest, ToolRequestKind, ToolRequestStatus};
use mc_client::types::Capabilities;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use crate::agent::requests::told;
use crate::run::error::{RunError, RunErrorKind};
use schemas::{Budget, Schema};

/// The field of a body.
pub(super) const FIELD: &str = "answers";

/// The most answers of one request: as many questions as a run may ask.
const MAX_ANSWERS: usize = 8;

/// How many problems of one answer are told.
const MAX_PROBLEMS: usize = 20;

/// Reads `{id: value}`, which only a resumed run has.
pub(super) fn read(
    body: &Map<String, Value>,
    is_resumed: bool,
    problems: &mut BTreeMap<String, String>,
) -> Map<String, Value> {
    let mut problem = |why: String| drop(problems.insert(FIELD.to_owned(), why));
    match body.get(FIELD) {
        None | Some(Value::Null) => {}
        Some(Value::Object(answers)) if answers.is_empty() => {}
        Some(Value::Object(_)) if !is_resumed => problem(
            "needs resume_run_key: only a run that asked can be answered; a new message is another run"
                .to_owned(),
        ),
        Some(Value::Object(answers)) if answers.len() > MAX_ANSWERS => {
            problem(format!("has {} answers; a run asks {MAX_ANSWERS} questions at most", answers.len()));
        }
        Some(Value::Object(answers)) => return answers.clone(),
        Some(_) => problem("must be an object: an answer by the id of each tool request".to_owned()),
    }
    Map::new()
}

/// Answers questions of a run: all of them, or none where one cannot be answered so. Repeating it changes
/// nothing.
///
/// # Errors
/// 404 for what is no request of this run; 400 for what is no question, or does not fit it; 409 for one that
/// is decided otherwise.
pub(super) async fn give(
    client: &AgentClient,
    capabilities: &Capabilities,
    run_key: &RunKey,
    answers: &Map<String, Value>,
) -> Result<(), ApiError> {
    if answers.is_empty() {
        return Ok(());
    }
    if !capabilities.has("decisions") {
        return Err(RunError::new(RunErrorKind::FeatureMissing("decisions")).into());
    }
    for (id, answer) in answers {
        let asked = client.tool_request(id).await.map_err(|error| refused(id, &error))?;
        check(run_key, id, asked, answer).await?;
    }
    for (id, answer) in answers {
        let value = sha256_hex(&[&canonical_json(answer)]);
        let key = format!("run:{}:answer:{id}:{value}", run_key.as_str());
        client.answer_question(id, answer, &key).await.map_err(|error| refused(id, &error))?;
    }
    Ok(())
}

/// Whether an answer can be given, as far as that is known before.
async fn check(
    run_key: &RunKey,
    id: &str,
    asked: ToolRequest,
    answer: &Value,
) -> Result<(), ApiError> {
    if asked.run_key != run_key.as_str() {
        return Err(not_found(id));
    }
    if asked.kind != ToolRequestKind::Question {
        let why = "is no question but a tool call, which a person has to approve".to_owned();
        let fields = BTreeMap::from([(format!("{FIELD}.{id}"), why)]);
        return Err(ApiError::fields("invalid_payload", fields));
    }
    // A repetition, perhaps; the backend knows.
    if asked.known_status() != Some(ToolRequestStatus::Pending) {
        return Ok(());
    }
    let asked = told(asked);
    if let Some(options) = asked.options {
        return match answer.as_str() {
            Some(given) if options.iter().any(|option| is_option(option, given)) => Ok(()),
            _ => Err(mismatch(id, &[format!("it is none of: {}", options.join(", "))])),
        };
    }
    let Some(schema) = asked.parameters else { return Ok(()) };
    let compiled =
        tokio::task::spawn_blocking(move || Schema::compile(&schema, &mut Budget::strict()));
    // What cannot be compiled here is for the backend to judge.
    let Ok(Ok(compiled)) = compiled.await else { return Ok(()) };
    let checked = Arc::new(compiled.schema).check(answer, MAX_PROBLEMS).await;
    checked.map_err(|errors| mismatch(id, &errors))
}

/// Whether a text is an option: letter case and outer spaces do not count.
fn is_option(option: &str, given: &str) -> bool {
    option.trim().to_lowercase() == given.trim().to_lowercase()
}

fn mismatch(id: &str, errors: &[String]) -> ApiError {
    let error = format!("the answer to {id} does not fit: {}", errors.join("; "));
    ApiError::new(StatusCode::BAD_REQUEST, "answer_mismatch", error)
        .with_details(json!({ "tool_request_id": id, "errors": errors }))
}

fn not_found(id: &str) -> ApiError {
    let error = format!("this run has no tool request {id:?}");
    ApiError::new(StatusCode::NOT_FOUND, "tool_request_not_found", error)
        .with_details(json!({ "tool_request_id": id }))
}

/// What the backend says of an answer.
fn refused(id: &str, error: &McError) -> ApiError {
    if error.is_not_found() {
        return not_found(id);
    }
    let McError::Status { status, code: Some(code), message, details, .. } = error else {
        return RunError::backend(error).into();
    };
    let mut of_backend = match (status, code.as_str()) {
        (400, "answer_mismatch") => {
            ApiError::new(StatusCode::BAD_REQUEST, "answer_mismatch", message.clone())
        }
        (409, "already_decided") => {
            ApiError::new(StatusCode::CONFLICT, "already_decided", message.clone())
        }
        _ => return RunError::backend(error).into(),
    };
    let mut told = details.as_deref().and_then(Value::as_object).cloned().unwrap_or_default();
    told.insert("tool_request_id".to_owned(), json!(id));
    of_backend.body.details = Value::Object(told);
    of_backend
}

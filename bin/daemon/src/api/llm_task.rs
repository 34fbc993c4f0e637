//! `POST /llm-task`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use daemon_api::ErrorBody;
use http::StatusCode;
use llm::Tier;
use llm::model::ModelRef;
use serde_json::{Value, json};
use service::trace::TraceId;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::JsonObject;
use super::fields::Fields;
use super::shapes::LlmTaskShape;
use crate::model_task::llm_task::{LlmTask, run};
use crate::run::answer_json::{cost_to_wire, usage_to_wire};
use crate::state::App;
use schemas::reply::compile;

/// The documented form of the body.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct LlmTaskBody {
    /// What to do.
    prompt: String,
    /// The input of the task: any JSON.
    input: Option<Value>,
    /// A JSON Schema that the answer must match.
    schema: Option<Value>,
    /// `model` or `provider/model`; the default one when absent.
    model: Option<String>,
    /// 0 to 2.
    temperature: Option<f64>,
    /// The limit on output tokens.
    max_tokens: Option<u32>,
}

/// Runs one task with a model.
#[utoipa::path(
    post, path = "/llm-task", tag = "models", request_body = LlmTaskBody,
    responses((status = 200, body = LlmTaskShape), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody))
)]
pub(super) async fn llm_task(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    JsonObject(body): JsonObject,
) -> Result<Json<Value>, ApiError> {
    let mut problems = BTreeMap::new();
    let mut fields = Fields::new(&body, "", &mut problems);
    let prompt = fields.required_text("prompt");
    let input = body.get("input").filter(|input| !input.is_null()).cloned();
    let schema = body.get("schema").filter(|schema| !schema.is_null());
    let schema = match schema {
        None => None,
        Some(schema) => match compile(schema).await {
            Ok(compiled) => Some((schema.clone(), compiled)),
            Err(why) => {
                fields.problem("schema", why);
                None
            }
        },
    };
    let model = fields.non_blank_text("model").and_then(|text| {
        let provider = app.llm.model(Tier::Default).provider;
        ModelRef::parse(&text, provider)
            .map_err(|why| fields.problem("model", why.to_string()))
            .ok()
    });
    let temperature = fields.non_negative("temperature");
    if temperature.is_some_and(|temperature| temperature > 2.0) {
        fields.problem("temperature", "must be from 0 to 2");
    }
    let max_tokens = fields.integer("max_tokens", 1).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
    if !problems.is_empty() {
        return Err(ApiError::fields("invalid_payload", problems));
    }
    let validated = schema.is_some();
    let task = LlmTask { prompt, input, schema, model, temperature, max_tokens };
    let done = run(&app, &trace, task).await?;
    if !done.errors.is_empty() {
        let text = "the model's answer does not match the schema, even after one correction";
        let details = json!({
            "errors": done.errors,
            "output": done.output,
            "usage": usage_to_wire(&done.usage),
            "cost": cost_to_wire(&done.cost),
            "model": done.model,
        });
        let error = ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "schema_mismatch", text);
        return Err(error.with_details(details));
    }
    Ok(Json(json!({
        "status": "ok",
        "output": done.output,
        "usage": usage_to_wire(&done.usage),
        "cost": cost_to_wire(&done.cost),
        "validated": validated,
        "model": done.model,
    })))
}

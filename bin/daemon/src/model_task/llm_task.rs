//! One task for a model with an answer for programs: JSON that matches a given schema.

use std::sync::Arc;

use llm::error::LlmErrorKind;
use llm::event::{Completion, FinishReason, Usage};
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ResponseSchema, ToolChoice};
use llm::{Cost, Tier};
use mc_client::idempotency::RunKey;
use serde_json::Value;
use service::trace::TraceId;

use crate::model_task::ModelTask;
use crate::run::error::{RunError, RunErrorKind};
use crate::state::App;
use schemas::Schema;
use schemas::reply::{Checked, check, unfenced};

/// A task.
pub(crate) struct LlmTask {
    /// What to do.
    pub(crate) prompt: String,
    /// The input of the task.
    pub(crate) input: Option<Value>,
    /// The schema of the answer, and its validator.
    pub(crate) schema: Option<(Value, Arc<Schema>)>,
    /// The model; the default one when absent.
    pub(crate) model: Option<ModelRef>,
    /// 0 to 2.
    pub(crate) temperature: Option<f64>,
    /// The limit on output tokens.
    pub(crate) max_tokens: Option<u32>,
}

/// The result of a task.
pub(crate) struct Outcome {
    /// The answer: JSON, or without a schema text where it is none.
    pub(crate) output: Value,
    /// Validation errors; empty when the answer matches, or when there is no schema.
    pub(crate) errors: Vec<String>,
    /// The model that answered.
    pub(crate) model: String,
    /// Tokens used.
    pub(crate) usage: Usage,
    /// Their price.
    pub(crate) cost: Cost,
}

/// Calls the model; an answer that does not match is sent back once with its validation errors.
pub(crate) async fn run(app: &App, trace: &TraceId, task: LlmTask) -> Result<Outcome, RunError> {
    let mut model_task = ModelTask::begin(app, trace)?;
    let mut request = request(app, &model_task, &task);
    let mut completion = first_call(&mut model_task, &mut request).await?;
    let Some((_, validator)) = &task.schema else {
        let (usage, cost) = model_task.used();
        let text = text_of(&completion)?;
        let output = match serde_json::from_str(unfenced(&text)) {
            Ok(mut output) => {
                model_task.restore_value(&mut output);
                output
            }
            Err(_) => Value::String(model_task.restore(text, false)),
        };
        return Ok(Outcome { output, errors: Vec::new(), model: completion.model, usage, cost });
    };
    let text = model_task.restore(text_of(&completion)?, true);
    let mut checked = check(&text, validator).await;
    if !checked.errors.is_empty() {
        request.messages.push(Message::Assistant(completion.message));
        let told = format!(
            "That does not fit the schema:\n- {}\nAnswer again, with JSON alone that fits.",
            checked.errors.join("\n- ")
        );
        let told = model_task.redact(&told).into_owned();
        request.messages.push(Message::user(told));
        completion = model_task.call(&request).await?;
        let text = model_task.restore(text_of(&completion)?, true);
        checked = check(&text, validator).await;
    }
    let (usage, cost) = model_task.used();
    let Checked { output, errors } = checked;
    Ok(Outcome { output, errors, model: completion.model, usage, cost })
}

/// The first call: with the provider's structured output, and without where the provider rejects the
/// request, for whatever reason: what it says of a schema is not always known. (The prompt holds the
/// schema, too, and the answer is validated in any case.)
async fn first_call(
    model_task: &mut ModelTask<'_>,
    request: &mut LlmRequest,
) -> Result<Completion, RunError> {
    match model_task.call(request).await {
        Err(error) if request.response_schema.is_some() && is_rejected(&error) => {
            tracing::info!(
                cause = &*model_task.logged(&error.cause),
                "provider rejected the request; repeating it without the response schema"
            );
            request.response_schema = None;
            model_task.call(request).await
        }
        asked => asked,
    }
}

fn is_rejected(error: &RunError) -> bool {
    let RunErrorKind::Llm(kind, _) = &error.kind else { return false };
    matches!(kind, LlmErrorKind::InvalidRequest | LlmErrorKind::Rejected)
}

fn request(app: &App, model_task: &ModelTask<'_>, task: &LlmTask) -> LlmRequest {
    let mut system =
        "You do one task and answer with its result alone: no greeting, no explanation.".to_owned();
    // The answer is checked against the schema as it is.
    let schema = task.schema.as_ref().map(|(schema, _)| {
        let mut schema = schema.clone();
        model_task.redact_value(&mut schema);
        schema
    });
    system += &match &schema {
        Some(schema) => format!("\nThe result is JSON that fits this JSON Schema:\n{schema}"),
        None => "\nA result that has parts is JSON alone, without a code block.".to_owned(),
    };
    let mut user = model_task.redact(&task.prompt).into_owned();
    if let Some(input) = &task.input {
        let mut input = input.clone();
        model_task.redact_value(&mut input);
        let text = input.as_str().map_or_else(|| input.to_string(), str::to_owned);
        // A task is no run: its mark is used once.
        let mark = app.settings.fences.mark(RunKey::random().as_str());
        user = format!("{user}\n\n{}", mark.fence("input", &text));
    }
    LlmRequest {
        model: task.model.clone().unwrap_or_else(|| app.llm.model(Tier::Default).clone()),
        messages: vec![Message::system(system), Message::user(user)],
        tools: Vec::new().into(),
        tool_choice: ToolChoice::None,
        max_output_tokens: task.max_tokens,
        temperature: task.temperature,
        response_schema: schema.map(|schema| ResponseSchema::new("result", schema).into()),
    }
}

fn text_of(completion: &Completion) -> Result<String, RunError> {
    if completion.finish_reason == FinishReason::ContentFilter {
        return Err(RunError::new(RunErrorKind::ContentFiltered));
    }
    if completion.message.text.trim().is_empty() {
        return Err(RunError::new(RunErrorKind::EmptyReply));
    }
    Ok(completion.message.text.clone())
}

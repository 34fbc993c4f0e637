//! What a model has turned out not to take. A refusal that names one of these is answered by asking
//! again without it, and that is remembered for as long as the process lives.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::error::LlmErrorKind;
use crate::model::ModelRef;
use crate::provider::Failure;
use crate::request::LlmRequest;

/// How many models are remembered; callers may name any.
const MAX_MODELS: usize = 1_000;

/// The ways in which a request is changed for a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    /// It takes no temperature, as reasoning models do.
    pub(super) no_temperature: bool,
    /// It wants `max_completion_tokens` instead of `max_tokens`.
    pub(super) completion_limit: bool,
    /// It refuses some word of the tools' schemas.
    pub(super) plain_schemas: bool,
}

impl Quirks {
    /// What a refusal adds to them; `None` when it is about something else.
    fn after(self, request: &LlmRequest, failure: &Failure) -> Option<Self> {
        if failure.kind != LlmErrorKind::InvalidRequest
            || !matches!(failure.status, Some(400 | 422))
        {
            return None;
        }
        let said = failure.cause.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
        let mut more = self;
        if request.temperature.is_some() && has(&["temperature"]) {
            more.no_temperature = true;
        }
        if request.max_output_tokens.is_some() && has(&["max_completion_tokens"]) {
            more.completion_limit = true;
        }
        if !request.tools.is_empty()
            && has(&["schema", "function_declarations", "functiondeclaration", "parameters"])
        {
            more.plain_schemas = true;
        }
        (more != self).then_some(more)
    }
}

/// What is known of all models.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<ModelRef, Quirks>>);

impl Known {
    pub(super) fn of(&self, model: &ModelRef) -> Quirks {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(model).copied().unwrap_or_default()
    }

    /// Whether a refusal has taught something, so that asking again makes sense.
    pub(super) fn learn(&self, model: &ModelRef, request: &LlmRequest, failure: &Failure) -> bool {
        let mut known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = known.get(model).copied().unwrap_or_default();
        let Some(more) = now.after(request, failure) else { return false };
        if known.len() < MAX_MODELS || known.contains_key(model) {
            known.insert(model.clone(), more);
            tracing::info!(
                provider = model.provider.as_str(),
                model = model.name,
                cause = failure.cause,
                "the model refused a part of the request; it is asked without from now on"
            );
            return true;
        }
        false
    }
}

//! Parameters that a model has rejected. The request is repeated without them, and that is remembered
//! for the life of the process.

use std::collections::HashMap;
use std::sync::Mutex;

use crate::error::LlmErrorKind;
use crate::model::ModelRef;
use crate::provider::failure::Failure;
use crate::request::LlmRequest;

/// The most models that are remembered: callers may name any model.
const MAX_MODELS: usize = 1_000;

/// How requests to a model are changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Quirks {
    /// It rejects a temperature, as reasoning models do.
    pub(super) no_temperature: bool,
    /// It requires `max_completion_tokens` instead of `max_tokens`.
    pub(super) completion_limit: bool,
    /// It rejects some keyword in the tools' schemas.
    pub(super) plain_schemas: bool,
}

impl Quirks {
    /// The quirks after a rejected request; `None` when it was rejected for another reason.
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

/// The quirks learned so far, by model.
#[derive(Debug, Default)]
pub(super) struct LearnedQuirks(Mutex<HashMap<ModelRef, Quirks>>);

impl LearnedQuirks {
    pub(super) fn of(&self, model: &ModelRef) -> Quirks {
        let known = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(model).copied().unwrap_or_default()
    }

    /// Learns from a rejected request; `true` when it should be repeated.
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
                "model rejected a request parameter; omitting it from now on"
            );
            return true;
        }
        false
    }
}

//! What a run's placeholders stand for, in its journal: sealed, in the steps that have them, so that another instance
//! gives the values back, too.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::journal_seal::{Place, RESTORES};
use mc_client::runs::RunStep;
use serde_json::Value;
use wombat_core::redact::Redactor;

use crate::run::error::{RunError, RunErrorKind};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenBack {
    /// The values of earlier attempts, by their placeholders.
    earlier: BTreeMap<String, String>,
    by: OnceLock<Arc<Redactor>>,
}

impl GivenBack {
    /// What steps have of it.
    pub(super) fn of(client: &AgentClient, key: &RunKey, steps: &[RunStep]) -> Self {
        let earlier = steps.iter().flat_map(|step| values_of(client, key, step)).collect();
        Self { earlier, by: OnceLock::new() }
    }

    /// Whether there is anything.
    pub(super) fn has_any(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Who knows the values from here on.
    pub(super) fn by(&self, redactor: &Arc<Redactor>) {
        redactor.learn(self.earlier.clone());
        let _only_once = self.by.set(redactor.clone());
    }

    /// Puts the values of a step's placeholders into it.
    ///
    /// # Errors
    /// When they cannot be sealed: no other instance could go on.
    pub(super) fn note(
        &self,
        client: &AgentClient,
        (key, at): (&RunKey, u32),
        payload: &mut Value,
    ) -> Result<(), RunError> {
        let redactor = self.by.get().filter(|redactor| redactor.restores());
        let Some(redactor) = redactor else { return Ok(()) };
        let mut values = BTreeMap::new();
        placeholders(redactor, payload, &mut values);
        if values.is_empty() {
            return Ok(());
        }
        let place = Place::Restores(at);
        let sealed = serde_json::to_vec(&values).ok();
        let sealed = sealed.and_then(|plain| client.sealed(key.as_str(), place, &plain));
        match (payload.as_object_mut(), sealed) {
            (Some(fields), Some(sealed)) => {
                fields.insert(RESTORES.to_owned(), Value::String(sealed));
                Ok(())
            }
            _ => Err(RunError::new(RunErrorKind::Internal)
                .caused_by("the values of placeholders could not be sealed")),
        }
    }

    /// Takes up the values of another instance's step.
    pub(super) fn learn(&self, client: &AgentClient, key: &RunKey, step: &RunStep) {
        if let Some(redactor) = self.by.get() {
            redactor.learn(values_of(client, key, step));
        }
    }
}

fn values_of(client: &AgentClient, key: &RunKey, step: &RunStep) -> BTreeMap<String, String> {
    let Some(sealed) = step.payload.get(RESTORES).and_then(Value::as_str) else {
        return BTreeMap::new();
    };
    let opened = client.opened(key.as_str(), Place::Restores(step.index), sealed);
    let values = opened.and_then(|plain| serde_json::from_slice(&plain).ok());
    values.unwrap_or_else(|| {
        tracing::warn!(index = step.index, "the values of a step's placeholders cannot be read");
        BTreeMap::new()
    })
}

/// The known placeholders in all texts of a value.
fn placeholders(redactor: &Redactor, value: &Value, all: &mut BTreeMap<String, String>) {
    match value {
        Value::String(text) => all.extend(redactor.values_in(text)),
        Value::Array(items) => items.iter().for_each(|item| placeholders(redactor, item, all)),
        Value::Object(fields) => {
            for (name, field) in fields {
                all.extend(redactor.values_in(name));
                placeholders(redactor, field, all);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

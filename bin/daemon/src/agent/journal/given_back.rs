//! What a run's placeholders stand for, in its journal: sealed, in the steps that have them, so that another instance
//! gives the values back, too. Likewise the values that the rules do not find by themselves, so that it replaces them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use mc_client::journal_seal::{Place, RESTORES, REVEALED};
use mc_client::runs::RunStep;
use serde_json::Value;
use wombat_core::redact::Redactor;

use crate::run::error::{RunError, RunErrorKind};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct GivenBack {
    /// The values of earlier attempts, by their placeholders.
    earlier: BTreeMap<String, String>,
    /// The kinds of the values that earlier attempts have revealed, by step.
    revealed: Vec<BTreeMap<String, String>>,
    by: OnceLock<Arc<Redactor>>,
}

impl GivenBack {
    /// What steps have of it.
    pub(super) fn of(client: &AgentClient, key: &RunKey, steps: &[RunStep]) -> Self {
        let earlier = steps.iter().flat_map(|step| values_of(client, key, step)).collect();
        let revealed = steps.iter().filter_map(|step| revealed_in(client, key, step)).collect();
        Self { earlier, revealed, by: OnceLock::new() }
    }

    /// Whether there is anything.
    pub(super) fn has_any(&self) -> bool {
        !self.earlier.is_empty()
    }

    /// Who knows the values from here on.
    pub(super) fn by(&self, redactor: &Arc<Redactor>) {
        redactor.learn(self.earlier.clone());
        self.revealed.iter().for_each(|values| take_up(redactor, values.clone()));
        let _only_once = self.by.set(redactor.clone());
    }

    /// Puts the values of a step's placeholders into it, and what of it was revealed.
    ///
    /// # Errors
    /// When they cannot be sealed: no other instance could go on.
    pub(super) fn note(
        &self,
        client: &AgentClient,
        (key, at): (&RunKey, u32),
        payload: &mut Value,
    ) -> Result<(), RunError> {
        let Some(redactor) = self.by.get() else { return Ok(()) };
        let (mut values, mut revealed) = (BTreeMap::new(), BTreeMap::new());
        if redactor.restores() {
            texts(payload, &mut |text| values.extend(redactor.values_in(text)));
        }
        if redactor.has_revealed() {
            texts(payload, &mut |text| revealed.extend(redactor.revealed_in(text)));
        }
        let both =
            [(RESTORES, Place::Restores(at), values), (REVEALED, Place::Revealed(at), revealed)];
        for (name, place, values) in both.into_iter().filter(|(.., values)| !values.is_empty()) {
            let sealed = serde_json::to_vec(&values).ok();
            let sealed = sealed.and_then(|plain| client.sealed(key.as_str(), place, &plain));
            let (Some(fields), Some(sealed)) = (payload.as_object_mut(), sealed) else {
                return Err(RunError::new(RunErrorKind::Internal)
                    .caused_by("the values of placeholders could not be sealed"));
            };
            fields.insert(name.to_owned(), Value::String(sealed));
        }
        Ok(())
    }

    /// Takes up the values of another instance's step.
    pub(super) fn learn(&self, client: &AgentClient, key: &RunKey, step: &RunStep) {
        if let Some(redactor) = self.by.get() {
            redactor.learn(values_of(client, key, step));
            if let Some(values) = revealed_in(client, key, step) {
                take_up(redactor, values);
            }
        }
    }
}

fn values_of(client: &AgentClient, key: &RunKey, step: &RunStep) -> BTreeMap<String, String> {
    sealed_in(client, key, step, (RESTORES, Place::Restores(step.index))).unwrap_or_default()
}

fn revealed_in(
    client: &AgentClient,
    key: &RunKey,
    step: &RunStep,
) -> Option<BTreeMap<String, String>> {
    sealed_in(client, key, step, (REVEALED, Place::Revealed(step.index)))
}

fn sealed_in(
    client: &AgentClient,
    key: &RunKey,
    step: &RunStep,
    (name, place): (&str, Place),
) -> Option<BTreeMap<String, String>> {
    let sealed = step.payload.get(name).and_then(Value::as_str)?;
    let opened = client.opened(key.as_str(), place, sealed);
    let values = opened.and_then(|plain| serde_json::from_slice(&plain).ok());
    if values.is_none() {
        tracing::warn!(part = %place, "a sealed part of a step cannot be read");
    }
    values
}

fn take_up(redactor: &Redactor, values: BTreeMap<String, String>) {
    if !redactor.take_up_revealed(values) {
        tracing::warn!("values that an earlier attempt has read are too many to be replaced");
    }
}

/// All texts of a value.
fn texts(value: &Value, told: &mut dyn FnMut(&str)) {
    match value {
        Value::String(text) => told(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, told)),
        Value::Object(fields) => {
            for (name, field) in fields {
                told(name);
                texts(field, told);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

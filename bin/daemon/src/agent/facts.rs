//! What the backend is told of a run for its lists (feature `runs_list`), beside the run's status.

use std::sync::Arc;

use llm::Cost;
use llm::model::ModelRef;
use mc_client::run_lists::{MAX_TEXT, RunFacts};
use serde_json::{Map, Value};
use wombat_core::redact::Redactor;

use super::redaction::in_journal;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::RunError;

/// The beginning of a text.
fn beginning(text: &str, redactor: Option<&Arc<Redactor>>) -> String {
    // Of a value that is cut the rest would be told.
    in_journal(redactor, text).chars().take(MAX_TEXT).collect()
}

/// When it begins: what is asked, and of which model.
pub(super) fn at_begin(
    message: &str,
    model: &ModelRef,
    redactor: Option<&Arc<Redactor>>,
) -> Map<String, Value> {
    let facts = RunFacts {
        model: Some(model.name.clone()),
        provider: Some(model.provider.as_str().to_owned()),
        asked: Some(beginning(message, redactor)),
        ..RunFacts::default()
    };
    facts.fields()
}

fn known(cost: &Cost) -> Option<f64> {
    cost.known.then(|| llm::round_usd(cost.total_cost))
}

/// When its caller leaves: for how much.
pub(super) fn at_leaving(cost: &Cost) -> Map<String, Value> {
    RunFacts { cost_usd: known(cost), ..RunFacts::default() }.fields()
}

/// When it ends: what was answered, by which model, for how much; or why not.
pub(super) fn at_end(
    result: Result<&RunAnswer, &RunError>,
    cost: &Cost,
    redactor: Option<&Arc<Redactor>>,
) -> Map<String, Value> {
    let cost_usd = known(cost);
    let facts = match result {
        Ok(answer) => RunFacts {
            model: answer.model.as_ref().map(|model| model.name.clone()),
            provider: answer.model.as_ref().map(|model| model.provider.as_str().to_owned()),
            // A reply that stood already was paid for by whoever made it.
            cost_usd: cost_usd.filter(|_| !matches!(answer.ending, Ending::Replayed(_))),
            reply: Some(beginning(&answer.response, redactor)).filter(|reply| !reply.is_empty()),
            ..RunFacts::default()
        },
        Err(error) => {
            RunFacts { cost_usd, error_code: Some(error.code().to_owned()), ..RunFacts::default() }
        }
    };
    facts.fields()
}

//! Model usage of this instance since it started.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use llm::event::Completion;
use serde::Serialize;
use utoipa::ToSchema;

/// Counts of model calls, in all and by model.
#[derive(Debug, Default)]
pub struct UsageBook(Mutex<UsageReport>);

/// `GET /usage`.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// All models together.
    #[serde(flatten)]
    pub total: UsageTotals,
    /// By `provider/model`.
    pub models: BTreeMap<String, UsageTotals>,
}

/// Counts since the process started.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageTotals {
    /// Model calls that were answered.
    pub request_count: u64,
    /// Tokens of the prompts.
    pub total_input_tokens: u64,
    /// Tokens of the answers.
    pub total_output_tokens: u64,
    /// Input and output tokens together.
    pub total_tokens: u64,
    /// Of those, estimated tokens of calls that were dropped or broke off.
    pub estimated_tokens: u64,
    /// Their price; calls of models with an unknown price count as 0.
    pub total_cost: f64,
    /// Calls of models with an unknown price.
    pub unpriced_requests: u64,
    /// `USD`.
    pub currency: &'static str,
}

impl Default for UsageTotals {
    fn default() -> Self {
        Self {
            request_count: 0,
            total_input_tokens: 0,
            total_output_tokens: 0,
            total_tokens: 0,
            estimated_tokens: 0,
            total_cost: 0.0,
            unpriced_requests: 0,
            currency: "USD",
        }
    }
}

impl UsageBook {
    /// Books an answered call.
    pub fn add(&self, completion: &Completion) {
        let price = llm::cost(&completion.model, completion.provider, &completion.usage);
        let name = format!("{}/{}", completion.provider.as_str(), completion.model);
        self.write(|report| {
            let of_model = report.models.entry(name).or_default();
            for totals in [of_model, &mut report.total] {
                totals.request_count += 1;
                totals.total_input_tokens += completion.usage.prompt_tokens;
                totals.total_output_tokens += completion.usage.completion_tokens;
                totals.total_tokens += completion.usage.total_tokens;
                match &price {
                    Some(price) => totals.total_cost += price.total_cost,
                    None => totals.unpriced_requests += 1,
                }
            }
        });
    }

    /// Books a call that was dropped or broke off before its answer was complete.
    pub fn add_estimate(&self, prompt_tokens: u64, completion_tokens: u64) {
        let tokens = prompt_tokens + completion_tokens;
        self.write(|report| {
            report.total.total_input_tokens += prompt_tokens;
            report.total.total_output_tokens += completion_tokens;
            report.total.total_tokens += tokens;
            report.total.estimated_tokens += tokens;
        });
    }

    /// The counts now.
    pub fn report(&self) -> UsageReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, change: impl FnOnce(&mut UsageReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

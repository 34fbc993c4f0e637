//! Model usage of this instance since it started.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use llm::event::{Completion, Usage};
use serde::{Serialize, Serializer};
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
    /// Of those, tokens of calls that were dropped or broke off, or whose provider did not report
    /// them: estimates.
    pub estimated_tokens: u64,
    /// Their price; calls of models with an unknown price count as 0.
    #[serde(serialize_with = "write_usd")]
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

/// Writes an amount as it is shown, rounded to millionths.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn write_usd<S: Serializer>(amount: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(llm::round_usd(*amount))
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
                if completion.usage.estimated {
                    totals.estimated_tokens += completion.usage.total_tokens;
                }
                match &price {
                    Some(price) => totals.total_cost += price.total_cost,
                    None => totals.unpriced_requests += 1,
                }
            }
        });
    }

    /// Books a call that was dropped or broke off before its answer was complete.
    pub fn add_estimate(&self, usage: &Usage) {
        self.write(|report| {
            report.total.total_input_tokens += usage.prompt_tokens;
            report.total.total_output_tokens += usage.completion_tokens;
            report.total.total_tokens += usage.total_tokens;
            report.total.estimated_tokens += usage.total_tokens;
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

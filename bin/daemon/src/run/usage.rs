//! Model usage of this instance since it started.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use llm::Cost;
use llm::event::{Completion, Usage};
use llm::model::ModelRef;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::meter::Estimate;

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
        let (model, usage) = (&completion.model, &completion.usage);
        let price = llm::cost_or_unknown(model, completion.provider, usage);
        let model = ModelRef::new(completion.provider, &completion.model);
        self.write(&model, |totals| {
            totals.request_count += 1;
            totals.add(&completion.usage, &price);
        });
    }

    /// Books attempts that were dropped or broke off before their answer was complete.
    pub fn add_estimates(&self, used: &[Estimate]) {
        for estimate in used {
            let price = estimate.cost();
            self.write(&estimate.model, |totals| totals.add(&estimate.usage, &price));
        }
    }

    /// The counts now.
    pub fn report(&self) -> UsageReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the row of a model, and the total.
    fn write(&self, model: &ModelRef, change: impl Fn(&mut UsageTotals)) {
        let mut report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(report.models.entry(model.to_string()).or_default());
        change(&mut report.total);
    }
}

impl UsageTotals {
    fn add(&mut self, usage: &Usage, price: &Cost) {
        self.total_input_tokens = self.total_input_tokens.saturating_add(usage.prompt_tokens);
        self.total_output_tokens = self.total_output_tokens.saturating_add(usage.completion_tokens);
        self.total_tokens = self.total_tokens.saturating_add(usage.total_tokens);
        if usage.estimated {
            self.estimated_tokens = self.estimated_tokens.saturating_add(usage.total_tokens);
        }
        self.total_cost += price.total_cost;
        self.unpriced_requests += u64::from(!price.known);
    }
}

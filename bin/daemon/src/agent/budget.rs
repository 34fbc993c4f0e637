//! The user's budget in the backend (feature `budgets`): the cost of each model call is reserved
//! before the call and settled after it, so that concurrent runs cannot spend the same money.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use llm::event::{Completion, Usage};
use llm::model::ModelRef;
use mc_client::budgets::{Reserve, Usage as Report};
use mc_client::client::AgentClient;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::run::error::{RunError, RunErrorKind};

/// The timeout of settling a reservation.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The expected length of an answer where the caller sets no limit, tokens.
const EXPECTED_ANSWER_TOKENS: u64 = 1_000;

/// The budget as one run uses it; does nothing where the backend has no budgets.
pub(super) struct Budget {
    client: Option<AgentClient>,
    run_id: String,
    role: String,
    calls: AtomicU32,
    tracker: TaskTracker,
}

/// The reservation of one call. Dropped before the call has ended, it is settled by estimate.
pub(super) struct Reserved {
    settlement: Option<Settlement>,
    tracker: TaskTracker,
}

struct Settlement {
    client: AgentClient,
    report: Report,
}

impl Budget {
    pub(super) fn new(
        client: Option<AgentClient>,
        run_id: &str,
        role: &str,
        tracker: TaskTracker,
    ) -> Self {
        let (run_id, role) = (run_id.to_owned(), role.to_owned());
        Self { client, run_id, role, calls: AtomicU32::new(0), tracker }
    }

    /// Reserves the expected cost of a call.
    ///
    /// # Errors
    /// `BudgetExceeded` when the user's budget is used up.
    pub(super) async fn reserve(
        &self,
        model: &ModelRef,
        prompt_tokens: u64,
        max_output_tokens: Option<u32>,
    ) -> Result<Reserved, RunError> {
        let tracker = self.tracker.clone();
        let Some(client) = &self.client else { return Ok(Reserved { settlement: None, tracker }) };
        let completion_tokens = max_output_tokens.map_or(EXPECTED_ANSWER_TOKENS, u64::from);
        let expected = Usage { prompt_tokens, completion_tokens, ..Usage::default() };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let reserve = Reserve {
            run_id: self.run_id.clone(),
            estimate_usd: price(model, &expected),
            idempotency_key: format!("reserve:{}:{call}", self.run_id),
        };
        let reservation = client.reserve(&reserve).await.map_err(|error| {
            if error.is_budget_exceeded() {
                let why = "the user's budget is used up".to_owned();
                return RunError::new(RunErrorKind::BudgetExceeded(why)).caused_by(error);
            }
            RunError::backend(&error)
        })?;
        let dropped = Usage { prompt_tokens, ..Usage::default() };
        let report = Report {
            run_id: self.run_id.clone(),
            reservation_id: Some(reservation.reservation_id),
            role: self.role.clone(),
            model: model.name.clone(),
            prompt_tokens,
            completion_tokens: 0,
            cost_usd: price(model, &dropped),
            estimated: true,
            idempotency_key: format!("usage:{}:{call}", self.run_id),
        };
        Ok(Reserved { settlement: Some(Settlement { client: client.clone(), report }), tracker })
    }
}

impl Reserved {
    /// Settles a call that was answered.
    pub(super) async fn settle(mut self, completion: &Completion) {
        let Some(mut settlement) = self.settlement.take() else { return };
        let model = ModelRef::new(completion.provider, &completion.model);
        settlement.report.model.clone_from(&completion.model);
        settlement.fill(&model, &completion.usage, false);
        Box::pin(settlement.send()).await;
    }

    /// Settles a call that failed, by the estimated usage.
    pub(super) async fn settle_failed(mut self, model: &ModelRef, usage: &Usage) {
        let Some(mut settlement) = self.settlement.take() else { return };
        settlement.fill(model, usage, true);
        Box::pin(settlement.send()).await;
    }
}

impl Settlement {
    fn fill(&mut self, model: &ModelRef, usage: &Usage, estimated: bool) {
        self.report.prompt_tokens = usage.prompt_tokens;
        self.report.completion_tokens = usage.completion_tokens;
        self.report.cost_usd = price(model, usage);
        self.report.estimated = estimated;
    }

    async fn send(self) {
        // Also after the run's timeout and without its lease: what was used has to be paid.
        let client = self.client.without_fence().with_deadline(Instant::now() + SETTLE_TIMEOUT);
        if let Err(error) = client.report_usage(&self.report).await {
            tracing::warn!(
                %error,
                "budget settlement failed; the reservation will expire"
            );
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            // The provider may charge for a dropped call.
            drop(self.tracker.spawn(settlement.send().in_current_span()));
        }
    }
}

/// The price of tokens, USD; an unknown price counts as 0.
fn price(model: &ModelRef, usage: &Usage) -> f64 {
    llm::cost(&model.name, model.provider, usage).map_or(0.0, |cost| cost.total_cost)
}

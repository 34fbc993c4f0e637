//! The user's budget in the backend (feature `budgets`): each call of a model is reserved before and
//! settled after, so that runs that go on at the same time cannot spend the same money.

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

/// How long settling may take.
const SETTLE: Duration = Duration::from_secs(5);

/// How long an answer is expected to be where the caller sets no limit, tokens.
const USUAL_ANSWER: u64 = 1_000;

/// The budget as one run uses it; nothing happens where the backend has none.
pub(super) struct Budget {
    client: Option<AgentClient>,
    run_id: String,
    role: String,
    calls: AtomicU32,
    tracker: TaskTracker,
}

/// Money set aside for one call. Dropped before the call has ended, it is settled by estimate.
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

    /// Sets aside what a call is expected to cost; refused when the user has spent it all.
    pub(super) async fn reserve(
        &self,
        model: &ModelRef,
        prompt_tokens: u64,
        max_output_tokens: Option<u32>,
    ) -> Result<Reserved, RunError> {
        let tracker = self.tracker.clone();
        let Some(client) = &self.client else { return Ok(Reserved { settlement: None, tracker }) };
        let completion_tokens = max_output_tokens.map_or(USUAL_ANSWER, u64::from);
        let expected = Usage { prompt_tokens, completion_tokens, ..Usage::default() };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let reserve = Reserve {
            run_id: self.run_id.clone(),
            estimate_usd: price(model, &expected),
            idempotency_key: format!("reserve:{}:{call}", self.run_id),
        };
        let reservation = client.reserve(&reserve).await.map_err(|error| {
            if error.is_budget_exceeded() {
                let why = "the user's budget is spent".to_owned();
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
    /// The call was answered.
    pub(super) async fn answered(mut self, completion: &Completion) {
        let Some(mut settlement) = self.settlement.take() else { return };
        let model = ModelRef::new(completion.provider, &completion.model);
        settlement.report.model.clone_from(&completion.model);
        settlement.fill(&model, &completion.usage, false);
        Box::pin(settlement.send()).await;
    }

    /// The call failed; what was said until then, if anything, is an estimate.
    pub(super) async fn failed(mut self, model: &ModelRef, usage: &Usage) {
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
        // Also when the run's own time is over, or its turn lost: what was used was used.
        let client = self.client.without_fence().with_deadline(Instant::now() + SETTLE);
        if let Err(error) = client.report_usage(&self.report).await {
            tracing::warn!(
                %error,
                "the backend could not be told what a model call used; its reservation runs out"
            );
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            // The provider may charge for a call that was dropped.
            drop(self.tracker.spawn(settlement.send().in_current_span()));
        }
    }
}

/// What so many tokens cost, USD; a price that nobody knows counts as nothing.
fn price(model: &ModelRef, usage: &Usage) -> f64 {
    llm::cost(&model.name, model.provider, usage).map_or(0.0, |cost| cost.total_cost)
}

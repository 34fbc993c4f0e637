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
use crate::run::meter::InFlight;

/// The timeout of settling a reservation.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest answer that is worth a call when the budget does not cover the longest one, tokens.
const LEAST_ANSWER_TOKENS: u32 = 256;

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
    /// The longest answer that is covered, tokens, where that is less than was asked for.
    pub(super) affordable: Option<u32>,
    /// The call, once it is made.
    in_flight: Option<InFlight>,
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

    /// Reserves what a call can cost at most: its prompt, and the longest answer that it may get.
    /// Where the budget does not cover that, what is left is reserved, and the answer is limited.
    ///
    /// # Errors
    /// `BudgetExceeded` when the user's budget is used up.
    pub(super) async fn reserve(
        &self,
        model: &ModelRef,
        prompt_tokens: u64,
        longest_answer: Option<u32>,
    ) -> Result<Reserved, RunError> {
        let tracker = self.tracker.clone();
        let Some(client) = &self.client else {
            return Ok(Reserved { settlement: None, affordable: None, in_flight: None, tracker });
        };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let most = Usage {
            prompt_tokens,
            completion_tokens: longest_answer.map_or(0, u64::from),
            ..Usage::default()
        };
        let mut reserve = Reserve {
            run_id: self.run_id.clone(),
            estimate_usd: price(model, &most),
            idempotency_key: format!("reserve:{}:{call}", self.run_id),
        };
        let mut affordable = None;
        let mut reserved = client.reserve(&reserve).await;
        if let Err(error) = &reserved
            && error.is_budget_exceeded()
            && let Some((tokens, usd)) = affordable_answer(client, model, &most).await
        {
            affordable = Some(tokens);
            reserve.estimate_usd = usd;
            reserve.idempotency_key += ":rest";
            reserved = client.reserve(&reserve).await;
        }
        let reservation = reserved.map_err(|error| {
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
        let settlement = Some(Settlement { client: client.clone(), report });
        Ok(Reserved { settlement, affordable, in_flight: None, tracker })
    }
}

/// The longest answer that the rest of the budget covers, tokens, and what the call then costs at
/// most, USD; `None` when that is too little for any answer.
async fn affordable_answer(
    client: &AgentClient,
    model: &ModelRef,
    most: &Usage,
) -> Option<(u32, f64)> {
    let left = client.budget().await.ok()?.remaining_usd?;
    let of_answer =
        |completion_tokens| price(model, &Usage { completion_tokens, prompt_tokens: 0, ..*most });
    let prompt = price(model, &Usage { completion_tokens: 0, ..*most });
    let per_token = of_answer(1_000_000) / 1e6;
    let tokens = super::model::floor((left - prompt) / per_token);
    let is_shorter = u64::from(tokens) < most.completion_tokens;
    (is_shorter && tokens >= LEAST_ANSWER_TOKENS)
        .then(|| (tokens, prompt + of_answer(u64::from(tokens))))
}

impl Reserved {
    /// The call is made; when it is dropped, what it has used by then is settled.
    pub(super) fn call_started(&mut self, call: InFlight) {
        self.in_flight = Some(call);
    }

    /// Settles a call that was answered.
    pub(super) async fn settle(mut self, completion: &Completion) {
        let Some(mut settlement) = self.settlement.take() else { return };
        let model = ModelRef::new(completion.provider, &completion.model);
        settlement.report.model.clone_from(&completion.model);
        settlement.fill(&model, &completion.usage);
        Box::pin(settlement.send()).await;
    }

    /// Settles a call that failed, by what it had used.
    pub(super) async fn settle_failed(mut self, model: &ModelRef, usage: &Usage) {
        let Some(mut settlement) = self.settlement.take() else { return };
        settlement.fill(model, usage);
        Box::pin(settlement.send()).await;
    }
}

impl Settlement {
    fn fill(&mut self, model: &ModelRef, usage: &Usage) {
        self.report.prompt_tokens = usage.prompt_tokens;
        self.report.completion_tokens = usage.completion_tokens;
        self.report.cost_usd = price(model, usage);
        self.report.estimated = usage.estimated;
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
        if let Some(mut settlement) = self.settlement.take() {
            // The provider may charge for a dropped call.
            if let Some(call) = &self.in_flight {
                settlement.fill(&call.model, &call.usage());
            }
            drop(self.tracker.spawn(settlement.send().in_current_span()));
        }
    }
}

/// The price of tokens, USD, to the millionth; an unknown price counts as 0.
fn price(model: &ModelRef, usage: &Usage) -> f64 {
    let cost = llm::cost(&model.name, model.provider, usage);
    cost.map_or(0.0, |cost| llm::round_usd(cost.total_cost))
}

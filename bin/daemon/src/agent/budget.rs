//! The user's budget in the backend (feature `budgets`): the cost of each model call is reserved
//! before the call and settled after it, so that concurrent runs cannot spend the same money.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use llm::event::{Completion, Usage};
use llm::model::ModelRef;
use mc_client::budgets::{BudgetScope, Reservation, Reserve, ScopedBudget, Usage as Report};
use mc_client::client::AgentClient;
use mc_client::error::McError;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::most_price::MostPrice;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::meter::{Estimate, InFlight};

/// The timeout of settling a reservation.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest answer that is worth a call when the budget does not cover the longest one, tokens.
const LEAST_ANSWER_TOKENS: u32 = 256;

/// How often a part of the rest is asked for: other runs take theirs at the same time.
const REST_TRIES: u32 = 3;

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
    /// Until when settling is waited for; it goes on without.
    deadline: Option<Instant>,
    tracker: TaskTracker,
}

/// What a call of one model can cost.
struct Candidate {
    price: MostPrice,
    /// The longest answer that it may give, tokens.
    longest: u32,
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

    /// Reserves what a call can cost at most: its prompt, and the longest answer that it may get, by
    /// the dearest of the models that may be asked. They come with the longest answers that they can
    /// give; `longest` is a lower limit of the caller's. Where the budget does not cover that, a part of
    /// the rest is reserved, and the answer is limited.
    ///
    /// # Errors
    /// `BudgetExceeded` when the user's budget is used up or reserved.
    pub(super) async fn reserve(
        &self,
        models: &[(&ModelRef, Option<u32>)],
        prompt_tokens: u64,
        longest: Option<u32>,
    ) -> Result<Reserved, RunError> {
        let mut reserved = Reserved {
            settlement: None,
            affordable: None,
            in_flight: None,
            deadline: None,
            tracker: self.tracker.clone(),
        };
        let Some(client) = &self.client else { return Ok(reserved) };
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let candidates = candidates(models, prompt_tokens, longest);
        let reserve = Reserve {
            run_id: self.run_id.clone(),
            estimate_usd: llm::round_usd(most(&candidates, u32::MAX)),
            idempotency_key: format!("reserve:{}:{call}", self.run_id),
        };
        let reservation = match client.reserve(&reserve).await {
            Ok(reservation) => reservation,
            Err(error) if error.is_budget_exceeded() => {
                let (reservation, tokens) =
                    Box::pin(reserve_rest(client, reserve, &candidates, error)).await?;
                reserved.affordable = Some(tokens);
                reservation
            }
            Err(error) => return Err(RunError::backend(&error)),
        };
        let report = Report {
            run_id: self.run_id.clone(),
            reservation_id: Some(reservation.reservation_id),
            role: self.role.clone(),
            model: models.first().map(|(model, _)| model.name.clone()).unwrap_or_default(),
            prompt_tokens: 0,
            completion_tokens: 0,
            cost_usd: 0.0,
            estimated: true,
            idempotency_key: format!("usage:{}:{call}", self.run_id),
        };
        reserved.settlement = Some(Settlement { client: client.clone(), report });
        Ok(reserved)
    }
}

/// Refuses a run whose user's budget does not pay for any answer. A budget that cannot be read refuses
/// nothing: the reservation decides.
///
/// # Errors
/// `BudgetExceeded`.
pub(super) async fn check(
    client: &AgentClient,
    models: &[(&ModelRef, Option<u32>)],
) -> Result<(), RunError> {
    let Ok(budget) = client.budget().await else { return Ok(()) };
    let candidates = candidates(models, 0, None);
    match budget.least_remaining() {
        Some(left) if most(&candidates, LEAST_ANSWER_TOKENS) > left => {
            Err(exceeded(is_reserved(&budget), budget.tightest()))
        }
        Some(_) | None => Ok(()),
    }
}

/// What the call of each model can cost. A model without a known price counts as free.
fn candidates(
    models: &[(&ModelRef, Option<u32>)],
    prompt_tokens: u64,
    longest: Option<u32>,
) -> Vec<Candidate> {
    let candidates = models.iter().filter_map(|(model, of_model)| {
        let longest = longest.into_iter().chain(*of_model).min().unwrap_or(0);
        Some(Candidate { price: MostPrice::of(model, prompt_tokens)?, longest })
    });
    candidates.collect()
}

/// Whether the rest of the user's budget is reserved, not spent.
fn is_reserved(budget: &mc_client::budgets::Budget) -> bool {
    budget.reserved_usd > 0.0 && budget.limit_usd.is_some_and(|limit| budget.spent_usd < limit)
}

/// What the caller and the log are told, and which budget it is. Where the backend names none, it is the
/// user's, and known is whether its rest is reserved.
fn exceeded(user_s_is_reserved: bool, budget: Option<&ScopedBudget>) -> RunError {
    let is_reserved = budget.map_or(user_s_is_reserved, |budget| {
        budget.reserved_usd > 0.0 && budget.spent_usd < budget.limit_usd
    });
    let is_shared = |scope: &BudgetScope| scope.tenant_id.is_some() || scope.role.is_some();
    let whose = match budget {
        Some(budget) if is_shared(&budget.scope) => format!("the budget of {}", budget.scope),
        Some(_) | None => "the user's budget".to_owned(),
    };
    let why = if is_reserved {
        format!("the rest of {whose} is reserved for calls in progress")
    } else {
        format!("{whose} is used up")
    };
    if let Some(budget) = budget {
        tracing::warn!(
            budget = %budget.scope,
            limit_usd = budget.limit_usd,
            spent_usd = budget.spent_usd,
            reserved_usd = budget.reserved_usd,
            "a budget does not cover the model call"
        );
    }
    RunError::new(RunErrorKind::BudgetSpent(why, budget.cloned().map(Box::new)))
}

/// The price of the dearest one with an answer of so many tokens, USD.
fn most(candidates: &[Candidate], tokens: u32) -> f64 {
    let prices = candidates.iter().map(|one| one.price.with_answer(tokens.min(one.longest)));
    prices.fold(0.0, f64::max)
}

/// Reserves a part of what is left; returns the longest answer that it covers, too.
async fn reserve_rest(
    client: &AgentClient,
    mut reserve: Reserve,
    candidates: &[Candidate],
    mut refused: McError,
) -> Result<(Reservation, u32), RunError> {
    let key = std::mem::take(&mut reserve.idempotency_key);
    let (mut rest_is_reserved, mut tightest) = (false, None);
    for again in 1..=REST_TRIES {
        let Ok(budget) = client.budget().await else { break };
        rest_is_reserved = is_reserved(&budget);
        tightest = budget.tightest().cloned();
        let part = budget.least_remaining().and_then(|left| part_of(left, candidates));
        let Some((tokens, usd)) = part else { break };
        reserve.estimate_usd = usd;
        reserve.idempotency_key = format!("{key}:rest{again}");
        match client.reserve(&reserve).await {
            Ok(reservation) => return Ok((reservation, tokens)),
            Err(error) if error.is_budget_exceeded() => refused = error,
            Err(error) => return Err(RunError::backend(&error)),
        }
    }
    let named = refused.exceeded_budget().or(tightest);
    Err(exceeded(rest_is_reserved, named.as_ref()).caused_by(refused))
}

/// What a call takes of the rest of a budget: half of it, so that others can go on, but enough for an
/// answer. Returns the longest answer that this covers, tokens, and its price, USD; `None` when the rest
/// is too little for any answer.
fn part_of(left: f64, candidates: &[Candidate]) -> Option<(u32, f64)> {
    let least = most(candidates, LEAST_ANSWER_TOKENS);
    if least > left {
        return None;
    }
    let part = least.max(left / 2.0);
    let longest = candidates.iter().map(|one| one.longest).max()?;
    let limited = candidates.iter().filter(|one| one.price.with_answer(one.longest) > part);
    let tokens = limited.map(|one| one.price.answer_for(part)).min().unwrap_or(longest);
    let tokens = tokens.max(LEAST_ANSWER_TOKENS).min(longest);
    Some((tokens, llm::round_usd(most(candidates, tokens)).min(left)))
}

impl Reserved {
    /// The call is made; when it is dropped, what it has used by then is settled. Nobody waits for a
    /// settlement after `deadline`.
    pub(super) fn call_started(&mut self, call: InFlight, deadline: Option<Instant>) {
        self.in_flight = Some(call);
        self.deadline = deadline;
    }

    /// Settles a call that was answered.
    pub(super) async fn settle(mut self, completion: &Completion) {
        let Some(mut settlement) = self.settlement.take() else { return };
        let broken = self.in_flight.as_ref().map(InFlight::broken).unwrap_or_default();
        settlement.report.estimated = false;
        settlement.add_estimates(&broken);
        let model = ModelRef::new(completion.provider, &completion.model);
        settlement.add(&model, &completion.usage);
        self.send(settlement).await;
    }

    /// Settles a call that failed, by what it had used.
    pub(super) async fn settle_failed(mut self) {
        if let Some(settlement) = self.estimated() {
            self.send(settlement).await;
        }
    }

    /// The settlement of a call without an answer.
    fn estimated(&mut self) -> Option<Settlement> {
        let mut settlement = self.settlement.take()?;
        // The provider may charge for a dropped call.
        settlement.add_estimates(&self.in_flight.as_ref().map(InFlight::used).unwrap_or_default());
        Some(settlement)
    }

    /// Sends it in a task of its own: it must not be lost when the run ends in the meantime.
    async fn send(&self, settlement: Settlement) {
        let sent = self.tracker.spawn(settlement.send().in_current_span());
        match self.deadline {
            Some(deadline) => drop(timeout_at(deadline, sent).await),
            None => drop(sent.await),
        }
    }
}

impl Settlement {
    fn add(&mut self, model: &ModelRef, usage: &Usage) {
        self.report.model.clone_from(&model.name);
        self.report.prompt_tokens = self.report.prompt_tokens.saturating_add(usage.prompt_tokens);
        self.report.completion_tokens =
            self.report.completion_tokens.saturating_add(usage.completion_tokens);
        let cost = llm::cost(&model.name, model.provider, usage);
        self.report.cost_usd += cost.map_or(0.0, |cost| cost.total_cost);
        self.report.estimated |= usage.estimated;
    }

    fn add_estimates(&mut self, used: &[Estimate]) {
        used.iter().for_each(|estimate| self.add(&estimate.model, &estimate.usage));
    }

    async fn send(mut self) {
        self.report.cost_usd = llm::round_usd(self.report.cost_usd);
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
        if let Some(settlement) = self.estimated() {
            drop(self.tracker.spawn(settlement.send().in_current_span()));
        }
    }
}

#[cfg(test)]
mod tests {
    use llm::model::Provider;

    use super::*;

    fn candidate(provider: Provider, name: &str, prompt_tokens: u64, longest: u32) -> Candidate {
        let price = MostPrice::of(&ModelRef::new(provider, name), prompt_tokens).unwrap();
        Candidate { price, longest }
    }

    #[test]
    fn a_part_of_the_rest_is_never_more_than_the_rest() {
        for prompt_tokens in 0..2_000 {
            let one = [candidate(Provider::OpenAi, "gpt-4o-mini", prompt_tokens, 16_384)];
            let least = most(&one, LEAST_ANSWER_TOKENS);
            for left in [least, least * 1.000_1, least * 1.7, least * 2.3, least * 9.0] {
                let (tokens, usd) = part_of(left, &one).unwrap();
                assert!(usd <= left && tokens >= LEAST_ANSWER_TOKENS, "{left} {usd} {tokens}");
                assert!(usd <= least.max(left / 2.0) + 1e-6, "{left} {usd}");
            }
            assert_eq!(part_of(least * 0.999, &one), None);
        }
    }

    #[test]
    fn the_dearer_model_decides_about_the_answer() {
        let both = [
            candidate(Provider::OpenAi, "gpt-4o-mini", 1_000, 16_384),
            candidate(Provider::Anthropic, "claude-sonnet-4-5", 1_000, 64_000),
        ];
        let (tokens, usd) = part_of(0.2, &both).unwrap();
        assert!((6_400..6_420).contains(&tokens), "{tokens}");
        assert!((0.0999..=0.1).contains(&usd), "{usd}");
        assert_eq!(part_of(0.005, &both), None);
    }
}

//! Budgets of users' agents and their usage (features `budgets` and `budget_scopes`).

use std::fmt;

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::url::path;

/// The period after which spending starts at zero again, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Each day at midnight.
    Day,
    /// On the first of each month at midnight.
    Month,
}

/// What a budget is of: the calls that fit whatever is named. Each combination is one budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetScope {
    /// Calls for this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Calls for users whose profile names this customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub tenant_id: Option<String>,
    /// Calls of agents of this role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

impl BudgetScope {
    /// One user, whatever the role.
    pub fn of_user(user_id: impl Into<String>) -> Self {
        Self { user_id: Some(user_id.into()), ..Self::default() }
    }
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [("user", &self.user_id), ("tenant", &self.tenant_id), ("role", &self.role)];
        let named = named.iter().filter_map(|(kind, name)| Some((*kind, name.as_ref()?)));
        for (place, (kind, name)) in named.enumerate() {
            let between = if place == 0 { "" } else { ", " };
            write!(f, "{between}{kind} {name:?}")?;
        }
        Ok(())
    }
}

/// `PUT /budget` (internal token).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PutBudget {
    /// The user, where it is of one; one of user, tenant and role is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"\S")]
    pub user_id: Option<String>,
    /// The customer that users belong to, as their profile says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"\S", max_length = 128)]
    pub tenant_id: Option<String>,
    /// The role of agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"\S")]
    pub role: Option<String>,
    /// The limit of a period, in US dollars.
    pub limit_usd: f64,
    /// The period.
    pub period: Period,
    /// The part of the limit whose spending is told as `budget.warned`, once per period and limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub warn_at: Option<f64>,
}

impl PutBudget {
    /// What it is of.
    pub fn scope(&self) -> BudgetScope {
        let (user_id, tenant_id, role) =
            (self.user_id.clone(), self.tenant_id.clone(), self.role.clone());
        BudgetScope { user_id, tenant_id, role }
    }
}

/// A limit with its current figures. It counts all calls that fit its scope, whoever looks at it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopedBudget {
    /// What it is of.
    #[serde(flatten)]
    pub scope: BudgetScope,
    /// The limit of a period, in US dollars.
    pub limit_usd: f64,
    /// What has been spent in the period.
    pub spent_usd: f64,
    /// What is reserved for calls in progress.
    pub reserved_usd: f64,
    /// What is left after both.
    pub remaining_usd: f64,
    /// The period.
    pub period: Period,
    /// When the next period begins.
    pub period_end: DateTime<Utc>,
    /// The part of the limit whose spending is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<f64>,
}

/// The event `budget.warned`, beside what every event has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetWarned {
    /// The budget, as the booking left it.
    pub budget: ScopedBudget,
    /// The run whose booking reached it.
    pub run_id: String,
}

/// The event's name.
pub const BUDGET_WARNED: &str = "budget.warned";

/// `details` of 402 `budget_exceeded`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetRefusal {
    /// The user's budget.
    #[serde(flatten)]
    pub of_user: Budget,
    /// The budget that the reservation does not fit; of several the one with the least left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<ScopedBudget>,
}

/// The budget of a user's agents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// The limit of a period, in US dollars; absent when there is none.
    #[serde(default)]
    pub limit_usd: Option<f64>,
    /// What has been spent in the period.
    #[serde(default)]
    pub spent_usd: f64,
    /// What is reserved for calls in progress.
    #[serde(default)]
    pub reserved_usd: f64,
    /// What is left after both; absent when there is no limit.
    #[serde(default)]
    pub remaining_usd: Option<f64>,
    /// The period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// When the next period begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<DateTime<Utc>>,
    /// All limits that the caller's calls must fit, that of the user among them (feature
    /// `budget_scopes`).
    #[serde(default)]
    pub budgets: Vec<ScopedBudget>,
}

impl Budget {
    /// What is left of the tightest limit; `None` when there is no limit.
    pub fn least_remaining(&self) -> Option<f64> {
        let scoped = self.tightest().map(|budget| budget.remaining_usd);
        self.remaining_usd.into_iter().chain(scoped).reduce(f64::min)
    }

    /// The limit of [`Budget::budgets`] with the least left.
    pub fn tightest(&self) -> Option<&ScopedBudget> {
        self.budgets.iter().min_by(|one, other| one.remaining_usd.total_cmp(&other.remaining_usd))
    }
}

/// `POST /budget/reserve`: before a model is called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reserve {
    /// The run that makes the call.
    pub run_id: String,
    /// The most that the call may cost, in US dollars.
    pub estimate_usd: f64,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

/// The reservation of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reservation {
    /// The backend's id.
    pub reservation_id: String,
    /// When it expires unless it is settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// `POST /usage`: the usage of a model call; settles its reservation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The run that made the call.
    pub run_id: String,
    /// The reservation to settle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    /// The agent's role.
    pub role: String,
    /// The model.
    pub model: String,
    /// Input tokens.
    pub prompt_tokens: u64,
    /// Output tokens.
    pub completion_tokens: u64,
    /// The cost, in US dollars.
    pub cost_usd: f64,
    /// Whether the figures are estimated, because the call was cancelled.
    pub estimated: bool,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

impl McError {
    /// Whether the user's budget is used up.
    pub fn is_budget_exceeded(&self) -> bool {
        self.status() == Some(402)
    }

    /// The budget that is used up, where the backend names it (feature `budget_scopes`).
    pub fn exceeded_budget(&self) -> Option<ScopedBudget> {
        let Self::Status { status: 402, details: Some(details), .. } = self else { return None };
        BudgetRefusal::deserialize(&**details).ok()?.budget
    }
}

impl AgentClient {
    /// The budget of the user's agents.
    pub async fn budget(&self) -> Result<Budget, McError> {
        self.caller.fetch(Call::get(&path(&["budget"]))).await
    }

    /// Reserves budget before a model call.
    ///
    /// # Errors
    /// [`McError::is_budget_exceeded`] when too little is left.
    pub async fn reserve(&self, reserve: &Reserve) -> Result<Reservation, McError> {
        let key = Some(reserve.idempotency_key.as_str());
        self.caller.fetch(Call::create(&path(&["budget", "reserve"]), reserve, key)?).await
    }

    /// Reports the usage of a model call and settles its reservation.
    pub async fn report_usage(&self, usage: &Usage) -> Result<(), McError> {
        let key = Some(usage.idempotency_key.as_str());
        self.caller.send(Call::create(&path(&["usage"]), usage, key)?).await
    }
}

impl InternalClient {
    /// Sets a budget: of a user's agents, or of whatever else its scope names.
    pub async fn put_budget(&self, budget: &PutBudget) -> Result<ScopedBudget, McError> {
        self.caller.fetch(Call::new(Method::PUT, &path(&["budget"])).json(budget)?).await
    }

    /// The budget of the user that [`InternalClient::on_behalf_of`] names.
    pub async fn budget(&self) -> Result<Budget, McError> {
        self.caller.fetch(Call::get(&path(&["budget"]))).await
    }
}

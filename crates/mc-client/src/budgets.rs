//! Budgets of users' agents and their usage (feature `budgets`).

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

/// `PUT /budget` (internal token).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PutBudget {
    /// The user.
    pub user_id: String,
    /// The limit of a period, in US dollars.
    pub limit_usd: f64,
    /// The period.
    pub period: Period,
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
    /// Sets the budget of a user's agents.
    pub async fn put_budget(&self, budget: &PutBudget) -> Result<Budget, McError> {
        self.caller.fetch(Call::new(Method::PUT, &path(&["budget"])).json(budget)?).await
    }

    /// The budget of the user that [`InternalClient::on_behalf_of`] names.
    pub async fn budget(&self) -> Result<Budget, McError> {
        self.caller.fetch(Call::get(&path(&["budget"]))).await
    }
}

//! What a user's agents may spend, and what they spent (feature `budgets`).

use chrono::{DateTime, Utc};
use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::url::path;

/// After how long spending begins anew. Days and months are those of UTC.
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
    /// Whose agents.
    pub user_id: String,
    /// What they may spend in a period, in US dollars.
    pub limit_usd: f64,
    /// The period.
    pub period: Period,
}

/// What a user's agents may spend.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// What they may spend in a period, in US dollars; nothing said where there is no limit.
    #[serde(default)]
    pub limit_usd: Option<f64>,
    /// What they have spent in it.
    #[serde(default)]
    pub spent_usd: f64,
    /// What calls that are being made are expected to cost.
    #[serde(default)]
    pub reserved_usd: f64,
    /// What is left when those are counted; nothing said where there is no limit.
    #[serde(default)]
    pub remaining_usd: Option<f64>,
    /// The period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    /// When spending begins anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<DateTime<Utc>>,
}

/// `POST /budget/reserve`: before a model is called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reserve {
    /// The run that calls.
    pub run_id: String,
    /// What the call may cost at most, in US dollars.
    pub estimate_usd: f64,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

/// What was set aside for a call.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reservation {
    /// The backend's id.
    pub reservation_id: String,
    /// When it counts no more, if nobody settles it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

/// `POST /usage`: what a model call used; settles its reservation.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The run that called.
    pub run_id: String,
    /// What was set aside for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
    /// The agent.
    pub role: String,
    /// The model.
    pub model: String,
    /// Tokens that were read.
    pub prompt_tokens: u64,
    /// Tokens that were written.
    pub completion_tokens: u64,
    /// What it cost, in US dollars.
    pub cost_usd: f64,
    /// Whether the figures are a guess, because the call was dropped.
    pub estimated: bool,
    /// Makes the call safe to repeat.
    pub idempotency_key: String,
}

impl McError {
    /// The user's budget is spent.
    pub fn is_budget_exceeded(&self) -> bool {
        self.status() == Some(402)
    }
}

impl AgentClient {
    /// What the user's agents may still spend.
    pub async fn budget(&self) -> Result<Budget, McError> {
        self.caller.fetch(Call::get(&path(&["budget"]))).await
    }

    /// Sets something aside before a model is called; an error
    /// ([`McError::is_budget_exceeded`]) where the budget does not hold it.
    pub async fn reserve(&self, reserve: &Reserve) -> Result<Reservation, McError> {
        let key = Some(reserve.idempotency_key.as_str());
        self.caller.fetch(Call::create(&path(&["budget", "reserve"]), reserve, key)?).await
    }

    /// Says what a model call used, and settles its reservation.
    pub async fn report_usage(&self, usage: &Usage) -> Result<(), McError> {
        let key = Some(usage.idempotency_key.as_str());
        self.caller.send(Call::create(&path(&["usage"]), usage, key)?).await
    }
}

impl InternalClient {
    /// Says what a user's agents may spend.
    pub async fn put_budget(&self, budget: &PutBudget) -> Result<Budget, McError> {
        self.caller.fetch(Call::new(Method::PUT, &path(&["budget"])).json(budget)?).await
    }

    /// What the agents of the person that [`InternalClient::on_behalf_of`] names may spend.
    pub async fn budget(&self) -> Result<Budget, McError> {
        self.caller.fetch(Call::get(&path(&["budget"]))).await
    }
}

//! Deliveries of notifications, and those that failed for good.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// One notification that the dispatcher is to forward.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// The notification's id.
    pub notification_id: String,
    /// The tenant.
    pub user_id: String,
    /// The session it is for.
    pub session_key: String,
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The journaled run that it takes up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// When the notification was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// How often it was tried already, as far as the backend was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Passed on to the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
}

/// A notification that was delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Delivered {
    /// The notification's id.
    pub notification_id: String,
    /// The tenant.
    pub user_id: String,
}

/// `POST /dispatch/deliver`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliverMany {
    /// What was delivered.
    pub deliveries: Vec<Delivered>,
}

/// `POST /dispatch/notifications/{id}/fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryFailure {
    /// What went wrong, a sentence.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Whether it is to be taken out of the queue.
    pub dead: bool,
}

/// A notification that was given up, with its reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The delivery as it was tried.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Why it was given up.
    pub error: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<DateTime<Utc>>,
}

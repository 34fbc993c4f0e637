//! Deliveries of notifications, and dead letters.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// The field of a notification's metadata which says that it is about a run that goes on without its caller.
pub const DETACHED: &str = "detached";

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
    /// The journaled run that it resumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// When the notification was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// The failed attempts so far, as reported to the backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Metadata, passed on to the run.
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
    /// The delivered notifications.
    pub deliveries: Vec<Delivered>,
}

/// `POST /dispatch/notifications/{id}/fail`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeliveryFailure {
    /// What went wrong, in a sentence.
    pub error: String,
    /// The number of attempts.
    pub attempts: u32,
    /// Whether it becomes a dead letter and leaves the queue.
    pub dead: bool,
}

/// A dead letter: a notification whose delivery failed for good, with the reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Why its delivery failed.
    pub error: String,
    /// When it became a dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<DateTime<Utc>>,
}

/// The answer to a poll for deliveries. `T` is [`Delivery`], or any JSON, of which each is read by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deliveries<T> {
    /// The deliveries, oldest first.
    pub deliveries: Vec<T>,
}

/// The answer to an acknowledgement of many deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveredMany {
    /// How many were known.
    #[serde(default)]
    pub delivered: usize,
    /// The ids of the others.
    #[serde(default)]
    pub not_found: Vec<String>,
}

//! The types of the Mission Control contract, v1.
//!
//! The client and the reference backend use the same types, so that they cannot drift apart.
//! Unknown fields are ignored on reading; absent optional fields are not written.

mod capabilities;
mod dispatch;
mod documents;
mod files;
mod heartbeat;
mod lenient;
mod messages;
mod notifications;
mod standup;
mod tasks;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use capabilities::{Capabilities, Contract, Pages};
pub use dispatch::{
    DETACHED, DeadLetter, DeliverMany, Delivered, DeliveredMany, Deliveries, Delivery,
    DeliveryFailure,
};
pub use documents::{CreateDocument, Document};
pub use files::{Attachment, FileMeta, FileRef};
pub use heartbeat::{HeartbeatAnswer, HeartbeatRequest, Pending};
pub use messages::{ActorType, Chain, CreateMessage, Message};
pub use notifications::{CreateNotification, MAX_COLLAPSE_KEY, Notification, Priority};
pub use standup::{Standup, StandupAnswer, StandupItem, StandupRequest};
pub use tasks::{CreateTask, Task, TaskQuery, TaskStatus, UpdateTask};

/// The version of the contract that this crate speaks.
pub const CONTRACT_VERSION: &str = "v1";

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The cursor of the next page; absent on the last.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::cursor"
    )]
    pub next_cursor: Option<String>,
}

/// The body of every error of the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for people.
    pub error: String,
    /// A `snake_case` code for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Further details.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

//! The wire shapes of the Mission Control contract, v1.
//!
//! The client and the reference backend use the same types, so that they cannot drift apart.
//! A reader ignores fields it does not know; a writer sends only what is asked for.

mod capabilities;
mod dispatch;
mod documents;
mod heartbeat;
mod messages;
mod notifications;
mod standup;
mod tasks;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use capabilities::Capabilities;
pub use dispatch::{DeadLetter, DeliverMany, Delivered, Delivery, DeliveryFailure};
pub use documents::{CreateDocument, Document};
pub use heartbeat::{HeartbeatAnswer, HeartbeatRequest, Pending};
pub use messages::{ActorType, CreateMessage, Message};
pub use notifications::{CreateNotification, Notification};
pub use standup::{Standup, StandupAnswer, StandupItem, StandupRequest};
pub use tasks::{CreateTask, Task, TaskQuery, TaskStatus, UpdateTask};

/// The version of the contract that this crate speaks.
pub const CONTRACT_VERSION: &str = "v1";

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Where the next page starts; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// The shape of every error of the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// A `snake_case` word for a program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What else helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
}

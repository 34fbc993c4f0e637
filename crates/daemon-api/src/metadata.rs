//! Names in the `metadata` of a message, which is otherwise the sender's own.

/// Where a message comes from; of the dispatcher's [`NOTIFICATION`].
pub const TYPE: &str = "type";

/// A message that a notification of the backend became.
pub const NOTIFICATION: &str = "mc.notification";

/// The notification's id, which makes the message's idempotency key.
pub const NOTIFICATION_ID: &str = "notification_id";

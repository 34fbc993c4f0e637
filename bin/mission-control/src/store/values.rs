//! Values as the database has them: times and JSON are text on both databases.

use chrono::{DateTime, SecondsFormat, Utc};

/// A time as it is stored; sorts as text.
pub fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The current time as it is stored.
pub fn now() -> String {
    stamp(Utc::now())
}

/// A new id; sorts by time.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Reads a stored time.
pub fn time(text: &str) -> Option<DateTime<Utc>> {
    text.parse().ok()
}

/// Reads stored JSON.
pub fn json_of<T: serde::de::DeserializeOwned>(text: Option<String>) -> Option<T> {
    serde_json::from_str(&text?).ok()
}

/// The role in a session key of a user, `user:{user_id}:{role}`.
pub fn session_role<'a>(user_id: &str, session_key: &'a str) -> Option<&'a str> {
    session_key.strip_prefix("user:")?.strip_prefix(user_id)?.strip_prefix(':')
}

/// The session key of a role of a user.
pub(super) fn session_of(user_id: &str, role: &str) -> String {
    format!("user:{user_id}:{role}")
}

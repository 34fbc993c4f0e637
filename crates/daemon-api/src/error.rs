//! The one form of all errors.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body of every error of the daemon, and the data of a stream's `error` event.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A sentence for a person.
    pub error: String,
    /// A `snake_case` word for a program; empty when whatever answered is not the daemon.
    #[serde(default)]
    pub code: Cow<'static, str>,
    /// What else helps, such as the names of wrong fields.
    #[serde(default)]
    pub details: Value,
}

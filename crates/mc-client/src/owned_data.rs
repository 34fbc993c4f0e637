//! What a backend keeps of a person, and for how long (features `erasure` and `retention`).

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::InternalClient;
use crate::error::McError;
use crate::url::{path, with_query};

/// What becomes of tasks, messages and documents when a user's data is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Messages {
    /// They stay.
    Keep,
    /// They go with all else.
    Delete,
}

impl Messages {
    /// As it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
        }
    }
}

impl std::str::FromStr for Messages {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Keep, Self::Delete].into_iter().find(|one| one.as_str() == text).ok_or(())
    }
}

/// What an erasure has deleted, or with `dry_run` would delete.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Erasure {
    /// How much of each kind goes.
    pub counts: BTreeMap<String, u64>,
    /// How much of each kind stays.
    #[serde(default)]
    pub kept: BTreeMap<String, u64>,
}

/// A line of what a backend keeps of a user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OwnedItem {
    /// Its kind, as in [`Erasure`].
    pub kind: String,
    /// What is stored.
    pub item: Value,
}

/// For how long things are kept, and how many are due to go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Retention {
    /// For how many days after its last change each kind is kept; a kind that is not named stays.
    pub days: BTreeMap<String, u32>,
    /// How many of each of these kinds the next pass deletes.
    pub counts: BTreeMap<String, u64>,
}

impl InternalClient {
    /// Erases a user's data; with `dry_run` it is only counted.
    pub async fn erase(
        &self,
        user_id: &str,
        messages: Messages,
        dry_run: bool,
    ) -> Result<Erasure, McError> {
        let query = [
            ("messages", Some(messages.as_str().to_owned())),
            ("dry_run", dry_run.then(|| "true".to_owned())),
        ];
        let url = with_query(path(&["users", user_id, "agent-data"]), &query);
        self.caller.fetch(Call::new(Method::DELETE, &url).repeatable()).await
    }

    /// For how long things are kept.
    pub async fn retention(&self) -> Result<Retention, McError> {
        self.caller.fetch(Call::get(&path(&["retention"]))).await
    }
}

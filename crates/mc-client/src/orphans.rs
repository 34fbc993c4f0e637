//! Runs whose instance died (feature `orphans`): leased by the dispatcher, and taken up by any other.

use http::Method;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::InternalClient;
use crate::error::McError;
use crate::url::path;

/// The code of a run that was given up, because too many instances took it up without a new step.
pub const RUN_ABANDONED: &str = "run_abandoned";

/// `POST /dispatch/orphans` (internal token).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseOrphans {
    /// For how long nobody else gets the same runs.
    pub lease_seconds: u32,
    /// The most runs.
    pub limit: u32,
    /// Runs that were leased before and that no instance took, since each was away, busy or full: these leases
    /// end, and are not counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub returned: Vec<Orphan>,
}

/// A detached run that no instance works on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orphan {
    /// Its key.
    pub run_key: String,
    /// Whose it is.
    pub user_id: String,
    /// The session that it answers.
    pub session_key: String,
    /// The task that it works on.
    pub task_id: String,
    /// How often it was leased since its last step, this time included.
    #[serde(default)]
    pub attempts: u32,
}

/// The answer to [`LeaseOrphans`]: of each session and task the oldest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Orphans {
    /// The runs, oldest first.
    pub runs: Vec<Orphan>,
    /// Runs that this call has ended: given up, or cancelled, as somebody wanted. No instance of the daemon
    /// knows that until it is asked for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<Orphan>,
}

impl InternalClient {
    /// Leases runs that no instance works on. Not retried: the next poll comes anyway, and a lease may
    /// already have been taken.
    pub async fn lease_orphans(&self, query: LeaseOrphans) -> Result<Orphans, McError> {
        let call = Call::new(Method::POST, &path(&["dispatch", "orphans"])).json(&query)?;
        self.caller.fetch(call).await
    }
}

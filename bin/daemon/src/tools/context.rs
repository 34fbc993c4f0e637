//! What a tool call may use, and how long it may take.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use wombat_core::agent_config::{AgentProfile, Permission};
use wombat_core::workspace::Snapshot;

/// How long one tool call may take (docs/RUNS.md).
pub(super) const TOOL_TIMEOUT: Duration = Duration::from_secs(30);

/// What a call may use: all of it belongs to the run, none of it comes from the model.
#[derive(Clone, Copy)]
pub struct ToolContext<'a> {
    /// The backend, as the run's user.
    pub client: &'a AgentClient,
    /// The workspace that the run began with.
    pub snapshot: &'a Snapshot,
    /// The role's permissions.
    pub profile: &'a AgentProfile,
    /// What the run's writes are keyed by.
    pub run_key: &'a RunKey,
    /// The run's task.
    pub task_id: &'a str,
    /// Characters of a result that the model gets to see.
    pub max_chars: usize,
    /// The trace that the call belongs to.
    pub traceparent: Option<&'a str>,
    /// A person has approved this very call.
    pub approved: bool,
    /// The model itself wants a person to approve it.
    pub asks: bool,
    /// Set when the call needs a person who has not approved it; then nothing was done.
    pub waits: &'a AtomicBool,
}

impl ToolContext<'_> {
    /// A decision in words for the model.
    pub(super) fn permit(&self, decision: Permission, what: &str) -> Result<(), String> {
        match decision {
            Permission::Allowed if !self.asks => Ok(()),
            Permission::Allowed | Permission::NeedsApproval if self.approved => Ok(()),
            Permission::Allowed | Permission::NeedsApproval => {
                self.waits.store(true, Ordering::Relaxed);
                // Read by the model only where there is no way to ask a person.
                Err(format!(
                    "{what} needs a person's approval, and this backend offers no way to ask for \
                     one; it was not done"
                ))
            }
            Permission::Denied(why) => Err(why),
        }
    }
}

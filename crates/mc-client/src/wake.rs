//! Heartbeat and standup.

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{HeartbeatAnswer, HeartbeatRequest, StandupAnswer, StandupRequest};
use crate::url::path;

impl AgentClient {
    /// Records that an agent woke, and learns what waits (feature `heartbeat`). Not repeated on
    /// its own when it claims a slot: a second claim of the same slot would be refused.
    pub async fn heartbeat(&self, request: &HeartbeatRequest) -> Result<HeartbeatAnswer, McError> {
        let call = Call::create(&path(&["heartbeat"]), request, None)?;
        let call = if request.slot.is_none() { call.repeatable() } else { call };
        self.caller.fetch(call).await
    }

    /// The user's day (feature `standup`).
    pub async fn standup(&self, request: &StandupRequest) -> Result<StandupAnswer, McError> {
        self.caller.fetch(Call::create(&path(&["standup"]), request, None)?.repeatable()).await
    }
}

impl InternalClient {
    /// The day of one user or of all (feature `standup`).
    pub async fn standup(&self, request: &StandupRequest) -> Result<StandupAnswer, McError> {
        self.caller.fetch(Call::create(&path(&["standup"]), request, None)?.repeatable()).await
    }
}

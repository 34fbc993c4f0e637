//! Heartbeat and standup.

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{HeartbeatAnswer, HeartbeatRequest, StandupAnswer, StandupRequest};
use crate::url::path;

impl AgentClient {
    /// Records a heartbeat and returns what is pending (feature `heartbeat`). Not retried when it
    /// claims a slot: a second claim of the same slot would be rejected.
    pub async fn heartbeat(&self, request: &HeartbeatRequest) -> Result<HeartbeatAnswer, McError> {
        let call = Call::create(&path(&["heartbeat"]), request, None)?;
        let call = if request.slot.is_none() { call.repeatable() } else { call };
        self.caller.fetch(call).await
    }

    /// The user's standup (feature `standup`).
    pub async fn standup(&self, request: &StandupRequest) -> Result<StandupAnswer, McError> {
        self.caller.fetch(Call::create(&path(&["standup"]), request, None)?.repeatable()).await
    }
}

impl InternalClient {
    /// The standup of one user or of all (feature `standup`).
    pub async fn standup(&self, request: &StandupRequest) -> Result<StandupAnswer, McError> {
        self.caller.fetch(Call::create(&path(&["standup"]), request, None)?.repeatable()).await
    }
}

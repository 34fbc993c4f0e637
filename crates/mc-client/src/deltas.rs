//! What a run tells while it works (feature `run_stream`; docs/CONTROL_PLANE_CONTRACT.md, "What a run
//! tells"): kept by the backend, so that whoever joins the run at another instance hears the same.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::url::{path, with_query};

/// The most events of one [`PostDeltas`].
pub const MAX_EVENTS: usize = 256;

/// The most bytes of one [`PostDeltas`].
pub const MAX_BYTES: usize = 1024 * 1024;

/// How many [`PostDeltas`] of one run a backend takes in a second.
pub const MAX_PER_SECOND: u32 = 20;

/// How many ids each lease has: the ids of a lease begin at `fence * IDS_PER_FENCE + 1`.
pub const IDS_PER_FENCE: i64 = 1_000_000;

/// The event of the backend's stream that has a run's new events as its data ([`RunDelta`]).
pub const RUN_DELTA: &str = "run.delta";

/// One event of a run, as its readers get it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunEvent {
    /// Its number; left out where it is posted, since the place in the list says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Its fields, as the daemon wrote them: those of an event of its stream (docs/API.md).
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

impl RunEvent {
    /// An event to be posted.
    pub fn new(fields: Map<String, Value>) -> Self {
        Self { id: None, fields }
    }
}

/// `POST /runs/{run_key}/deltas`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PostDeltas {
    /// The fencing token of the session's lease, as in `X-Session-Fence`.
    pub fence: i64,
    /// The id of the first event; the others follow without gaps.
    pub seq: i64,
    /// The events; none asks only whether the run is to be cancelled, and makes older fences stale.
    pub events: Vec<RunEvent>,
}

/// The answer to [`PostDeltas`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeltasNote {
    /// The id of the newest event that is stored; 0 where there was none yet.
    #[serde(default)]
    pub last_seq: i64,
    /// Whether the run is to be cancelled.
    #[serde(default)]
    pub cancel_requested: bool,
}

/// The answer to `GET /runs/{run_key}/deltas`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Deltas {
    /// The events after the one that was named, in order, each with its id.
    #[serde(default)]
    pub events: Vec<RunEvent>,
    /// The id of the newest event that was ever stored; there are more where the last of `events` has
    /// another one.
    #[serde(default)]
    pub last_seq: i64,
    /// Whether events of this run were kept, and are no longer.
    #[serde(default)]
    pub expired: bool,
}

/// The data of [`RUN_DELTA`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDelta {
    /// The run.
    pub run_key: String,
    /// Its new events, each with its id.
    #[serde(default)]
    pub events: Vec<RunEvent>,
}

impl McError {
    /// Whether another event has one of the ids, or a newer one is stored already.
    pub fn is_seq_conflict(&self) -> bool {
        self.status() == Some(409) && self.code() == Some("seq_conflict")
    }

    /// Whether the run has ended for good.
    pub fn is_run_finished(&self) -> bool {
        self.status() == Some(409) && self.code() == Some("run_finished")
    }

    /// Whether the backend keeps no more events of this run.
    pub fn is_deltas_full(&self) -> bool {
        self.status() == Some(413) && self.code() == Some("deltas_full")
    }

    /// Whether the backend's store of events is away.
    pub fn is_deltas_unavailable(&self) -> bool {
        self.status() == Some(503) && self.code() == Some("deltas_unavailable")
    }
}

impl AgentClient {
    /// Stores events of a run, under the lease of [`AgentClient::with_fence`]. Idempotent: what is
    /// known is ignored.
    pub async fn post_deltas(
        &self,
        run_key: &str,
        deltas: &PostDeltas,
    ) -> Result<DeltasNote, McError> {
        let masked = self.masked_events(run_key, deltas.seq, &deltas.events)?;
        let masked = masked.map(|events| PostDeltas { events, ..*deltas });
        let deltas = masked.as_ref().unwrap_or(deltas);
        let call = Call::new(Method::POST, &path(&["runs", run_key, "deltas"]));
        self.caller.fetch(call.json(deltas)?.repeatable()).await
    }

    /// The events of a run of the token's own role after an id, at most `limit` of them.
    pub async fn deltas(
        &self,
        run_key: &str,
        after: i64,
        limit: Option<u32>,
    ) -> Result<Deltas, McError> {
        let read = read(run_key, self.caller.role(), after, limit);
        let mut page: Deltas = self.caller.fetch(read).await?;
        self.open_events(run_key, &mut page.events)?;
        Ok(page)
    }
}

impl InternalClient {
    /// As [`AgentClient::deltas`], for the user that [`InternalClient::on_behalf_of`] names.
    pub async fn deltas(
        &self,
        run_key: &str,
        after: i64,
        limit: Option<u32>,
    ) -> Result<Deltas, McError> {
        self.caller.fetch(read(run_key, None, after, limit)).await
    }
}

fn read(run_key: &str, role: Option<&str>, after: i64, limit: Option<u32>) -> Call {
    let url = with_query(
        path(&["runs", run_key, "deltas"]),
        &[
            ("after", Some(after.to_string())),
            ("limit", limit.map(|limit| limit.to_string())),
            ("role", role.map(str::to_owned)),
        ],
    );
    Call::get(&url)
}

//! Leases of sessions (feature `session_leases`): one run at a time across instances.

use std::time::Duration;

use chrono::{DateTime, Utc};
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::url::path;

/// `POST /sessions/lease`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRequest {
    /// The session, `user:{userId}:{role}`.
    pub session_key: String,
    /// The task within it.
    pub task_id: String,
    /// The holder, for people who read it.
    pub holder: String,
    /// The lifetime unless it is renewed, in seconds.
    pub ttl_secs: u32,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// `PUT /sessions/lease/{id}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RenewLease {
    /// The new lifetime from now on, in seconds; as at first when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_secs: Option<u32>,
}

/// A lease of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The backend's id.
    pub lease_id: String,
    /// The fencing token: grows by one with each lease of the same session and task.
    pub fence: i64,
    /// When it expires unless it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
}

impl Lease {
    /// The value of `X-Session-Fence`.
    pub fn header(&self) -> String {
        format!("{}:{}", self.lease_id, self.fence)
    }
}

impl McError {
    /// Whether another run holds the session's lease; [`McError::retry_after`] says when to retry.
    pub fn is_session_busy(&self) -> bool {
        self.status() == Some(409) && self.code() == Some("session_busy")
    }

    /// Whether a newer lease exists: then this run must not write any more.
    pub fn is_stale_fence(&self) -> bool {
        self.status() == Some(409) && self.code() == Some("stale_fence")
    }
}

impl AgentClient {
    /// Takes the lease of a session. Retried only when the request has a key.
    pub async fn lease_session(&self, request: &LeaseRequest) -> Result<Lease, McError> {
        let key = request.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["sessions", "lease"]), request, key)?).await
    }

    /// Renews a lease for the same time again, or for another one (rounded up to seconds).
    pub async fn renew_lease(
        &self,
        lease_id: &str,
        ttl: Option<Duration>,
    ) -> Result<Lease, McError> {
        let ttl_secs = ttl.map(|ttl| {
            let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
            u32::try_from(seconds).unwrap_or(u32::MAX)
        });
        let call = Call::new(Method::PUT, &path(&["sessions", "lease", lease_id]));
        self.caller.fetch(call.json(&RenewLease { ttl_secs })?).await
    }

    /// Releases a lease. Idempotent.
    pub async fn free_lease(&self, lease_id: &str) -> Result<(), McError> {
        let call = Call::new(Method::DELETE, &path(&["sessions", "lease", lease_id]));
        self.caller.send(call).await
    }

    /// The same client without a lease, for writes that must succeed even after another run has taken
    /// over.
    #[must_use]
    pub fn without_fence(mut self) -> Self {
        self.caller.fence = None;
        self
    }

    /// Writes under the lease that another client writes under, if any: that of a run which this one works
    /// for.
    #[must_use]
    pub fn with_fence_of(mut self, other: &Self) -> Self {
        self.caller.fence.clone_from(&other.caller.fence);
        self
    }

    /// Sends the lease with all writes, which are rejected once a newer lease exists.
    #[must_use]
    pub fn with_fence(mut self, lease: &Lease) -> Self {
        self.caller.fence = HeaderValue::from_str(&lease.header()).ok();
        self
    }
}

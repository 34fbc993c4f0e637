//! The lease of a session (feature `session_leases`): one run of a session at a time over all
//! instances.

use std::sync::Arc;
use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::leases::{Lease, LeaseRequest};
use retry::Backoff;
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::run::error::{RunError, RunErrorKind};
use crate::sessions::SessionPolicy;

/// How long a lease is valid without renewal: a session stays blocked that long when its instance
/// dies.
const TTL: Duration = Duration::from_secs(10);
/// The interval, and the timeout, of renewals.
const RENEW_INTERVAL: Duration = Duration::from_secs(3);
/// The timeout of releasing a lease.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);
/// The delays between requests for a lease that another run holds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// A lease, renewed while this value lives. [`SessionLease::release`] gives it back; without that it
/// expires.
#[derive(Debug)]
pub(super) struct SessionLease {
    lease: Arc<Lease>,
    client: AgentClient,
    _renewal: AbortOnDropHandle<()>,
}

impl SessionLease {
    /// Acquires the session's lease on a task. While another run holds it, waits or fails, as the
    /// policy says.
    ///
    /// # Errors
    /// `SessionBusy` when the policy is not to wait; `TaskNotFound`.
    pub(super) async fn acquire(
        client: &AgentClient,
        session_key: &str,
        task_id: &str,
        run_id: &str,
        policy: SessionPolicy,
    ) -> Result<Self, RunError> {
        let mut request = LeaseRequest {
            session_key: session_key.to_owned(),
            task_id: task_id.to_owned(),
            holder: format!("wombat run {run_id}"),
            ttl_secs: u32::try_from(TTL.as_secs()).unwrap_or(u32::MAX),
            idempotency_key: None,
        };
        let mut attempts = 0_u32;
        let lease = loop {
            attempts += 1;
            // Each attempt is a new request; only the client's own retries of it share its key.
            request.idempotency_key = Some(format!("lease:{run_id}:{attempts}"));
            match client.lease_session(&request).await {
                Ok(lease) => break lease,
                Err(error) if error.is_session_busy() => {
                    let asked = error.retry_after().unwrap_or(BACKOFF.max);
                    match policy {
                        SessionPolicy::Queue => {
                            sleep(BACKOFF.delay(attempts).min(asked.max(BACKOFF.min))).await;
                        }
                        SessionPolicy::Reject | SessionPolicy::Parallel => {
                            return Err(RunError {
                                retry_after: Some(asked),
                                ..RunError::new(RunErrorKind::SessionBusy)
                            });
                        }
                    }
                }
                Err(error) if error.is_not_found() => {
                    return Err(RunError::new(RunErrorKind::TaskNotFound).caused_by(error));
                }
                Err(error) => return Err(RunError::backend(&error)),
            }
        };
        let lease = Arc::new(lease);
        let renewal = tokio::spawn(renew(client.clone(), lease.clone()).in_current_span());
        Ok(Self { lease, client: client.clone(), _renewal: AbortOnDropHandle::new(renewal) })
    }

    /// The lease, which fences the run's writes.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Renews the lease until it is lost. Then the backend rejects the run's next write, which ends the
/// run.
async fn renew(client: AgentClient, lease: Arc<Lease>) {
    loop {
        sleep(RENEW_INTERVAL).await;
        let client = client.clone().with_deadline(Instant::now() + RENEW_INTERVAL);
        match client.renew_lease(&lease.lease_id, Some(TTL)).await {
            Ok(_) => {}
            Err(error) if error.is_retryable() || error.is_in_between() => {
                tracing::warn!(%error, "session lease renewal failed; retrying");
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "session lease lost: another instance may have taken over; the backend rejects \
                     further writes of this run"
                );
                return;
            }
        }
    }
}

impl SessionLease {
    /// Gives the lease back.
    pub(super) async fn release(self) {
        drop(self._renewal);
        let client = self.client.with_deadline(Instant::now() + RELEASE_TIMEOUT);
        if let Err(error) = client.free_lease(&self.lease.lease_id).await {
            tracing::debug!(%error, "session lease could not be released; it will expire");
        }
    }
}

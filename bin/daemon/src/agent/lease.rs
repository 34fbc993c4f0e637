//! The turn of a session across instances (feature `session_leases`).

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

/// How long a lease holds without being renewed: so long is a session blocked when its instance dies.
const TTL: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// How long giving it back may take.
const FREE: Duration = Duration::from_secs(5);
/// The delays between requests for a lease that another run holds.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// A turn; it is renewed while this lives. Whoever holds it gives it back with
/// [`SessionLease::free`]; else it ends by itself.
#[derive(Debug)]
pub(super) struct SessionLease {
    lease: Arc<Lease>,
    client: AgentClient,
    _renewal: AbortOnDropHandle<()>,
}

impl SessionLease {
    /// Takes the session's turn on a task; waits for it, or refuses, as the policy says.
    pub(super) async fn take(
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

    /// What the run's writes must carry.
    pub(super) fn lease(&self) -> &Lease {
        &self.lease
    }
}

/// Keeps the turn. Once it is another's, that is said, and nothing more is tried: the run's next
/// write is refused, which ends it.
async fn renew(client: AgentClient, lease: Arc<Lease>) {
    loop {
        sleep(RENEW).await;
        let client = client.clone().with_deadline(Instant::now() + RENEW);
        match client.renew_lease(&lease.lease_id, Some(TTL)).await {
            Ok(_) => {}
            Err(error) if error.is_retryable() => {
                tracing::warn!(%error, "the session's lease could not be renewed; trying again");
            }
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the session's lease is lost: another instance may have taken over; this run can \
                     write no more"
                );
                return;
            }
        }
    }
}

impl SessionLease {
    /// Gives the turn back.
    pub(super) async fn release(self) {
        drop(self._renewal);
        let client = self.client.with_deadline(Instant::now() + FREE);
        if let Err(error) = client.free_lease(&self.lease.lease_id).await {
            // It ends by itself.
            tracing::debug!(%error, "the session's lease could not be given back");
        }
    }
}

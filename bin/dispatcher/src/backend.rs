//! The backend as the dispatcher calls it: polls, acknowledgements, dead letters, capabilities.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mc_client::client::{InternalClient, McClient, RetryPolicy};
use mc_client::dispatch::{Batch, DispatchQuery, DispatchVerb};
use mc_client::error::McError;
use mc_client::events::Events;
use mc_client::orphans::{LeaseOrphans, Orphan, Orphans};
use mc_client::token::AgentAuth;
use mc_client::types::{
    Capabilities, CreateNotification, Delivered, Delivery, DeliveryFailure, Notification,
};
use outbound::HttpClient;
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::scheduler::AckResult;
use crate::settings::Settings;

/// How long known capabilities count. The backend may be upgraded while this runs.
const CAPABILITIES_TTL: Duration = Duration::from_secs(300);

/// The highest limit of a poll.
const MAX_LIMIT: u32 = 10_000;

/// Delay after a failed request for the capabilities.
const CAPABILITIES_RETRY: Duration = Duration::from_secs(30);

/// The most notifications of one call: what the reference backend accepts and returns.
pub(crate) use mc_client::dispatch::MAX_BATCH;

/// For how long nobody else gets the runs that are leased to be taken up.
pub(crate) const ORPHAN_LEASE: Duration = Duration::from_secs(30);

/// Parallel acknowledgements, where the backend refuses batches.
const MAX_SINGLE_ACKS: usize = 16;

/// User and role of a call that is made for no single user.
const SYSTEM: (&str, &str) = ("wombat", "system");

/// The backend that notifications come from.
#[derive(Debug)]
pub(crate) struct Backend {
    client: McClient,
    internal: InternalClient,
    verb: DispatchVerb,
    query: DispatchQuery,
    auth: Option<Arc<AgentAuth>>,
    known: RwLock<Known>,
    /// The backend announces `dispatch_batch` but lacks the endpoint.
    no_batch: AtomicBool,
    /// The variable that names its address.
    pub(crate) variable: &'static str,
}

#[derive(Debug, Default)]
/// The capabilities, and when they were requested last.
struct Known {
    capabilities: Option<Capabilities>,
    requested_at: Option<Instant>,
}

impl Backend {
    /// The backend of the settings.
    pub(crate) fn new(settings: &Settings, http: HttpClient) -> Result<Self, McError> {
        // The scheduler decides on retries: it knows what else is waiting.
        let once = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let client = settings.backend.client(http, once);
        let auth = match &settings.tokens.minter {
            Some(minter) => Some(Arc::new(AgentAuth::new(Arc::clone(minter), SYSTEM.0, SYSTEM.1)?)),
            None => None,
        };
        Ok(Self {
            variable: settings.backend.control_plane_variable,
            internal: client.internal(settings.internal_token.clone()),
            client,
            verb: DispatchVerb::default(),
            query: DispatchQuery {
                limit_users: Some(settings.limit_users),
                limit_notifications: Some(settings.limit_notifications),
                lease_seconds: Some(settings.lease_seconds),
            },
            auth,
            known: RwLock::default(),
            no_batch: AtomicBool::new(false),
        })
    }

    /// Undelivered notifications. `known` of them are here already, and a backend that does not
    /// lease returns them again. While `streaming`, the capabilities are not refreshed: a backend
    /// that is replaced ends its streams.
    pub(crate) async fn poll(&self, known: usize, streaming: bool) -> Result<Batch, McError> {
        if !streaming {
            self.refresh_capabilities().await;
        }
        let mut query = self.query;
        if !self.leases().await {
            query.lease_seconds = None;
            let known = u32::try_from(known).unwrap_or(u32::MAX);
            let more = |limit: u32| limit.saturating_add(known).min(MAX_LIMIT.max(limit));
            query.limit_users = query.limit_users.map(more);
            query.limit_notifications = query.limit_notifications.map(more);
        }
        self.internal.undelivered(query, &self.verb).await
    }

    /// Whether the backend leases each delivery to one dispatcher at a time.
    pub(crate) async fn leases(&self) -> bool {
        self.offers("dispatch_leases").await == Some(true)
    }

    /// Whether several deliveries can be acknowledged in one call.
    pub(crate) async fn batches(&self) -> bool {
        self.offers("dispatch_batch").await == Some(true) && !self.no_batch.load(Ordering::Relaxed)
    }

    /// The event stream from now on, where the backend has one.
    pub(crate) async fn events(&self) -> Option<Events> {
        let offered = self.offers("events_sse").await == Some(true);
        offered.then(|| self.internal.events(None))
    }

    /// Whether the backend gives out runs that no instance works on.
    pub(crate) async fn has_orphans(&self) -> bool {
        self.offers("orphans").await == Some(true)
    }

    /// Whether the backend folds notifications and knows how urgent they are; `None` while that is unknown.
    pub(crate) async fn has_delivery_options(&self) -> Option<bool> {
        self.refresh_capabilities().await;
        self.offers("delivery_options").await
    }

    /// Stores a notification, and tells whether it was stored before under the same key.
    pub(crate) async fn notify(
        &self,
        new: &CreateNotification,
    ) -> Result<(Notification, bool), McError> {
        self.internal.notify(new).await
    }

    /// Runs that no instance works on; nobody else gets them for [`ORPHAN_LEASE`]. `returned` were leased
    /// before, and not taken. Also those that the backend has ended by that.
    pub(crate) async fn lease_orphans(
        &self,
        limit: u32,
        returned: Vec<Orphan>,
    ) -> Result<Orphans, McError> {
        let lease_seconds = u32::try_from(ORPHAN_LEASE.as_secs()).unwrap_or(u32::MAX);
        let query = LeaseOrphans { lease_seconds, limit, returned };
        self.internal.lease_orphans(query).await
    }

    /// Has the next poll refresh the capabilities: the backend may have been replaced.
    pub(crate) async fn expire_capabilities(&self) {
        self.known.write().await.requested_at = None;
    }

    /// Acknowledges several deliveries, in one call where possible; one result for each.
    pub(crate) async fn acknowledge_batch(&self, deliveries: &[Arc<Delivery>]) -> Vec<AckResult> {
        let done: Vec<_> = deliveries
            .iter()
            .map(|one| Delivered {
                notification_id: one.notification_id.clone(),
                user_id: one.user_id.clone(),
            })
            .collect();
        match self.internal.deliver_many(&done).await {
            Ok(unknown) => {
                let result = |id: &str| {
                    if unknown.iter().any(|other| other == id) {
                        let error = "the backend does not know the notification";
                        return AckResult::Rejected(error.to_owned());
                    }
                    AckResult::Accepted
                };
                done.iter().map(|one| result(&one.notification_id)).collect()
            }
            Err(error) if may_change(&error) => {
                let retry = |_: &_| AckResult::Retry {
                    retry_after: error.retry_after(),
                    error: error.to_string(),
                };
                done.iter().map(retry).collect()
            }
            Err(error) => {
                if matches!(error.status(), Some(404 | 405 | 501)) {
                    self.no_batch.store(true, Ordering::Relaxed);
                    tracing::warn!(%error, "the backend announces dispatch_batch but lacks it; acknowledging one by one");
                } else {
                    tracing::warn!(%error, "the backend rejected a batch; acknowledging one by one");
                }
                let mut results = Vec::with_capacity(deliveries.len());
                for chunk in deliveries.chunks(MAX_SINGLE_ACKS) {
                    let calls: Vec<_> = chunk.iter().map(|one| self.acknowledge(one)).collect();
                    results.extend(futures::future::join_all(calls).await);
                }
                results
            }
        }
    }

    /// Acknowledges one delivery.
    pub(crate) async fn acknowledge(&self, delivery: &Delivery) -> AckResult {
        ack_result(self.internal.deliver(&delivery.notification_id, &delivery.user_id).await)
    }

    /// Makes a notification a dead letter, where the backend keeps dead letters.
    pub(crate) async fn dead_letter(
        &self,
        delivery: &Delivery,
        error: &str,
        attempts: u32,
    ) -> AckResult {
        // With unknown capabilities the call itself shows whether the backend keeps them.
        if self.offers("notifications_fail").await == Some(false) {
            return AckResult::Rejected("the backend keeps no dead letters".to_owned());
        }
        let failure = DeliveryFailure { error: error.to_owned(), attempts, dead: true };
        let (id, user_id) = (&delivery.notification_id, &delivery.user_id);
        ack_result(self.internal.fail(id, user_id, &failure).await)
    }

    async fn offers(&self, feature: &str) -> Option<bool> {
        self.known.read().await.capabilities.as_ref().map(|known| known.has(feature))
    }

    /// Requests the capabilities once they have expired. A failure changes nothing: deliveries go
    /// on without them.
    async fn refresh_capabilities(&self) {
        let due = {
            let known = self.known.read().await;
            let ttl =
                if known.capabilities.is_some() { CAPABILITIES_TTL } else { CAPABILITIES_RETRY };
            known.requested_at.is_none_or(|at| at.elapsed() >= ttl)
        };
        if !due {
            return;
        }
        let answer = self.capabilities().await;
        let mut known = self.known.write().await;
        known.requested_at = Some(Instant::now());
        match answer {
            Ok(capabilities) => known.capabilities = Some(capabilities),
            Err(error) => tracing::debug!(%error, "the backend's capabilities are unknown"),
        }
    }
}

impl Backend {
    /// Requests the capabilities: with an agent token where there is one, as the contract says;
    /// without one, or when it is refused, with the internal token that every dispatcher has.
    async fn capabilities(&self) -> Result<Capabilities, McError> {
        if let Some(auth) = &self.auth {
            match self.client.agent(Arc::clone(auth)).capabilities().await {
                Err(error) if error.is_auth() => {}
                answer => return answer,
            }
        }
        self.internal.capabilities().await
    }
}

/// A refused token is a wrong setting that somebody will correct, and an answer that is not the
/// backend's says nothing; any other refusal is final.
fn may_change(error: &McError) -> bool {
    error.is_retryable() || error.is_auth() || error.is_in_between()
}

/// What an acknowledgement came to.
fn ack_result(answer: Result<(), McError>) -> AckResult {
    match answer {
        Ok(()) => AckResult::Accepted,
        Err(error) if may_change(&error) => {
            AckResult::Retry { retry_after: error.retry_after(), error: error.to_string() }
        }
        Err(error) => AckResult::Rejected(error.to_string()),
    }
}

//! The backend, as the dispatcher calls it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mc_client::client::{InternalClient, McClient, RetryPolicy};
use mc_client::dispatch::{Batch, DispatchQuery, DispatchVerb};
use mc_client::error::McError;
use mc_client::events::Events;
use mc_client::token::AgentAuth;
use mc_client::types::{Capabilities, Delivered, Delivery, DeliveryFailure};
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::scheduler::Told;
use crate::settings::Settings;

/// How long what the backend offers is taken for granted. It may be upgraded while we run.
const CAPABILITIES_TTL: Duration = Duration::from_secs(300);

/// The highest limit that a poll asks for.
const MAX_LIMIT: u32 = 10_000;

/// How long after a failed question about it none is asked.
const CAPABILITIES_RETRY: Duration = Duration::from_secs(30);

/// The most notifications of a call: what the reference backend takes and gives.
pub(crate) use mc_client::dispatch::MAX_BATCH;

/// Single acknowledgements at a time, where several at once are refused.
const SINGLES: usize = 16;

/// Whom a call serves that serves no single user.
const SYSTEM: (&str, &str) = ("wombat", "system");

/// Where notifications come from.
#[derive(Debug)]
pub(crate) struct Backend {
    client: McClient,
    internal: InternalClient,
    verb: DispatchVerb,
    query: DispatchQuery,
    auth: Option<Arc<AgentAuth>>,
    offered: RwLock<Offered>,
    /// It announces that several can be acknowledged at once, but does not know the endpoint.
    no_batch: AtomicBool,
}

#[derive(Debug, Default)]
struct Offered {
    capabilities: Option<Capabilities>,
    asked: Option<Instant>,
}

impl Backend {
    /// The backend of the settings.
    pub(crate) fn new(settings: &Settings, http: reqwest::Client) -> Result<Self, McError> {
        // Repeats are the board's: it knows what else waits.
        let once = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
        let client = McClient::new(&settings.backend_url, http, once);
        let auth = match &settings.tokens.minter {
            Some(minter) => Some(Arc::new(AgentAuth::new(Arc::clone(minter), SYSTEM.0, SYSTEM.1)?)),
            None => None,
        };
        Ok(Self {
            internal: client.internal(settings.internal_token.clone()),
            client,
            verb: DispatchVerb::default(),
            query: DispatchQuery {
                limit_users: Some(settings.limit_users),
                limit_notifications: Some(settings.limit_notifications),
                lease_seconds: Some(settings.lease_seconds),
            },
            auth,
            offered: RwLock::default(),
            no_batch: AtomicBool::new(false),
        })
    }

    /// What waits to be delivered. `known` notifications are here already, and a backend that does
    /// not lease gives them again. While `listening`, nothing else is asked: a backend that is
    /// replaced ends its streams.
    pub(crate) async fn poll(&self, known: usize, listening: bool) -> Result<Batch, McError> {
        if !listening {
            self.learn().await;
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

    /// Whether a delivery is handed to one dispatcher at a time.
    pub(crate) async fn leases(&self) -> bool {
        self.offers("dispatch_leases").await == Some(true)
    }

    /// Whether several can be acknowledged at once.
    pub(crate) async fn batches(&self) -> bool {
        self.offers("dispatch_batch").await == Some(true) && !self.no_batch.load(Ordering::Relaxed)
    }

    /// The stream of events from now on, where there is one.
    pub(crate) async fn events(&self) -> Option<Events> {
        let offered = self.offers("events_sse").await == Some(true);
        offered.then(|| self.internal.events(None))
    }

    /// Asks with the next poll what the backend offers: it may be another one.
    pub(crate) async fn may_have_changed(&self) {
        self.offered.write().await.asked = None;
    }

    /// Says that several were delivered, and gives what the backend says to each.
    pub(crate) async fn acknowledge_many(&self, deliveries: &[Arc<Delivery>]) -> Vec<Told> {
        let done: Vec<_> = deliveries
            .iter()
            .map(|one| Delivered {
                notification_id: one.notification_id.clone(),
                user_id: one.user_id.clone(),
            })
            .collect();
        match self.internal.deliver_many(&done).await {
            Ok(unknown) => {
                let known = |id: &str| unknown.iter().all(|other| other != id);
                let told = |id: &str| match known(id) {
                    true => Told::Done,
                    false => Told::Never("the backend does not know the notification".to_owned()),
                };
                done.iter().map(|one| told(&one.notification_id)).collect()
            }
            Err(error) if error.is_retryable() || error.is_auth() => {
                let later = |_: &_| Told::Later {
                    retry_after: error.retry_after(),
                    error: error.to_string(),
                };
                done.iter().map(later).collect()
            }
            Err(error) => {
                if matches!(error.status(), Some(404 | 405 | 501)) {
                    self.no_batch.store(true, Ordering::Relaxed);
                    tracing::warn!(%error, "dispatch_batch is announced and not there: one by one");
                } else {
                    tracing::warn!(%error, "a batch of acknowledgements is refused: one by one");
                }
                let mut told = Vec::with_capacity(deliveries.len());
                for some in deliveries.chunks(SINGLES) {
                    let calls: Vec<_> = some.iter().map(|one| self.acknowledge(one)).collect();
                    told.extend(futures::future::join_all(calls).await);
                }
                told
            }
        }
    }

    /// Says that a notification was delivered.
    pub(crate) async fn acknowledge(&self, delivery: &Delivery) -> Told {
        let answer = self.internal.deliver(&delivery.notification_id, &delivery.user_id).await;
        told(answer)
    }

    /// Says that a notification is dead, where the backend wants to hear it.
    pub(crate) async fn bury(&self, delivery: &Delivery, error: &str, attempts: u32) -> Told {
        // Where it is not known what the backend offers, trying tells.
        if self.offers("notifications_fail").await == Some(false) {
            return Told::Never("the backend keeps no dead letters".to_owned());
        }
        let failure = DeliveryFailure { error: error.to_owned(), attempts, dead: true };
        let (id, user_id) = (&delivery.notification_id, &delivery.user_id);
        told(self.internal.fail(id, user_id, &failure).await)
    }

    async fn offers(&self, feature: &str) -> Option<bool> {
        self.offered.read().await.capabilities.as_ref().map(|offered| offered.has(feature))
    }

    /// Asks what the backend offers, now and then. A failure changes nothing: it is no reason not
    /// to deliver.
    async fn learn(&self) {
        let due = {
            let offered = self.offered.read().await;
            let patience =
                if offered.capabilities.is_some() { CAPABILITIES_TTL } else { CAPABILITIES_RETRY };
            offered.asked.is_none_or(|asked| asked.elapsed() >= patience)
        };
        if !due {
            return;
        }
        let answer = self.capabilities().await;
        let mut offered = self.offered.write().await;
        offered.asked = Some(Instant::now());
        match answer {
            Ok(capabilities) => offered.capabilities = Some(capabilities),
            Err(error) => tracing::debug!(%error, "what the backend offers is not known"),
        }
    }
}

impl Backend {
    /// Asked with an agent token where there is one, as the contract says, and else, or when that
    /// is refused, with the token that dispatchers have in any case.
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

/// A refused token is a wrong setting that somebody will correct; any other refusal is final.
fn told(answer: Result<(), McError>) -> Told {
    match answer {
        Ok(()) => Told::Done,
        Err(error) if error.is_retryable() || error.is_auth() => {
            Told::Later { retry_after: error.retry_after(), error: error.to_string() }
        }
        Err(error) => Told::Never(error.to_string()),
    }
}

//! The backend, as the dispatcher calls it.

use std::sync::Arc;
use std::time::Duration;

use mc_client::client::{InternalClient, McClient, RetryPolicy};
use mc_client::dispatch::{Batch, DispatchQuery, DispatchVerb};
use mc_client::error::McError;
use mc_client::token::AgentAuth;
use mc_client::types::{Capabilities, Delivery, DeliveryFailure};
use tokio::sync::RwLock;
use tokio::time::Instant;

use crate::board::Told;
use crate::settings::Settings;

/// How long what the backend offers is taken for granted. It may be upgraded while we run.
const CAPABILITIES_TTL: Duration = Duration::from_secs(300);

/// How long after a failed question about it none is asked.
const CAPABILITIES_RETRY: Duration = Duration::from_secs(30);

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
        })
    }

    /// What waits to be delivered.
    pub(crate) async fn poll(&self) -> Result<Batch, McError> {
        self.learn().await;
        let mut query = self.query;
        if self.offers("dispatch_leases").await != Some(true) {
            query.lease_seconds = None;
        }
        self.internal.undelivered(query, &self.verb).await
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
        let Some(auth) = &self.auth else { return };
        let due = {
            let offered = self.offered.read().await;
            let patience =
                if offered.capabilities.is_some() { CAPABILITIES_TTL } else { CAPABILITIES_RETRY };
            offered.asked.is_none_or(|asked| asked.elapsed() >= patience)
        };
        if !due {
            return;
        }
        let answer = self.client.agent(Arc::clone(auth)).capabilities().await;
        let mut offered = self.offered.write().await;
        offered.asked = Some(Instant::now());
        match answer {
            Ok(capabilities) => offered.capabilities = Some(capabilities),
            Err(error) => tracing::debug!(%error, "what the backend offers is not known"),
        }
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

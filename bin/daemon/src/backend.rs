//! The backend: clients for each user and role, and its capabilities, which are cached.

mod hearing;
mod profiles;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use mc_client::client::{AgentClient, McClient};
use mc_client::error::McError;
use mc_client::raw::RawRequest;
use mc_client::token::{AgentAuth, TokenMinter};
use mc_client::types::{CONTRACT_VERSION, Capabilities};
use tokio::sync::Mutex;
use wombat_core::session::Role;

pub use hearing::{Hearings, Listener, Told};
pub use profiles::{KnownProfile, Profiles};

/// How long capabilities are cached.
const CAPABILITIES_TTL: Duration = Duration::from_secs(60);

/// The timeout of fetching the capabilities, retries included.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the answer to whether the backend answers is kept.
const HEALTH_TTL: Duration = Duration::from_secs(5);

/// The timeout of asking whether it answers.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// How many tokens are cached.
const MAX_TOKENS: usize = 1_024;

/// How many roles are told to the backend.
const MAX_ROLES: usize = 50;

/// User and role of calls on nobody's behalf.
const SYSTEM_USER: &str = "wombat";
const SYSTEM_ROLE: &str = "system";

/// What to say of a backend that counts the contract as the TypeScript original does.
pub fn told_of_original(version: &str) -> String {
    format!(
        "it counts the contract as {version}, as backends of the TypeScript original do, and is used as \
         {CONTRACT_VERSION}; see docs/MIGRATING.md"
    )
}

/// Who calls on nobody's behalf, in words.
pub fn system_caller() -> String {
    format!("user {SYSTEM_USER:?}, role {SYSTEM_ROLE:?}")
}

/// The roles that a daemon serves, as they are now.
struct Served(Box<dyn Fn() -> Vec<Role> + Send + Sync>);

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Served")
    }
}

/// The backend, and the tokens to call it.
#[derive(Debug)]
pub struct Backend {
    client: McClient,
    served: Option<Served>,
    minter: Arc<TokenMinter>,
    /// Cached tokens by user and role: the next message of a session mostly comes while the last
    /// token is valid.
    tokens: std::sync::Mutex<HashMap<String, Arc<AgentAuth>>>,
    known: ArcSwapOption<CachedCapabilities>,
    /// Held while fetching, so that many concurrent first runs ask once.
    fetch_lock: Mutex<()>,
    /// The last failure, for the callers that waited for it.
    last_failure: ArcSwapOption<(Instant, McError)>,
    /// What answered, and when it was asked. Held while asking, so that many callers ask once.
    health: Mutex<Option<(Instant, Answering)>>,
    /// Runs of other instances that somebody here listens to.
    pub hearings: Hearings,
    /// The customers' profiles.
    pub profiles: Profiles,
}

/// Which parts of the backend answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answering {
    /// The control plane, with its capabilities.
    pub control_plane: bool,
    /// The application, with anything but a server error.
    pub application: bool,
}

#[derive(Debug)]
struct CachedCapabilities {
    capabilities: Arc<Capabilities>,
    at: Instant,
}

impl Backend {
    /// A backend whose capabilities are unknown yet.
    pub fn new(client: McClient, minter: Arc<TokenMinter>) -> Self {
        let (known, last_failure) = (ArcSwapOption::empty(), ArcSwapOption::empty());
        let tokens = std::sync::Mutex::default();
        let (fetch_lock, health) = (Mutex::new(()), Mutex::new(None));
        let (served, hearings, profiles) = (None, Hearings::default(), Profiles::default());
        Self {
            client,
            served,
            minter,
            tokens,
            known,
            fetch_lock,
            last_failure,
            health,
            hearings,
            profiles,
        }
    }

    /// Tells the backend, whenever it is asked for its capabilities, which roles there are.
    #[must_use]
    pub fn serving(mut self, roles: impl Fn() -> Vec<Role> + Send + Sync + 'static) -> Self {
        self.served = Some(Served(Box::new(roles)));
        self
    }

    /// The base URL of everything under `/api/mission-control`.
    pub fn control_plane_url(&self) -> &str {
        self.client.control_plane_url()
    }

    /// The base URL of the application's own endpoints.
    pub fn application_url(&self) -> &str {
        self.client.application_url()
    }

    /// Whether the application is another program than the control plane.
    pub fn is_split(&self) -> bool {
        self.control_plane_url() != self.application_url()
    }

    /// Whether the application may offer tools of its own (`GET /api/tools`). A control plane beside it
    /// cannot know, so that the application itself is asked.
    pub fn may_offer_tools(&self, capabilities: &Capabilities) -> bool {
        self.is_split() || capabilities.has("tools")
    }

    /// A client that calls the backend as an agent (role) of a user.
    pub fn agent(&self, user_id: &str, role: &str) -> Result<AgentClient, McError> {
        // A role has no line break, so that no two pairs share a key.
        let key = [role, "\n", user_id].concat();
        let known = self.tokens().get(&key).cloned();
        if let Some(auth) = known {
            return Ok(self.client.agent(auth));
        }
        // Signed outside the lock.
        let auth = Arc::new(AgentAuth::new(self.minter.clone(), user_id, role)?);
        let mut tokens = self.tokens();
        if tokens.len() >= MAX_TOKENS {
            tokens.clear();
        }
        tokens.insert(key, Arc::clone(&auth));
        Ok(self.client.agent(auth))
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<String, Arc<AgentAuth>>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client for calls on nobody's behalf: capabilities, the list of tools.
    pub fn system_agent(&self) -> Result<AgentClient, McError> {
        self.agent(SYSTEM_USER, SYSTEM_ROLE)
    }

    /// Asks for the capabilities, and tells the roles.
    async fn ask(&self, agent: &AgentClient) -> Result<Capabilities, McError> {
        match self.roles() {
            roles if roles.is_empty() => agent.capabilities().await,
            roles => agent.capabilities_for(&roles).await,
        }
    }

    /// The roles as the backend is told of them.
    fn roles(&self) -> String {
        let roles = self.served.as_ref().map(|served| served.0()).unwrap_or_default();
        let roles: Vec<_> = roles.iter().take(MAX_ROLES).map(Role::as_str).collect();
        roles.join(", ")
    }

    /// Asks the backend for its capabilities.
    pub async fn fetch_capabilities(
        &self,
        traceparent: &str,
    ) -> Result<Arc<Capabilities>, McError> {
        let deadline = tokio::time::Instant::now() + ASK_TIMEOUT;
        let agent = self.system_agent()?.with_trace(traceparent).with_deadline(deadline);
        let capabilities = match self.ask(&agent).await {
            Ok(capabilities) => capabilities,
            // A backend without the endpoint implements the required part only.
            Err(error) if error.is_not_found() => Capabilities::default(),
            Err(error) => return Err(error),
        };
        // Unchanged capabilities stay the same object, so that nothing is rebuilt from them.
        let capabilities = match self.known.load_full() {
            Some(known) if *known.capabilities == capabilities => known.capabilities.clone(),
            Some(_) | None => Arc::new(capabilities),
        };
        self.known.store(Some(Arc::new(CachedCapabilities {
            capabilities: capabilities.clone(),
            at: Instant::now(),
        })));
        Ok(capabilities)
    }

    /// Whether the backend answers. Asked at most once in some seconds, whoever wants to know and how
    /// often: anybody may ask for the daemon's health.
    pub async fn answers(&self, traceparent: &str) -> Answering {
        let mut health = self.health.lock().await;
        if let Some((at, answering)) = *health
            && at.elapsed() < HEALTH_TTL
        {
            return answering;
        }
        let control_plane =
            tokio::time::timeout(HEALTH_TIMEOUT, self.fetch_capabilities(traceparent));
        let application = async {
            match self.is_split() {
                true => Some(self.reach_application().await),
                false => None,
            }
        };
        let (asked, application) = tokio::join!(control_plane, application);
        let control_plane = matches!(asked, Ok(Ok(_)));
        let application = application.map_or(control_plane, |reached| reached.is_ok());
        let answering = Answering { control_plane, application };
        *health = Some((Instant::now(), answering));
        answering
    }

    /// Asks the application for its first page, which it need not have: any answer but a server error
    /// will do.
    ///
    /// # Errors
    /// Why it does not answer.
    pub async fn reach_application(&self) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + HEALTH_TIMEOUT;
        let first_page = RawRequest {
            method: http::Method::GET,
            path_and_query: "/".to_owned(),
            body: None,
            idempotency_key: None,
            max_bytes: 1_024,
        };
        let agent = self.system_agent().map_err(|error| error.to_string())?;
        let agent = agent.with_deadline(deadline);
        let answer = match agent.raw(first_page.clone()).await {
            // It may have looked up the user of a token that is no user's.
            Ok(answer) if answer.status >= 500 => agent.without_token().raw(first_page).await,
            asked => asked,
        };
        match answer {
            Ok(answer) if answer.status < 500 => Ok(()),
            Ok(answer) => Err(format!("it answers {} to GET /", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The capabilities, cached for a minute. When the backend is unavailable, the old ones stay in
    /// use.
    pub async fn capabilities(&self, traceparent: &str) -> Result<Arc<Capabilities>, McError> {
        if let Some(fresh) = self.cached() {
            return Ok(fresh);
        }
        let arrived = Instant::now();
        let _guard = self.fetch_lock.lock().await;
        if let Some(fresh) = self.cached() {
            return Ok(fresh);
        }
        // In an outage the waiting callers do not ask one after the other: whoever waited for the
        // failed attempt gets its error.
        let waited_for = self.last_failure.load_full().filter(|failed| failed.0 > arrived);
        let asked = match waited_for {
            Some(failed) => Err(failed.1.clone()),
            None => self.fetch_capabilities(traceparent).await,
        };
        if let Err(error) = &asked {
            self.last_failure.store(Some(Arc::new((Instant::now(), error.clone()))));
        }
        match (asked, self.known.load_full()) {
            (Ok(capabilities), _) => Ok(capabilities),
            (Err(error), Some(stale)) if error.is_retryable() || error.is_in_between() => {
                tracing::warn!(%error, "backend capabilities could not be refreshed; using the cached ones");
                Ok(stale.capabilities.clone())
            }
            (Err(error), Some(_) | None) => Err(error),
        }
    }

    fn cached(&self) -> Option<Arc<Capabilities>> {
        let known = self.known.load();
        let known = known.as_ref()?;
        (known.at.elapsed() < CAPABILITIES_TTL).then(|| known.capabilities.clone())
    }
}

#[cfg(test)]
mod tests {
    use mc_client::client::RetryPolicy;
    use mc_client::token::{Algorithm, Key};

    use super::*;

    #[test]
    fn a_token_serves_one_user_and_role_and_not_too_many_are_kept() {
        let key = Key::Secret("0123456789abcdef0123456789abcdef".into());
        let minter = TokenMinter::new(&key, Algorithm::Hs256, Duration::from_secs(900)).unwrap();
        let http = reqwest::Client::new();
        let client = McClient::new("http://127.0.0.1:9", http, RetryPolicy::default());
        let backend = Backend::new(client, Arc::new(minter));
        let token = |user: &str, role: &str| {
            backend.agent(user, role).unwrap();
            let auth = backend.tokens().get(&format!("{role}\n{user}")).cloned().unwrap();
            auth.header().unwrap()
        };
        let first = token("ann", "scout");
        assert_eq!(token("ann", "scout"), first);
        for (user, role) in [("bob", "scout"), ("ann", "helper"), ("ann\nscout", "x")] {
            assert_ne!(token(user, role), first, "{user} {role}");
        }
        for n in 0..=MAX_TOKENS {
            backend.agent(&format!("u{n}"), "scout").unwrap();
        }
        assert!(backend.tokens().len() <= MAX_TOKENS);
    }
}

//! The clients of the contract: as an agent, and as one of the internal programs.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderValue;
use outbound::HttpClient;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::backend::{Address, Backend};
use crate::caller::{Caller, Identity};
use crate::error::McError;
use crate::journal_keys::JournalKeys;
use crate::journal_seal::Mask;
use crate::token::AgentAuth;

pub use crate::retry_policy::RetryPolicy;
pub use crate::types::TaskQuery;

/// A client of one backend. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct McClient {
    backend: Arc<Backend>,
    journal_keys: Option<Arc<JournalKeys>>,
}

impl McClient {
    /// A client of the backend at `base_url`; its path, if any, is kept as a prefix.
    pub fn new(base_url: &str, http: impl Into<HttpClient>, retry: RetryPolicy) -> Self {
        let http = http.into();
        let address = Address::new(base_url);
        let (control_plane, application) = (address.clone(), address);
        let backend = Arc::new(Backend { control_plane, application, http, retry });
        Self { backend, journal_keys: None }
    }

    /// The same, with the keys that sealed parts of journals are read with.
    #[must_use]
    pub fn with_journal_keys(mut self, keys: Arc<JournalKeys>) -> Self {
        self.journal_keys = Some(keys);
        self
    }

    /// The same, with the application's own endpoints at another address: only what is under
    /// `/api/mission-control` stays where it was.
    #[must_use]
    pub fn with_application(mut self, base_url: &str) -> Self {
        Arc::make_mut(&mut self.backend).application = Address::new(base_url);
        self
    }

    /// The address of what is under `/api/mission-control`.
    pub fn control_plane_url(&self) -> &str {
        &self.backend.control_plane.text
    }

    /// The address of the application's own endpoints.
    pub fn application_url(&self) -> &str {
        &self.backend.application.text
    }

    /// A client that acts as one agent of one user.
    pub fn agent(&self, auth: Arc<AgentAuth>) -> AgentClient {
        let caller = Caller::new(self.backend.clone(), Identity::Agent(auth));
        AgentClient { caller, journal_keys: self.journal_keys.clone(), mask: None }
    }

    /// A client with the internal token, as the dispatcher uses it.
    pub fn internal(&self, token: SecretString) -> InternalClient {
        let secret = shown::Secret::new(token.expose_secret()).map(Arc::new);
        let identity = Identity::Internal { token, secret, on_behalf_of: None };
        InternalClient { caller: Caller::new(self.backend.clone(), identity) }
    }
}

/// Calls with an agent token.
#[derive(Debug, Clone)]
pub struct AgentClient {
    pub(crate) caller: Caller,
    pub(crate) journal_keys: Option<Arc<JournalKeys>>,
    /// What of a run's journal is redacted; see [`crate::journal_seal`].
    pub(crate) mask: Option<Arc<dyn Mask>>,
}

impl AgentClient {
    /// The path of the address of the application's own endpoints, before each of theirs.
    pub fn application_path(&self) -> &str {
        self.caller.backend.application.path()
    }

    /// Has paths and the backend's words in the log of calls that are repeated go through a mask.
    #[must_use]
    pub fn with_log_mask(mut self, mask: Arc<dyn shown::LogMask>) -> Self {
        self.caller.log_mask = Some(mask);
        self
    }

    /// Sends this `traceparent` with every call.
    #[must_use]
    pub fn with_trace(mut self, traceparent: &str) -> Self {
        self.caller.traceparent = HeaderValue::from_str(traceparent).ok();
        self
    }

    /// For what has begun then: once the user's data is erased, none of its calls gets another token.
    #[must_use]
    pub fn of_work(mut self, began: SystemTime) -> Self {
        self.caller.began = Some(began);
        self
    }

    /// Sets the deadline of all calls, retries included.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.caller.deadline = Some(deadline);
        self
    }

    /// The same with one attempt for each call.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        Arc::make_mut(&mut self.caller.backend).retry.attempts = 1;
        self
    }

    /// The same with a token that may store what the user said.
    pub(crate) fn for_user(&self) -> Result<Self, McError> {
        let mut own = self.clone();
        if let Identity::Agent(auth) = &self.caller.identity {
            own.caller.identity = Identity::Agent(auth.for_user()?);
        }
        Ok(own)
    }

    /// The same without the token: for what may be public, where the application cannot do anything with
    /// a token that is no user's.
    #[must_use]
    pub fn without_token(mut self) -> Self {
        self.caller.identity = Identity::Nobody;
        self
    }
}

/// Calls with the internal token.
#[derive(Debug, Clone)]
pub struct InternalClient {
    pub(crate) caller: Caller,
}

impl InternalClient {
    /// The same, on behalf of a user.
    #[must_use]
    pub fn on_behalf_of(mut self, user_id: &str) -> Self {
        if let Identity::Internal { on_behalf_of, .. } = &mut self.caller.identity {
            *on_behalf_of = Some(user_id.to_owned());
        }
        self
    }
}

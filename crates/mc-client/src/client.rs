//! The clients of the contract: as an agent, and as one of the internal programs.

use std::sync::Arc;

use http::HeaderValue;
use outbound::HttpClient;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use crate::backend::{Address, Backend};
use crate::caller::{Caller, Identity};
use crate::error::McError;
use crate::token::AgentAuth;

pub use crate::retry_policy::RetryPolicy;
pub use crate::types::TaskQuery;

/// A client of one backend. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct McClient {
    backend: Arc<Backend>,
}

impl McClient {
    /// A client of the backend at `base_url`; its path, if any, is kept as a prefix.
    pub fn new(base_url: &str, http: impl Into<HttpClient>, retry: RetryPolicy) -> Self {
        let http = http.into();
        let address = Address::new(base_url);
        let (control_plane, application) = (address.clone(), address);
        Self { backend: Arc::new(Backend { control_plane, application, http, retry }) }
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
        AgentClient { caller: Caller::new(self.backend.clone(), Identity::Agent(auth)) }
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
}

impl AgentClient {
    /// The path of the address of the application's own endpoints, before each of theirs.
    pub fn application_path(&self) -> &str {
        self.caller.backend.application.path()
    }

    /// Sends this `traceparent` with every call.
    #[must_use]
    pub fn with_trace(mut self, traceparent: &str) -> Self {
        self.caller.traceparent = HeaderValue::from_str(traceparent).ok();
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

//! The clients of the contract: as an agent, and as one of the internal programs.

use std::sync::Arc;

use http::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use url::Url;

use crate::backend::Backend;
use crate::caller::{Caller, Identity};
use crate::token::AgentAuth;

pub use crate::retry_policy::RetryPolicy;
pub use crate::types::TaskQuery;

/// A client of one backend. Cheap to clone; all clones share connections.
#[derive(Debug, Clone)]
pub struct McClient {
    backend: Backend,
}

impl McClient {
    /// A client of the backend at `base_url`; its path, if any, is kept as a prefix.
    pub fn new(base_url: &str, http: reqwest::Client, retry: RetryPolicy) -> Self {
        let base_url = base_url.trim_end_matches('/');
        let base = Url::parse(base_url).ok().filter(|url| !url.cannot_be_a_base()).map(Arc::new);
        Self { backend: Backend { base_url: base_url.into(), base, http, retry } }
    }

    /// The address of the backend.
    pub fn base_url(&self) -> &str {
        &self.backend.base_url
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

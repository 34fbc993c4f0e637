//! Callers of what agents, persons and services may all do, each within what is theirs.

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::app::App;
use crate::auth::{Internal, Tenant, Trace, Writer};
use crate::error::ApiError;
use crate::store::Scope;
use crate::store::audit::Actor;

/// An agent, a person, or a service that acts for nobody in particular.
#[derive(Debug, Clone)]
pub(crate) enum Anyone {
    /// An agent or a person, with the session lease of a write.
    Tenant(Writer),
    /// A service.
    Service(Trace),
}

impl Anyone {
    /// Whose objects a write may touch, and who writes. A service writes for the user that it names.
    pub(crate) fn scope<'a>(&'a self, named: &'a str) -> Scope<'a> {
        match self {
            Self::Tenant(writer) => writer.scope(),
            Self::Service(trace) => Scope::of(named).by(trace.by(Actor::Service)),
        }
    }

    /// The agent's or the person's user; none for a service.
    pub(crate) fn user_id(&self) -> Option<&str> {
        match self {
            Self::Tenant(writer) => Some(writer.tenant.user_id()),
            Self::Service(_) => None,
        }
    }

    /// The role of an agent.
    pub(crate) fn role(&self) -> Option<&str> {
        match self {
            Self::Tenant(Writer { tenant: Tenant::Agent(agent), .. }) => Some(&agent.role),
            Self::Tenant(_) | Self::Service(_) => None,
        }
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let has = |name: &str| parts.headers.contains_key(name);
        if has("x-internal-token") && !has("x-on-behalf-of") {
            Internal::from_request_parts(parts, app).await?;
            let Ok(trace) = Trace::from_request_parts(parts, app).await;
            return Ok(Self::Service(trace));
        }
        Writer::from_request_parts(parts, app).await.map(Self::Tenant)
    }
}

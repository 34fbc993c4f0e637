//! Authentication: extractors of the caller. A handler that takes one cannot run without it.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName, StatusCode};
use mc_client::token::{Claims, TokenError};
use secrecy::ExposeSecret;
use service::trace::TraceId;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::error::ApiError;
use crate::mentions::is_role;
use crate::places::{MAX_CALLS, Place};
use crate::store::audit::{Actor, By};
use crate::store::leases::Fence;
use crate::store::session_role;
use crate::store::{Scope, StoreError};

const AGENT: HeaderName = HeaderName::from_static("x-agent-token");
const INTERNAL: HeaderName = HeaderName::from_static("x-internal-token");
const FENCE: HeaderName = HeaderName::from_static("x-session-fence");
const ON_BEHALF_OF: HeaderName = HeaderName::from_static("x-on-behalf-of");

/// An agent that acts for a user.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The user: everything is scoped to it.
    pub user_id: String,
    /// The agent's role.
    pub role: String,
    /// Whether it may act on the sessions of the user's other roles (`MC_LEAD_ROLES`).
    pub is_lead: bool,
    /// Whether its token is for storing what the user said.
    pub speaks_for_user: bool,
    /// When its token ends, in seconds since 1970.
    pub expires_at: u64,
    /// When its token was issued, in milliseconds since 1970.
    issued_at: u64,
    /// The place of the call among the role's.
    _place: Arc<Place>,
}

/// A service that holds the internal token, such as the dispatcher.
#[derive(Debug, Clone, Copy)]
pub struct Internal;

/// A service that holds the internal token, and the person on whose behalf it acts, if any.
#[derive(Debug, Clone)]
pub struct Service {
    /// The user.
    pub on_behalf_of: Option<String>,
}

/// A person, on whose behalf a service acts.
#[derive(Debug, Clone)]
pub struct Person {
    /// The user.
    pub user_id: String,
}

/// An agent of a user, or the user: both may read the user's objects.
#[derive(Debug, Clone)]
pub enum Tenant {
    /// An agent.
    Agent(Agent),
    /// A person.
    Person(Person),
}

/// A tenant that writes, with the session lease of the write.
#[derive(Debug, Clone)]
pub struct Writer {
    /// Who writes.
    pub tenant: Tenant,
    /// The session lease that the write belongs to, if any.
    pub fence: Option<Fence>,
    /// The trace of the request.
    pub trace: Trace,
}

impl Writer {
    /// Whose objects the write may touch, under which lease, and who writes.
    pub fn scope(&self) -> Scope<'_> {
        let scope = self.tenant.scope();
        let by = self.trace.by(scope.by.actor);
        Scope { fence: self.fence.as_ref(), ..scope }.by(by)
    }
}

/// The trace that the caller names, for the audit log.
#[derive(Debug, Clone)]
pub struct Trace(Option<String>);

impl Trace {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let (id, parent) = (text("x-trace-id"), text("traceparent"));
        let is_named = id.or(parent).is_some();
        Self(is_named.then(|| TraceId::from_headers(id, parent).to_string()))
    }

    /// Somebody who acts in this trace.
    pub fn by<'a>(&'a self, actor: Actor<'a>) -> By<'a> {
        By { actor, trace_id: self.0.as_deref() }
    }
}

/// A reader of the event stream.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Whose events; everybody's if absent, which is for services only.
    pub user_id: Option<String>,
    /// The role that must not hear of what concerns only the user's others.
    pub role: Option<String>,
    /// The role of the agent that listens, lead or not: each has its own places.
    pub agent: Option<String>,
    /// When the stream must end, in seconds since 1970.
    pub expires_at: Option<u64>,
    /// When the token of the agent was issued, in milliseconds since 1970.
    pub issued_at: Option<u64>,
}

/// An agent, or a service that acts for nobody in particular.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An agent.
    Agent(Agent),
    /// A service.
    Internal,
}

impl Tenant {
    /// The user that every query is scoped to.
    pub fn user_id(&self) -> &str {
        match self {
            Self::Agent(agent) => &agent.user_id,
            Self::Person(person) => &person.user_id,
        }
    }

    /// Whose objects a call may touch: an agent touches the sessions of its own role only.
    pub fn scope(&self) -> Scope<'_> {
        match self {
            Self::Agent(agent) => agent.scope(),
            Self::Person(person) => Scope::of(&person.user_id),
        }
    }

    /// Refuses a session key that is not `user:{user_id}:{role}` of this user, or of a role that this
    /// agent must not act as.
    pub(crate) fn check_session(&self, session_key: &str) -> Result<(), ApiError> {
        let role = check_session(self.user_id(), session_key)?;
        match self {
            Self::Agent(agent) => agent.must_act_as("session_key", role),
            Self::Person(_) => Ok(()),
        }
    }
}

impl Tenant {
    /// Refuses a role that this agent must not act as.
    pub(crate) fn check_role(&self, role: &str) -> Result<(), ApiError> {
        match self {
            Self::Agent(agent) => agent.must_act_as("role", role),
            Self::Person(_) => Ok(()),
        }
    }
}

impl Service {
    /// Who acts: the person on whose behalf it does, or the service.
    pub fn actor(&self) -> Actor<'_> {
        self.on_behalf_of.as_deref().map_or(Actor::Service, Actor::Person)
    }
}

impl Agent {
    /// Whether it acts for nobody, as the daemon does for what is the same for all.
    pub(crate) fn is_nobodys(&self) -> bool {
        self.user_id == "wombat" && self.role == "system"
    }

    /// Who acts.
    pub fn actor(&self) -> Actor<'_> {
        Actor::Agent { user_id: &self.user_id, role: &self.role }
    }

    /// Whose objects its calls may touch.
    pub fn scope(&self) -> Scope<'_> {
        let role = (!self.is_lead).then_some(&*self.role);
        let issued_at = Some(self.issued_at);
        Scope { role, issued_at, ..Scope::of(&self.user_id) }.by(By::new(self.actor()))
    }

    /// Refuses a field that names another role than the token, unless the token's role is a lead.
    pub(crate) fn must_act_as(&self, field: &str, role: &str) -> Result<(), ApiError> {
        if self.is_lead || self.role == role {
            return Ok(());
        }
        Err(ApiError::role_mismatch(field, &self.role))
    }

    /// Refuses a body that names another user than the token.
    pub fn must_be(&self, user_id: &str) -> Result<(), ApiError> {
        if self.user_id == user_id { Ok(()) } else { Err(ApiError::not_found("user")) }
    }
}

/// Whether a text can be a user id: not blank, and without colons, which separate the parts of a
/// session key.
pub fn is_user_id(text: &str) -> bool {
    !text.trim().is_empty() && !text.contains(':') && !text.chars().any(char::is_control)
}

/// The role of a session key; refuses one that is not `user:{user_id}:{role}` of this user.
pub(crate) fn check_session<'a>(user_id: &str, session_key: &'a str) -> Result<&'a str, ApiError> {
    let role = session_role(user_id, session_key).filter(|role| is_role(role));
    let wrong = || ApiError::field("session_key", "must be user:{user_id}:{role} of the same user");
    role.filter(|_| is_user_id(user_id)).ok_or_else(wrong)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// `X-Session-Fence: {lease_id}:{fence}`.
fn fence(headers: &HeaderMap) -> Result<Option<Fence>, ApiError> {
    if !headers.contains_key(&FENCE) {
        return Ok(None);
    }
    let fence = text(headers, &FENCE).and_then(|text| {
        let (lease_id, fence) = text.trim().rsplit_once(':')?;
        Some(Fence { lease_id: lease_id.to_owned(), fence: fence.parse().ok()? })
    });
    let wrong = || ApiError::field("X-Session-Fence", "must be {lease_id}:{fence}");
    fence.map(Some).ok_or_else(wrong)
}

/// What the agent token of a request says.
pub(crate) fn claims(headers: &HeaderMap, app: &App) -> Result<Claims, ApiError> {
    let token = text(headers, &AGENT)
        .ok_or_else(|| ApiError::unauthorized("the header X-Agent-Token is missing"))?;
    let claims = app.config.verifier.verify(token).map_err(|error| {
        tracing::info!(%error, "agent token rejected");
        ApiError::unauthorized(&refusal(&error))
    })?;
    if let Some(age) = app.store.erased_for(&claims.user_id, issued_at(&claims)) {
        return Err(StoreError::TokenErased { age }.into());
    }
    Ok(claims)
}

/// When a token was issued, in milliseconds since 1970. Wombat's own begin to be valid a little before, for clocks that
/// differ; their ids tell when they were made (RFC 9562, section 5.7).
pub(crate) fn issued_at(claims: &Claims) -> u64 {
    let made = || {
        let id = uuid::Uuid::parse_str(&claims.jti).ok().filter(|id| id.get_version_num() == 7)?;
        let (seconds, nanos) = id.get_timestamp()?.to_unix();
        Some(seconds.saturating_mul(1_000).saturating_add(u64::from(nanos / 1_000_000)))
    };
    let from = claims.iat.saturating_mul(1_000);
    made().filter(|made| *made > from && *made < claims.exp.saturating_mul(1_000)).unwrap_or(from)
}

/// What is told of a token that is refused. A wrong secret is never mixed up with wrong claims: to know
/// which it is, one needs the secret.
fn refusal(error: &TokenError) -> String {
    const SIGNED: &str = "the agent token is signed with the right key";
    match error {
        TokenError::Untimely(_) => {
            "the agent token has expired or is not valid yet: compare the clocks of both sides"
                .into()
        }
        TokenError::Legacy(differs) => format!(
            "{SIGNED}, and is one of the TypeScript original ({differs}): set AGENT_JWT_LEGACY=true here, \
             or let a program mint it that keeps the contract"
        ),
        TokenError::Claims(what) => {
            format!("{SIGNED}, but its claims are not the contract's: {what}")
        }
        TokenError::Algorithm(theirs) => format!(
            "the agent token is signed with {theirs}: set the same AGENT_JWT_ALGORITHM on both sides"
        ),
        TokenError::Key(_) | TokenError::Sign(_) | TokenError::Invalid(_) => {
            "the agent token is not valid: check AGENT_JWT_SECRET on both sides".into()
        }
    }
}

/// The agent whose token a request carries, with a place for the call.
fn agent(headers: &HeaderMap, app: &App) -> Result<Agent, ApiError> {
    let claims = claims(headers, app)?;
    let is_lead = app.config.lead_roles.contains(&claims.agent_role);
    let speaks_for_user = claims.speaks_for_user();
    let issued_at = issued_at(&claims);
    let (user_id, role) = (claims.user_id, claims.agent_role);
    let place = app.calls.take(&user_id, &role).ok_or_else(|| {
        let text = format!("{MAX_CALLS} calls of this role are being answered; retry later");
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_calls", text)
    })?;
    let (expires_at, _place) = (claims.exp, Arc::new(place));
    Ok(Agent { user_id, role, is_lead, speaks_for_user, expires_at, issued_at, _place })
}

fn internal(headers: &HeaderMap, app: &App) -> Result<Internal, ApiError> {
    // An invalid agent token is refused even beside a valid internal one.
    if headers.contains_key(&AGENT) {
        claims(headers, app)?;
    }
    let refuse = || ApiError::unauthorized("the header X-Internal-Token is missing or wrong");
    let given = headers.get(&INTERNAL).ok_or_else(refuse)?;
    let known = app.config.internal_token.as_ref().ok_or_else(refuse)?;
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    let equal = hash(given.as_bytes()).ct_eq(&hash(known.expose_secret().as_bytes()));
    if bool::from(equal) { Ok(Internal) } else { Err(refuse()) }
}

fn person(headers: &HeaderMap, app: &App) -> Result<Person, ApiError> {
    // A valid agent is authenticated, but may not do what only a person may: 403, not 401.
    if headers.contains_key(&AGENT) && !headers.contains_key(&INTERNAL) {
        claims(headers, app)?;
        return Err(ApiError::forbidden("only a person may do this, not an agent"));
    }
    internal(headers, app)?;
    let user_id =
        text(headers, &ON_BEHALF_OF).filter(|user| is_user_id(user)).ok_or_else(|| {
            ApiError::unauthorized("the header X-On-Behalf-Of is missing or names no user")
        })?;
    Ok(Person { user_id: user_id.to_owned() })
}

impl FromRequestParts<App> for Agent {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        agent(&parts.headers, app)
    }
}

impl FromRequestParts<App> for Internal {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(&AGENT) && !parts.headers.contains_key(&INTERNAL) {
            claims(&parts.headers, app)?;
            return Err(ApiError::forbidden("an agent may not do this"));
        }
        internal(&parts.headers, app)
    }
}

impl FromRequestParts<App> for Service {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        Internal::from_request_parts(parts, app).await?;
        if !parts.headers.contains_key(&ON_BEHALF_OF) {
            return Ok(Self { on_behalf_of: None });
        }
        let Person { user_id } = person(&parts.headers, app)?;
        Ok(Self { on_behalf_of: Some(user_id) })
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        person(&parts.headers, app)
    }
}

impl FromRequestParts<App> for Tenant {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(&INTERNAL) {
            return person(&parts.headers, app).map(Self::Person);
        }
        agent(&parts.headers, app).map(Self::Agent)
    }
}

impl FromRequestParts<App> for Writer {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let tenant = Tenant::from_request_parts(parts, app).await?;
        let trace = Trace::of(&parts.headers);
        Ok(Self { tenant, fence: fence(&parts.headers)?, trace })
    }
}

impl FromRequestParts<App> for Trace {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _app: &App) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.headers))
    }
}

impl FromRequestParts<App> for Listener {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(&INTERNAL) {
            let Service { on_behalf_of } = Service::from_request_parts(parts, app).await?;
            let none =
                Self { user_id: None, role: None, agent: None, expires_at: None, issued_at: None };
            return Ok(Self { user_id: on_behalf_of, ..none });
        }
        let agent = agent(&parts.headers, app)?;
        let role = (!agent.is_lead).then(|| agent.role.clone());
        let (expires_at, issued_at) = (Some(agent.expires_at), Some(agent.issued_at));
        let (user_id, agent) = (Some(agent.user_id), Some(agent.role));
        Ok(Self { user_id, role, agent, expires_at, issued_at })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        if parts.headers.contains_key(&INTERNAL) {
            return internal(&parts.headers, app).map(|Internal| Self::Internal);
        }
        agent(&parts.headers, app).map(Self::Agent)
    }
}

//! Who calls. A handler that takes [`Me`] cannot be reached by somebody unknown.
//!
//! Agents bring `X-Agent-Token`, which the daemon signs with `AGENT_JWT_SECRET`. Your own services
//! bring `X-Internal-Token`, with `X-On-Behalf-Of` where they speak for a person. What your pages use
//! (a session cookie, say) goes here, too: this example has none.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use mc_client::token::{Algorithm, Key, MIN_SECRET_BYTES, TokenVerifier};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::App;
use crate::error::ApiError;

/// Decides who may come in.
pub(crate) struct Gate {
    verifier: TokenVerifier,
    internal_token: Option<SecretString>,
}

impl Gate {
    pub(crate) fn new(secret: Option<String>, internal: Option<String>) -> Result<Self, String> {
        let secret = secret.filter(|secret| secret.len() >= MIN_SECRET_BYTES).ok_or_else(|| {
            format!(
                "AGENT_JWT_SECRET must be set as in the daemon, to {MIN_SECRET_BYTES} bytes or more"
            )
        })?;
        let verifier = TokenVerifier::new(&Key::Secret(secret.into()), Algorithm::Hs256)
            .map_err(|error| error.to_string())?;
        Ok(Self { verifier, internal_token: internal.map(SecretString::from) })
    }

    fn is_ours(&self, token: &str) -> bool {
        self.internal_token
            .as_ref()
            .is_some_and(|known| known.expose_secret().as_bytes().ct_eq(token.as_bytes()).into())
    }
}

/// The user that everything is read and written as, and who does it for them. Only this module makes
/// one.
pub(crate) struct Me {
    user_id: String,
    role: Option<String>,
}

impl Me {
    /// The tenant: every query is scoped by it.
    pub(crate) fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The agent's role; none when it is the person.
    pub(crate) fn role(&self) -> Option<&str> {
        self.role.as_deref()
    }
}

impl FromRequestParts<App> for Me {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let header = |name| {
            parts.headers.get(name).map(|value| std::str::from_utf8(value.as_bytes()).unwrap_or(""))
        };
        if let Some(token) = header("x-agent-token") {
            let claims = app.gate.verifier.verify(token).map_err(|error| {
                tracing::info!(%error, "agent token refused");
                ApiError::unauthorized("the agent token is not valid")
            })?;
            return Ok(Self { user_id: claims.user_id, role: Some(claims.agent_role) });
        }
        match (header("x-internal-token"), header("x-on-behalf-of")) {
            (Some(token), Some(user)) if !user.is_empty() && app.gate.is_ours(token) => {
                Ok(Self { user_id: user.to_owned(), role: None })
            }
            _ => Err(ApiError::unauthorized("an agent token is needed")),
        }
    }
}

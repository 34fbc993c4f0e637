//! Fetches the standup of one user or of all users from the backend and renders it for people or
//! programs (docs/RUNS.md, "Standup").

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod render;
mod settings;

use std::sync::Arc;

use mc_client::client::RetryPolicy;
use mc_client::error::McError;
use mc_client::token::{AgentAuth, TokenError};
use mc_client::types::{StandupAnswer, StandupRequest};
use service::trace::TraceId;
use tokio_util::sync::CancellationToken;
use wombat_core::session::UserId;

pub use render::{Format, render};
use settings::Caller;
pub use settings::{Query, Settings};

/// Why no standup could be printed.
#[derive(Debug, thiserror::Error)]
pub enum StandupError {
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {}", service::http::explain(.0))]
    Client(#[from] reqwest::Error),
    /// No agent token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The backend did not answer, or refused.
    #[error("{source}{}", hint(.source, .secret, .address))]
    Backend {
        /// What happened.
        source: McError,
        /// The setting that authorizes the request.
        secret: &'static str,
        /// The setting that names the backend.
        address: &'static str,
    },
    /// A success without a standup, or with another one than requested.
    #[error("the backend's answer is not the requested standup: {why} (check {address})")]
    NoStandup {
        /// What is wrong with it.
        why: &'static str,
        /// The setting that names the backend.
        address: &'static str,
    },
    /// A signal stopped the program.
    #[error("stopped by a signal before the backend answered")]
    Stopped,
}

fn hint(error: &McError, secret: &str, address: &str) -> String {
    match error {
        McError::Status { status: 401 | 403, .. } => format!(" (check {secret} on both sides)"),
        McError::Status { status: 404 | 405 | 501, .. } => {
            " (the backend has no standup endpoint, or does not know the user)".to_owned()
        }
        McError::Unreachable { is_tls: true, .. } => String::new(),
        McError::Unreachable { .. } | McError::Timeout | McError::BadAnswer { .. } => {
            format!(" (check {address})")
        }
        McError::Status { .. } | McError::InBetween { .. } | McError::Token(_) => String::new(),
    }
}

/// Fetches the standup; ends early on `stop`.
///
/// # Errors
/// See [`StandupError`].
pub async fn run(
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<StandupAnswer, StandupError> {
    let answer = tokio::select! {
        answer = fetch(settings) => answer?,
        () = stop.cancelled() => return Err(StandupError::Stopped),
    };
    let address = settings.backend.control_plane_variable;
    check(&answer, settings.user.as_ref())
        .map_err(|why| StandupError::NoStandup { why, address })?;
    Ok(answer)
}

async fn fetch(settings: &Settings) -> Result<StandupAnswer, StandupError> {
    let http = service::http::client_builder().build()?;
    let client = settings.backend.client(http, RetryPolicy::default());
    let request = StandupRequest {
        user_id: settings.user.as_ref().map(ToString::to_string),
        timezone: settings.zone.name().to_owned(),
        date: settings.date.map(|date| date.to_string()),
    };
    let (answer, secret) = match &settings.caller {
        Caller::Agent { minter, user, role } => {
            let auth = AgentAuth::new(Arc::clone(minter), user.as_str(), role.as_str())?;
            let agent = client.agent(Arc::new(auth)).with_trace(&TraceId::random().traceparent());
            (agent.standup(&request).await, "AGENT_JWT_SECRET")
        }
        Caller::Internal(token) => {
            (client.internal(token.clone()).standup(&request).await, "INTERNAL_API_TOKEN")
        }
    };
    let address = settings.backend.control_plane_variable;
    answer.map_err(|source| StandupError::Backend { source, secret, address })
}

/// Checks that the answer is the requested standup: the types accept missing fields, so any JSON
/// object would pass for an empty day, and one user's day must never be taken for another's.
fn check(answer: &StandupAnswer, requested: Option<&UserId>) -> Result<(), &'static str> {
    let (date, days) = match answer {
        StandupAnswer::One(day) => (&day.date, std::slice::from_ref(day)),
        StandupAnswer::All { date, items, .. } => (date, items.as_slice()),
    };
    if date.is_empty() {
        return Err("it has no date");
    }
    let wrong = match requested {
        // The backend need not repeat the requested user.
        Some(user) => days.iter().any(|day| !["", user.as_str()].contains(&day.user_id.as_str())),
        None => days.iter().any(|day| day.user_id.is_empty()),
    };
    match (wrong, requested) {
        (false, _) => Ok(()),
        (true, Some(_)) => Err("it is of another user"),
        (true, None) => Err("it names no user"),
    }
}

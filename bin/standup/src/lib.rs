//! The day of one user or of all: asked from the backend, printed for people or programs
//! (docs/RUNS.md, "Standup").

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod render;
mod settings;

use std::sync::Arc;

use mc_client::client::{McClient, RetryPolicy};
use mc_client::error::McError;
use mc_client::token::{AgentAuth, TokenError};
use mc_client::types::{StandupAnswer, StandupRequest};
use service::trace::TraceId;
use tokio_util::sync::CancellationToken;
use wombat_core::session::UserId;

pub use render::{Format, render};
use settings::Asker;
pub use settings::{Asked, Settings};

/// Why there is no standup.
#[derive(Debug, thiserror::Error)]
pub enum StandupError {
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {}", service::http::explain(.0))]
    Client(#[from] reqwest::Error),
    /// No agent token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The backend did not answer, or said no.
    #[error("{source}{}", hint(.source, .secret))]
    Backend {
        /// What happened.
        source: McError,
        /// The setting by which the backend knows who asks.
        secret: &'static str,
    },
    /// A success that holds no standup, or not the one that was asked for.
    #[error("the backend's answer is no standup: {0} (check BACKEND_URL)")]
    NoStandup(&'static str),
    /// A signal came first.
    #[error("told to stop before the backend answered")]
    Stopped,
}

fn hint(error: &McError, secret: &str) -> String {
    match error {
        McError::Status { status: 401 | 403, .. } => format!(" (check {secret} on both sides)"),
        McError::Status { status: 404 | 405 | 501, .. } => {
            " (it does not offer standup, or does not know the user)".to_owned()
        }
        McError::Unreachable { .. } | McError::Timeout | McError::BadAnswer { .. } => {
            " (check BACKEND_URL)".to_owned()
        }
        McError::Status { .. } | McError::Token(_) => String::new(),
    }
}

/// Asks the backend for the day, until it answers or `stop` comes.
pub async fn run(
    settings: &Settings,
    stop: &CancellationToken,
) -> Result<StandupAnswer, StandupError> {
    let answer = tokio::select! {
        answer = ask(settings) => answer?,
        () = stop.cancelled() => return Err(StandupError::Stopped),
    };
    check(&answer, settings.user.as_ref())?;
    Ok(answer)
}

async fn ask(settings: &Settings) -> Result<StandupAnswer, StandupError> {
    let http = service::http::client_builder().build()?;
    let client = McClient::new(&settings.backend_url, http, RetryPolicy::default());
    let request = StandupRequest {
        user_id: settings.user.as_ref().map(ToString::to_string),
        timezone: settings.zone.name().to_owned(),
        date: settings.date.map(|date| date.to_string()),
    };
    let (answer, secret) = match &settings.asker {
        Asker::Agent { minter, user, role } => {
            let auth = AgentAuth::new(Arc::clone(minter), user.as_str(), role.as_str())?;
            let agent = client.agent(Arc::new(auth)).with_trace(&TraceId::random().traceparent());
            (agent.standup(&request).await, "AGENT_JWT_SECRET")
        }
        Asker::Internal(token) => {
            (client.internal(token.clone()).standup(&request).await, "INTERNAL_API_TOKEN")
        }
    };
    answer.map_err(|source| StandupError::Backend { source, secret })
}

/// The types are lenient with what a backend leaves out, so that any JSON object would pass for an
/// empty day. And one user's day is never to be taken for another's.
fn check(answer: &StandupAnswer, asked: Option<&UserId>) -> Result<(), StandupError> {
    let (date, days) = match answer {
        StandupAnswer::One(day) => (&day.date, std::slice::from_ref(day)),
        StandupAnswer::All { date, items, .. } => (date, items.as_slice()),
    };
    if date.is_empty() {
        return Err(StandupError::NoStandup("it names no date"));
    }
    let wrong = match asked {
        // A backend need not repeat whose day was asked for.
        Some(user) => days.iter().any(|day| !["", user.as_str()].contains(&day.user_id.as_str())),
        None => days.iter().any(|day| day.user_id.is_empty()),
    };
    match (wrong, asked) {
        (false, _) => Ok(()),
        (true, Some(_)) => Err(StandupError::NoStandup("it is another user's")),
        (true, None) => Err(StandupError::NoStandup("it does not say whose day it is")),
    }
}

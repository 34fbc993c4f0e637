//! Fetches the standup of one user or of all users from the backend and renders it for people or
//! programs (docs/RUNS.md, "Standup").

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod render;
mod settings;

use std::sync::Arc;

use chrono::Utc;
use mc_client::client::RetryPolicy;
use mc_client::error::McError;
use mc_client::token::{AgentAuth, TokenError};
use mc_client::types::{Standup, StandupAnswer, StandupRequest};
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
    let mut answer = tokio::select! {
        answer = fetch(settings) => answer?,
        () = stop.cancelled() => return Err(StandupError::Stopped),
    };
    let address = settings.backend.control_plane_variable;
    check(&mut answer, settings).map_err(|why| StandupError::NoStandup { why, address })?;
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
/// object would pass for an empty day, and one user's day must never be taken for another's. An answer
/// without a date says something all the same; it gets the date of today where none was requested, and
/// stays without one where it may be of another day than `--date`.
fn check(answer: &mut StandupAnswer, settings: &Settings) -> Result<(), &'static str> {
    const NO_STANDUP: &str = "it has no date, and nothing else of a standup";
    let today = Utc::now().with_timezone(&settings.zone).date_naive().to_string();
    let mut is_dated = true;
    let mut complete = |date: &mut String, zone: &mut String| {
        if date.is_empty() && settings.date.is_none() {
            date.clone_from(&today);
        }
        if zone.is_empty() && !date.is_empty() {
            settings.zone.name().clone_into(zone);
        }
        is_dated &= !date.is_empty();
    };
    match answer {
        StandupAnswer::One(day) => {
            if !says_something(day) {
                return Err(NO_STANDUP);
            }
            complete(&mut day.date, &mut day.timezone);
        }
        StandupAnswer::All { date, timezone, items } => {
            let is_list = !date.is_empty() || !items.is_empty();
            if !is_list || date.is_empty() && !items.iter().all(says_something) {
                return Err(NO_STANDUP);
            }
            if let Some(first) = items.first().filter(|_| date.is_empty()) {
                date.clone_from(&first.date);
            }
            complete(date, timezone);
        }
    }
    if !is_dated {
        tracing::warn!("the backend's answer has no date: it may be for another day than --date");
    }
    of_user(answer, settings.user.as_ref())
}

/// Whether there is anything of a standup in it.
fn says_something(day: &Standup) -> bool {
    let lists = [&day.done, &day.in_progress, &day.blocked];
    !day.date.is_empty()
        || !day.summary.trim().is_empty()
        || day.document_id.is_some()
        || lists.iter().any(|list| !list.is_empty())
}

fn of_user(answer: &StandupAnswer, requested: Option<&UserId>) -> Result<(), &'static str> {
    let days = match answer {
        StandupAnswer::One(day) => std::slice::from_ref(day),
        StandupAnswer::All { items, .. } => items.as_slice(),
    };
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

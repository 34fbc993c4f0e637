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

pub use render::{Format, render};
use settings::Asker;
pub use settings::{Asked, Settings};

/// Why there is no standup.
#[derive(Debug, thiserror::Error)]
pub enum StandupError {
    /// The HTTP client could not be built.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(#[from] reqwest::Error),
    /// No agent token could be made.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The backend did not answer, or said no.
    #[error("{source}{}", hint(.source))]
    Backend {
        /// What happened.
        #[from]
        source: McError,
    },
}

fn hint(error: &McError) -> &'static str {
    match error.status() {
        Some(401 | 403) => " (check AGENT_JWT_SECRET and INTERNAL_API_TOKEN on both sides)",
        Some(404 | 405 | 501) => " (it does not offer standup, or does not know the user)",
        Some(_) => "",
        None => " (check BACKEND_URL)",
    }
}

/// Asks the backend for the day.
pub async fn run(settings: &Settings) -> Result<StandupAnswer, StandupError> {
    let http = service::http::client_builder().build()?;
    let client = McClient::new(&settings.backend_url, http, RetryPolicy::default());
    let request = StandupRequest {
        user_id: settings.user.as_ref().map(ToString::to_string),
        timezone: settings.zone.name().to_owned(),
        date: settings.date.map(|date| date.to_string()),
    };
    Ok(match &settings.asker {
        Asker::Agent { minter, user, role } => {
            let auth = AgentAuth::new(Arc::clone(minter), user.as_str(), role.as_str())?;
            client.agent(Arc::new(auth)).standup(&request).await?
        }
        Asker::Internal(token) => client.internal(token.clone()).standup(&request).await?,
    })
}

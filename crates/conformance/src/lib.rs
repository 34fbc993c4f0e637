//! Checks whether a backend keeps the contract (docs/CONTROL_PLANE_CONTRACT.md), from outside: any
//! backend, not only this one. Its users are random ids, what it makes bears a title that tells.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answer;
mod caller;
mod checks;
pub mod cli;
pub mod report;
mod suite;
mod token;
mod verdict;
mod watch;
mod world;

use mc_client::token::{Algorithm, Key, TokenError};
use mc_client::types::Capabilities;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize as _;
use serde_json::json;

use crate::checks::{
    auth, capabilities, errors, events, heartbeat_standup, idempotency, invariants, journal,
    limits, objects, paging, queue, tenancy,
};
use crate::report::Report;
use crate::suite::Suite;
use crate::token::Keys;
use crate::verdict::NotPassed;
use crate::world::{Known, World};

/// The backend that is checked, and what its operator knows.
#[derive(Debug)]
pub struct Target {
    /// Where it is, without a slash at its end.
    pub url: String,
    /// What signs agent tokens.
    pub key: Key,
    /// How.
    pub algorithm: Algorithm,
    /// The public half of the key, to try it as a secret.
    pub public_key: Option<String>,
    /// What a service of the backend shows; checks that need it are skipped without it.
    pub internal_token: Option<SecretString>,
    /// Two users that the backend knows; random ones when absent.
    pub users: Option<(String, String)>,
    /// Only these chapters; all when empty.
    pub chapters: Vec<String>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The key.
    #[error("{0}")]
    Key(#[from] TokenError),
    /// The HTTP client could not be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(reqwest::Error),
    /// Nobody answers.
    #[error("{url} does not answer: {cause}")]
    Unreachable {
        /// The backend.
        url: String,
        /// What happened.
        cause: String,
    },
}

/// The chapters by name, and what makes the checks of those that are asked for, or of all.
macro_rules! chapters {
    ($($name:literal => $chapter:ident),+ $(,)?) => {
        /// The names of the chapters, in the order in which they are checked.
        pub const CHAPTERS: &[&str] = &[$($name),+];

        async fn make(world: &World, only: &[&str], begins: impl Fn(&str)) -> Vec<report::Finished> {
            let mut checks = Vec::new();
            $(if only.is_empty() || only.contains(&$name) {
                begins($name);
                let mut suite = Suite::new(world, $name);
                $chapter::run(&mut suite).await;
                checks.extend(suite.finish());
            })+
            checks
        }
    };
}

chapters! {
    "capabilities" => capabilities,
    "auth" => auth,
    "tenancy" => tenancy,
    "errors" => errors,
    "idempotency" => idempotency,
    "paging" => paging,
    "objects" => objects,
    "queue" => queue,
    "events" => events,
    "wake" => heartbeat_standup,
    "journal" => journal,
    "limits" => limits,
    "everywhere" => invariants,
}

/// Checks everything. `begins` is told of each chapter before it is checked.
pub async fn check(target: Target, begins: impl Fn(&str)) -> Result<Report, ConformanceError> {
    let http = service::http::client_builder().build().map_err(ConformanceError::Client)?;
    let secret = match &target.key {
        Key::Secret(secret) | Key::Pem(secret) => secret.expose_secret().to_owned(),
    };
    let internal = target.internal_token.as_ref().map(|token| token.expose_secret().to_owned());
    let mut world = World::new(
        http,
        Known {
            url: target.url,
            keys: Keys::new(&target.key, target.algorithm, target.public_key.as_deref())?,
            internal: target.internal_token,
            secrets: std::iter::once(secret).chain(internal).collect(),
            users: target.users,
        },
    );
    world.features = announced(&world).await?;
    let chapters = target.chapters.iter().map(String::as_str).collect::<Vec<_>>();
    let checks = make(&world, &chapters, begins).await;
    Ok(Report {
        url: world.url.clone(),
        contract_version: world.features.contract_version.clone(),
        features: world.features.features.clone(),
        summary: Report::count(&checks),
        checks,
        left_behind: tidy(&world).await,
    })
}

/// What the backend announces; nothing, where its answer cannot be read.
async fn announced(world: &World) -> Result<Capabilities, ConformanceError> {
    match world.agent(&world.one).get("/capabilities").await {
        Ok(answer) => Ok(Capabilities::deserialize(&answer.body).unwrap_or_default()),
        Err(NotPassed::Failed(cause) | NotPassed::Skipped(cause)) => {
            Err(ConformanceError::Unreachable { url: world.url.clone(), cause })
        }
    }
}

/// Closes the tasks that were made, where the backend lets it; says what stays.
async fn tidy(world: &World) -> Vec<String> {
    let (tasks, messages, documents) = match world.made.lock() {
        Ok(made) => (made.tasks.clone(), made.messages, made.documents),
        Err(_) => return Vec::new(),
    };
    let mut cancelled = 0;
    if world.features.has("tasks_update") {
        for (user, id) in &tasks {
            let path = format!("/tasks/{id}");
            let answer = world.agent(user).patch(&path, json!({ "status": "cancelled" })).await;
            cancelled += usize::from(answer.is_ok_and(|answer| answer.status == 200));
        }
    }
    vec![format!(
        "left behind, with {} in it: {} tasks ({cancelled} of them cancelled), {messages} messages, {documents} documents",
        world.marker,
        tasks.len()
    )]
}

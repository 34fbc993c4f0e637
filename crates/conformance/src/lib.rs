//! Checks over HTTP whether a backend keeps the contract (docs/CONTROL_PLANE_CONTRACT.md): any
//! backend, in any language. It acts for users with random ids, and whatever it creates has a marker
//! in its title.

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
use shown::counted;

use crate::checks::{
    artifacts, audit, auth, capabilities, decisions, delivery_options, errors, events, files,
    heartbeat_standup, idempotency, invariants, journal, limits, memories, objects, orphans,
    owned_data, paging, profiles, queue, roles, run_lists, run_stream, schedules, tenancy,
};
use crate::report::{Finished, Outcome, Report};
use crate::suite::Suite;
use crate::token::Keys;
use crate::verdict::NotPassed;
use crate::world::{Setup, World};

/// The backend to check, and the keys to call it with.
#[derive(Debug)]
pub struct Target {
    /// The backend's address, without a slash at the end.
    pub url: String,
    /// The key that signs agent tokens.
    pub key: Key,
    /// The algorithm of agent tokens.
    pub algorithm: Algorithm,
    /// The public half of the key, to check that the backend refuses it as an HMAC secret.
    pub public_key: Option<String>,
    /// The internal token; checks that need it are skipped without it.
    pub internal_token: Option<SecretString>,
    /// Two users that the backend knows; random ones if absent.
    pub users: Option<(String, String)>,
    /// Only these chapters; all if empty.
    pub chapters: Vec<String>,
}

/// Why nothing could be checked.
#[derive(Debug, thiserror::Error)]
pub enum ConformanceError {
    /// The key does not fit the algorithm, or cannot be read.
    #[error("{0}")]
    Key(#[from] TokenError),
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be built: {0}")]
    Client(reqwest::Error),
    /// No response from the backend.
    #[error("no response from {url}: {cause}; is the backend running, and --url right?")]
    Unreachable {
        /// The backend.
        url: String,
        /// The cause, on one line.
        cause: String,
    },
}

/// The chapters by name (each is a module of `checks`; `--chapter` takes the names), and a function
/// that runs the checks of some of them, or of all.
macro_rules! chapters {
    ($($name:literal => $chapter:ident),+ $(,)?) => {
        /// The names of the chapters, in the order in which they are checked.
        pub const CHAPTERS: &[&str] = &[$($name),+];

        async fn run_checks(world: &World, only: &[&str], begins: impl Fn(&str)) -> Vec<report::Finished> {
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
    "roles" => roles,
    "errors" => errors,
    "idempotency" => idempotency,
    "paging" => paging,
    "objects" => objects,
    "files" => files,
    "queue" => queue,
    "delivery-options" => delivery_options,
    "events" => events,
    "wake" => heartbeat_standup,
    "journal" => journal,
    "runs" => run_stream,
    "artifacts" => artifacts,
    "orphans" => orphans,
    "decisions" => decisions,
    "schedules" => schedules,
    "limits" => limits,
    "memories" => memories,
    "run-lists" => run_lists,
    "profiles" => profiles,
    "audit" => audit,
    "owned-data" => owned_data,
    "everywhere" => invariants,
}

/// Runs the checks. `begins` is called with each chapter before its checks.
pub async fn check(target: Target, begins: impl Fn(&str)) -> Result<Report, ConformanceError> {
    let http = service::http::client_builder().build().map_err(ConformanceError::Client)?;
    let secret = match &target.key {
        Key::Secret(secret) | Key::Pem(secret) => secret.expose_secret().to_owned(),
    };
    let internal = target.internal_token.as_ref().map(|token| token.expose_secret().to_owned());
    let mut world = World::new(
        http,
        Setup {
            url: target.url,
            keys: Keys::new(&target.key, target.algorithm, target.public_key.as_deref())?,
            internal: target.internal_token,
            secrets: std::iter::once(secret).chain(internal).collect(),
            users: target.users,
        },
    );
    world.features = announced(&world).await?;
    let chapters = target.chapters.iter().map(String::as_str).collect::<Vec<_>>();
    let checks = run_checks(&world, &chapters, begins).await;
    Ok(Report {
        url: shown::url(&world.url).to_string(),
        contract_version: world.features.contract_version.clone(),
        features: world.features.features.clone(),
        summary: Report::count(&checks),
        hints: hints(&world, &checks).await,
        checks,
        left_behind: clean_up(&world).await,
    })
}

/// The capabilities that the backend announces; none where its answer cannot be read.
async fn announced(world: &World) -> Result<Capabilities, ConformanceError> {
    match world.agent(&world.one).get("/capabilities").await {
        Ok(answer) => Ok(Capabilities::deserialize(&answer.body).unwrap_or_default()),
        Err(NotPassed::Failed(cause) | NotPassed::Skipped(cause)) => {
            let url = shown::url(&world.url).to_string();
            Err(ConformanceError::Unreachable { url, cause })
        }
    }
}

/// What is the matter where checks failed, other than the backend.
async fn hints(world: &World, checks: &[Finished]) -> Vec<String> {
    let is_of_queue = |check: &&Finished| {
        check.outcome == Outcome::Fail
            && ["queue", "delivery-options"].contains(&check.chapter.as_str())
    };
    // A dispatcher fails several, so that a single failure is not worth the wait.
    if checks.iter().filter(is_of_queue).count() < 2 || !queue::is_taken_by_others(world).await {
        return Vec::new();
    }
    vec![
        "a dispatcher works on this backend: it takes notifications before a check sees them, which fails \
         checks of the queue, of decisions and of schedules. Stop it and run the suite again"
            .to_owned(),
    ]
}

/// Cancels the tasks that were created, where the backend can; says what is left.
async fn clean_up(world: &World) -> Vec<String> {
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
        "left in the backend, marked {}: {} ({cancelled} of them cancelled), {}, {}",
        world.marker,
        counted(tasks.len(), "task"),
        counted(messages, "message"),
        counted(documents, "document")
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_backend_that_does_not_answer_is_an_error_and_no_failure() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let target = Target {
            url,
            key: Key::Secret("0123456789abcdef0123456789abcdef".into()),
            algorithm: Algorithm::Hs256,
            public_key: None,
            internal_token: None,
            users: None,
            chapters: Vec::new(),
        };
        let nothing = check(target, |_| {}).await;
        assert!(matches!(nothing, Err(ConformanceError::Unreachable { .. })), "{nothing:?}");
    }
}

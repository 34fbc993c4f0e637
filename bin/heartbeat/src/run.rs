//! Wakes each agent: records the heartbeat, decides whether a run is needed, and has it made.

use std::sync::Arc;

use chrono::TimeDelta;
use clap::ValueEnum;
use daemon_client::{DaemonClient, DaemonError};
use futures::StreamExt;
use mc_client::client::{AgentClient, McClient, RetryPolicy};
use mc_client::error::McError;
use mc_client::token::{AgentAuth, TokenError};
use mc_client::types::{HeartbeatAnswer, HeartbeatRequest};
use tokio_util::sync::CancellationToken;

use crate::daemon::{self, RETRIES};
use crate::settings::{Agent, Settings};
use crate::slot::{Clock, Slot, tick_text};

/// Agents that wake in parallel.
const CONCURRENCY: usize = 8;

/// When the daemon runs the checklist (`--wake`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Wake {
    /// When something is pending.
    Pending,
    /// Every time.
    Always,
    /// Never: the heartbeat is only recorded.
    Never,
}

/// What the flags say.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When the daemon runs the checklist.
    pub wake: Wake,
    /// The cron tick to claim; without one nothing is claimed.
    pub slot: Option<Slot>,
    /// How old the tick may be; any age when absent. Where it is older nothing is recorded.
    pub due_within: Option<TimeDelta>,
}

/// Why a heartbeat failed.
#[derive(Debug, thiserror::Error)]
pub enum HeartbeatError {
    /// These agents did not wake, one line for each; the others did.
    #[error("{}", .0.join("\n"))]
    Agents(Vec<String>),
    /// A signal stopped the program.
    #[error("stopped by a signal before all agents woke")]
    Stopped,
    /// The HTTP client could not be built.
    #[error("the HTTP client could not be set up: {}", service::http::explain(.0))]
    Client(#[from] reqwest::Error),
}

#[derive(Debug, thiserror::Error)]
enum WakeError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("{source}{}", hint(.source, .variable))]
    Backend {
        source: McError,
        /// The variable that names the backend's address.
        variable: &'static str,
    },
    #[error("{source}{}", daemon_hint(.source))]
    Daemon {
        #[from]
        source: DaemonError,
    },
}

fn hint(error: &McError, variable: &str) -> String {
    match error {
        // What is said of the clocks is the reason.
        McError::Status { status: 401, clock_ahead: Some(_), .. } => String::new(),
        McError::Status { status: 401 | 403, .. } => {
            " (check AGENT_JWT_SECRET on both sides)".to_owned()
        }
        McError::Status { status: 404 | 405 | 501, .. } => {
            " (the backend has no heartbeat endpoint; --wake always works without it)".to_owned()
        }
        McError::Unreachable { is_tls: true, .. } => String::new(),
        McError::Unreachable { .. } | McError::Timeout | McError::BadAnswer { .. } => {
            format!(" (check {variable})")
        }
        McError::Status { .. } | McError::InBetween { .. } | McError::Token(_) => String::new(),
    }
}

fn daemon_hint(error: &DaemonError) -> &'static str {
    match error {
        // A wrong address, unless the daemon says itself what is missing.
        DaemonError::Status { status: 404 | 405, body, .. }
            if !matches!(&*body.code, "unknown_role" | "task_not_found" | "run_not_found") =>
        {
            " (check AGENT_DAEMON_URL)"
        }
        DaemonError::Status { .. }
        | DaemonError::Unreachable { .. }
        | DaemonError::Broken { .. }
        | DaemonError::Timeout { .. }
        | DaemonError::Refused { .. }
        | DaemonError::NotDaemon { .. }
        | DaemonError::InBetween { .. }
        | DaemonError::BadAnswer { .. } => "",
    }
}

/// Wakes all agents of the settings, or as many as possible before `stop`. Their answers go to
/// `print_line`, line by line.
///
/// # Errors
/// See [`HeartbeatError`].
pub async fn run(
    settings: &Settings,
    plan: &Plan,
    clock: &Clock,
    print_line: &dyn Fn(&str),
    stop: &CancellationToken,
) -> Result<(), HeartbeatError> {
    let http = service::http::client_builder().build()?;
    let daemon = DaemonClient::new(http.clone(), &settings.daemon_url, settings.daemon_key.clone());
    let backend = settings.backend.client(http, RetryPolicy::default());
    let many = settings.agents.len() > 1;
    let wakes = settings.agents.iter().map(|agent| {
        let line = agent.cron.as_ref().map(|cron| (cron, agent.zone));
        let tick = plan.slot.as_ref().map(|slot| slot.tick(line, clock));
        let is_due = |tick| plan.due_within.is_none_or(|most| clock.now.to_utc() - tick <= most);
        let is_due = tick.is_none_or(is_due);
        let (backend, daemon, slot) = (&backend, &daemon, tick.map(tick_text));
        async move {
            let lines = match is_due {
                true => wake(settings, backend, daemon, agent, plan.wake, slot).await,
                false => Ok(vec!["not due".to_owned()]),
            };
            (agent, lines)
        }
    });
    let mut wakes = futures::stream::iter(wakes).buffered(CONCURRENCY);
    let mut failed = Vec::new();
    loop {
        let next = tokio::select! {
            next = wakes.next() => next,
            () = stop.cancelled() => return Err(HeartbeatError::Stopped),
        };
        let Some((agent, result)) = next else { break };
        if many {
            print_line(&format!("{}:", agent.session));
        }
        match result {
            Ok(lines) => lines.iter().for_each(|line| print_line(&printable(line))),
            Err(error) => {
                let line = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
                let line = printable(&line);
                failed.push(if many { format!("{}: {line}", agent.session) } else { line });
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(HeartbeatError::Agents(failed)) }
}

/// The text without control characters, which a terminal could obey: it was not written by the
/// operator.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

async fn wake(
    settings: &Settings,
    backend: &McClient,
    daemon: &DaemonClient,
    agent: &Agent,
    wake: Wake,
    slot: Option<String>,
) -> Result<Vec<String>, WakeError> {
    let session = &agent.session;
    let Some(minter) = &settings.tokens.minter else {
        return Err(TokenError::Key("AGENT_JWT_SECRET is not set".to_owned()).into());
    };
    let (user, role) = (session.user().as_str(), session.role().as_str());
    let auth = AgentAuth::new(Arc::clone(minter), user, role)?;
    let request = HeartbeatRequest {
        user_id: user.to_owned(),
        role: Some(role.to_owned()),
        slot: slot.clone(),
        note: None,
    };
    let (answer, in_doubt) = match record(&backend.agent(Arc::new(auth)), &request).await {
        Ok((answer, in_doubt)) => (Some(answer), in_doubt),
        // The endpoint is optional, and `--wake always` does not depend on it.
        Err(error) if wake == Wake::Always && matches!(error.status(), Some(404 | 405 | 501)) => {
            (None, false)
        }
        Err(source) => {
            let variable = settings.backend.control_plane_variable;
            return Err(WakeError::Backend { source, variable });
        }
    };
    let mut lines = Vec::new();
    lines.extend(answer.as_ref().and_then(|answer| serde_json::to_string(answer).ok()));
    if !wants_run(wake, answer.as_ref(), in_doubt) {
        return Ok(lines);
    }
    let pending = answer.map(|answer| answer.pending);
    let run = daemon::run_checklist(settings, daemon, session, pending, slot.as_deref());
    let answer = match run.await {
        Ok(answer) => answer,
        Err(error) if slot.is_some() && daemon::is_run_elsewhere(&error) => {
            lines.push("another machine makes this run".to_owned());
            return Ok(lines);
        }
        Err(error) => return Err(error.into()),
    };
    lines.push(match (answer.silent, answer.response) {
        (Some(true), _) => "nothing to do".to_owned(),
        (Some(false) | None, Some(response)) => response.into_owned(),
        (Some(false) | None, None) => answer.status.to_string(),
    });
    Ok(lines)
}

/// Records the heartbeat. The flag is true when it is in doubt who claimed the slot: after a lost
/// answer the retry hears that the slot is taken, even if the first attempt took it.
async fn record(
    client: &AgentClient,
    request: &HeartbeatRequest,
) -> Result<(HeartbeatAnswer, bool), McError> {
    let mut in_doubt = false;
    let retry_after = |error: &McError| {
        // Without a slot the client has already retried it.
        let retries = request.slot.is_some() && error.is_retryable();
        in_doubt |= retries && !matches!(error.status(), Some(425 | 429 | 503));
        retries.then(|| error.retry_after().unwrap_or_default())
    };
    let answer = RETRIES.run(async || client.heartbeat(request).await, retry_after).await?;
    Ok((answer, in_doubt))
}

/// Whether the daemon is to make a run. When another machine has claimed the slot, that machine has
/// it made. In doubt both ask the daemon: the slot is the idempotency key, so the run is made once.
fn wants_run(wake: Wake, answer: Option<&HeartbeatAnswer>, in_doubt: bool) -> bool {
    let claimed = in_doubt || answer.is_none_or(|answer| answer.claimed);
    let pending = answer.is_some_and(|a| a.pending.notifications > 0 || a.pending.tasks > 0);
    claimed
        && match wake {
            Wake::Always => true,
            Wake::Pending => pending,
            Wake::Never => false,
        }
}

//! Programs are killed at random while notifications are delivered; in the end each notification
//! has exactly one stored reply, in the order of its session.
//!
//! The seed determines what is killed when, and which calls fail; it does not determine how far the
//! programs have come by then.

mod check;
mod faults;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures::StreamExt as _;
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::program::{Program, ProgramError};
use crate::stack::Person;
use faults::Faults;

/// Concurrent writers or readers.
const AT_ONCE: usize = 32;

/// The longest time that a program stays down, milliseconds.
const MAX_AWAY_MS: u64 = 300;

const INTERNAL_TOKEN: &str = "the-internal-token-of-the-chaos";
const AGENT_SECRET: &str = "0123456789abcdef0123456789abcdef";
const DAEMON_KEY: &str = "the-daemon-key-of-the-chaos";

/// The model's answer to each notification.
const SCRIPT: &str = "rules:\n  - when: { user: 'job-(\\d+)-(\\d+)\\.' }\n    say: 'did {1}-{2}'\n";

/// How much is delivered, and which faults are injected.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Seed of the random generator; the same seed repeats the kills and faults.
    pub seed: u64,
    /// Number of notifications.
    pub notifications: usize,
    /// Sessions, each of a user and on a task of its own.
    pub sessions: usize,
    /// Percentage of calls to the daemon, and of acknowledgements, that fail: half of them before
    /// they are made, half after.
    pub percent: u64,
    /// The shortest and the longest time between two kills.
    pub between_kills: (Duration, Duration),
    /// Maximum number of kills.
    pub max_kills: usize,
    /// Timeout of the whole plan.
    pub patience: Duration,
}

/// The result of a plan.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Stored replies: one for each notification.
    pub replies: usize,
    /// SIGKILLs of a dispatcher.
    pub dispatchers_killed: usize,
    /// SIGKILLs of the daemon.
    pub daemons_killed: usize,
    /// SIGKILLs of the backend.
    pub backends_killed: usize,
    /// Calls to the daemon.
    pub forwards: usize,
    /// Of them answered with 500.
    pub failed_forwards: usize,
    /// Calls that acknowledge one or several notifications.
    pub acknowledgements: usize,
    /// Of them answered with 500.
    pub failed_acknowledgements: usize,
    /// From the first dispatcher's start to the last acknowledgement; creating the notifications
    /// is not included.
    pub took: Duration,
}

/// The programs, each of which may be down.
struct World {
    dir: TempDir,
    example: PathBuf,
    backend: Program,
    daemon: Program,
    dispatchers: Vec<Program>,
    backend_url: String,
    daemon_url: String,
    faults: Arc<Faults>,
}

/// Runs a plan.
///
/// # Errors
/// When a program cannot be started, when it takes too long, or when a reply is missing, there
/// twice, or out of order.
pub async fn run(plan: &Plan, example: &Path) -> Result<Report, ProgramError> {
    let mut world = World::start(plan, example).await?;
    let tasks = world.write(plan).await?;
    let begun = Instant::now();
    for n in 0..2 {
        let dispatcher = world.dispatcher()?;
        world.dispatchers.insert(n, dispatcher);
    }
    let mut report = Report::default();
    let (backend_url, deadline) = (world.backend_url.clone(), begun + plan.patience);
    let delivered = check::all_delivered(&backend_url, plan.sessions, deadline);
    let mut delivered = std::pin::pin!(delivered);
    let mut rng = Rng::with_seed(plan.seed);
    for _ in 0..plan.max_kills {
        let (least, most) = plan.between_kills;
        let wait = Duration::from_millis(
            rng.u64(least.as_millis() as u64..=most.as_millis().max(least.as_millis()) as u64),
        );
        tokio::select! {
            result = &mut delivered => {
                result?;
                report.took = begun.elapsed();
                break;
            }
            () = sleep(wait) => world.kill(&mut rng, &mut report).await?,
        }
    }
    if report.took.is_zero() {
        delivered.await?;
        report.took = begun.elapsed();
    }
    report.replies = check::replies(&world.backend_url, plan, &tasks).await?;
    world.faults.count(&mut report);
    world.stop().await?;
    Ok(report)
}

impl World {
    async fn start(plan: &Plan, example: &Path) -> Result<Self, ProgramError> {
        let wrong = |error: std::io::Error| ProgramError(error.to_string());
        let dir = tempfile::tempdir().map_err(wrong)?;
        std::fs::write(dir.path().join("script.yaml"), SCRIPT).map_err(wrong)?;
        let (backend, backend_url) = backend(dir.path(), 0).await?;
        let (daemon, daemon_url) = daemon(dir.path(), example, &backend_url, 0).await?;
        let faults = Faults::start(plan, &backend_url, &daemon_url).await.map_err(wrong)?;
        let example = example.to_owned();
        let dispatchers = Vec::new();
        Ok(Self { dir, example, backend, daemon, dispatchers, backend_url, daemon_url, faults })
    }

    /// Creates all notifications, each session's in order, and returns the sessions' tasks.
    async fn write(&self, plan: &Plan) -> Result<Vec<String>, ProgramError> {
        let url = self.backend_url.as_str();
        let sessions = (0..plan.sessions).map(|session| async move {
            let (person, user) = (person(url, session), user(session));
            let task = person.post("/tasks", &json!({ "title": "Jobs" })).await?;
            let task = task["id"].as_str().unwrap_or_default().to_owned();
            for job in 0..jobs(plan, session) {
                let body = json!({
                    "user_id": user, "session_key": format!("user:{user}:scout"),
                    "task_id": task, "content": format!("job-{session}-{job}."),
                });
                person.post("/notifications", &body).await?;
            }
            Ok::<_, ProgramError>(task)
        });
        let mut written = futures::stream::iter(sessions).buffered(AT_ONCE);
        let mut tasks = Vec::new();
        while let Some(task) = written.next().await {
            tasks.push(task?);
        }
        Ok(tasks)
    }

    fn dispatcher(&self) -> Result<Program, ProgramError> {
        let url = self.faults.url.clone();
        let settings = [
            ("INTERNAL_API_TOKEN", INTERNAL_TOKEN.to_owned()),
            ("AGENT_DAEMON_API_KEY", DAEMON_KEY.to_owned()),
            ("BACKEND_URL", url.clone()),
            ("AGENT_DAEMON_URL", url),
            ("DISPATCH_MIN_INTERVAL_SEC", "0.1".to_owned()),
            ("DISPATCH_MAX_INTERVAL_SEC", "1".to_owned()),
            ("DISPATCH_LEASE_SECONDS", "5".to_owned()),
            ("DISPATCH_MAX_ATTEMPTS", "30".to_owned()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        Program::start("wombat-dispatcher", self.dir.path(), &settings, &[])
    }

    /// Kills one of the programs, and starts it again after a while.
    async fn kill(&mut self, rng: &mut Rng, report: &mut Report) -> Result<(), ProgramError> {
        let victim = rng.usize(0..10);
        let away = Duration::from_millis(rng.u64(0..=MAX_AWAY_MS));
        match victim {
            0..7 => {
                let n = victim % self.dispatchers.len();
                self.dispatchers[n].kill().await?;
                sleep(away).await;
                self.dispatchers[n] = self.dispatcher()?;
                report.dispatchers_killed += 1;
            }
            7..9 => {
                self.daemon.kill().await?;
                sleep(away).await;
                let port = port(&self.daemon_url);
                let dir = self.dir.path();
                (self.daemon, _) = daemon(dir, &self.example, &self.backend_url, port).await?;
                report.daemons_killed += 1;
            }
            _ => {
                self.backend.kill().await?;
                sleep(away).await;
                (self.backend, _) = backend(self.dir.path(), port(&self.backend_url)).await?;
                report.backends_killed += 1;
            }
        }
        Ok(())
    }

    async fn stop(mut self) -> Result<(), ProgramError> {
        let rest = self.dispatchers.iter_mut().chain([&mut self.daemon, &mut self.backend]);
        for program in rest {
            let status = program.stop().await?;
            if !status.success() {
                let (name, log) = (program.name(), program.log());
                return Err(ProgramError(format!("{name} exited with {status}. Its log:\n{log}")));
            }
        }
        Ok(())
    }
}

/// The notifications of a session.
fn jobs(plan: &Plan, session: usize) -> usize {
    plan.notifications / plan.sessions + usize::from(session < plan.notifications % plan.sessions)
}

fn user(session: usize) -> String {
    format!("u{session}")
}

fn person(backend_url: &str, session: usize) -> Person {
    Person::new(backend_url, INTERNAL_TOKEN, &user(session))
}

fn port(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).unwrap_or(0)
}

async fn backend(dir: &Path, port: u16) -> Result<(Program, String), ProgramError> {
    let settings = [
        ("AGENT_JWT_SECRET", AGENT_SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL_TOKEN.to_owned()),
        ("MC_DATA_DIR", dir.join("data").display().to_string()),
        ("MC_PORT", port.to_string()),
        ("MC_DEMO", "true".to_owned()),
    ];
    let mut program = Program::start("wombat-mission-control", dir, &settings, &[])?;
    let url = program.url().await?;
    Ok((program, url))
}

async fn daemon(
    dir: &Path,
    example: &Path,
    backend_url: &str,
    port: u16,
) -> Result<(Program, String), ProgramError> {
    let settings = [
        ("AGENT_JWT_SECRET", AGENT_SECRET.to_owned()),
        ("AGENT_DAEMON_API_KEY", DAEMON_KEY.to_owned()),
        ("BACKEND_URL", backend_url.to_owned()),
        ("WOMBAT_PORT", port.to_string()),
        ("WOMBAT_WORKSPACE", example.join("workspace").display().to_string()),
        ("LLM_PROVIDER", "offline".to_owned()),
        ("LLM_OFFLINE_SCRIPT", dir.join("script.yaml").display().to_string()),
    ];
    let mut program = Program::start("wombat-daemon", dir, &settings, &[])?;
    let url = program.url().await?;
    Ok((program, url))
}

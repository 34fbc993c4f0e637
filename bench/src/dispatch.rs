//! `bench dispatch`: notifications per second through the real dispatcher and the reference
//! backend on durable SQLite, with a daemon that answers at once; and the time from stored to
//! forwarded.

use std::collections::HashMap;
use std::io::{Error, Result};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use futures::StreamExt as _;
use serde_json::{Value, json};
use test_support::program::{Program, ProgramError};
use tokio::net::TcpListener;

/// Rounds per figure.
const ROUNDS: usize = 5;

/// Notifications of a round, spread over the sessions.
const NOTIFICATIONS: usize = 5_000;
const SESSIONS: usize = 500;

/// Notifications of a round that each reach an idle dispatcher, and the time between two.
const SINGLE: usize = 200;
const GAP: Duration = Duration::from_millis(20);

/// Concurrent writers of notifications.
const WRITERS: usize = 64;

const TOKEN: &str = "the-internal-token-of-the-bench";

/// When each notification came, by its id.
type Arrivals = Arc<Mutex<HashMap<String, Instant>>>;

fn failed(error: &dyn std::error::Error) -> Error {
    Error::other(error.to_string())
}

fn lock(arrivals: &Arrivals) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn daemon() -> Result<(String, Arrivals)> {
    let arrivals = Arrivals::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let send = async |State(arrivals): State<Arrivals>, Json(body): Json<Value>| {
        let id = body["metadata"]["notification_id"].as_str().unwrap_or_default().to_owned();
        lock(&arrivals).insert(id, Instant::now());
        Json(json!({ "status": "ok" }))
    };
    let router =
        Router::new().route("/api/agents/send", post(send)).with_state(Arc::clone(&arrivals));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((url, arrivals))
}

struct Bench {
    http: reqwest::Client,
    backend: String,
    daemon: String,
    arrivals: Arrivals,
    dir: tempfile::TempDir,
}

impl Bench {
    /// Stores a notification and returns its id.
    async fn store(&self, n: usize) -> Result<String> {
        let user = format!("u{}", n % SESSIONS);
        let body = json!({
            "user_id": user, "session_key": format!("user:{user}:scout"), "content": "look",
        });
        let answer = self
            .http
            .post(format!("{}/api/mission-control/notifications", self.backend))
            .header("x-internal-token", TOKEN)
            .json(&body)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .map_err(|error| failed(&error))?;
        let made: Value = answer.json().await.map_err(|error| failed(&error))?;
        Ok(made["id"].as_str().unwrap_or_default().to_owned())
    }

    fn dispatcher(&self, arguments: &[&str]) -> std::result::Result<Program, ProgramError> {
        let settings = [
            ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
            ("BACKEND_URL", self.backend.clone()),
            ("AGENT_DAEMON_URL", self.daemon.clone()),
            ("RUST_LOG", "warn".to_owned()),
        ];
        Program::start("wombat-dispatcher", self.dir.path(), &settings, arguments)
    }

    /// Notifications per second, from the dispatcher's start to its end.
    async fn throughput(&self) -> Result<f64> {
        let mut stored = futures::stream::iter((0..NOTIFICATIONS).map(|n| self.store(n)))
            .buffer_unordered(WRITERS);
        while let Some(id) = stored.next().await {
            id?;
        }
        lock(&self.arrivals).clear();
        let begun = Instant::now();
        let mut dispatcher = self.dispatcher(&["--once"]).map_err(|error| failed(&error))?;
        let status = dispatcher.wait().await.map_err(|error| failed(&error))?;
        let took = begun.elapsed();
        let came = lock(&self.arrivals).len();
        if !status.success() || came != NOTIFICATIONS {
            let log = dispatcher.log();
            return Err(Error::other(format!(
                "{came} came; the dispatcher ended with {status}: {log}"
            )));
        }
        Ok(NOTIFICATIONS as f64 / took.as_secs_f64())
    }

    /// Latencies from stored to forwarded, sorted: each notification reaches an idle dispatcher.
    async fn delays(&self) -> Result<Vec<Duration>> {
        let mut dispatcher = self.dispatcher(&[]).map_err(|error| failed(&error))?;
        // Until it listens, delays are those of polls.
        let first = self.store(0).await?;
        self.arrival(&first).await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut delays = Vec::with_capacity(SINGLE);
        for n in 0..SINGLE {
            let id = self.store(n).await?;
            let stored = Instant::now();
            // It may be there before the answer to who stored it.
            delays.push(self.arrival(&id).await?.saturating_duration_since(stored));
            tokio::time::sleep(GAP).await;
        }
        dispatcher.stop().await.map_err(|error| failed(&error))?;
        delays.sort_unstable();
        Ok(delays)
    }

    async fn arrival(&self, id: &str) -> Result<Instant> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            if let Some(at) = lock(&self.arrivals).get(id) {
                return Ok(*at);
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Err(Error::other("a notification did not come"))
    }
}

async fn backend(dir: &Path) -> std::result::Result<(Program, String), ProgramError> {
    let settings = [
        ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
        ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
        ("MC_DATA_DIR", dir.join("data").display().to_string()),
        ("MC_PORT", "0".to_owned()),
    ];
    let mut backend = Program::start("wombat-mission-control", dir, &settings, &[])?;
    let url = backend.url().await?;
    Ok((backend, url))
}

fn median<T: Copy + PartialOrd>(mut values: Vec<T>) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values[values.len() / 2]
}

/// Runs all rounds and prints the table.
pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (mut program, backend) = backend(dir.path()).await.map_err(|error| failed(&error))?;
    let (daemon, arrivals) = daemon().await?;
    let bench = Bench { http: reqwest::Client::new(), backend, daemon, arrivals, dir };
    let (mut rates, mut halves, mut tails) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        rates.push(bench.throughput().await?);
        let delays = bench.delays().await?;
        halves.push(delays[delays.len() / 2]);
        tails.push(delays[delays.len() * 99 / 100]);
    }
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!("| what | median of {ROUNDS} rounds | goal |\n| --- | --- | --- |");
    println!("| notifications delivered and acknowledged | {:.0} /s | ≥ 3,000 /s |", median(rates));
    println!("| stored → forwarded, median | {:.1} ms | |", ms(median(halves)));
    println!("| stored → forwarded, p99 | {:.1} ms | ≤ 20 ms |", ms(median(tails)));
    program.stop().await.map_err(|error| failed(&error))?;
    Ok(())
}

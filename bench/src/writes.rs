//! `bench writes`: durable writes per second of the reference backend over HTTP, by one writer and by many,
//! and how long readers wait meanwhile; on SQLite, and on PostgreSQL by two instances. With the paths of
//! several builds of it, such as an older one first, all are measured in turns.

use std::io::{Error, Result};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::json;
use test_support::postgres::Postgres;
use test_support::program::Program;

use crate::floor::load::Caller;

/// Rounds per figure.
const ROUNDS: usize = 5;

/// How long a round takes.
const ROUND: Duration = Duration::from_secs(2);

/// Those who write at the same time.
const WRITERS: [usize; 3] = [1, 8, 64];

/// Those who read meanwhile.
const READERS: usize = 2;

const TOKEN: &str = "the-internal-token-of-the-bench";

fn failed(error: impl std::fmt::Display) -> Error {
    Error::other(error.to_string())
}

/// One build on one database.
struct Arm {
    urls: Vec<String>,
    /// Writes per second and the readers' 99th percentile in milliseconds, by number of writers and round.
    figures: Vec<Vec<[f64; 2]>>,
    _programs: Vec<Program>,
    _server: Option<Postgres>,
    _dir: tempfile::TempDir,
}

impl Arm {
    /// Starts as many instances of a build as the database takes.
    async fn start(build: &Path, server: Option<Postgres>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let (database, instances) = match &server {
            Some(server) => (server.url(), 2),
            None => (format!("sqlite:{}", dir.path().join("mission-control.db").display()), 1),
        };
        let settings = [
            ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
            ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
            ("DATABASE_URL", database),
            ("MC_PORT", "0".to_owned()),
        ];
        let (mut programs, mut urls) = (Vec::new(), Vec::new());
        for _ in 0..instances {
            let mut program =
                Program::start_path(build, dir.path(), &settings, &[]).map_err(failed)?;
            urls.push(program.url().await.map_err(failed)?);
            programs.push(program);
        }
        let figures = vec![Vec::new(); WRITERS.len()];
        Ok(Self { urls, figures, _programs: programs, _server: server, _dir: dir })
    }

    /// One round: writes per second, and the readers' 99th percentile in milliseconds.
    async fn round(&self, round: usize, writers: usize) -> Result<[f64; 2]> {
        let begun = Instant::now();
        let writes = (0..writers).map(|writer| async move {
            let url = &self.urls[writer % self.urls.len()];
            let (mut caller, mut written) = (Caller::connect(url).await?, 0_usize);
            while begun.elapsed() < ROUND {
                let key = format!("{writers}-{round}-{writer}-{written}");
                let body = json!({ "title": format!("task {key}"), "idempotency_key": key });
                let request = request("POST", "tasks", &body.to_string());
                if !caller.call(&request).await? {
                    return Err(failed("a write failed"));
                }
                written += 1;
            }
            Ok(written)
        });
        let reads = (0..READERS).map(|reader| async move {
            let url = &self.urls[reader % self.urls.len()];
            let (mut caller, mut times) = (Caller::connect(url).await?, Vec::new());
            let request = request("GET", "tasks?limit=20", "");
            while begun.elapsed() < ROUND {
                let asked = Instant::now();
                if !caller.call(&request).await? {
                    return Err(failed("a read failed"));
                }
                times.push(asked.elapsed());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(times)
        });
        let (writes, reads) = tokio::join!(
            futures::future::try_join_all(writes),
            futures::future::try_join_all(reads)
        );
        let rate = writes?.into_iter().sum::<usize>() as f64 / begun.elapsed().as_secs_f64();
        let mut times: Vec<_> = reads?.into_iter().flatten().collect();
        times.sort_unstable();
        let slow = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
        Ok([rate, slow.as_secs_f64() * 1e3])
    }
}

fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} /api/mission-control/{path} HTTP/1.1\r\nhost: localhost\r\nx-internal-token: {TOKEN}\r\n\
         x-on-behalf-of: ann\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Measures these builds, or the one beside this program, and prints the table.
pub(crate) async fn run(builds: &[String]) -> Result<()> {
    let mut builds: Vec<PathBuf> = builds.iter().map(std::path::absolute).collect::<Result<_>>()?;
    if builds.is_empty() {
        builds.push(Program::path("wombat-mission-control").map_err(failed)?);
    }
    let kept = tempfile::tempdir()?;
    println!("| database | build | writers | writes/s | to the first | a reader's p99 |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for on_server in [false, true] {
        let mut arms = Vec::new();
        for build in &builds {
            let server = if on_server { Postgres::start_durable(kept.path()) } else { None };
            if on_server && server.is_none() {
                return Ok(());
            }
            arms.push(Arm::start(build, server).await?);
        }
        for round in 0..ROUNDS {
            for (which, writers) in WRITERS.into_iter().enumerate() {
                for arm in &mut arms {
                    let figures = arm.round(round, writers).await?;
                    arm.figures[which].push(figures);
                }
            }
        }
        let name = if on_server { "PostgreSQL, two instances" } else { "SQLite" };
        for (which, writers) in WRITERS.into_iter().enumerate() {
            let rates = |arm: &Arm| median(arm.figures[which].iter().map(|figures| figures[0]));
            let first = arms.first().map(rates).unwrap_or_default();
            for (arm, n) in arms.iter().zip(1..) {
                let slow = median(arm.figures[which].iter().map(|figures| figures[1]));
                let rate = rates(arm);
                let ratio = rate / first;
                println!("| {name} | {n} | {writers} | {rate:.0} | {ratio:.2} × | {slow:.1} ms |");
            }
        }
    }
    Ok(())
}

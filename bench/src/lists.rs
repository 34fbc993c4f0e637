//! `bench lists`: how long lists of runs take over HTTP where the reference backend holds ten million steps of a million
//! runs, with each filter; on SQLite, and on PostgreSQL. The databases are filled by SQL, in a temporary folder: about
//! 6 GB for each, one after the other.

mod fill;

use std::io::{Error, Result};
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use test_support::postgres::Postgres;
use test_support::program::Program;
use wombat_mission_control::store::Store;
use wombat_mission_control::store::database::Database;

/// The runs, each of [`STEPS`] steps.
const RUNS: i64 = 1_000_000;

/// The steps of a run.
const STEPS: i64 = 10;

/// How many times each list is read.
const ROUNDS: usize = 5;

/// How many pages are read in each round.
const PAGES: usize = 10;

/// The runs of a page.
const LIMIT: usize = 50;

/// What a list may take.
const GOAL: Duration = Duration::from_millis(50);

const TOKEN: &str = "the-internal-token-of-the-bench";

/// The lists: what a caller asks for.
const LISTS: [&str; 35] = [
    "",
    "user_id=u0",
    "user_id=u7",
    "role=scout",
    "role=rare",
    "status=completed",
    "status=awaiting_approval",
    "model=m1",
    "model=rare",
    "digest=old-workspace",
    "digest=new-workspace",
    "digest=profile-1",
    "digest=nowhere",
    "rating=up",
    "rating=down",
    "rating=none",
    "label=billing",
    "label=rare",
    "from=2026-04-20T00:00:00Z",
    "to=2026-01-20T12:30:00Z",
    "from=2026-02-10T08:15:00Z&to=2026-02-10T08:45:00Z",
    "from=2026-02-01T00:00:00Z&to=2026-03-01T00:00:00Z&role=rare",
    "q=common",
    "q=often",
    "q=seldom",
    "q=word777000",
    "q=common%20often%20seldom",
    "q=nowhere",
    "user_id=u0&q=often",
    "user_id=u7&q=common",
    "user_id=u0&model=rare",
    "user_id=u4&label=billing",
    "user_id=u5&q=often",
    "user_id=u7&digest=old-workspace",
    "user_id=u0&rating=down&to=2026-02-01T00:00:00Z",
];

fn failed(error: impl std::fmt::Display) -> Error {
    Error::other(error.to_string())
}

/// How long the pages of one list took.
#[derive(Default)]
struct Times {
    first: Vec<Duration>,
    later: Vec<Duration>,
    runs: usize,
}

/// A backend on a filled database.
struct Backend {
    http: Client,
    url: String,
    _program: Program,
}

impl Backend {
    async fn start(database: String, dir: &std::path::Path) -> Result<Self> {
        let settings = [
            ("INTERNAL_API_TOKEN", TOKEN.to_owned()),
            ("AGENT_JWT_SECRET", "0123456789abcdef0123456789abcdef".to_owned()),
            ("DATABASE_URL", database),
            ("MC_PORT", "0".to_owned()),
        ];
        let path = Program::path("wombat-mission-control").map_err(failed)?;
        let mut program = Program::start_path(&path, dir, &settings, &[]).map_err(failed)?;
        let url = program.url().await.map_err(failed)?;
        Ok(Self { http: Client::new(), url, _program: program })
    }

    /// One page: how long it took until all of it was there, how many runs it has, and what leads on.
    async fn page(
        &self,
        list: &str,
        cursor: Option<&str>,
    ) -> Result<(Duration, usize, Option<String>)> {
        let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
        let url = format!("{}/api/mission-control/runs?{list}&limit={LIMIT}{cursor}", self.url);
        let request = self.http.get(url).header("x-internal-token", TOKEN);
        let begun = Instant::now();
        let answer = request.send().await.map_err(failed)?;
        let answer = answer.error_for_status().map_err(failed)?.bytes().await.map_err(failed)?;
        let took = begun.elapsed();
        let page: Value = serde_json::from_slice(&answer)?;
        let runs = page["items"].as_array().map(Vec::len);
        let runs = runs.ok_or_else(|| failed(format!("{list}: no list")))?;
        Ok((took, runs, page["next_cursor"].as_str().map(str::to_owned)))
    }

    /// Reads a list page by page.
    async fn read(&self, list: &str, times: &mut Times) -> Result<()> {
        let mut cursor = None;
        times.runs = 0;
        for page in 0..PAGES {
            let (took, runs, next) = self.page(list, cursor.as_deref()).await?;
            times.runs += runs;
            if page == 0 { &mut times.first } else { &mut times.later }.push(took);
            if next.is_none() {
                break;
            }
            cursor = next;
        }
        Ok(())
    }
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| "–".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
}

/// Reads all lists and prints their lines. Whether all were quick enough.
async fn measure(name: &str, backend: &Backend) -> Result<bool> {
    let mut is_quick = true;
    for list in LISTS {
        let mut times = Times::default();
        for _ in 0..ROUNDS {
            backend.read(list, &mut times).await?;
        }
        let slowest = times.first.iter().chain(&times.later).max().copied();
        let (first, later) = (median(&mut times.first), median(&mut times.later));
        let list = if list.is_empty() { "(no filter)" } else { list };
        let slow = [first, later].into_iter().flatten().any(|time| time > GOAL);
        is_quick &= !slow;
        let mark = if slow { " **" } else { "" };
        println!(
            "| {name} | `{list}` | {} | {}{mark} | {} | {} |",
            times.runs,
            shown(first),
            shown(later),
            shown(slowest)
        );
    }
    Ok(is_quick)
}

/// Fills a database and reads its lists.
async fn of(name: &str, database: String, dir: &std::path::Path, runs: i64) -> Result<bool> {
    let opened = Database::of_url(&database.clone().into()).map_err(failed)?;
    // Makes the tables.
    Store::open(&opened).await.map_err(failed)?.close().await;
    let begun = Instant::now();
    fill::fill(&database, runs, STEPS).await?;
    eprintln!("{name}: {} steps in {:.0} s", runs * STEPS, begun.elapsed().as_secs_f64());
    let backend = Backend::start(database, dir).await?;
    measure(name, &backend).await
}

/// Measures both databases, or the named one, or one that is filled already, and prints the table.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let runs = arguments.iter().find_map(|one| one.parse().ok());
    let names: Vec<_> = arguments.iter().filter(|one| one.parse::<i64>().is_err()).collect();
    let named = |name: &str| names.is_empty() || names.iter().any(|one| *one == name);
    let runs = runs.unwrap_or(RUNS);
    println!("| {} steps | list | runs read | first page | later pages | slowest |", runs * STEPS);
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut is_quick = true;
    if let [url] = names[..]
        && url.contains(':')
    {
        let dir = tempfile::tempdir()?;
        let backend = Backend::start(url.clone(), dir.path()).await?;
        is_quick = measure("as it is", &backend).await?;
    }
    if named("sqlite") {
        let dir = tempfile::tempdir()?;
        let file = format!("sqlite:{}", dir.path().join("mission-control.db").display());
        is_quick &= of("SQLite", file, dir.path(), runs).await?;
    }
    let dir = tempfile::tempdir()?;
    if named("postgres")
        && let Some(server) = Postgres::start(dir.path())
    {
        is_quick &= of("PostgreSQL", server.url(), dir.path(), runs).await?;
    }
    if !is_quick {
        println!("\n\\*\\*: more than {} ms", GOAL.as_millis());
    }
    Ok(())
}

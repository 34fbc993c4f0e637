//! `bench queue`: rows claimed and acknowledged per second by the reference backend's own
//! primitives, on a durable SQLite file and on a durable PostgreSQL server, round by round.

use std::io::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant};

use mc_client::types::{Delivered, Delivery};
use sqlx::{AnyConnection, Connection as _};
use test_support::postgres::Postgres;
use wombat_mission_control::store::Store;
use wombat_mission_control::store::database::Database;

/// Rounds per figure.
const ROUNDS: usize = 5;

/// Notifications of a round, each of a user and session of its own.
const ROWS: usize = 50_000;

/// How many are claimed or acknowledged in one call.
const BATCH: u32 = 1_000;

/// The lease of a claim: longer than a round.
const LEASE: u32 = 3_600;

const FILL: &str = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) \
    INSERT INTO notifications (id, user_id, session_key, content, created_at) \
    SELECT $2 || i, 'u' || i, 'user:u' || i || ':scout', 'look', '2026-01-01T00:00:00.000000Z' FROM n";

fn failed(error: impl std::fmt::Display) -> Error {
    Error::other(error.to_string())
}

#[allow(clippy::cast_precision_loss, reason = "counts are small")]
fn per_second(time: Duration) -> f64 {
    ROWS as f64 / time.as_secs_f64()
}

/// One round: each batch is claimed and then acknowledged, as a dispatcher does. Returns rows claimed
/// and rows acknowledged per second.
async fn round(store: &Store, url: &str, round: usize) -> Result<[f64; 2]> {
    let mut database = AnyConnection::connect(url).await.map_err(failed)?;
    let rows = i64::try_from(ROWS).map_err(failed)?;
    let fill = sqlx::query(FILL).bind(rows).bind(format!("{round}-"));
    fill.execute(&mut database).await.map_err(failed)?;
    database.close().await.map_err(failed)?;
    let (mut claims, mut acknowledges) = (Duration::ZERO, Duration::ZERO);
    let mut rows = 0;
    loop {
        let begun = Instant::now();
        let some = store.undelivered(BATCH, BATCH, Some(LEASE)).await;
        let some = some.map_err(|error| Error::other(format!("{error:?}")))?;
        claims += begun.elapsed();
        if some.is_empty() {
            break;
        }
        rows += some.len();
        let named = |one: Delivery| Delivered {
            notification_id: one.notification_id,
            user_id: one.user_id,
        };
        let some: Vec<_> = some.into_iter().map(named).collect();
        let begun = Instant::now();
        let unknown = store.deliver_many(&some).await;
        let unknown = unknown.map_err(|error| Error::other(format!("{error:?}")))?;
        acknowledges += begun.elapsed();
        if !unknown.is_empty() {
            return Err(failed("a claimed row was not found"));
        }
    }
    if rows != ROWS {
        return Err(failed(format!("{rows} of {ROWS} were claimed")));
    }
    Ok([per_second(claims), per_second(acknowledges)])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Runs all rounds and prints the table.
pub(crate) async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let file = format!("sqlite:{}", dir.path().join("mission-control.db").display());
    let server = Postgres::start_durable(Path::new(dir.path()));
    let urls = std::iter::once(("SQLite", file))
        .chain(server.iter().map(|server| ("PostgreSQL", server.url())));
    let mut arms = Vec::new();
    for (name, url) in urls {
        let database = Database::of_url(&url.clone().into()).map_err(failed)?;
        let store = Store::open(&database).await.map_err(failed)?;
        arms.push((name, url, store, [Vec::new(), Vec::new()]));
    }
    for n in 0..ROUNDS {
        for (_, url, store, [claimed, acknowledged]) in &mut arms {
            let [claims, acknowledges] = round(store, url, n).await?;
            claimed.push(claims);
            acknowledged.push(acknowledges);
        }
    }
    println!("| {ROWS} rows, {BATCH} a call | claimed | acknowledged | goal |");
    println!("| --- | --- | --- | --- |");
    for (name, _, store, [claimed, acknowledged]) in arms {
        let (claimed, acknowledged) = (median(claimed), median(acknowledged));
        println!("| {name} | {claimed:.0} /s | {acknowledged:.0} /s | ≥ 50,000 /s |");
        store.close().await;
    }
    Ok(())
}

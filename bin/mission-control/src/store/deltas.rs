//! What runs tell while they work: batches of events, kept until some time after the run's last write.

mod stand;

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use mc_client::deltas::{Deltas, DeltasNote, RunEvent};
use mc_client::runs::RunStatus;
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

pub(crate) use self::stand::{AHEAD_MS, PACE_MS, is_over};

use self::stand::{Stand, pace};
use super::error::{Conflict, StoreError};
use super::leases::Fence;
use super::paging::PAGE_BYTES;
use super::run_rows::{self, Found, find};
use super::{Scope, Store, leases, stamp};

/// How many runs lose what they told at a time, so that other writes do not wait long.
const DELETED_AT_A_TIME: i64 = 50;

/// How much of what runs tell is kept.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For how long after the run's last write.
    pub ttl: Duration,
    /// How many bytes of one run.
    pub max_bytes: usize,
}

/// Events that a run tells.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The id of the first.
    pub first: i64,
    /// Each as JSON without its id, always written the same way.
    pub events: Vec<String>,
}

impl Batch {
    /// Each event with its id.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (i64, &String)> {
        (self.first..).zip(&self.events)
    }
}

/// A run that tells, or is listened to.
#[derive(Debug, Clone)]
pub struct Teller {
    /// Its row.
    pub seq: i64,
    /// What tells it from all other runs, in whichever database.
    pub name: String,
    /// Whether it is to be cancelled.
    pub cancel_requested: bool,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

impl Teller {
    fn of(user_id: &str, found: &Found) -> Self {
        let made = found.run.created_at.map(stamp).unwrap_or_default();
        let name = serde_json::json!([user_id, found.role, found.run.run_key, made]).to_string();
        Self {
            seq: found.seq,
            name,
            cancel_requested: found.run.cancel_requested,
            updated_at: found.run.updated_at.unwrap_or_default(),
        }
    }
}

/// The run that tells something under a lease: it goes on, and the lease is its own and the newest.
async fn telling(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    run_key: &str,
    fence: &Fence,
) -> Result<Found, StoreError> {
    let found = find(tx, scope, run_key).await?.ok_or_else(|| StoreError::NotFound("run"))?;
    // One that has failed may go on: it is running then.
    let status = found.run.known_status();
    if status.is_some_and(|status| status.is_final() || status == RunStatus::Failed) {
        let why = "the run is over, and tells nothing any more";
        return Err(Conflict::RunFinished { why, status: found.run.status }.into());
    }
    leases::check_of_run(tx, scope, fence, &found.run).await?;
    Ok(found)
}

/// How many events of a batch are known already; refuses others under known ids, and any before the
/// newest.
async fn known(
    tx: &mut AnyConnection,
    seq: i64,
    last_id: i64,
    batch: &Batch,
) -> Result<usize, StoreError> {
    if batch.first > last_id || batch.events.is_empty() {
        return Ok(0);
    }
    let rows = sqlx::query(
        "SELECT first_id, events FROM run_deltas WHERE run_seq = $1 AND last_id >= $2 ORDER BY first_id",
    )
    .bind(seq)
    .bind(batch.first)
    .fetch_all(tx)
    .await?;
    let mut there = HashMap::new();
    for row in &rows {
        there.extend(events(row)?.into_iter().map(|event| (event.id, event.fields)));
    }
    let old = batch.numbered().take_while(|(id, _)| *id <= last_id);
    let mut count = 0;
    for (id, event) in old {
        let same = there.get(&Some(id)).is_some_and(|known| json_text(known) == *event);
        if !same {
            return Err(Conflict::SeqConflict { last_seq: last_id }.into());
        }
        count += 1;
    }
    Ok(count)
}

fn json_text(event: &Map<String, Value>) -> String {
    mc_client::idempotency::canonical_json(&Value::Object(event.clone()))
}

/// The events of a stored batch, each with its id.
fn events(row: &AnyRow) -> Result<Vec<RunEvent>, StoreError> {
    let mut all: Vec<RunEvent> = serde_json::from_str(row.get("events"))?;
    for (id, event) in (row.get::<i64, _>("first_id")..).zip(&mut all) {
        event.id = Some(id);
    }
    Ok(all)
}

impl Store {
    /// What tells a user's runs from all others, where what they tell is kept elsewhere.
    pub(crate) async fn names_of_runs(&self, user_id: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT * FROM runs WHERE user_id = $1 ORDER BY seq")
            .bind(user_id)
            .fetch_all(&self.reader)
            .await?;
        let name = |row| Teller::of(user_id, &run_rows::found(row)).name;
        Ok(rows.iter().map(name).collect())
    }

    /// The run that tells something under a lease, where that is kept elsewhere.
    pub(crate) async fn teller(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        fence: &Fence,
    ) -> Result<Teller, StoreError> {
        let mut tx = self.reader.begin().await?;
        let found = telling(&mut tx, scope, run_key, fence).await?;
        if found.lease_id.as_ref() != Some(&fence.lease_id) {
            tx.rollback().await?;
            let mut tx = self.begin().await?;
            let found = telling(&mut tx, scope, run_key, fence).await?;
            take_up(&mut tx, found.seq, fence).await?;
            tx.commit().await?;
        }
        Ok(Teller::of(scope.user_id, &found))
    }

    /// A run that is listened to.
    pub(crate) async fn listened(
        &self,
        scope: Scope<'_>,
        run_key: &str,
    ) -> Result<Teller, StoreError> {
        let mut tx = self.reader.acquire().await?;
        let found = find(&mut tx, scope, run_key).await?;
        let found = found.ok_or_else(|| StoreError::NotFound("run"))?;
        Ok(Teller::of(scope.user_id, &found))
    }

    /// Keeps what a run tells. What is known already changes nothing.
    pub(crate) async fn add_deltas(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        fence: &Fence,
        batch: &Batch,
        limits: Limits,
    ) -> Result<DeltasNote, StoreError> {
        let mut tx = self.begin().await?;
        let found = telling(&mut tx, scope, run_key, fence).await?;
        let (seq, run) = (found.seq, Teller::of(scope.user_id, &found));
        let mut stand = Stand::read(&mut tx, seq).await?;
        stand.paced_ms = pace(stand.paced_ms, Utc::now().timestamp_millis())?;
        if stand.bytes > 0 && stand.is_over(run.updated_at, limits.ttl) {
            forget(&mut tx, seq).await?;
            (stand.bytes, stand.expired) = (0, true);
        }
        let known = known(&mut tx, seq, stand.last_id, batch).await?;
        let new = &batch.events[known..];
        if let Some(first) = (!new.is_empty()).then_some(batch.numbered().nth(known)).flatten() {
            let first = first.0;
            let text = format!("[{}]", new.join(","));
            stand.bytes = stand.bytes.saturating_add(text.len());
            if stand.bytes > limits.max_bytes {
                return Err(StoreError::DeltasFull { max_bytes: limits.max_bytes });
            }
            stand.last_id = first + i64::try_from(new.len()).unwrap_or_default() - 1;
            sqlx::query(
                "INSERT INTO run_deltas (run_seq, first_id, last_id, events) VALUES ($1, $2, $3, $4)",
            )
            .bind(seq)
            .bind(first)
            .bind(stand.last_id)
            .bind(text)
            .execute(&mut *tx)
            .await?;
        }
        stand.written_at = Utc::now();
        stand.write(&mut tx, seq).await?;
        if found.lease_id.as_ref() != Some(&fence.lease_id) {
            take_up(&mut tx, seq, fence).await?;
        }
        tx.commit_untold().await?;
        if !new.is_empty() {
            self.told.tell(&seq.to_string());
            if self.peers.is_some() {
                self.told.tell_others(seq);
            }
        }
        Ok(DeltasNote { last_seq: stand.last_id, cancel_requested: run.cancel_requested })
    }

    /// What a run has told after an id: at most `limit` events, and as many as an answer takes.
    pub(crate) async fn deltas(
        &self,
        run: &Teller,
        after: i64,
        limit: usize,
        ttl: Duration,
    ) -> Result<Deltas, StoreError> {
        let mut tx = self.reader.begin().await?;
        let stand = Stand::read(&mut tx, run.seq).await?;
        let mut found =
            Deltas { events: Vec::new(), last_seq: stand.last_id, expired: stand.expired };
        if stand.bytes > 0 && stand.is_over(run.updated_at, ttl) {
            found.expired = true;
            return Ok(found);
        }
        let mut rows = sqlx::query(
            "SELECT first_id, events FROM run_deltas WHERE run_seq = $1 AND last_id > $2 ORDER BY first_id",
        )
        .bind(run.seq)
        .bind(after)
        .fetch(&mut *tx);
        let mut size = 0;
        while let Some(row) = rows.try_next().await? {
            size += row.get::<&str, _>("events").len();
            if size > PAGE_BYTES && !found.events.is_empty() {
                break;
            }
            let events = events(&row)?;
            found.events.extend(events.into_iter().filter(|event| event.id > Some(after)));
            if found.events.len() >= limit {
                found.events.truncate(limit);
                break;
            }
        }
        Ok(found)
    }

    /// The id of the newest event that a run has told.
    pub(crate) async fn last_delta(&self, run: &Teller) -> Result<i64, StoreError> {
        let mut connection = self.reader.acquire().await?;
        Ok(Stand::read(&mut connection, run.seq).await?.last_id)
    }

    /// Notes that a run has told something that is kept elsewhere.
    pub(crate) async fn note_told(&self, run: &Teller, last_id: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut stand = Stand::read(&mut tx, run.seq).await?;
        stand.last_id = stand.last_id.max(last_id);
        stand.written_at = Utc::now();
        stand.write(&mut tx, run.seq).await?;
        Ok(tx.commit_untold().await?)
    }

    /// Deletes what runs told that were last written before a time.
    pub(crate) async fn delete_old_deltas(&self, ttl: Duration) -> Result<(), StoreError> {
        let Ok(ttl) = chrono::Duration::from_std(ttl) else { return Ok(()) };
        let before = stamp(Utc::now() - ttl);
        loop {
            let mut tx = self.begin().await?;
            let rows = sqlx::query(
                "SELECT t.run_seq FROM run_told t JOIN runs r ON r.seq = t.run_seq \
                 WHERE t.bytes > 0 AND t.written_at < $1 AND r.updated_at < $1 ORDER BY t.written_at LIMIT $2",
            )
            .bind(&before)
            .bind(DELETED_AT_A_TIME)
            .fetch_all(&mut *tx)
            .await?;
            for row in &rows {
                forget(&mut tx, row.get("run_seq")).await?;
            }
            tx.commit_untold().await?;
            if rows.len() < DELETED_AT_A_TIME.unsigned_abs() as usize {
                return Ok(());
            }
        }
    }
}

/// Deletes what a run told, and keeps that it did.
async fn forget(tx: &mut AnyConnection, seq: i64) -> Result<(), StoreError> {
    for statement in [
        "DELETE FROM run_deltas WHERE run_seq = $1",
        "UPDATE run_told SET bytes = 0, expired = 1 WHERE run_seq = $1",
    ] {
        sqlx::query(statement).bind(seq).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Notes under which lease a run is worked on: whoever was to take it up has done so.
async fn take_up(tx: &mut AnyConnection, seq: i64, fence: &Fence) -> Result<(), StoreError> {
    sqlx::query("UPDATE runs SET lease_id = $1, orphan_until = NULL WHERE seq = $2")
        .bind(&fence.lease_id)
        .bind(seq)
        .execute(tx)
        .await?;
    Ok(())
}

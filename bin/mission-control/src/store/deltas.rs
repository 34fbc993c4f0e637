//! What runs tell while they work: batches of events, kept until some time after the run's last write.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use mc_client::deltas::{Deltas, DeltasNote, MAX_PER_SECOND, RunEvent};
use mc_client::runs::RunStatus;
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::{Conflict, StoreError};
use super::leases::Fence;
use super::paging::PAGE_BYTES;
use super::run_rows::{Found, find};
use super::sql::flag;
use super::{Scope, Store, leases, stamp, time};

/// The least time between two batches of a run in the long term, in milliseconds.
pub(crate) const PACE_MS: i64 = 1_000 / MAX_PER_SECOND as i64;

/// How far ahead of that they may be: as many as come in a second may come at once.
pub(crate) const AHEAD_MS: i64 = 1_000 - PACE_MS;

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

/// Where a run stands with what it told.
#[derive(Debug, Default)]
struct Stand {
    last_id: i64,
    bytes: usize,
    paced_ms: i64,
    expired: bool,
    written_at: DateTime<Utc>,
}

impl Stand {
    async fn read(tx: &mut AnyConnection, seq: i64) -> Result<Self, StoreError> {
        let row = sqlx::query("SELECT * FROM run_told WHERE run_seq = $1")
            .bind(seq)
            .fetch_optional(tx)
            .await?;
        Ok(row.map_or_else(Self::default, |row| Self {
            last_id: row.get("last_id"),
            bytes: usize::try_from(row.get::<i64, _>("bytes")).unwrap_or_default(),
            paced_ms: row.get("paced_ms"),
            expired: flag(&row, "expired"),
            written_at: time(row.get("written_at")).unwrap_or_default(),
        }))
    }

    async fn write(&self, tx: &mut AnyConnection, seq: i64) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO run_told (run_seq, last_id, bytes, paced_ms, expired, written_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (run_seq) DO UPDATE SET last_id = excluded.last_id, bytes = excluded.bytes, \
               paced_ms = excluded.paced_ms, expired = excluded.expired, written_at = excluded.written_at",
        )
        .bind(seq)
        .bind(self.last_id)
        .bind(i64::try_from(self.bytes).unwrap_or(i64::MAX))
        .bind(self.paced_ms)
        .bind(i64::from(self.expired))
        .bind(stamp(self.written_at))
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Whether what was told is kept no longer.
    fn is_over(&self, run: &Teller, ttl: Duration) -> bool {
        is_over(run.updated_at.max(self.written_at), ttl)
    }
}

/// Whether something that was last written then is kept no longer.
pub(crate) fn is_over(written_at: DateTime<Utc>, ttl: Duration) -> bool {
    (Utc::now() - written_at).to_std().is_ok_and(|age| age >= ttl)
}

/// Counts one more batch; refuses it where too many came in the last second.
pub(crate) fn pace(paced_ms: i64, now_ms: i64) -> Result<i64, StoreError> {
    // A clock that was put back must not keep a run waiting.
    let paced_ms = paced_ms.clamp(now_ms, now_ms + 1_000);
    if paced_ms > now_ms + AHEAD_MS {
        return Err(StoreError::TooManyDeltas);
    }
    Ok(paced_ms + PACE_MS)
}

/// The run that tells something under a lease: it goes on, and the lease is its own and the newest.
async fn telling(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    run_key: &str,
    fence: &Fence,
) -> Result<Found, StoreError> {
    let found = find(tx, scope, run_key).await?.ok_or_else(|| StoreError::NotFound("run"))?;
    if found.run.known_status().is_some_and(RunStatus::is_final) {
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
        there.extend(events(row)?);
    }
    let old = batch.numbered().take_while(|(id, _)| *id <= last_id);
    let mut count = 0;
    for (id, event) in old {
        let same = there.get(&id).is_some_and(|known| json_text(known) == *event);
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
fn events(row: &AnyRow) -> Result<Vec<(i64, Map<String, Value>)>, StoreError> {
    let all: Vec<Map<String, Value>> = serde_json::from_str(row.get("events"))?;
    Ok((row.get::<i64, _>("first_id")..).zip(all).collect())
}

impl Store {
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
        if stand.bytes > 0 && stand.is_over(&run, limits.ttl) {
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
        if stand.bytes > 0 && stand.is_over(run, ttl) {
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
            let events = events(&row)?.into_iter().filter(|(id, _)| *id > after);
            found.events.extend(events.map(|(id, fields)| RunEvent { id: Some(id), fields }));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_batches_may_come_at_once_and_twenty_a_second_for_ever() {
        let now = 1_000_000;
        let mut paced = 0;
        for n in 0..20 {
            paced = pace(paced, now).unwrap_or_else(|_| panic!("{n}"));
        }
        assert!(matches!(pace(paced, now), Err(StoreError::TooManyDeltas)));
        assert!(matches!(pace(paced, now + 49), Err(StoreError::TooManyDeltas)));
        for n in 1..100 {
            paced = pace(paced, now + n * 50).unwrap_or_else(|_| panic!("{n}"));
        }
    }

    #[test]
    fn a_clock_that_is_put_back_keeps_no_run_waiting() {
        let paced = pace(0, 5_000_000).unwrap();
        assert!(pace(paced, 1_000_000).is_ok_and(|paced| paced <= 1_001_050));
    }
}

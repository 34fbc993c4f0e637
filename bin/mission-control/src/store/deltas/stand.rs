//! Where a run stands with what it told, and how often it may tell.

use std::time::Duration;

use chrono::{DateTime, Utc};
use mc_client::deltas::MAX_PER_SECOND;
use sqlx::{AnyConnection, Row};

use crate::store::error::StoreError;
use crate::store::sql::flag;
use crate::store::{stamp, time};

/// The least time between two batches of a run in the long term, in milliseconds.
pub(crate) const PACE_MS: i64 = 1_000 / MAX_PER_SECOND as i64;

/// How far ahead of that they may be: as many as come in a second may come at once.
pub(crate) const AHEAD_MS: i64 = 1_000 - PACE_MS;

/// Where a run stands with what it told.
#[derive(Debug, Default)]
pub(super) struct Stand {
    pub(super) last_id: i64,
    pub(super) bytes: usize,
    pub(super) paced_ms: i64,
    pub(super) expired: bool,
    pub(super) written_at: DateTime<Utc>,
}

impl Stand {
    pub(super) async fn read(tx: &mut AnyConnection, seq: i64) -> Result<Self, StoreError> {
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

    pub(super) async fn write(&self, tx: &mut AnyConnection, seq: i64) -> Result<(), StoreError> {
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
    pub(super) fn is_over(&self, updated_at: DateTime<Utc>, ttl: Duration) -> bool {
        is_over(updated_at.max(self.written_at), ttl)
    }
}

/// Whether something that was last written then is kept no longer.
pub(crate) fn is_over(written_at: DateTime<Utc>, ttl: Duration) -> bool {
    (Utc::now() - written_at).to_std().is_ok_and(|age| age >= ttl)
}

/// Counts one more batch; refuses it where too many came in the last second.
pub(crate) fn pace(paced_ms: i64, now_ms: i64) -> Result<i64, StoreError> {
    // A clock that was put back must not keep a run waiting.
    let paced_ms = if paced_ms > now_ms + 1_000 { now_ms } else { paced_ms.max(now_ms) };
    if paced_ms > now_ms + AHEAD_MS {
        return Err(StoreError::TooManyDeltas);
    }
    Ok(paced_ms + PACE_MS)
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

//! Quiet hours: meanwhile what is not urgent waits. The period that is on, or comes next, is stored as two moments. What
//! the queue meets of a user in quiet hours is parked, so that it is read once and not at each poll; when the period
//! ends, all of the user's comes back at once and in its order.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use mc_client::delivery_options::QuietHours;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use zones::{Zone, parse_zone};

use super::error::StoreError;
use super::{Store, now, stamp};

/// How many users' periods are moved on in one transaction.
const USERS_AT_A_TIME: i64 = 200;

/// After how many notifications a transaction ends: other writes wait for it.
const ROWS_AT_A_TIME: u64 = 2_000;

/// When a zone that is not known here is looked at again.
const UNKNOWN_ZONE: TimeDelta = TimeDelta::hours(1);

/// A period of quiet: from the first moment until before the second.
pub type Period = (DateTime<Utc>, DateTime<Utc>);

/// Reads a time of the clock, `22:00`.
pub fn clock(text: &str) -> Option<NaiveTime> {
    let form = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
    form.then(|| NaiveTime::parse_from_str(text, "%H:%M").ok()).flatten()
}

/// The period that is on at a moment, or the next one. A time that the clock leaves out counts as the end of the
/// gap, one that it shows twice as the first of both; a period that is left out as a whole is none.
pub fn period(zone: Zone, from: NaiveTime, to: NaiveTime, at: DateTime<Utc>) -> Option<Period> {
    let today = at.with_timezone(&zone).date_naive();
    (-2..=7).find_map(|day| {
        let first = today.checked_add_signed(TimeDelta::days(day))?;
        let last = if to <= from { first.succ_opt()? } else { first };
        let begins = zone.instant_of(first.and_time(from));
        let ends = zone.instant_of(last.and_time(to));
        (begins < ends && ends > at).then_some((begins, ends))
    })
}

fn hours(row: &AnyRow) -> QuietHours {
    QuietHours { timezone: row.get("timezone"), from: row.get("from_time"), to: row.get("to_time") }
}

/// The period of stored hours. A zone that is not known here is quiet for nobody, and looked at again.
fn period_of(user_id: &str, hours: &QuietHours, at: DateTime<Utc>) -> Period {
    let known = parse_zone(&hours.timezone)
        .ok()
        .and_then(|zone| period(zone, clock(&hours.from)?, clock(&hours.to)?, at));
    known.unwrap_or_else(|| {
        tracing::warn!(user_id, zone = hours.timezone, "quiet hours cannot be read here");
        (at + UNKNOWN_ZONE, at + UNKNOWN_ZONE)
    })
}

/// Puts back what waited for a user's quiet hours to end. How many that were.
async fn unpark(tx: &mut AnyConnection, user_id: &str) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE notifications SET parked = 0 WHERE user_id = $1 AND delivered_at IS NULL AND dead_at IS NULL \
         AND parked = 1",
    )
    .bind(user_id)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

async fn set_period(
    tx: &mut AnyConnection,
    user_id: &str,
    (begins, ends): Period,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE quiet_hours SET begins_at = $1, ends_at = $2 WHERE user_id = $3")
        .bind(stamp(begins))
        .bind(stamp(ends))
        .bind(user_id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Ends the periods that are over. Whether there may be more of them: until then their users' wait on.
pub(super) async fn move_on(tx: &mut AnyConnection, at: DateTime<Utc>) -> Result<bool, StoreError> {
    let rows =
        sqlx::query("SELECT * FROM quiet_hours WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2")
            .bind(stamp(at))
            .bind(USERS_AT_A_TIME)
            .fetch_all(&mut *tx)
            .await?;
    let mut back = 0;
    for (n, row) in rows.iter().enumerate() {
        let user_id: &str = row.get("user_id");
        back += unpark(tx, user_id).await?;
        set_period(tx, user_id, period_of(user_id, &hours(row), at)).await?;
        if back >= ROWS_AT_A_TIME {
            return Ok(n + 1 < rows.len() || rows.len() == USERS_AT_A_TIME.unsigned_abs() as usize);
        }
    }
    Ok(rows.len() == USERS_AT_A_TIME.unsigned_abs() as usize)
}

impl Store {
    /// A user's quiet hours.
    pub async fn quiet_hours(&self, user_id: &str) -> Result<QuietHours, StoreError> {
        let row = sqlx::query("SELECT * FROM quiet_hours WHERE user_id = $1")
            .bind(user_id)
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(hours).ok_or(StoreError::NotFound("quiet hours"))
    }

    /// Sets a user's quiet hours, in place of earlier ones.
    pub async fn put_quiet_hours(
        &self,
        user_id: &str,
        hours: &QuietHours,
        (begins, ends): Period,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        unpark(&mut tx, user_id).await?;
        sqlx::query(
            "INSERT INTO quiet_hours (user_id, timezone, from_time, to_time, begins_at, ends_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (user_id) DO UPDATE SET timezone = excluded.timezone, \
             from_time = excluded.from_time, to_time = excluded.to_time, begins_at = excluded.begins_at, \
             ends_at = excluded.ends_at, updated_at = excluded.updated_at",
        )
        .bind(user_id)
        .bind(&hours.timezone)
        .bind(&hours.from)
        .bind(&hours.to)
        .bind(stamp(begins))
        .bind(stamp(ends))
        .bind(now())
        .execute(&mut *tx)
        .await?;
        tx.commit_untold().await?;
        Ok(())
    }

    /// Ends a user's quiet hours for good. Repeating it is harmless.
    pub async fn delete_quiet_hours(&self, user_id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        unpark(&mut tx, user_id).await?;
        sqlx::query("DELETE FROM quiet_hours WHERE user_id = $1")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        tx.commit_untold().await?;
        Ok(())
    }

    /// Computes the periods anew: the rules of time zones may be others than when they were computed.
    pub(crate) async fn recompute_quiet_hours(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let mut tx = self.begin().await?;
            let rows = sqlx::query(
                "SELECT * FROM quiet_hours WHERE user_id > $1 ORDER BY user_id LIMIT $2",
            )
            .bind(&after)
            .bind(USERS_AT_A_TIME)
            .fetch_all(&mut *tx)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            let (at, until) = (Utc::now(), now());
            for row in &rows {
                let user_id: &str = row.get("user_id");
                let known = (row.get::<&str, _>("begins_at"), row.get::<&str, _>("ends_at"));
                // What is over is moved on when the queue is asked.
                let new = period_of(user_id, &hours(row), at);
                if known.1 > until.as_str() && known != (&*stamp(new.0), &*stamp(new.1)) {
                    unpark(&mut tx, user_id).await?;
                    set_period(&mut tx, user_id, new).await?;
                }
            }
            after = last.get("user_id");
            tx.commit_untold().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_by_the_clock_of_its_zone_also_over_midnight_and_when_clocks_change() {
        for (zone, from, to, at, begins, ends) in [
            (
                "UTC",
                "22:00",
                "07:00",
                "2026-03-01T21:59:59Z",
                "2026-03-01T22:00:00Z",
                "2026-03-02T07:00:00Z",
            ),
            (
                "UTC",
                "22:00",
                "07:00",
                "2026-03-01T06:59:59Z",
                "2026-02-28T22:00:00Z",
                "2026-03-01T07:00:00Z",
            ),
            (
                "UTC",
                "22:00",
                "07:00",
                "2026-03-01T07:00:00Z",
                "2026-03-01T22:00:00Z",
                "2026-03-02T07:00:00Z",
            ),
            (
                "UTC",
                "12:00",
                "13:00",
                "2026-03-01T12:30:00Z",
                "2026-03-01T12:00:00Z",
                "2026-03-01T13:00:00Z",
            ),
            // A night with an hour less, and one with an hour more.
            (
                "Europe/Berlin",
                "22:00",
                "07:00",
                "2026-03-28T22:00:00Z",
                "2026-03-28T21:00:00Z",
                "2026-03-29T05:00:00Z",
            ),
            (
                "Europe/Berlin",
                "22:00",
                "07:00",
                "2026-10-25T05:30:00Z",
                "2026-10-24T20:00:00Z",
                "2026-10-25T06:00:00Z",
            ),
            // Times that are left out, and one that comes twice.
            (
                "Europe/Berlin",
                "02:30",
                "05:00",
                "2026-03-29T00:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-29T03:00:00Z",
            ),
            (
                "Europe/Berlin",
                "02:10",
                "02:50",
                "2026-03-29T00:30:00Z",
                "2026-03-30T00:10:00Z",
                "2026-03-30T00:50:00Z",
            ),
            (
                "Europe/Berlin",
                "01:00",
                "02:30",
                "2026-10-25T00:00:00Z",
                "2026-10-24T23:00:00Z",
                "2026-10-25T00:30:00Z",
            ),
            (
                "Pacific/Kiritimati",
                "23:00",
                "06:00",
                "2026-06-01T10:00:00Z",
                "2026-06-01T09:00:00Z",
                "2026-06-01T16:00:00Z",
            ),
        ] {
            let at: DateTime<Utc> = at.parse().unwrap();
            let zone = parse_zone(zone).unwrap();
            let found = period(zone, clock(from).unwrap(), clock(to).unwrap(), at).unwrap();
            assert_eq!(found, (begins.parse().unwrap(), ends.parse().unwrap()), "{zone} {at}");
        }
    }

    #[test]
    fn a_time_of_the_clock_has_one_form() {
        assert!(clock("00:00").is_some() && clock("23:59").is_some());
        for text in ["", "24:00", "7:00", "07:60", "07:00:00", "0700", " 7:00", "+7:00", "07.00"] {
            assert_eq!(clock(text), None, "{text}");
        }
    }
}

//! Slots of schedules: each is made once, by whichever instance comes first, in one transaction with what it
//! counts and with the slot that comes next.

use chrono::{DateTime, TimeDelta, Utc};
use mc_client::idempotency::canonical_json;
use mc_client::schedules::{ScheduleStatus, slot_key, slot_text};
use mc_client::types::CreateNotification;
use serde_json::{Map, Value, json};
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::notifications::{Extras, insert};
use super::schedule_rows::{Stored, put};
use super::schedule_times::Made;
use super::{Store, now, session_of, stamp};

/// How many schedules are handled in one transaction: others must not wait long.
const AT_A_TIME: i64 = 50;

/// After how many slots a transaction ends.
const SLOTS_AT_A_TIME: usize = 100;

/// When a schedule whose zone is not known here is looked at again.
const UNKNOWN_ZONE: TimeDelta = TimeDelta::hours(1);

const DUE: &str = "SELECT id FROM schedules WHERE status = 'active' AND next_at <= $1 ORDER BY next_at, seq LIMIT $2";

/// Makes the notification of a slot. Nothing where the slot was made before.
async fn make(
    tx: &mut AnyConnection,
    stored: &Stored,
    Made { slot, missed }: Made,
) -> Result<bool, StoreError> {
    let schedule = &stored.schedule;
    let known =
        sqlx::query("SELECT 1 AS one FROM schedule_slots WHERE schedule_id = $1 AND slot = $2")
            .bind(&schedule.id)
            .bind(stamp(slot))
            .fetch_optional(&mut *tx)
            .await?;
    if known.is_some() {
        return Ok(false);
    }
    let key = slot_key(&schedule.id, slot);
    let new = CreateNotification {
        user_id: stored.user_id.clone(),
        session_key: session_of(&stored.user_id, &schedule.role),
        content: schedule.content.clone(),
        task_id: schedule.task_id.clone(),
        idempotency_key: Some(key.clone()),
        ..CreateNotification::default()
    };
    let metadata = Map::from_iter([
        ("schedule_id".to_owned(), json!(schedule.id)),
        ("slot".to_owned(), json!(slot_text(slot))),
        ("missed".to_owned(), json!(missed)),
    ]);
    let extras = || Extras { metadata: Some(metadata.clone()), ..Extras::default() };
    let made = match insert(tx, &new, extras()).await {
        // Its task is gone: the agent is told all the same.
        Err(StoreError::NotFound("task")) => {
            insert(tx, &CreateNotification { task_id: None, ..new.clone() }, extras()).await?
        }
        made => made?,
    };
    sqlx::query(
        "INSERT INTO schedule_slots (schedule_id, slot, user_id, notification_id, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(&schedule.id)
    .bind(stamp(slot))
    .bind(&stored.user_id)
    .bind(&made.id)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    sqlx::query(
        "INSERT INTO idempotency (user_id, endpoint, key, role, body, response, created_at) \
         VALUES ($1, 'notifications', $2, '', $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(&stored.user_id)
    .bind(key)
    .bind(canonical_json(&serde_json::to_value(&new)?))
    .bind(serde_json::to_string(&made)?)
    .bind(now())
    .execute(&mut *tx)
    .await?;
    Ok(true)
}

/// Makes what is due of a schedule, unless another instance has. How many slots that were.
async fn handle(tx: &mut AnyConnection, id: &str, at: DateTime<Utc>) -> Result<usize, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM schedules WHERE id = $1 AND status = 'active' AND next_at <= $2",
    )
    .bind(id)
    .bind(stamp(at))
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(0) };
    let mut stored = Stored::read(&row);
    let due = match &stored.times {
        // Not from the stored one on: an instance that cannot read the schedule puts that off.
        Ok(times) => {
            let first = times.next_unhandled(stored.handled_to).unwrap_or(at);
            times.due(first, at, stored.schedule.catch_up, stored.left())
        }
        Err(why) => {
            tracing::warn!(
                schedule = id,
                "a schedule cannot be read here, and is left for an hour: {why}"
            );
            stored.schedule.next_at = Some(at + UNKNOWN_ZONE);
            return put(tx, &stored).await.map(|()| 0);
        }
    };
    let count = due.made.len();
    for made in due.made {
        if make(tx, &stored, made).await? {
            stored.schedule.runs += 1;
        }
        stored.schedule.last_slot = Some(made.slot);
    }
    stored.handled_to = at;
    stored.schedule.next_at = due.next;
    if due.next.is_none() {
        stored.schedule.status = ScheduleStatus::Ended;
        stored.schedule.updated_at = Some(at);
    }
    put(tx, &stored).await.map(|()| count)
}

/// An instant, where there is one.
type Instant = Option<DateTime<Utc>>;

/// The next slot of an active schedule by the rules of now, and what its `at` is by them, where they are others.
fn moved(stored: &Stored) -> Option<(Instant, Instant)> {
    let times = stored.times.as_ref().ok()?;
    let next = times.next_unhandled(stored.handled_to).filter(|_| stored.left() != Some(0));
    let at = match times.when {
        super::schedule_times::When::At { at, .. } => Some(at),
        super::schedule_times::When::Cron { .. } => None,
    };
    (next != stored.schedule.next_at || at != stored.schedule.at).then_some((next, at))
}

impl Store {
    /// Makes all slots that are due.
    pub(crate) async fn make_due_slots(&self, at: DateTime<Utc>) -> Result<(), StoreError> {
        loop {
            let rows =
                sqlx::query(DUE).bind(stamp(at)).bind(AT_A_TIME).fetch_all(&self.reader).await?;
            let ids: Vec<String> = rows.iter().map(|row| row.get("id")).collect();
            if ids.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.handle_all(&ids, at).await {
                if error.is_of_the_store() {
                    return Err(error);
                }
                // One that cannot be handled keeps no other one waiting.
                tracing::warn!(%error, "schedules could not be handled together; each alone now");
                for id in &ids {
                    if let Err(error) = self.handle_all(std::slice::from_ref(id), at).await {
                        tracing::warn!(schedule = id, %error, "a slot could not be made");
                    }
                }
                return Ok(());
            }
        }
    }

    async fn handle_all(&self, ids: &[String], at: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let mut made = 0;
        for id in ids {
            made += handle(&mut tx, id, at).await?;
            // What is left comes in the next transaction: other writes wait for this one.
            if made >= SLOTS_AT_A_TIME {
                break;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Computes the next slot of each active schedule anew: the rules of time zones may be others than
    /// when it was computed.
    pub(crate) async fn recompute_schedules(&self) -> Result<(), StoreError> {
        let mut after = 0_i64;
        loop {
            let rows = sqlx::query(
                "SELECT * FROM schedules WHERE status = 'active' AND seq > $1 ORDER BY seq LIMIT $2",
            )
            .bind(after)
            .bind(AT_A_TIME)
            .fetch_all(&self.reader)
            .await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.get("seq");
            let others = rows.iter().map(Stored::read).filter(|stored| moved(stored).is_some());
            for stored in others {
                let id = &stored.schedule.id;
                match self.recompute(id).await {
                    Err(error) if !error.is_of_the_store() => {
                        tracing::warn!(schedule = id, %error, "its next slot stays as it was");
                    }
                    done => done?,
                }
            }
        }
    }

    async fn recompute(&self, id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT * FROM schedules WHERE id = $1 AND status = 'active'")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
        let Some(mut stored) = row.as_ref().map(Stored::read) else { return Ok(()) };
        let Some((next, at)) = moved(&stored) else { return Ok(()) };
        let value = |moment: Option<DateTime<Utc>>| {
            moment.map(slot_text).map_or(Value::Null, Value::String)
        };
        tracing::info!(
            schedule = id,
            was = %value(stored.schedule.next_at),
            next = %value(next),
            "the next slot was computed anew"
        );
        stored.schedule.next_at = next;
        stored.schedule.at = at;
        if next.is_none() {
            stored.schedule.status = ScheduleStatus::Ended;
        }
        put(&mut tx, &stored).await?;
        tx.commit().await?;
        Ok(())
    }
}

//! Schedules as rows of the database.

use chrono::{DateTime, Utc};
use mc_client::schedules::{CatchUp, Schedule, ScheduleStatus};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::schedule_times::{Times, Unfit, When};
use super::{json_of, stamp, time};

/// A stored schedule, with what reads its times.
pub(super) struct Stored {
    pub(super) user_id: String,
    pub(super) schedule: Schedule,
    pub(super) times: Result<Times, Unfit>,
    /// Up to when its slots are made, or dropped.
    pub(super) handled_to: DateTime<Utc>,
}

impl Stored {
    pub(super) fn read(row: &AnyRow) -> Self {
        let text = |name: &str| row.get::<Option<String>, _>(name);
        let moment = |name: &str| text(name).as_deref().and_then(time);
        let status = match row.get::<&str, _>("status") {
            "paused" => ScheduleStatus::Paused,
            "active" => ScheduleStatus::Active,
            _ => ScheduleStatus::Ended,
        };
        let catch_up = match row.get::<&str, _>("catch_up") {
            "skip" => CatchUp::Skip,
            "all" => CatchUp::All,
            _ => CatchUp::Last,
        };
        let user_id: String = row.get("user_id");
        let schedule = Schedule {
            id: row.get("id"),
            user_id: Some(user_id.clone()),
            at: moment("at_time"),
            local_at: text("local_at"),
            cron: text("cron"),
            timezone: text("timezone"),
            role: row.get("role"),
            content: row.get("content"),
            task_id: text("task_id"),
            until: moment("until_at"),
            max_runs: row.get::<Option<i64>, _>("max_runs").and_then(|most| most.try_into().ok()),
            catch_up,
            status,
            next_at: moment("next_at"),
            last_slot: moment("last_slot"),
            runs: row.get::<i64, _>("runs").try_into().unwrap_or_default(),
            created_by: json_of(text("created_by")),
            created_at: moment("created_at"),
            updated_at: moment("updated_at"),
            slots: None,
        };
        let at = text("local_at").or_else(|| text("at_time"));
        let (cron, zone) = (schedule.cron.as_deref(), schedule.timezone.as_deref());
        let times = Times::read(at.as_deref(), cron, zone, schedule.until);
        let handled_to = moment("handled_to").unwrap_or(DateTime::UNIX_EPOCH);
        Self { user_id, schedule, times, handled_to }
    }

    /// How many slots may still be made.
    pub(super) fn left(&self) -> Option<u64> {
        self.schedule.max_runs.map(|most| most.saturating_sub(self.schedule.runs))
    }

    /// What a reader gets.
    pub(super) fn shown(self, slots: Option<(usize, DateTime<Utc>)>) -> Schedule {
        let listed = slots.map(|(many, from)| match &self.times {
            Ok(times) if self.schedule.status != ScheduleStatus::Ended => {
                times.slots(from).take(many).collect()
            }
            Ok(_) | Err(_) => Vec::new(),
        });
        Schedule { slots: listed, ..self.schedule }
    }
}

/// The same with its times as they are answered.
pub(super) fn with_times(schedule: Schedule, times: &Times) -> Schedule {
    match &times.when {
        When::At { at, local } => Schedule {
            at: Some(*at),
            local_at: local.map(|local| local.format("%Y-%m-%dT%H:%M:%S%.f").to_string()),
            cron: None,
            ..schedule
        },
        When::Cron { text, .. } => {
            Schedule { at: None, local_at: None, cron: Some(text.clone()), ..schedule }
        }
    }
}

/// Stores all that can change of a schedule.
pub(super) async fn put(tx: &mut AnyConnection, stored: &Stored) -> Result<(), StoreError> {
    let schedule = &stored.schedule;
    sqlx::query(
        "UPDATE schedules SET role = $1, content = $2, task_id = $3, at_time = $4, local_at = $5, cron = $6, timezone = $7, \
         until_at = $8, max_runs = $9, catch_up = $10, status = $11, next_at = $12, handled_to = $13, last_slot = $14, \
         runs = $15, updated_at = $16 WHERE id = $17",
    )
    .bind(&schedule.role)
    .bind(&schedule.content)
    .bind(&schedule.task_id)
    .bind(schedule.at.map(stamp))
    .bind(&schedule.local_at)
    .bind(&schedule.cron)
    .bind(&schedule.timezone)
    .bind(schedule.until.map(stamp))
    .bind(schedule.max_runs.and_then(|most| i64::try_from(most).ok()))
    .bind(schedule.catch_up.as_str())
    .bind(schedule.status.as_str())
    .bind(schedule.next_at.map(stamp))
    .bind(stamp(stored.handled_to))
    .bind(schedule.last_slot.map(stamp))
    .bind(i64::try_from(schedule.runs).unwrap_or(i64::MAX))
    .bind(stamp(schedule.updated_at.unwrap_or_else(Utc::now)))
    .bind(&schedule.id)
    .execute(tx)
    .await?;
    Ok(())
}

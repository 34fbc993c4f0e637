//! Schedules: made, listed, changed, deleted. Their slots are made in `schedule_slots.rs`.

use chrono::{DateTime, Utc};
use mc_client::schedules::{
    CreateSchedule, CreatedBy, CreatorType, Schedule, ScheduleStatus, UpdateSchedule,
};
use mc_client::types::Page;
use sqlx::{AnyConnection, Row};

use super::audit::{Act, Actor};
use super::error::{Conflict, StoreError};
use super::paging::{page, rows_for};
use super::schedule_edits::changed;
use super::schedule_rows::{Stored, put, with_times};
use super::schedule_times::Times;
use super::sql::Sql;
use super::{Scope, Store, audit, new_id, stamp, tasks, urgency};

/// How many schedules a user may have active.
const MAX_ACTIVE: u32 = 100;

/// What is deleted once it guards nothing any more: what tells of slots whose notifications have gone out.
pub(super) const DELETE_SLOTS: &str = "DELETE FROM schedule_slots WHERE created_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM notifications n WHERE n.id = notification_id AND n.delivered_at IS NULL AND n.dead_at IS NULL)";

/// Which schedules are listed.
#[derive(Debug, Default)]
pub struct ScheduleFilter {
    /// Of one status.
    pub status: Option<ScheduleStatus>,
    /// Of one role.
    pub role: Option<String>,
}

pub(super) fn creator(actor: Actor<'_>) -> CreatedBy {
    let (kind, id) = match actor {
        Actor::Person(user_id) => (CreatorType::Person, Some(user_id)),
        Actor::Unnamed => (CreatorType::Person, None),
        Actor::Agent { role, .. } => (CreatorType::Agent, Some(role)),
        Actor::Service | Actor::System => (CreatorType::Service, None),
    };
    CreatedBy { kind, id: id.map(str::to_owned) }
}

fn is_agents(scope: Scope<'_>) -> bool {
    matches!(scope.by.actor, Actor::Agent { .. })
}

fn act<'a>(scope: Scope<'a>, name: &'a str, schedule: &'a Schedule) -> Act<'a> {
    let act = Act::new(scope.by, name).of(scope.user_id).about("schedule", &schedule.id);
    act.with("role", &*schedule.role).with("status", schedule.status.as_str())
}

/// Refuses one more active schedule than a user may have.
async fn check_room(tx: &mut AnyConnection, user_id: &str) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT count(*) AS held FROM schedules WHERE user_id = $1 AND status = 'active'",
    )
    .bind(user_id)
    .fetch_one(tx)
    .await?;
    match row.get::<i64, _>("held") < i64::from(MAX_ACTIVE) {
        true => Ok(()),
        false => Err(Conflict::TooManySchedules { most: MAX_ACTIVE }.into()),
    }
}

/// Makes a schedule, whose texts were checked.
pub async fn insert(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    new: &CreateSchedule,
) -> Result<Schedule, StoreError> {
    let at = Utc::now();
    let times =
        Times::read(new.at.as_deref(), new.cron.as_deref(), new.timezone.as_deref(), new.until)?;
    let first = times.check_new(at)?;
    if is_agents(scope) {
        times.check_often(at, new.max_runs)?;
    }
    if let Some(task_id) = &new.task_id {
        tasks::ensure_exists(tx, scope.user_id, task_id).await?;
    }
    let is_paused = new.paused.unwrap_or_default();
    if !is_paused {
        check_room(tx, scope.user_id).await?;
    }
    let schedule = Schedule {
        id: new_id(),
        user_id: Some(scope.user_id.to_owned()),
        at: None,
        local_at: None,
        cron: None,
        timezone: times.zone.map(|zone| zone.name().to_owned()),
        role: new.role.clone(),
        content: new.content.clone(),
        task_id: new.task_id.clone(),
        until: new.until,
        max_runs: new.max_runs,
        catch_up: new.catch_up.unwrap_or_default(),
        status: if is_paused { ScheduleStatus::Paused } else { ScheduleStatus::Active },
        next_at: first.filter(|_| !is_paused),
        last_slot: None,
        runs: 0,
        created_by: Some(creator(scope.by.actor)),
        created_at: Some(at),
        updated_at: Some(at),
        slots: None,
    };
    let made = Stored {
        user_id: scope.user_id.to_owned(),
        schedule: with_times(schedule, &times),
        times: Ok(times),
        handled_to: at,
    };
    sqlx::query(
        "INSERT INTO schedules (id, user_id, created_by, created_at, role, content, catch_up, status, handled_to, updated_at) \
         VALUES ($1, $2, $3, $4, '', '', '', '', '', '')",
    )
    .bind(&made.schedule.id)
    .bind(scope.user_id)
    .bind(serde_json::to_string(&made.schedule.created_by)?)
    .bind(stamp(at))
    .execute(&mut *tx)
    .await?;
    put(tx, &made).await?;
    audit::record(tx, &act(scope, "schedule.created", &made.schedule)).await?;
    Ok(made.schedule)
}

/// A schedule that the caller may see.
async fn stored(tx: &mut AnyConnection, scope: Scope<'_>, id: &str) -> Result<Stored, StoreError> {
    let row =
        sqlx::query("SELECT * FROM schedules WHERE id = $1 AND user_id = $2 AND $3 IN ('', role)")
            .bind(id)
            .bind(scope.user_id)
            .bind(scope.role.unwrap_or_default())
            .fetch_optional(tx)
            .await?;
    row.as_ref().map(Stored::read).ok_or(StoreError::NotFound("schedule"))
}

impl Store {
    /// Schedules, oldest first: the user's, or everybody's where no user is named.
    pub async fn schedules(
        &self,
        user_id: Option<&str>,
        own_role: Option<&str>,
        filter: &ScheduleFilter,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<Schedule>, StoreError> {
        let rows = Sql::new("SELECT * FROM schedules WHERE seq > ?", after.unwrap_or_default())
            .and(" AND user_id = ?", user_id)
            .and(" AND role = ?", own_role)
            .and(" AND role = ?", filter.role.as_deref())
            .and(" AND status = ?", filter.status.map(ScheduleStatus::as_str))
            .and(" ORDER BY seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, |row| Stored::read(row).schedule).await
    }

    /// One schedule, with some of its slots where a number of them and the first moment are given.
    pub async fn schedule(
        &self,
        scope: Scope<'_>,
        id: &str,
        slots: Option<(usize, DateTime<Utc>)>,
    ) -> Result<Schedule, StoreError> {
        let mut reader = self.reader.acquire().await?;
        Ok(stored(&mut reader, scope, id).await?.shown(slots))
    }

    /// Whose a schedule is.
    pub async fn schedule_user(&self, id: &str) -> Result<String, StoreError> {
        let row = sqlx::query("SELECT user_id FROM schedules WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        row.map(|row| row.get("user_id")).ok_or(StoreError::NotFound("schedule"))
    }

    /// Changes a schedule.
    pub async fn update_schedule(
        &self,
        scope: Scope<'_>,
        id: &str,
        change: &UpdateSchedule,
    ) -> Result<Schedule, StoreError> {
        let mut tx = self.write(scope).await?;
        let known = stored(&mut tx, scope, id).await?;
        let before = known.schedule.status;
        if let Some(Some(task_id)) = &change.task_id {
            tasks::ensure_exists(&mut tx, scope.user_id, task_id).await?;
        }
        let changed = changed(known, change, Utc::now(), is_agents(scope))?;
        if changed.schedule.status == ScheduleStatus::Active && before != ScheduleStatus::Active {
            check_room(&mut tx, scope.user_id).await?;
        }
        put(&mut tx, &changed).await?;
        audit::record(&mut tx, &act(scope, "schedule.updated", &changed.schedule)).await?;
        tx.commit().await?;
        Ok(changed.schedule)
    }

    /// Deletes a schedule, and withdraws what it has made and nobody has leased.
    pub async fn delete_schedule(&self, scope: Scope<'_>, id: &str) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        let known = stored(&mut tx, scope, id).await?;
        let withdrawn = sqlx::query(
            "DELETE FROM notifications WHERE user_id = $1 AND delivered_at IS NULL AND dead_at IS NULL \
             AND leased_until IS NULL AND id IN (SELECT notification_id FROM schedule_slots WHERE schedule_id = $2) \
             RETURNING session_key",
        )
        .bind(scope.user_id)
        .bind(id)
        .fetch_all(&mut *tx)
        .await?;
        let sessions: Vec<String> = withdrawn.iter().map(|row| row.get("session_key")).collect();
        urgency::lower(&mut tx, &sessions).await?;
        for statement in [
            "DELETE FROM schedule_slots WHERE schedule_id = $1",
            "DELETE FROM schedules WHERE id = $1",
        ] {
            sqlx::query(statement).bind(id).execute(&mut *tx).await?;
        }
        let act = act(scope, "schedule.deleted", &known.schedule);
        audit::record(&mut tx, &act.with("withdrawn", withdrawn.len())).await?;
        tx.commit().await?;
        Ok(())
    }
}

//! What a change makes of a schedule. Knows no database.

use chrono::{DateTime, Utc};
use mc_client::schedules::{Schedule, ScheduleStatus, UpdateSchedule};

use super::error::StoreError;
use super::schedule_rows::{Stored, with_times};
use super::schedule_times::{Times, Unfit, When};

/// The times that a change leads to.
fn changed_times(known: &Stored, change: &UpdateSchedule) -> Result<Times, Unfit> {
    let schedule = &known.schedule;
    let zone = change.timezone.as_ref().unwrap_or(&schedule.timezone).as_deref();
    let until = change.until.unwrap_or(schedule.until);
    let own_at = || {
        let instant = schedule.at.map(|at| at.to_rfc3339());
        schedule.local_at.clone().or(instant)
    };
    match (&change.at, &change.cron) {
        (None, None) => Times::read(own_at().as_deref(), schedule.cron.as_deref(), zone, until),
        (at, cron) => Times::read(at.as_deref(), cron.as_deref(), zone, until),
    }
}

/// The schedule as a change makes it. A slot that is due and not yet made stays, unless its times were
/// changed, or it was paused: then the next one is after the change.
pub(super) fn changed(
    known: Stored,
    change: &UpdateSchedule,
    at: DateTime<Utc>,
    is_agents: bool,
) -> Result<Stored, StoreError> {
    let times = changed_times(&known, change)?;
    let old = &known.schedule;
    let has_other_times = known.times.as_ref() != Ok(&times);
    let names_time = change.at.is_some() || change.timezone.is_some();
    if has_other_times
        && names_time
        && let When::At { at: when, .. } = &times.when
        && *when <= at
    {
        let why = "is over: name a time to come".to_owned();
        return Err(Unfit::Field { field: "at", why }.into());
    }
    let max_runs = change.max_runs.unwrap_or(old.max_runs);
    let left = max_runs.map(|most| most.saturating_sub(old.runs));
    if is_agents && (has_other_times || max_runs != old.max_runs) {
        times.check_often(at, left)?;
    }
    let was_paused = old.status == ScheduleStatus::Paused;
    let is_paused = change.paused.unwrap_or(was_paused);
    let is_dropped =
        has_other_times || is_paused != was_paused || old.status == ScheduleStatus::Ended;
    let is_done =
        |times: &Times| matches!(times.when, When::At { .. }) && old.runs > 0 && !has_other_times;
    let next = if left == Some(0) || is_done(&times) {
        None
    } else if is_dropped {
        times.next_after(at)
    } else {
        old.next_at
    };
    // Nothing comes of what is over, paused or not.
    let status = match (next, is_paused) {
        (None, false) => ScheduleStatus::Ended,
        (None, true) if is_dropped || left == Some(0) => ScheduleStatus::Ended,
        (_, true) => ScheduleStatus::Paused,
        (Some(_), false) => ScheduleStatus::Active,
    };
    let schedule = Schedule {
        timezone: times.zone.map(|zone| zone.name().to_owned()),
        role: change.role.clone().unwrap_or_else(|| old.role.clone()),
        content: change.content.clone().unwrap_or_else(|| old.content.clone()),
        task_id: change.task_id.clone().unwrap_or_else(|| old.task_id.clone()),
        until: times.until,
        max_runs,
        catch_up: change.catch_up.unwrap_or(old.catch_up),
        status,
        next_at: next.filter(|_| status == ScheduleStatus::Active),
        updated_at: Some(at),
        ..old.clone()
    };
    Ok(Stored {
        schedule: with_times(schedule, &times),
        times: Ok(times),
        handled_to: if is_dropped { at } else { known.handled_to },
        user_id: known.user_id,
    })
}

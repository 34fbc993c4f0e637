//! `schedule`, `list_schedules`, `unschedule`: what an agent has its own role told later, in the run's zone and
//! task. The backend keeps it.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use futures::FutureExt as _;
use mc_client::schedules::{
    CatchUp, CreateSchedule, MAX_CONTENT, Schedule, ScheduleStatus, slot_text,
};
use serde_json::{Value, json};
use wombat_core::agent_config::{LIST_SCHEDULES, SCHEDULE, UNSCHEDULE};
use zones::Zone;

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::reply::ToolReply;

/// What the backend must have.
const NEEDS: &[&str] = &["schedules"];

pub(super) const MAKE: EnabledTool = EnabledTool {
    name: SCHEDULE,
    description: "Schedule a message to yourself on this task: once (at), or again and again (cron). When it is due, \
                  you are woken with that text, so write down all that you need to know then. Times are of the time \
                  zone named under Current Time. Slots must be at least 15 minutes apart.",
    parameters: of_make,
    needs: NEEDS,
    approves: true,
    call: |context, arguments, key| make(context, arguments, key).boxed(),
};

pub(super) const LIST: EnabledTool = EnabledTool {
    name: LIST_SCHEDULES,
    description: "List your schedules, with their ids and the next time that each is due: those that are active or \
                  paused, or those of one status.",
    parameters: of_list,
    needs: NEEDS,
    approves: true,
    call: |context, arguments, _| list(context, arguments).boxed(),
};

pub(super) const DELETE: EnabledTool = EnabledTool {
    name: UNSCHEDULE,
    description: "Delete one of your schedules by its id: nothing more comes of it.",
    parameters: of_delete,
    needs: NEEDS,
    approves: true,
    call: |context, arguments, _| delete(context, arguments).boxed(),
};

fn of_make() -> Value {
    json!({
        "type": "object",
        "properties": {
            "content": { "type": "string", "minLength": 1, "maxLength": MAX_CONTENT, "description": "What you are told when it is due." },
            "at": { "type": "string", "description": "Once: a date and time such as 2026-12-01T09:00. Not beside cron." },
            "cron": { "type": "string", "description": "Again and again: the five fields of cron, minute hour day month weekday, such as 0 9 * * mon-fri; or @daily. Not beside at." },
            "until": { "type": "string", "description": "The last date and time at which it may be due." },
            "max_runs": { "type": "integer", "minimum": 1, "maximum": 1_000_000_000, "description": "How often it is due at most." },
            "catch_up": { "type": "string", "enum": ["last", "skip", "all"], "description": "What becomes of times at which the system was down: the last of them counts (default), none, or all." }
        },
        "required": ["content"],
        "additionalProperties": false
    })
}

fn of_list() -> Value {
    json!({
        "type": "object",
        "properties": { "status": { "type": "string", "enum": ["active", "paused", "ended"] } },
        "additionalProperties": false
    })
}

fn of_delete() -> Value {
    json!({
        "type": "object",
        "properties": { "id": { "type": "string", "minLength": 1 } },
        "required": ["id"],
        "additionalProperties": false
    })
}

/// A moment that a model writes: RFC 3339, or a time of the run's zone.
fn moment(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(at.to_utc());
    }
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];
    let local = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    local.map(|local| zone.instant_of(local))
}

/// `at` as the backend takes it: a time of the zone stays one.
fn at_of(text: &str) -> String {
    let text = text.trim();
    match NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M"))
    {
        Ok(local) => local.format("%Y-%m-%dT%H:%M:%S").to_string(),
        Err(_) => text.to_owned(),
    }
}

fn read(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> Result<CreateSchedule, String> {
    let text = |name: &str| arguments[name].as_str().map(str::to_owned);
    let (at, cron) = (text("at"), text("cron"));
    if at.is_some() == cron.is_some() {
        return Err("name one of at and cron".to_owned());
    }
    if let Some(at) = &at
        && moment(at, context.zone).is_none()
    {
        return Err(format!("at: {at:?} is not a date and time such as 2026-12-01T09:00"));
    }
    let until = match text("until") {
        None => None,
        Some(until) => Some(moment(&until, context.zone).ok_or_else(|| {
            format!("until: {until:?} is not a date and time such as 2026-12-01T09:00")
        })?),
    };
    let catch_up = match arguments["catch_up"].as_str() {
        Some("skip") => Some(CatchUp::Skip),
        Some("all") => Some(CatchUp::All),
        Some("last") => Some(CatchUp::Last),
        Some(_) | None => None,
    };
    Ok(CreateSchedule {
        user_id: None,
        at: at.as_deref().map(at_of),
        cron,
        timezone: Some(context.zone.name().to_owned()),
        role: context.profile.role.as_str().to_owned(),
        content: text("content").unwrap_or_default(),
        task_id: Some(context.task_id.to_owned()),
        until,
        max_runs: arguments["max_runs"].as_u64(),
        catch_up,
        paused: None,
        idempotency_key: Some(key),
    })
}

/// A schedule as the model sees it: with the next time as its own clock shows it.
fn shown(schedule: &Schedule, zone: Zone) -> Value {
    let mut shown = serde_json::to_value(schedule).unwrap_or_default();
    if let Some(next) = schedule.next_at {
        let local = next.with_timezone(&zone);
        shown["next_at"] = json!(slot_text(next));
        shown["next_local"] = json!(format!("{} ({zone})", local.format("%A, %Y-%m-%d %H:%M")));
    }
    if let Some(last) = schedule.last_slot {
        shown["last_slot"] = json!(last.to_rfc3339_opts(SecondsFormat::Secs, true));
    }
    shown
}

async fn make(context: &ToolContext<'_>, arguments: &Value, key: String) -> ToolReply {
    let new = match read(context, arguments, key) {
        Ok(new) => new,
        Err(why) => return ToolReply::NotMade(format!("nothing was scheduled: {why}")),
    };
    match context.client.create_schedule(&new).await {
        Ok(schedule) => ToolReply::data(&shown(&schedule, context.zone)),
        Err(error) => ToolReply::failed(&error),
    }
}

async fn list(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let all = [ScheduleStatus::Active, ScheduleStatus::Paused, ScheduleStatus::Ended];
    let status = arguments["status"].as_str();
    let status = status.and_then(|text| all.into_iter().find(|known| known.as_str() == text));
    match context.client.schedules(status).await {
        Ok(page) => {
            let is_asked =
                |schedule: &&Schedule| status.is_some() || schedule.status != ScheduleStatus::Ended;
            let items = page.items.iter().filter(is_asked);
            let items: Vec<_> = items.map(|schedule| shown(schedule, context.zone)).collect();
            ToolReply::data(&json!({ "items": items, "more": page.next_cursor.is_some() }))
        }
        Err(error) => ToolReply::failed(&error),
    }
}

async fn delete(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let id = arguments["id"].as_str().unwrap_or_default();
    match context.client.delete_schedule(id).await {
        Ok(()) => ToolReply::data(&json!({ "deleted": id })),
        Err(error) => ToolReply::failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_the_zone_is_one_and_an_offset_counts() {
        let berlin = zones::parse_zone("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-12-01T09:00", "2026-12-01T08:00:00Z"),
            ("2026-12-01 09:00", "2026-12-01T08:00:00Z"),
            ("2026-12-01T09:00:00Z", "2026-12-01T09:00:00Z"),
            ("2026-07-01T09:00:30+00:00", "2026-07-01T09:00:30Z"),
        ] {
            assert_eq!(moment(text, berlin).map(slot_text).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(moment("Monday at nine", berlin), None);
        assert_eq!(at_of("2026-12-01 09:00"), "2026-12-01T09:00:00");
    }
}

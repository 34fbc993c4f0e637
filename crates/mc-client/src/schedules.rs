//! Schedules: notifications at a time, or by a cron line (feature `schedules`).

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::Page;
use crate::url::{path, with_query};

/// The most characters of what a schedule says.
pub const MAX_CONTENT: usize = 4_000;

/// The most slots that an answer lists.
pub const MAX_LISTED: u32 = 100;

/// Until when a slot counts as on time: later ones are caught up as [`CatchUp`] says.
pub const ON_TIME_SECS: i64 = 300;

/// How close the slots of an agent's schedule may be, in seconds.
pub const CLOSEST_SECS: i64 = 900;

/// What becomes of slots that nobody was there to make, once they are late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// The newest is made, and says how many others were missed.
    #[default]
    Last,
    /// None is made.
    Skip,
    /// All are made, the oldest first, 100 at most.
    All,
}

impl CatchUp {
    /// As it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Skip => "skip",
            Self::All => "all",
        }
    }
}

/// Where a schedule stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleStatus {
    /// A slot is still to come.
    #[default]
    Active,
    /// Nothing is made until it goes on.
    Paused,
    /// No slot is left.
    Ended,
}

impl ScheduleStatus {
    /// As it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Ended => "ended",
        }
    }
}

/// Who has made a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CreatorType {
    /// A person: `id` is the user.
    Person,
    /// An agent: `id` is its role.
    Agent,
    /// A service that acts for nobody in particular.
    Service,
}

/// Who has made a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedBy {
    /// What they are.
    #[serde(rename = "type")]
    pub kind: CreatorType,
    /// Their name, where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// `POST /schedules`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreateSchedule {
    /// Whose it is; only from a service that acts for nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Once: RFC 3339, or such a time without an offset, which is then of `timezone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again: the five fields of cron(5), or a word from `@hourly` to `@yearly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// An IANA name. Required with `cron`, and with an `at` without an offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The role that is notified.
    pub role: String,
    /// What it is told.
    pub content: String,
    /// On which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The last moment at which it may be due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// How many slots are made at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// What becomes of late slots; `last` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Whether it waits until it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

/// `PATCH /schedules/{id}`: what is named changes; `null` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateSchedule {
    /// Once, in place of what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Again and again, in place of what it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Another zone.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub timezone: Option<Option<String>>,
    /// Another role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Another text, also for a slot that is due and not yet made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Another task.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub task_id: Option<Option<String>>,
    /// Another last moment.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub until: Option<Option<DateTime<Utc>>>,
    /// Another number of slots.
    #[serde(default, deserialize_with = "named", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub max_runs: Option<Option<u64>>,
    /// What becomes of late slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Whether it waits: `false` lets it go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
}

/// A field that is there, `null` or not.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A schedule. Times are of UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// The backend's id.
    pub id: String,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// When it is due, where that is once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// What the clock of `timezone` shows then, where it was made so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_at: Option<String>,
    /// Its cron line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The role that is notified.
    pub role: String,
    /// What it is told.
    pub content: String,
    /// On which task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// The last moment at which it may be due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// How many slots are made at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_runs: Option<u64>,
    /// What becomes of late slots.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Where it stands.
    pub status: ScheduleStatus,
    /// The next slot, while it is active.
    #[serde(default)]
    pub next_at: Option<DateTime<Utc>>,
    /// The last slot that was made.
    #[serde(default)]
    pub last_slot: Option<DateTime<Utc>>,
    /// How many slots were made.
    #[serde(default)]
    pub runs: u64,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<CreatedBy>,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    /// When it was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
    /// When it is due, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Vec<DateTime<Utc>>>,
}

/// A slot in keys and metadata: `2026-10-25T00:30:00Z`.
pub fn slot_text(slot: DateTime<Utc>) -> String {
    slot.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The key of the notification that a slot makes.
pub fn slot_key(id: &str, slot: DateTime<Utc>) -> String {
    format!("schedule:{id}:{}", slot_text(slot))
}

fn list(status: Option<ScheduleStatus>, cursor: Option<String>) -> Call {
    let status = status.map(|status| status.as_str().to_owned());
    let query = [("status", status), ("limit", Some("200".to_owned())), ("cursor", cursor)];
    Call::get(&with_query(path(&["schedules"]), &query))
}

impl AgentClient {
    /// Makes a schedule.
    pub async fn create_schedule(&self, new: &CreateSchedule) -> Result<Schedule, McError> {
        let key = new.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["schedules"]), new, key)?).await
    }

    /// The schedules of the agent's role, oldest first: the first page of those with this status.
    pub async fn schedules(
        &self,
        status: Option<ScheduleStatus>,
    ) -> Result<Page<Schedule>, McError> {
        self.caller.fetch(list(status, None)).await
    }

    /// Deletes a schedule, and takes back what it has made and nobody has leased.
    pub async fn delete_schedule(&self, id: &str) -> Result<(), McError> {
        self.caller.send(Call::new(http::Method::DELETE, &path(&["schedules", id]))).await
    }
}

impl InternalClient {
    /// Makes a schedule for the user that [`InternalClient::on_behalf_of`] names, else for that of the
    /// body.
    pub async fn create_schedule(&self, new: &CreateSchedule) -> Result<Schedule, McError> {
        let key = new.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["schedules"]), new, key)?).await
    }

    /// One page of the schedules, oldest first.
    pub async fn schedules(&self, cursor: Option<String>) -> Result<Page<Schedule>, McError> {
        self.caller.fetch(list(None, cursor)).await
    }

    /// Deletes a schedule.
    pub async fn delete_schedule(&self, id: &str) -> Result<(), McError> {
        self.caller.send(Call::new(http::Method::DELETE, &path(&["schedules", id]))).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_takes_a_field_away_and_its_absence_does_not() {
        let read = |text: &str| serde_json::from_str::<UpdateSchedule>(text).unwrap();
        assert_eq!(read("{}").until, None);
        assert_eq!(read(r#"{"until": null}"#).until, Some(None));
        assert_eq!(read(r#"{"max_runs": 3}"#).max_runs, Some(Some(3)));
        let text = serde_json::to_string(&read(r#"{"task_id": null}"#)).unwrap();
        assert_eq!(text, r#"{"task_id":null}"#);
    }

    #[test]
    fn a_slot_has_one_text() {
        let slot = "2026-10-25T02:30:00+02:00".parse::<DateTime<Utc>>().unwrap();
        assert_eq!(slot_key("x", slot), "schedule:x:2026-10-25T00:30:00Z");
    }
}

//! Reading what backends write: ids are numbers in many databases, times come without a zone, and what is
//! optional may be `null`. Nothing of that makes an answer useless.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// A text that must be there, such as an id: a string that is not empty, or a number.
pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    as_text(Value::deserialize(from)?)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| serde::de::Error::custom("an id must be a string or a number"))
}

/// A text; empty where it is `null` or of another kind.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(as_text(Value::deserialize(from)?).unwrap_or_default())
}

/// A text that may be missing.
pub(super) fn optional_text<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    Ok(as_text(Value::deserialize(from)?))
}

/// A time (RFC 3339); in UTC where no zone is named, and none where it cannot be read.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value.as_str().and_then(|text| {
        let naive = || ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].into_iter();
        let in_utc = || naive().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
        text.parse().ok().or_else(|| in_utc().map(|time| time.and_utc()))
    }))
}

/// An object that may be missing.
pub(super) fn object<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Map<String, Value>>, D::Error> {
    match Value::deserialize(from)? {
        Value::Object(object) => Ok(Some(object)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Ok(None)
        }
    }
}

/// A list; empty where it is `null`.
pub(super) fn list<'de, D, T>(from: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn as_text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::types::{Document, Message, Notification, Page, StandupAnswer, Task};

    #[test]
    fn what_databases_and_frameworks_write_is_read() {
        let task: Task = serde_json::from_value(json!({
            "id": 7, "title": "x", "status": null, "description": null, "metadata": [],
            "created_at": "2026-01-31T09:00:00.123456", "updated_at": "yesterday",
        }))
        .unwrap();
        assert_eq!((task.id.as_str(), task.status.as_str(), task.metadata), ("7", "", None));
        assert_eq!(task.created_at.unwrap().to_rfc3339(), "2026-01-31T09:00:00.123456+00:00");
        assert_eq!(task.updated_at, None);
        let message: Message = serde_json::from_value(json!({
            "id": 8, "task_id": 7, "content": "hi", "actor_id": 3, "agent_role": null,
            "created_at": "2026-01-31 10:00:00",
        }))
        .unwrap();
        assert_eq!((message.id.as_str(), message.task_id.as_str()), ("8", "7"));
        assert_eq!((message.actor_id.as_deref(), message.agent_role), (Some("3"), None));
        assert!(message.created_at.is_some());
        let document: Document =
            serde_json::from_value(json!({ "id": 9, "title": null, "task_id": 7 })).unwrap();
        assert_eq!((document.id.as_str(), document.task_id.as_deref()), ("9", Some("7")));
        let note: Notification =
            serde_json::from_value(json!({ "id": 1, "user_id": 2, "content": null })).unwrap();
        assert_eq!((note.id.as_str(), note.user_id.as_str()), ("1", "2"));
        let page: Page<Task> =
            serde_json::from_value(json!({ "items": [], "next_cursor": 50 })).unwrap();
        assert_eq!(page.next_cursor.as_deref(), Some("50"));
        let day: StandupAnswer =
            serde_json::from_value(json!({ "date": null, "user_id": 7, "done": null })).unwrap();
        assert!(matches!(day, StandupAnswer::One(day) if day.user_id == "7"));
    }

    #[test]
    fn an_object_without_an_id_is_none() {
        for id in [json!(null), json!(""), json!([]), json!(true), json!({})] {
            assert!(serde_json::from_value::<Task>(json!({ "id": id, "title": "x" })).is_err());
            assert!(
                serde_json::from_value::<Message>(json!({ "id": id, "content": "x" })).is_err()
            );
            assert!(serde_json::from_value::<Document>(json!({ "id": id })).is_err());
        }
        assert!(serde_json::from_value::<Task>(json!({ "title": "x" })).is_err());
    }
}

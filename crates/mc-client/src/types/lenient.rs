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

/// What is said: a text, or the JSON of anything else, which must not look as if nothing were said.
pub(super) fn content<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(as_content(Value::deserialize(from)?).unwrap_or_default())
}

/// The same where it may be missing.
pub(super) fn optional_content<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<String>, D::Error> {
    Ok(as_content(Value::deserialize(from)?))
}

/// Where the next page begins; `null`, `false` and an empty text end the list. What cannot be read does
/// not: a part of a list must not be taken for the whole.
pub(super) fn cursor<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(from)? {
        Value::Null | Value::Bool(false) => Ok(None),
        value => as_text(value)
            .map(|text| Some(text).filter(|text| !text.is_empty()))
            .ok_or_else(|| serde::de::Error::custom("next_cursor must be a string or null")),
    }
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

fn as_content(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
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

    #[test]
    fn what_is_said_in_another_form_is_not_nothing() {
        let parts = json!([{ "type": "text", "text": "hi" }]);
        let message: Message =
            serde_json::from_value(json!({ "id": 1, "content": parts })).unwrap();
        assert_eq!(message.content, parts.to_string());
        let note: Notification =
            serde_json::from_value(json!({ "id": 1, "content": { "body": "hi" } })).unwrap();
        assert_eq!(note.content, r#"{"body":"hi"}"#);
        let document: Document =
            serde_json::from_value(json!({ "id": 1, "content": parts })).unwrap();
        assert_eq!(document.content, Some(parts.to_string()));
        let day: StandupAnswer =
            serde_json::from_value(json!({ "date": "2026-11-23", "summary": ["1 done."] }))
                .unwrap();
        assert!(matches!(day, StandupAnswer::One(day) if day.summary == r#"["1 done."]"#));
    }

    #[test]
    fn a_part_of_a_list_is_not_the_whole() {
        let page = |cursor| {
            serde_json::from_value::<Page<Task>>(json!({ "items": [], "next_cursor": cursor }))
                .map(|page| page.next_cursor)
        };
        for end in [json!(null), json!(false), json!("")] {
            assert_eq!(page(end.clone()).unwrap(), None, "{end}");
        }
        assert_eq!(page(json!("a")).unwrap().as_deref(), Some("a"));
        for odd in [json!(true), json!({ "id": 7 }), json!([7])] {
            assert!(page(odd.clone()).is_err(), "{odd}");
        }
    }
}

//! The dispatcher's side: undelivered notifications, and the results of their delivery.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::client::InternalClient;
use crate::error::McError;
use crate::types::{DeliverMany, Delivered, DeliveredMany, Deliveries, Delivery, DeliveryFailure};
use crate::url::{path, with_query};

/// The most notifications of one [`InternalClient::deliver_many`].
pub const MAX_BATCH: usize = 1_000;

/// The parameters of `undelivered`.
#[derive(Debug, Clone, Copy, Default)]
pub struct DispatchQuery {
    /// The most users.
    pub limit_users: Option<u32>,
    /// The most notifications.
    pub limit_notifications: Option<u32>,
    /// The lease: how long the deliveries belong to this caller alone.
    pub lease_seconds: Option<u64>,
}

/// One answer of `undelivered`.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The deliveries, oldest first per session.
    pub deliveries: Vec<Delivery>,
    /// The number of items without an id, a user or a session, or not of the contract's form.
    pub malformed: usize,
}

/// The HTTP method that the backend supports: older ones know only `GET`.
#[derive(Debug, Default)]
pub struct DispatchVerb {
    use_get: AtomicBool,
}

impl DispatchVerb {
    fn method(&self) -> Method {
        if self.use_get.load(Ordering::Relaxed) { Method::GET } else { Method::POST }
    }

    fn switch(&self) {
        self.use_get.fetch_xor(true, Ordering::Relaxed);
    }
}

impl InternalClient {
    /// The undelivered notifications. On 404 or 405 the other HTTP method is tried, and remembered
    /// when it works.
    pub async fn undelivered(
        &self,
        query: DispatchQuery,
        verb: &DispatchVerb,
    ) -> Result<Batch, McError> {
        match self.ask_undelivered(query, verb.method()).await {
            Err(error) if matches!(error.status(), Some(404 | 405)) => {
                verb.switch();
                let second = self.ask_undelivered(query, verb.method()).await;
                if second.is_err() {
                    verb.switch();
                }
                second
            }
            answer => answer,
        }
    }

    async fn ask_undelivered(
        &self,
        query: DispatchQuery,
        method: Method,
    ) -> Result<Batch, McError> {
        let url = with_query(
            path(&["dispatch", "undelivered"]),
            &[
                ("limit_users", query.limit_users.map(|n| n.to_string())),
                ("limit_notifications", query.limit_notifications.map(|n| n.to_string())),
                ("lease_seconds", query.lease_seconds.map(|n| n.to_string())),
            ],
        );
        // Not retried: the next poll comes anyway, and a lease may already have been taken.
        let mut call = Call::new(method.clone(), &url);
        if method == Method::POST {
            call = call.json(&Value::Object(serde_json::Map::new()))?;
        }
        let answer: Deliveries<Value> = self.caller.fetch(call).await?;
        let mut batch = Batch::default();
        for item in answer.deliveries {
            match delivery(item) {
                Some(delivery) => batch.deliveries.push(delivery),
                None => batch.malformed += 1,
            }
        }
        Ok(batch)
    }

    /// Acknowledges a notification as delivered. Idempotent.
    pub async fn deliver(&self, id: &str, user_id: &str) -> Result<(), McError> {
        let url = with_query(
            path(&["dispatch", "notifications", id, "deliver"]),
            &[("user_id", Some(user_id.to_owned()))],
        );
        let call = Call::new(Method::POST, &url).json(&Value::Object(serde_json::Map::new()))?;
        self.caller.send(call.repeatable()).await
    }

    /// Acknowledges up to [`MAX_BATCH`] notifications as delivered (feature `dispatch_batch`).
    /// Idempotent. Returns the ids that the backend does not know.
    pub async fn deliver_many(&self, delivered: &[Delivered]) -> Result<Vec<String>, McError> {
        let call = Call::new(Method::POST, &path(&["dispatch", "deliver"]));
        let body = DeliverMany { deliveries: delivered.to_vec() };
        let answer: DeliveredMany = self.caller.fetch(call.json(&body)?.repeatable()).await?;
        Ok(answer.not_found)
    }

    /// Reports a failed delivery, or a dead letter (feature `notifications_fail`).
    pub async fn fail(
        &self,
        id: &str,
        user_id: &str,
        failure: &DeliveryFailure,
    ) -> Result<(), McError> {
        let url = with_query(
            path(&["dispatch", "notifications", id, "fail"]),
            &[("user_id", Some(user_id.to_owned()))],
        );
        self.caller.send(Call::new(Method::POST, &url).json(failure)?.repeatable()).await
    }
}

/// An item of `undelivered`. Its id, user and session are required; other fields may be malformed
/// without holding up the delivery.
fn delivery(item: Value) -> Option<Delivery> {
    let Value::Object(mut item) = item else { return None };
    let mut text = |name: &str| match item.remove(name) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        // Ids are numbers in many databases.
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => None,
    };
    Some(Delivery {
        notification_id: text("notification_id")?,
        user_id: text("user_id")?,
        session_key: text("session_key")?,
        content: text("content").unwrap_or_default(),
        task_id: text("task_id"),
        run_key: text("run_key"),
        created_at: text("created_at").and_then(|text| text.parse().ok()),
        attempts: text("attempts").and_then(|text| text.parse().ok()),
        metadata: metadata(&mut item),
    })
}

fn metadata(item: &mut Map<String, Value>) -> Option<Map<String, Value>> {
    match item.remove("metadata") {
        Some(Value::Object(metadata)) => Some(metadata),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_says_whom_to_wake_must_be_right() {
        let full = json!({
            "notification_id": "n", "user_id": "u", "session_key": "user:u:r", "content": "hi",
            "task_id": "t", "run_key": "k", "created_at": "2026-01-31T09:00:00Z", "attempts": 2,
            "metadata": {"a": 1}, "colour": "red",
        });
        let expected = Delivery::deserialize(full.clone()).unwrap();
        assert_eq!(delivery(full), Some(expected));
        let odd = delivery(json!({
            "notification_id": 7, "user_id": 8, "session_key": "user:8:r", "content": null,
            "task_id": 9, "created_at": "2026-01-31T09:00:00", "attempts": -1, "metadata": "x",
        }))
        .unwrap();
        assert_eq!((odd.notification_id.as_str(), odd.user_id.as_str()), ("7", "8"));
        assert_eq!((odd.task_id.as_deref(), odd.attempts), (Some("9"), None));
        assert!(odd.created_at.is_none() && odd.metadata.is_none() && odd.content.is_empty());
    }

    #[test]
    fn what_names_no_session_is_left_out() {
        let good = json!({"notification_id": "n", "user_id": "u", "session_key": "user:u:r"});
        for name in ["notification_id", "user_id", "session_key"] {
            for wrong in [json!(null), json!(""), json!([]), json!(true)] {
                let mut item = good.clone();
                item[name] = wrong;
                assert_eq!(delivery(item.clone()), None, "{item}");
            }
            let mut item = good.clone();
            item.as_object_mut().unwrap().remove(name);
            assert_eq!(delivery(item), None);
        }
        assert_eq!(delivery(json!("n")), None);
    }
}

//! The dispatcher's side: what is to be delivered, and what became of it.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::client::{Call, InternalClient};
use crate::error::McError;
use crate::types::{DeliverMany, Delivered, Delivery, DeliveryFailure};
use crate::url::{path, with_query};

/// The most notifications of one [`InternalClient::deliver_many`].
pub const MAX_BATCH: usize = 1_000;

/// What to ask `undelivered` for.
#[derive(Debug, Clone, Copy, Default)]
pub struct DispatchQuery {
    /// Sessions' users at most.
    pub limit_users: Option<u32>,
    /// Notifications at most.
    pub limit_notifications: Option<u32>,
    /// How long the deliveries are this caller's alone.
    pub lease_seconds: Option<u64>,
}

/// One answer of `undelivered`.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// What can be delivered, oldest first per session.
    pub deliveries: Vec<Delivery>,
    /// Items that lack an id, a user or a session, or are not of the contract's form.
    pub malformed: usize,
}

/// Remembers which verb the backend answers: older ones know only `GET`.
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
    /// What waits to be delivered. On 404 or 405 the other verb is tried, and remembered when it
    /// is the one that works.
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
        #[derive(Deserialize)]
        struct Answer {
            deliveries: Vec<Value>,
        }
        let url = with_query(
            path(&["dispatch", "undelivered"]),
            &[
                ("limit_users", query.limit_users.map(|n| n.to_string())),
                ("limit_notifications", query.limit_notifications.map(|n| n.to_string())),
                ("lease_seconds", query.lease_seconds.map(|n| n.to_string())),
            ],
        );
        // Not repeated: the poll comes again by itself, and a lease may already have been given.
        let mut call = Call::new(method.clone(), &url);
        if method == Method::POST {
            call = call.json(&Value::Object(serde_json::Map::new()))?;
        }
        let answer: Answer = self.caller.fetch(call).await?;
        let mut batch = Batch::default();
        for item in answer.deliveries {
            match Delivery::deserialize(item) {
                Ok(delivery)
                    if !delivery.notification_id.is_empty()
                        && !delivery.user_id.is_empty()
                        && !delivery.session_key.is_empty() =>
                {
                    batch.deliveries.push(delivery);
                }
                Ok(_) | Err(_) => batch.malformed += 1,
            }
        }
        Ok(batch)
    }

    /// Says that a notification was delivered. Repeating it is harmless.
    pub async fn deliver(&self, id: &str, user_id: &str) -> Result<(), McError> {
        let url = with_query(
            path(&["dispatch", "notifications", id, "deliver"]),
            &[("user_id", Some(user_id.to_owned()))],
        );
        let call = Call::new(Method::POST, &url).json(&Value::Object(serde_json::Map::new()))?;
        self.caller.send(call.repeatable()).await
    }

    /// Says of many notifications at once that they were delivered (feature `dispatch_batch`), at
    /// most [`MAX_BATCH`]. Repeating it is harmless. Gives the ids that the backend does not know.
    pub async fn deliver_many(&self, delivered: &[Delivered]) -> Result<Vec<String>, McError> {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            not_found: Vec<String>,
        }
        let call = Call::new(Method::POST, &path(&["dispatch", "deliver"]));
        let body = DeliverMany { deliveries: delivered.to_vec() };
        let answer: Answer = self.caller.fetch(call.json(&body)?.repeatable()).await?;
        Ok(answer.not_found)
    }

    /// Says why a notification was not delivered (feature `notifications_fail`).
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

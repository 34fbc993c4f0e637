//! One webhook, from its first byte to its answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::CONTENT_ENCODING;
use axum::http::request;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use futures::StreamExt as _;
use mc_client::error::McError;
use mc_client::types::{CreateNotification, MAX_COLLAPSE_KEY, Notification, Priority};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use wombat_core::hooks::{Event, Hook, Urgency};
use wombat_core::session::{SessionKey, UserId};

use super::answer::{Answer, Refusal};
use super::catalogue::Known;
use super::signature::{self, Untrusted};
use super::{Hooks, event};

/// The largest body.
pub(super) const MAX_BODY_BYTES: usize = 1024 * 1024;

/// How much of a larger one is read and forgotten, so that its sender reads the answer.
const MAX_DISCARDED_BYTES: usize = 64 * 1024 * 1024;

/// The timeout of receiving a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the backend may take. Services wait for some seconds only, and send again.
const BACKEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The most characters of a user's id that an event may name.
const MAX_USER: usize = 256;

/// `POST /hooks/{name}`.
pub(super) async fn receive(
    State(hooks): State<Arc<Hooks>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let (head, body) = request.into_parts();
    let answer = match hooks.places.try_acquire() {
        Ok(_place) => hooks.answer(&name, &head, body).await,
        Err(_) => Err(Refusal::overloaded()),
    };
    let answer = answer.unwrap_or_else(Answer::Refused);
    hooks.count(&name, &answer);
    answer.into_response()
}

impl Hooks {
    async fn answer(
        &self,
        name: &str,
        head: &request::Parts,
        body: Body,
    ) -> Result<Answer, Refusal> {
        let ready = match self.find(name).await {
            Known::Ready(ready) => ready,
            Known::Unknown => return Err(Refusal::unknown()),
            Known::Broken(problems) => {
                self.log_problems(name, &problems);
                return Err(Refusal::broken());
            }
        };
        let (hook, headers) = (&ready.hook, &head.headers);
        let body = read(body).await?;
        let now = Utc::now().timestamp();
        let given =
            signature::verify(hook.scheme, headers, &body, &ready.secrets, now).map_err(|why| {
                match why {
                    Untrusted::Signature => Refusal::invalid_signature(),
                    Untrusted::Stale => Refusal::stale_timestamp(),
                }
            })?;
        // Signed over bytes that are still as they came.
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(Refusal::compressed());
        }
        let fields = event::fields(headers, &body).ok_or_else(Refusal::no_json)?;
        if let Some(challenge) = event::challenge(hook.scheme, &fields) {
            return Ok(Answer::Challenge(challenge));
        }
        let header = |name: &str| event::header(headers, name);
        let event = Event { body: &fields, header: &header };
        if !hook.when.iter().all(|one| one.holds(&event)) {
            return Ok(Answer::Filtered);
        }
        let key = event::key(name, hook.scheme, given, &fields, &body);
        let mut new = notification(hook, &event, key)?;
        self.add_options(name, hook, &event, &mut new).await?;
        self.store(name, &new).await
    }

    /// Adds what only some backends do.
    async fn add_options(
        &self,
        name: &str,
        hook: &Hook,
        event: &Event<'_>,
        new: &mut CreateNotification,
    ) -> Result<(), Refusal> {
        if !hook.has_delivery_options() {
            return Ok(());
        }
        match self.backend.has_delivery_options().await {
            Some(true) => {
                let key = hook.collapse_key.as_ref().and_then(|key| key.name(event));
                new.collapse_key = key.map(short);
                new.priority = hook.priority.map(priority);
            }
            Some(false) => self.log_missing_feature(name),
            // Without an answer nobody knows whether it would be lost.
            None => return Err(Refusal::backend_away(None)),
        }
        Ok(())
    }

    async fn store(&self, name: &str, new: &CreateNotification) -> Result<Answer, Refusal> {
        let stored = timeout(BACKEND_TIMEOUT, self.backend.notify(new)).await;
        let error = match stored.unwrap_or(Err(McError::Timeout)) {
            Ok((made, repeated)) => {
                return Ok(Answer::Told { notification_id: Some(made.id), repeated });
            }
            Err(error) => error,
        };
        // The hook, or what the service says beside the event's id, has changed since.
        if error.code() == Some("idempotency_conflict") {
            let original = error.conflicting_original::<Notification>();
            let notification_id = original.map(|original| original.id);
            return Ok(Answer::Told { notification_id, repeated: true });
        }
        let status = error.status();
        let is_final = matches!(status, Some(400 | 409 | 413 | 422))
            || (status == Some(404) && error.code().is_some());
        if self.is_news(&format!("store {name} {is_final} {status:?}")) {
            tracing::warn!(hook = name, %error, "a webhook's notification is not stored");
        }
        match is_final {
            true => Err(Refusal::not_taken()),
            false => Err(Refusal::backend_away(error.retry_after())),
        }
    }

    fn count(&self, name: &str, answer: &Answer) {
        let counters = &self.metrics.hooks;
        match answer {
            Answer::Told { notification_id, repeated } => {
                tracing::debug!(
                    hook = name,
                    notification_id = notification_id.as_deref(),
                    repeated,
                    "webhook received"
                );
                let counter = if *repeated { &counters.repeated } else { &counters.accepted };
                counter.increment(1);
            }
            Answer::Filtered | Answer::Challenge(_) => counters.filtered.increment(1),
            Answer::Refused(refusal) if refusal.is_temporary() => counters.unavailable.increment(1),
            Answer::Refused(refusal) => {
                counters.refused.increment(1);
                self.log_refusal(name, refusal.code());
            }
        }
    }

    /// Anybody may send anything: once in a while is enough.
    fn log_refusal(&self, name: &str, code: &'static str) {
        if code == "unknown_hook" {
            if self.is_news(code) {
                let workspace = self.workspace.display();
                tracing::warn!(%workspace, hook = %name.escape_debug(), "a webhook for a hook that is not there");
            }
        } else if self.is_news(&format!("{name} {code}")) {
            tracing::warn!(hook = name, code, "a webhook is refused");
        }
    }
}

/// The body, as its bytes came.
async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    timeout(BODY_TIMEOUT, receive_all(body)).await.unwrap_or_else(|_| Err(Refusal::slow()))
}

async fn receive_all(body: Body) -> Result<Vec<u8>, Refusal> {
    let told = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let (mut received, mut bytes) =
        (Vec::with_capacity(told.map_or(0, |told| told.min(MAX_BODY_BYTES))), 0);
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::incomplete())?;
        bytes += chunk.len();
        if bytes > MAX_DISCARDED_BYTES {
            break;
        } else if bytes > MAX_BODY_BYTES {
            received = Vec::new();
        } else {
            received.extend_from_slice(&chunk);
        }
    }
    if bytes > MAX_BODY_BYTES { Err(Refusal::too_large()) } else { Ok(received) }
}

/// The notification of an event.
fn notification(
    hook: &Hook,
    event: &Event<'_>,
    key: String,
) -> Result<CreateNotification, Refusal> {
    let user =
        hook.user.name(event).and_then(|user| user_id(&user)).ok_or_else(Refusal::no_user)?;
    let content = hook.text.text(event);
    if content.trim().is_empty() {
        return Err(Refusal::no_text());
    }
    Ok(CreateNotification {
        user_id: user.as_str().to_owned(),
        session_key: SessionKey::new(user, hook.role.clone()).to_string(),
        content,
        task_id: hook.task_id.as_ref().and_then(|task| task.name(event)),
        idempotency_key: Some(key),
        ..CreateNotification::default()
    })
}

fn user_id(text: &str) -> Option<UserId> {
    let is_one = text.chars().count() <= MAX_USER && !text.chars().any(char::is_control);
    UserId::parse(text).ok().filter(|_| is_one)
}

fn priority(urgency: Urgency) -> Priority {
    match urgency {
        Urgency::Low => Priority::Low,
        Urgency::Normal => Priority::Normal,
        Urgency::High => Priority::High,
    }
}

/// A key that is not longer than backends take: of a longer one its hash, which no other has.
fn short(key: String) -> String {
    if key.chars().count() <= MAX_COLLAPSE_KEY {
        return key;
    }
    event::hex(&Sha256::digest(key)).chars().take(MAX_COLLAPSE_KEY).collect()
}

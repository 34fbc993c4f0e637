//! Push notifications of A2A (<https://a2a-protocol.org/latest/specification/>): who wants to hear how the runs
//! of a task end, as the task's metadata have it. They hold addresses only, no secrets, and are the user's to
//! write: each address is checked again before anything is sent there.

use chrono::{SecondsFormat, Utc};
use futures::future::join_all;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Delivery, Webhooks};
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::output::Output;
use crate::run::registry::Outcome;
use crate::run::request::Webhook;

/// The field of a task's metadata.
const FIELD: &str = "a2a_push";

/// How many addresses a role's runs of a task are told to.
pub const MOST: usize = 8;

/// An address, and the client's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushTarget {
    /// The configuration's id.
    pub id: String,
    /// Where to.
    pub url: String,
}

/// The addresses of a role in a task's metadata.
pub fn targets(metadata: Option<&Map<String, Value>>, role: &str) -> Vec<PushTarget> {
    let all = metadata.and_then(|metadata| metadata.get(FIELD)?.get(role)?.as_array());
    let all = all.into_iter().flatten();
    all.filter_map(|target| PushTarget::deserialize(target).ok()).take(MOST).collect()
}

/// Puts them there.
pub fn set_targets(metadata: &mut Map<String, Value>, role: &str, targets: &[PushTarget]) {
    let all = metadata.entry(FIELD).or_insert_with(|| json!({}));
    if !all.is_object() {
        *all = json!({});
    }
    all[role] = json!(targets);
}

/// A run's end as it is sent.
#[derive(Debug, Clone)]
pub struct End {
    /// The run's key.
    pub run_key: String,
    /// The protocol's state.
    pub state: String,
    /// The protocol's task.
    pub task: Value,
}

impl Webhooks {
    /// Sends a run's end to these addresses, and waits for a while until each was tried once.
    pub async fn push(&self, targets: &[PushTarget], end: End) {
        let End { run_key, state, task } = end;
        let body = json!({ "task": task }).to_string();
        let all = targets.iter().map(async |target| {
            let url = match self.check(&target.url).await {
                Ok(url) => url,
                Err(error) => {
                    return tracing::warn!(%error, "a push notification is not sent");
                }
            };
            let webhook = Webhook { url, secret: self.secret.clone(), headers: HeaderMap::new() };
            let id = format!("msg_{run_key}_{state}_{}", target.id);
            self.try_once(Delivery { webhook, id, event: body.clone() }).await;
        });
        join_all(all).await;
    }
}

impl End {
    /// The end of a run with this outcome.
    pub fn of(task_id: &str, run_key: &str, outcome: &Outcome) -> Self {
        let (state, task) = task(task_id, run_key, outcome);
        Self { run_key: run_key.to_owned(), state: state.to_owned(), task }
    }
}

/// The state, and the task as a stream of the protocol has it.
fn task(task_id: &str, run_key: &str, outcome: &Outcome) -> (&'static str, Value) {
    let (state, note) = match outcome {
        Ok(answer) if matches!(answer.ending, Ending::Waits { .. }) => {
            ("TASK_STATE_INPUT_REQUIRED", answer.waiting_text())
        }
        Ok(answer) => ("TASK_STATE_COMPLETED", answer.response.clone()),
        Err(RunError { kind: RunErrorKind::Cancelled, .. }) => {
            ("TASK_STATE_CANCELED", "the run was cancelled".to_owned())
        }
        Err(error) => ("TASK_STATE_FAILED", error.message()),
    };
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let message = json!({ "messageId": format!("{run_key}:status"), "taskId": task_id,
        "contextId": task_id, "role": "ROLE_AGENT", "parts": [{ "text": note }] });
    let mut metadata = json!({ "run_key": run_key });
    if let Err(error) = outcome {
        metadata["code"] = json!(error.code());
    }
    let artifacts: Vec<_> =
        outcome.as_ref().ok().and_then(|answer| artifact(answer)).into_iter().collect();
    let task = json!({ "id": task_id, "contextId": task_id, "artifacts": artifacts, "metadata": metadata,
        "status": { "state": state, "timestamp": now, "message": message } });
    (state, task)
}

/// The reply, where there is one.
fn artifact(answer: &RunAnswer) -> Option<Value> {
    if answer.stored().is_none() || answer.response.is_empty() {
        return None;
    }
    let mut parts = vec![json!({ "text": answer.response })];
    if let Some(Output::Fits(data)) = &answer.output {
        parts.push(json!({ "data": data, "mediaType": "application/json" }));
    }
    Some(json!({ "artifactId": "reply", "name": "reply", "parts": parts }))
}

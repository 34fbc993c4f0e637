//! Push notifications of A2A (<https://a2a-protocol.org/latest/specification/>): who wants to hear how the runs
//! of a task end, as the task's metadata have it. They hold addresses only, no secrets. Whoever holds an agent
//! token of the user may write metadata, a model among them, so each address has a MAC and counts for nothing
//! without it; and each is checked again before anything is sent there.

use chrono::{SecondsFormat, Utc};
use futures::future::join_all;
use http::HeaderMap;
use mc_client::journal_mac::JournalKeys;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use wombat_core::session::SessionKey;

use super::{Delivery, Webhooks};
use crate::protocols::A2A_PUSH;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::output::Output;
use crate::run::registry::Outcome;
use crate::run::request::Webhook;

/// What the MAC of an address is for.
const LABEL: &str = "a2a push target";

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

/// An address as the metadata have it.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    target: PushTarget,
    mac: String,
}

/// Whose addresses they are: of which user, role, and task.
#[derive(Debug, Clone, Copy)]
pub struct TargetsOf<'a> {
    /// What they are authenticated with.
    pub keys: &'a JournalKeys,
    /// The user and the role.
    pub session: &'a SessionKey,
    /// The task's id.
    pub task_id: &'a str,
}

impl TargetsOf<'_> {
    /// The addresses in the task's metadata that a daemon has put there.
    pub fn read(&self, metadata: Option<&Map<String, Value>>) -> Vec<PushTarget> {
        let role = self.session.role().as_str();
        let all = metadata.and_then(|metadata| metadata.get(A2A_PUSH)?.get(role)?.as_array());
        let kept = all.into_iter().flatten().filter_map(|kept| Kept::deserialize(kept).ok());
        let own = kept.filter(|Kept { target, mac }| {
            self.keys.is_tag(mac, LABEL, &self.authenticated(target))
        });
        own.map(|kept| kept.target).take(MOST).collect()
    }

    /// Puts them there.
    pub fn write(&self, metadata: &mut Map<String, Value>, targets: &[PushTarget]) {
        let all = metadata.entry(A2A_PUSH).or_insert_with(|| json!({}));
        if !all.is_object() {
            *all = json!({});
        }
        let kept = |target: &PushTarget| Kept {
            mac: self.keys.tag(LABEL, &self.authenticated(target)),
            target: target.clone(),
        };
        all[self.session.role().as_str()] = json!(targets.iter().map(kept).collect::<Vec<_>>());
    }

    fn authenticated<'a>(&'a self, target: &'a PushTarget) -> [&'a str; 5] {
        let (user, role) = (self.session.user().as_str(), self.session.role().as_str());
        [user, role, self.task_id, &target.id, &target.url]
    }
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
    pub fn of(task_and_context: (&str, &str), run_key: &str, outcome: &Outcome) -> Self {
        let (state, task) = task(task_and_context, run_key, outcome);
        Self { run_key: run_key.to_owned(), state: state.to_owned(), task }
    }
}

/// The state, and the task as a stream of the protocol has it.
fn task(
    (task_id, context): (&str, &str),
    run_key: &str,
    outcome: &Outcome,
) -> (&'static str, Value) {
    let (state, note) = match outcome {
        Ok(answer) if matches!(answer.ending, Ending::Waits { .. }) => {
            ("TASK_STATE_INPUT_REQUIRED", answer.waiting_text())
        }
        // The reply is the artifact.
        Ok(_) => ("TASK_STATE_COMPLETED", String::new()),
        Err(RunError { kind: RunErrorKind::Cancelled, .. }) => {
            ("TASK_STATE_CANCELED", "the run was cancelled".to_owned())
        }
        Err(error) => ("TASK_STATE_FAILED", error.message()),
    };
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut status = json!({ "state": state, "timestamp": now });
    if !note.is_empty() {
        status["message"] = json!({ "messageId": format!("{run_key}:status"), "taskId": task_id,
            "contextId": context, "role": "ROLE_AGENT", "parts": [{ "text": note }] });
    }
    let mut metadata = json!({ "run_key": run_key });
    if let Err(error) = outcome {
        metadata["code"] = json!(error.code());
    }
    let artifacts: Vec<_> =
        outcome.as_ref().ok().and_then(|answer| artifact(answer)).into_iter().collect();
    let task = json!({ "id": task_id, "contextId": context, "artifacts": artifacts, "metadata": metadata,
        "status": status });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_a_daemon_has_kept_for_this_task_count() {
        let keys = |secret: &str, previous: Option<&str>| {
            JournalKeys::new(&secret.into(), previous.map(Into::into).as_ref())
        };
        let session = |role: &str| SessionKey::parse(&format!("user:u:{role}")).unwrap();
        let (old, own, other) = (keys("old", None), session("scout"), session("jarvis"));
        let of = TargetsOf { keys: &old, session: &own, task_id: "t" };
        let target = PushTarget { id: "1".to_owned(), url: "https://a.example/".to_owned() };
        let mut metadata = Map::new();
        of.write(&mut metadata, std::slice::from_ref(&target));
        assert_eq!(of.read(Some(&metadata)), std::slice::from_ref(&target));
        // A key that has been changed since still verifies.
        let (new, foreign) = (keys("new", Some("old")), keys("new", None));
        assert_eq!(TargetsOf { keys: &new, ..of }.read(Some(&metadata)), [target]);
        assert_eq!(TargetsOf { keys: &foreign, ..of }.read(Some(&metadata)), []);
        assert_eq!(TargetsOf { task_id: "u", ..of }.read(Some(&metadata)), []);
        let moved = json!({ "jarvis": metadata[A2A_PUSH]["scout"] });
        let moved = Map::from_iter([(A2A_PUSH.to_owned(), moved)]);
        assert_eq!(TargetsOf { session: &other, ..of }.read(Some(&moved)), []);
        metadata[A2A_PUSH]["scout"][0]["url"] = json!("https://evil.example/");
        assert_eq!(of.read(Some(&metadata)), []);
        metadata[A2A_PUSH]["scout"] = json!([{ "id": "1", "url": "https://evil.example/" }]);
        assert_eq!(of.read(Some(&metadata)), []);
    }
}

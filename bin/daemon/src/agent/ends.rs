//! Tells whoever wants to know how a detached run ended: its webhook, and its task's push notifications.

use std::time::Duration;

use mc_client::client::AgentClient;
use tokio::time::Instant;

use crate::protocols::{Protocol, a2a_context};
use crate::run::registry::{Outcome, RunHandle};
use crate::run::request::RunRequest;
use crate::state::App;
use crate::webhook::push::{End, PushTarget, TargetsOf};

/// How long reading a task's metadata may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Who tells what of.
pub(crate) struct Ends<'a> {
    pub(crate) app: &'a App,
    pub(crate) request: &'a RunRequest,
    /// The run's user and role.
    pub(crate) client: &'a AgentClient,
    pub(crate) task_id: &'a str,
}

impl Ends<'_> {
    /// Tells of a run that this instance executed, and waits for the first attempt.
    pub(super) async fn announce(&self, handle: &RunHandle, outcome: &Outcome) -> Vec<PushTarget> {
        let webhook = self.app.webhooks.announce(self.request, handle, outcome);
        tokio::join!(webhook, self.push(outcome, &[])).1
    }

    /// Tells of a run whose end this instance has found, or made. False where nobody wants to know.
    pub(crate) async fn tell(&self, run_id: &str, outcome: &Outcome) -> bool {
        let webhook = self.app.webhooks.tell(self.request, run_id, outcome);
        let ((), pushed) = tokio::join!(webhook, self.push(outcome, &[]));
        !pushed.is_empty() || self.request.webhook.is_some()
    }

    /// Push notifications to whoever was not `told` yet; who that is.
    pub(super) async fn push(&self, outcome: &Outcome, told: &[PushTarget]) -> Vec<PushTarget> {
        let Some(key) = &self.request.key else { return Vec::new() };
        if !self.app.settings.protocols.has(Protocol::A2a) {
            return Vec::new();
        }
        let (keys, session) = (&*self.app.settings.journal_keys, &self.request.session);
        let client = self.client.clone().with_deadline(Instant::now() + TIMEOUT);
        let (targets, context) = match client.get_task(self.task_id).await {
            Ok(task) => {
                let of = TargetsOf { keys, session, task_id: &task.id };
                (of.read(task.metadata.as_ref()), a2a_context(&task).to_owned())
            }
            // Where the backend has no single tasks, none is asked to be told.
            Err(error) if error.is_not_found() => return Vec::new(),
            Err(error) => {
                let (task_id, run_key) = (self.task_id, key.as_str());
                tracing::warn!(%error, task_id, run_key, "a task's push notifications are not known; nobody is told");
                return Vec::new();
            }
        };
        let new: Vec<_> = targets.into_iter().filter(|target| !told.contains(target)).collect();
        if !new.is_empty() {
            let end = End::of((self.task_id, &context), key.as_str(), outcome);
            self.app.webhooks.push(&new, end).await;
        }
        new
    }
}

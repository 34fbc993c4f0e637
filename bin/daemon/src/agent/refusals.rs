//! What a run is refused for before anything is made for it: a key that belongs to another request, a
//! model that cannot be called, a budget that is used up.

use llm::Tier;
use llm::model::ModelRef;
use mc_client::client::AgentClient;
use mc_client::runs::RunStatus;
use mc_client::types::{Capabilities, Message};
use wombat_core::agent_config::{AgentProfile, ModelTier};
use wombat_core::workspace::Snapshot;

use super::budget;
use super::driver::RunDriver;
use super::journal::{Journal, RecordedRequest, empty_chain};
use super::model::models;
use super::most_price::MostPrice;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::request::{TaskTarget, fingerprint};

impl RunDriver<'_> {
    /// Before a task is created: refuses the run for what can be known by now. Returns the task of an
    /// earlier attempt, which is not to be created again although its title has changed since.
    pub(super) async fn task_before(
        &self,
        client: &AgentClient,
        model: &ModelRef,
        snapshot: &Snapshot,
    ) -> Result<Option<String>, RunError> {
        let capabilities = self.capabilities().await?;
        if self.request.key.is_some() {
            let stored = async {
                let stored = stored_reply(client, &capabilities, self).await;
                stored.map_err(|error| RunError::backend(&error))
            };
            let journal = self.open_journal(client, &capabilities);
            let (stored, journal) = tokio::try_join!(stored, journal)?;
            if let (Some(reply), None) = (&stored, journal.earlier_run())
                && self.is_on_renamed(client, &capabilities, reply).await?
            {
                return Ok(Some(reply.task_id.clone()));
            }
            self.check_earlier_run(&journal, stored.as_ref(), None)?;
            if let Some(recorded) = journal.recorded_request()? {
                return Ok(Some(recorded.task_id));
            }
            if stored.is_some() {
                // Nothing is left to call a model for.
                return Ok(None);
            }
        }
        self.refuse_unread(&capabilities)?;
        if self.has_empty_checklist(snapshot) {
            return Ok(None);
        }
        self.check_model(model)?;
        if capabilities.has("budgets") {
            budget::check(client, &self.models(model)).await?;
        }
        Ok(None)
    }

    /// Whether a reply of this key may be on the request's task, though no task has the title any more:
    /// whether that task has been changed since it was made, as a renamed one has.
    async fn is_on_renamed(
        &self,
        client: &AgentClient,
        capabilities: &Capabilities,
        reply: &Message,
    ) -> Result<bool, RunError> {
        let TaskTarget::Title { title, .. } = &self.request.task else { return Ok(false) };
        if reply.task_id.is_empty() || !capabilities.has("tasks_get") {
            return Ok(false);
        }
        match client.get_task(&reply.task_id).await {
            Ok(task) => Ok(task.title == *title || task.updated_at != task.created_at),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(RunError::backend(&error)),
        }
    }

    /// The run's journal, where the backend keeps one.
    pub(super) async fn open_journal(
        &self,
        client: &AgentClient,
        capabilities: &Capabilities,
    ) -> Result<Journal, RunError> {
        if !capabilities.has("run_journal") {
            return Ok(Journal::default());
        }
        let keys = &self.app.settings.journal_keys;
        let chain = empty_chain(keys, self.run_key, &self.request.session);
        Journal::open(client, chain, self.run_key, self.request.key.is_some()).await
    }

    /// Refuses a run that was cancelled before, one whose journal cannot be trusted, and a key that
    /// belongs to another request. Of a run that has ended and has a stored reply, nothing in the journal
    /// is done again. `task_id` is `None` where the request's task does not exist yet; the journal is then
    /// left as it is, for another instance may be at work on it, and this one has no turn.
    pub(super) fn check_earlier_run(
        &self,
        journal: &Journal,
        stored: Option<&Message>,
        task_id: Option<&str>,
    ) -> Result<(), RunError> {
        let Some(earlier) = journal.earlier_run() else {
            return check_task(stored.map(|reply| reply.task_id.as_str()), task_id);
        };
        if earlier.known_status() == Some(RunStatus::Cancelled) {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        let mut recorded = None;
        if let Err(error) = journal.check() {
            let is_final = earlier.known_status().is_some_and(RunStatus::is_final);
            if !is_final && task_id.is_some() {
                self.finalizer.track_journal(journal);
            }
            if !is_final || stored.is_none() {
                return Err(error);
            }
        } else {
            recorded = journal.recorded_request()?;
        }
        match &recorded {
            Some(recorded) => self.check_fingerprint(recorded)?,
            None => {
                check_task(stored.map(|reply| reply.task_id.as_str()), task_id)?;
                check_task(earlier.task_id.as_deref(), task_id)?;
            }
        }
        if earlier.cancel_requested {
            if task_id.is_some() {
                self.finalizer.track_journal(journal);
            }
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        Ok(())
    }

    /// The fingerprint of the request. Computed on demand: most runs have no key and no journal.
    pub(super) fn fingerprint(&self) -> &str {
        self.fingerprint.get_or_init(|| fingerprint(self.request))
    }

    /// Refuses a request whose key belongs to another one.
    pub(super) fn check_fingerprint(&self, recorded: &RecordedRequest) -> Result<(), RunError> {
        if self.request.resumed || recorded.fingerprint == self.fingerprint() {
            return Ok(());
        }
        Err(RunError::new(RunErrorKind::KeyConflict))
    }

    /// Refuses a run whose model, and the fallback, cannot be called, or not within the caller's limit
    /// on the cost.
    pub(super) fn check_model(&self, model: &ModelRef) -> Result<(), RunError> {
        self.app.llm.check(model, self.request.customer.falls_back()).map_err(RunError::llm)?;
        if self.request.limits.max_cost_usd.is_none() {
            return Ok(());
        }
        let all = self.models(model);
        let unknown = all.into_iter().find(|(model, _)| MostPrice::of(model, 0).is_none());
        unknown.map_or(Ok(()), |(model, _)| {
            Err(RunError::new(RunErrorKind::PriceUnknown(model.name.clone())))
        })
    }

    /// The model of the role, or of the tier that the request asks for.
    pub(super) fn model_of(&self, profile: &AgentProfile) -> &ModelRef {
        let tier = match self.request.options.model_tier.unwrap_or(profile.model_tier) {
            ModelTier::Default => Tier::Default,
            ModelTier::Cheap => Tier::Cheap,
            ModelTier::Best => Tier::Best,
        };
        self.request.customer.model(tier).unwrap_or_else(|| self.app.llm.model(tier))
    }

    /// The models that may be asked where this one is meant, with the longest answers that they can give.
    pub(super) fn models<'m>(&'m self, model: &'m ModelRef) -> Vec<(&'m ModelRef, Option<u32>)> {
        models(&self.app.llm, model, self.request.customer.falls_back())
    }
}

/// The reply that an earlier run with the same key stored, where the backend can tell.
pub(super) async fn stored_reply(
    client: &AgentClient,
    capabilities: &Capabilities,
    run: &RunDriver<'_>,
) -> Result<Option<Message>, mc_client::error::McError> {
    if run.request.key.is_none() || !capabilities.has("message_lookup") {
        return Ok(None);
    }
    client.message_by_key(&run.run_key.reply_key()).await
}

/// Refuses a key whose earlier request was for another task. Without the earlier request itself its task
/// is all that is known of it.
fn check_task(earlier: Option<&str>, task_id: Option<&str>) -> Result<(), RunError> {
    match (earlier, task_id) {
        (None | Some(""), _) => Ok(()),
        (Some(earlier), Some(task_id)) if is_same_task(earlier, task_id) => Ok(()),
        (Some(_), _) => Err(RunError::new(RunErrorKind::KeyConflict)),
    }
}

/// Whether two ids may be of the same task: a backend may leave out the id, and write it in its own
/// letter case.
pub(super) fn is_same_task(theirs: &str, task_id: &str) -> bool {
    theirs.is_empty() || theirs.eq_ignore_ascii_case(task_id)
}

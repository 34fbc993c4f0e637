//! What a run works with once it is known.

use std::sync::{Arc, OnceLock};

use llm::model::ModelRef;
use mc_client::client::AgentClient;
use mc_client::runs::RunStatus;
use mc_client::types::Capabilities;
use wombat_core::agent_config::AgentProfile;
use wombat_core::redact::Redactor;
use wombat_core::workspace::Snapshot;

use super::driver::RunDriver;
use super::files::RunFiles;
use super::handing_on::HandedOn;
use super::journal::Journal;
use super::kept_results::KeptResults;
use super::loaded_tools::LoadedTools;
use crate::tools::ToolSet;

/// An admitted run with everything that was found out before the model is called. All steps of the
/// conversation are methods of it.
pub(super) struct RunContext<'a> {
    /// What is redacted, and given back, where anything is.
    pub(super) redactor: Option<Arc<Redactor>>,
    /// The run as it was admitted.
    pub(super) run: &'a RunDriver<'a>,
    /// The backend, as the run's user and role.
    pub(super) client: AgentClient,
    /// The backend's optional features.
    pub(super) capabilities: Arc<Capabilities>,
    /// The workspace; the same one from beginning to end.
    pub(super) snapshot: Arc<Snapshot>,
    /// The role's configuration.
    pub(super) profile: AgentProfile,
    /// The role's tools.
    pub(super) tools: Arc<ToolSet>,
    /// The model to call.
    pub(super) model: ModelRef,
    /// The task that the reply belongs to.
    pub(super) task_id: String,
    /// The files of the run.
    pub(super) files: RunFiles,
    /// The run's journal; disabled where the backend has none.
    pub(super) journal: Journal,
    /// What it hands on to other roles.
    pub(super) handed_on: HandedOn,
    /// Its results that were too long for the model.
    pub(super) kept: KeptResults,
    /// The tools that its model was given since it began.
    pub(super) loaded: LoadedTools,
    /// Why it has no memories; see [`RunContext::memory_warning`].
    pub(super) memory_warning: OnceLock<String>,
}

impl RunContext<'_> {
    /// Whether the journal says that an earlier attempt of this run was completed.
    pub(super) fn is_completed(&self) -> bool {
        let earlier = self.journal.earlier_run().and_then(|run| run.known_status());
        earlier == Some(RunStatus::Completed)
    }
}

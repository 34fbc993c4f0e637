//! What a detached run is refused for, its place in the session's queue, and its step 0.

use futures::FutureExt as _;
use mc_client::client::AgentClient;
use mc_client::runs::{PutRun, Run, RunStatus};

use super::budget;
use super::detach::{Accepted, Admission, Entering, NEEDS, Place, accepted, pending};
use super::driver::RunDriver;
use super::journal::{Detached, Journal, RecordedRequest, empty_chain};
use super::lease::SessionLease;
use super::memories::Recalled;
use super::prepare::{busy, find_task, lane};
use super::stands::Stands;
use crate::run::error::{RunError, RunErrorKind};
use crate::run::standing::Standing;
use crate::run::written;
use crate::sessions::SessionPolicy;
use crate::tools::ToolSet;
use crate::workspaces::Chosen;

impl RunDriver<'_> {
    /// Everything before the caller is answered.
    pub(super) async fn admit(&self, is_new_key: bool) -> Result<Admission, RunError> {
        let capabilities = self.capabilities().await?;
        if let Some(missing) = NEEDS.into_iter().find(|feature| !capabilities.has(feature)) {
            return Err(RunError::new(RunErrorKind::FeatureMissing(missing)));
        }
        let role = self.request.session.role().as_str();
        let Chosen { snapshot, profile, tools } =
            self.app.workspaces.for_run(&self.request.customer, role)?;
        self.check_rules(&profile)?;
        let lasting = self.plain_client()?;
        let client = lasting.clone().with_deadline(self.deadline);
        let keys = &self.app.settings.journal_keys;
        let chain = empty_chain(keys, self.run_key, &self.request.session);
        let journal = Journal::open(&client, chain, self.run_key, !is_new_key).await?;
        journal.give_back_by(self.redactor.as_ref());
        let recorded = journal.recorded_request()?;
        if let (Some(recorded), Some(earlier)) = (&recorded, journal.earlier_run()) {
            let earlier = Run { steps: journal.steps(), ..earlier.clone() };
            return self.go_on(&client, &lasting, &journal, recorded, &earlier).await;
        }
        if self.refuse_cancelled(&client, &journal).await? {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        self.refuse_unread(&capabilities)?;
        let model = self.model_of(&profile).clone();
        if !self.has_empty_checklist(&snapshot) {
            self.check_model(&model)?;
            if capabilities.has("budgets") {
                budget::check(&client, &self.models(&model)).await?;
            }
        }
        // The order of messages is kept, whatever the policy is about other runs.
        let (queue, sessions) = (SessionPolicy::Queue, &self.app.sessions);
        let before = async || self.task_before(&client, &model, &snapshot).await;
        let found = find_task(&client, sessions, queue, self.request, before).await?;
        let (task_id, resolving) = found;
        self.span.set_conversation(&task_id);
        let place = self.place(&lasting, &task_id).await?;
        drop(resolving);
        let journal = fenced(&journal, &client, &place);
        let digest = snapshot.digest();
        let recalled = self.recall(&client, &capabilities, &profile, &task_id).await;
        let tools = tools.of_role(&snapshot, &profile, &capabilities).await;
        let run = PutRun { extra: self.begun(&model), ..self.row(&task_id, digest) };
        let first = self.first_step(&task_id, digest, recalled, &tools);
        let started = journal.start(run, first).await;
        let checked = started.and_then(|theirs| self.check_fingerprint(&theirs).map(|()| theirs));
        let theirs = match checked {
            Ok(theirs) => theirs,
            Err(error) => {
                self.give_back(place);
                return Err(error);
            }
        };
        // An equal request may have come to another instance at the same moment.
        let of_other = |detached: &Detached| detached.run_id != self.handle.run_id;
        let is_replay = theirs.detached.as_ref().is_some_and(of_other);
        let accepted = Accepted {
            run_key: self.run_key.clone(),
            run_id: self.handle.run_id.clone(),
            task_id,
            standing: Standing::Queued,
            is_replay,
        };
        Ok(Admission::Go(accepted, Box::new(place)))
    }

    /// A key whose run is in the journal.
    async fn go_on(
        &self,
        client: &AgentClient,
        lasting: &AgentClient,
        journal: &Journal,
        recorded: &RecordedRequest,
        earlier: &Run,
    ) -> Result<Admission, RunError> {
        self.span.set_conversation(&recorded.task_id);
        self.check_fingerprint(recorded)?;
        let is_completed = self.refuse_cancelled(client, journal).await?;
        let mut earlier = earlier.clone();
        if is_completed {
            earlier.cancel_requested = false;
            earlier.status = RunStatus::Completed.as_str().to_owned();
        }
        let earlier = &earlier;
        let mut accepted = accepted(self.run_key, earlier)?;
        accepted.task_id.clone_from(&recorded.task_id);
        if accepted.standing == Standing::Completed {
            return Ok(Admission::Over(accepted));
        }
        let mut goes_on_waiting = false;
        if accepted.standing.is_waiting() {
            let waits = Standing::waiting_for(&pending(client, self.run_key).await?);
            if waits == Some(accepted.standing) {
                return Ok(Admission::Over(accepted));
            }
            // Once only questions are left, that is written at its turn.
            goes_on_waiting = waits.is_some();
            accepted.standing = waits.unwrap_or_else(|| Standing::at_work(earlier));
        }
        let place = self.place(lasting, &recorded.task_id).await?;
        accepted.run_id.clone_from(&self.handle.run_id);
        if goes_on_waiting {
            return Ok(Admission::Go(accepted, Box::new(place)));
        }
        if matches!(accepted.standing, Standing::Failed | Standing::Interrupted)
            || earlier.known_status() != Some(RunStatus::Running)
            || !earlier.detached
        {
            // Whoever asks from now on is not told of the earlier end.
            let run = PutRun {
                status: Some(RunStatus::Running),
                detached: Some(true),
                workspace: Some(self.request.customer.workspace.clone())
                    .filter(|_| !self.request.customer.is_unread),
                profile_digest: self.request.customer.digest.clone(),
                extra: written::executed_as(&self.handle.run_id),
                ..PutRun::default()
            };
            match fenced(journal, client, &place).put(&run).await {
                Ok(note) if note.cancel_requested => {
                    self.give_back(place);
                    return Err(RunError::new(RunErrorKind::Cancelled));
                }
                Ok(_) => {
                    let now = Run { detached: true, ..earlier.clone() };
                    accepted.standing = Standing::at_work(&now);
                }
                Err(error) if error.is_run_finished() => {
                    self.give_back(place);
                    accepted.standing = Standing::Completed;
                    return Ok(Admission::Over(accepted));
                }
                Err(error) => {
                    self.give_back(place);
                    return Err(RunError::backend(&error));
                }
            }
        }
        Ok(Admission::Go(accepted, Box::new(place)))
    }

    /// Refuses a run that was cancelled. One of which nobody has taken notice is over now; true where that
    /// means completed, because its reply stands.
    async fn refuse_cancelled(
        &self,
        client: &AgentClient,
        journal: &Journal,
    ) -> Result<bool, RunError> {
        journal.check()?;
        let Some(earlier) = journal.earlier_run() else { return Ok(false) };
        let is_cancelled = earlier.known_status() == Some(RunStatus::Cancelled);
        if earlier.cancel_requested && !is_cancelled {
            let stands = Stands {
                app: self.app,
                request: self.request,
                key: self.run_key,
                trace: self.trace,
                run_id: &self.handle.run_id,
            };
            if stands.complete(client).await? {
                return Ok(true);
            }
            let _at_its_own_end = client.cancel_run(self.run_key.as_str()).await;
        }
        if is_cancelled || earlier.cancel_requested {
            return Err(RunError::new(RunErrorKind::Cancelled));
        }
        Ok(false)
    }

    /// A place in the session's queue.
    async fn place(&self, client: &AgentClient, task_id: &str) -> Result<Place, RunError> {
        let session = &self.request.session;
        let most = self.app.settings.background.max_queued;
        let waiting = self.app.sessions.wait_in(&session.to_string(), most);
        let waiting = waiting.ok_or_else(|| RunError::new(RunErrorKind::QueueFull))?;
        let is_patient = self.app.settings.session_policy != SessionPolicy::Reject;
        let policy = if is_patient { SessionPolicy::Queue } else { SessionPolicy::Reject };
        let (sessions, lane) = (self.app.sessions.clone(), lane(session, task_id));
        let mut enter = async move { sessions.enter(lane, policy).await }.boxed();
        let turn = match (&mut enter).now_or_never() {
            Some(turn) => Entering::Entered(turn.map_err(busy)?),
            None => Entering::Waits(enter),
        };
        let lease = if is_patient {
            None
        } else {
            let (session, run_id) = (session.to_string(), &self.handle.run_id);
            Some(SessionLease::acquire(client, &session, task_id, run_id, policy).await?)
        };
        Ok(Place { task_id: task_id.to_owned(), turn, lease, waiting: Some(waiting) })
    }

    /// Gives back the lease of a place that is not used.
    fn give_back(&self, place: Place) {
        if let Some(lease) = place.lease {
            self.app.runs.tracker().spawn(lease.release());
        }
    }

    fn row(&self, task_id: &str, digest: &str) -> PutRun {
        PutRun {
            session_key: Some(self.request.session.to_string()),
            task_id: Some(task_id.to_owned()),
            status: Some(RunStatus::Running),
            workspace_digest: Some(digest.to_owned()),
            workspace: Some(self.request.customer.workspace.clone()),
            profile_digest: self.request.customer.digest.clone(),
            detached: Some(true),
            extra: written::executed_as(&self.handle.run_id),
            ..PutRun::default()
        }
    }

    /// Step 0.
    fn first_step(
        &self,
        task_id: &str,
        digest: &str,
        recalled: Recalled,
        tools: &ToolSet,
    ) -> RecordedRequest {
        let request = self.request;
        RecordedRequest {
            message: request.message.clone(),
            history: self.redact_turns(request.history.clone().unwrap_or_default()),
            attachments: request.attachments.iter().map(|own| own.file.clone()).collect(),
            files: Vec::new(),
            newest: self.newest_turn(&recalled.memories),
            metadata: request.metadata.clone(),
            limits: request.asked_limits.to_json(),
            workspace_digest: digest.to_owned(),
            fingerprint: self.fingerprint().to_owned(),
            task: request.task.to_json(),
            task_id: task_id.to_owned(),
            output: request.output.as_deref().cloned(),
            parent: None,
            memories: recalled.memories,
            memory_warning: recalled.warning,
            workspace: Some(request.customer.workspace.clone()),
            profile_digest: request.customer.digest.clone(),
            tools_offered: tools.offered(),
            tools_refused: tools.refused().to_vec(),
            detached: Some(Detached {
                run_id: self.handle.run_id.clone(),
                trace_id: self.trace.to_string(),
                reads_thread: request.history.is_none(),
                webhook: request.webhook.as_ref().map(|hook| hook.url.to_string()),
            }),
        }
    }
}

/// The journal under the lease, where the run has it already.
fn fenced(journal: &Journal, client: &AgentClient, place: &Place) -> Journal {
    match &place.lease {
        Some(lease) => journal.with_client(client.clone().with_fence(lease.lease())),
        None => journal.clone(),
    }
}

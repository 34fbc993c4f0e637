//! Drives one run: does what the state machine says, against the model and the backend.

use std::sync::Arc;

use chrono::Utc;
use futures::StreamExt as _;
use futures::stream;
use llm::event::FinishReason;
use llm::model::ModelRef;
use llm::request::Message;
use llm::{CallContext, Tier};
use mc_client::client::AgentClient;
use mc_client::idempotency::RunKey;
use service::trace::TraceId;
use tokio::time::Instant;
use wombat_core::agent_config::{AgentProfile, ModelTier};
use wombat_core::heartbeat::{HeartbeatReply, heartbeat_reply, is_empty_checklist};
use wombat_core::untrusted::fence_untrusted;
use wombat_core::workspace::{PromptRequest, Snapshot, time_context};

use super::answer::{Produced, RunAnswer, RunError, RunErrorKind, StepReport};
use super::events::{EventSink, RunEvent};
use super::model::{Asker, estimate};
use super::prepare::{look_up, take_place};
use super::request::{RunKind, RunRequest};
use super::run::{Dead, Next, PlannedCall, RunState};
use super::store;
use crate::runs::RunHandle;
use crate::state::App;
use crate::tools::{ToolContext, ToolOutcome, ToolSet};

/// How many calls of one turn are made at once (docs/RUNS.md).
const PARALLEL_CALLS: usize = 8;

/// What the newest turn of a kickoff asks for when the caller gives no note.
const KICKOFF: &str = "Draft a concise plan for this task.";

/// A run that has been let in.
pub struct Drive<'a> {
    /// The daemon.
    pub app: &'a App,
    /// The order.
    pub request: &'a RunRequest,
    /// The run, as others see it.
    pub handle: &'a RunHandle,
    /// What its writes are keyed by.
    pub run_key: &'a RunKey,
    /// The trace of the request.
    pub trace: &'a TraceId,
    /// Where its events go.
    pub sink: &'a EventSink,
    /// When its time is over.
    pub deadline: Instant,
}

/// What a run has found out before the model is asked.
struct Scene {
    client: AgentClient,
    snapshot: Arc<Snapshot>,
    profile: AgentProfile,
    tools: Arc<ToolSet>,
    model: ModelRef,
    task_id: String,
}

impl Drive<'_> {
    /// The whole run.
    pub async fn run(&self) -> Result<RunAnswer, RunError> {
        let app = self.app;
        let session = &self.request.session;
        let traceparent = self.trace.traceparent();
        // One snapshot from here to the end.
        let snapshot = app.workspace.snapshot();
        let profile = snapshot.agent(session.role());
        let client = app
            .backend
            .agent(session.user().as_str(), session.role().as_str())
            .map_err(|error| RunError::backend(&error))?
            .with_trace(&traceparent)
            .with_deadline(self.deadline);
        let (capabilities, place) = tokio::try_join!(
            async {
                let capabilities = app.backend.capabilities(&traceparent).await;
                capabilities.map_err(|error| RunError::backend(&error))
            },
            take_place(&client, &app.sessions, app.settings.session_policy, self.request),
        )?;
        let tools = app.tools.get(&snapshot, &profile, &capabilities);
        let model = app.llm.model(self.tier(&profile)).clone();
        let task_id = place.task_id.clone();
        let scene = Scene { client, snapshot, profile, tools, model, task_id };
        let known = look_up(
            &scene.client,
            &capabilities,
            self.request,
            self.run_key,
            &scene.task_id,
            app.settings.history_limit,
        )
        .await?;
        self.sink
            .tell(|| RunEvent::Start {
                run_id: self.handle.run_id.clone(),
                task_id: scene.task_id.clone(),
                trace_id: self.trace.to_string(),
            })
            .await;
        if let Some(stored) = known.stored {
            return self.replay(&scene, stored).await;
        }
        if self.nothing_to_check(&scene.snapshot) {
            let answer = self.answer(&scene, String::new(), Vec::new());
            return Ok(RunAnswer { silent: Some(true), ..answer });
        }
        self.converse(&scene, known.history, traceparent).await
    }

    fn tier(&self, profile: &AgentProfile) -> Tier {
        match self.request.options.model_tier.unwrap_or(profile.model_tier) {
            ModelTier::Default => Tier::Default,
            ModelTier::Cheap => Tier::Cheap,
            ModelTier::Best => Tier::Best,
        }
    }

    /// A heartbeat whose checklist is empty needs no model.
    fn nothing_to_check(&self, snapshot: &Snapshot) -> bool {
        self.request.options.kind == RunKind::Heartbeat
            && snapshot.heartbeat().is_some_and(is_empty_checklist)
    }

    /// Model and tools in turn, until there is a reply; then stores it.
    async fn converse(
        &self,
        scene: &Scene,
        history: Vec<Message>,
        traceparent: String,
    ) -> Result<RunAnswer, RunError> {
        let messages = self.opening(scene, history);
        let asker = Asker {
            app: self.app,
            model: &scene.model,
            tools: scene.tools.specs(),
            limits: self.request.limits,
            call: CallContext {
                traceparent: Some(traceparent),
                deadline: Some(self.deadline),
                role: self.request.session.role().as_str().to_owned(),
                user_text: Some(self.request.message.clone()),
            },
            meter: &self.handle.meter,
            sink: self.sink,
        };
        let context_warning = self.context_warning(scene, estimate(&messages, asker.tools));
        let mut state = RunState::new(messages, self.request.limits.max_steps);
        let mut steps = Vec::new();
        let mut answered_by = None;
        loop {
            match state.next() {
                Next::Ask { messages, tool_choice } => {
                    let completion = asker.ask(messages, tool_choice).await.map_err(|broken| {
                        let said = broken.said.as_str();
                        let text = if said.is_empty() { state.text_so_far() } else { said };
                        self.attach(broken.error, scene, text, &steps)
                    })?;
                    answered_by =
                        Some((completion.model.clone(), completion.provider.as_str().to_owned()));
                    state.on_completion(completion);
                }
                Next::CallTools(calls) => {
                    let outcomes = self.call_tools(scene, calls).await;
                    for (planned, outcome) in calls.iter().zip(&outcomes) {
                        steps.push(step(planned, outcome));
                    }
                    let unclear: Vec<bool> =
                        outcomes.iter().map(|outcome| outcome.unclear).collect();
                    state.on_unclear(&unclear);
                    state.on_tool_results(outcomes.into_iter().map(|o| o.content).collect());
                }
                Next::Fail(why) => {
                    let kind = match why {
                        Dead::EmptyReply => RunErrorKind::EmptyReply,
                        Dead::ContentFiltered => RunErrorKind::ContentFiltered,
                    };
                    let error = RunError::new(kind);
                    return Err(self.attach(error, scene, state.text_so_far(), &steps));
                }
                Next::Reply { text, finish_reason } => {
                    let answer = self.store(scene, text, finish_reason, steps).await?;
                    let (model, provider) = answered_by.unzip();
                    return Ok(RunAnswer { context_warning, model, provider, ..answer });
                }
            }
        }
    }

    /// System prompt, history, and the newest turn, which the time opens.
    fn opening(&self, scene: &Scene, history: Vec<Message>) -> Vec<Message> {
        let options = &self.request.options;
        let now = Utc::now().with_timezone(&options.timezone);
        let system = match &options.system_prompt {
            Some(own) => own.clone(),
            None => {
                let request = PromptRequest {
                    role: self.request.session.role(),
                    mode: options.prompt_mode,
                    heartbeat: options.kind == RunKind::Heartbeat,
                    now,
                };
                scene.snapshot.prompt(&request).system.as_ref().to_owned()
            }
        };
        let mut newest = String::new();
        if self.app.settings.include_time {
            newest = time_context(&now) + "\n\n";
        }
        newest += &match options.kind {
            RunKind::Notification => fence_untrusted("notification", &self.request.message),
            RunKind::Message | RunKind::Heartbeat => self.request.message.clone(),
        };
        if let Some(kickoff) = &options.kickoff {
            newest += "\n\n";
            newest += kickoff.note.as_deref().unwrap_or(KICKOFF);
        }
        let mut messages = vec![Message::system(system)];
        messages.extend(history);
        messages.push(Message::user(newest));
        messages
    }

    fn context_warning(&self, scene: &Scene, tokens: u64) -> Option<String> {
        let window = self.app.llm.context_window(&scene.model);
        let percent = tokens.saturating_mul(100) / window.max(1);
        (percent >= u64::from(self.app.settings.context_warning_percent)).then(|| {
            format!(
                "the prompt has about {tokens} tokens, {percent} % of the {window} that {} can read",
                scene.model.name
            )
        })
    }

    /// The calls of one turn, several at once, their outcomes in the model's order.
    async fn call_tools(&self, scene: &Scene, calls: &[PlannedCall]) -> Vec<ToolOutcome> {
        let context = ToolContext {
            client: &scene.client,
            snapshot: &scene.snapshot,
            profile: &scene.profile,
            run_key: self.run_key,
            task_id: &scene.task_id,
            max_chars: self.app.settings.tool_result_max_chars,
        };
        // The futures are made before they are put into the stream: a closure there would not be
        // `Send` for every lifetime.
        let calls: Vec<_> =
            calls.iter().map(|planned| self.call_tool(scene, &context, planned)).collect();
        stream::iter(calls).buffered(PARALLEL_CALLS).collect().await
    }

    async fn call_tool(
        &self,
        scene: &Scene,
        context: &ToolContext<'_>,
        planned: &PlannedCall,
    ) -> ToolOutcome {
        let call = &planned.call;
        let told = || RunEvent::ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        };
        self.sink.tell(told).await;
        let outcome = scene.tools.call(context, planned).await;
        self.app.metrics.tool(&call.name, outcome.ok, outcome.duration);
        tracing::info!(
            run_id = self.handle.run_id,
            tool = call.name,
            ok = outcome.ok,
            duration_ms = millis(&outcome),
            "tool called"
        );
        let told = || RunEvent::ToolResult {
            id: call.id.clone(),
            name: call.name.clone(),
            ok: outcome.ok,
            duration_ms: millis(&outcome),
        };
        self.sink.tell(told).await;
        outcome
    }

    /// Stores the reply and, for a kickoff, the plan.
    async fn store(
        &self,
        scene: &Scene,
        text: &str,
        finish_reason: FinishReason,
        steps: Vec<StepReport>,
    ) -> Result<RunAnswer, RunError> {
        let is_heartbeat = self.request.options.kind == RunKind::Heartbeat;
        let finish_reason = Some(finish_reason.as_str().to_owned());
        let text = match heartbeat_reply(text, is_heartbeat) {
            HeartbeatReply::Reply(text) => text,
            HeartbeatReply::Silent => {
                let answer = self.answer(scene, text.to_owned(), steps);
                return Ok(RunAnswer { silent: Some(true), finish_reason, ..answer });
            }
        };
        let stored =
            store::reply(&scene.client, self.request, self.run_key, &scene.task_id, &text).await;
        let stored = stored.map_err(|error| {
            RunError::not_stored(&error, self.produced(scene, &text, &steps, None))
        })?;
        // The reply that the backend holds is the one that is told.
        let text = if stored.was_there { stored.message.content } else { text };
        let answer = RunAnswer {
            message_id: Some(stored.message.id),
            replayed: stored.was_there.then_some(true),
            finish_reason,
            ..self.answer(scene, text, steps)
        };
        self.with_plan(scene, answer).await
    }

    /// The reply was stored by an earlier run: nothing is asked again. A plan that it did not get
    /// to store is stored now.
    async fn replay(
        &self,
        scene: &Scene,
        stored: mc_client::types::Message,
    ) -> Result<RunAnswer, RunError> {
        let text = stored.content;
        let told = || RunEvent::Chunk { data: text.clone() };
        self.sink.tell(told).await;
        let answer = RunAnswer {
            message_id: Some(stored.id),
            replayed: Some(true),
            ..self.answer(scene, text, Vec::new())
        };
        self.with_plan(scene, answer).await
    }

    async fn with_plan(&self, scene: &Scene, answer: RunAnswer) -> Result<RunAnswer, RunError> {
        let Some(kickoff) = &self.request.options.kickoff else { return Ok(answer) };
        let (key, task_id) = (self.run_key, &scene.task_id);
        let plan = store::plan(&scene.client, kickoff, key, task_id, &answer.response).await;
        let plan = plan.map_err(|error| {
            let message_id = answer.message_id.clone();
            let produced = self.produced(scene, &answer.response, &answer.steps, message_id);
            RunError::not_stored(&error, produced)
        })?;
        Ok(RunAnswer { plan_document_id: Some(plan.id), ..answer })
    }

    fn answer(&self, scene: &Scene, response: String, steps: Vec<StepReport>) -> RunAnswer {
        let tally = self.handle.meter.read();
        RunAnswer {
            status: "ok",
            run_id: self.handle.run_id.clone(),
            task_id: scene.task_id.clone(),
            trace_id: self.trace.to_string(),
            message_id: None,
            response,
            usage: tally.usage,
            cost: tally.cost,
            model: None,
            provider: None,
            finish_reason: None,
            steps,
            workspace_digest: scene.snapshot.digest().to_owned(),
            plan_document_id: None,
            context_warning: None,
            replayed: None,
            silent: None,
        }
    }

    /// A failure with what the run has to show, if it has anything.
    fn attach(&self, error: RunError, scene: &Scene, text: &str, steps: &[StepReport]) -> RunError {
        error.with(self.produced(scene, text, steps, None))
    }

    fn produced(
        &self,
        scene: &Scene,
        text: &str,
        steps: &[StepReport],
        message_id: Option<String>,
    ) -> Produced {
        let tally = self.handle.meter.read();
        Produced {
            response: text.to_owned(),
            usage: tally.usage,
            cost: tally.cost,
            run_id: self.handle.run_id.clone(),
            task_id: scene.task_id.clone(),
            steps: steps.to_vec(),
            message_id,
        }
    }
}

fn step(planned: &PlannedCall, outcome: &ToolOutcome) -> StepReport {
    StepReport {
        kind: "tool",
        name: planned.call.name.clone(),
        arguments: planned.call.arguments.clone(),
        ok: outcome.ok,
        duration_ms: millis(outcome),
    }
}

fn millis(outcome: &ToolOutcome) -> u64 {
    u64::try_from(outcome.duration.as_millis()).unwrap_or(u64::MAX)
}

//! A run as a test (docs/EVAL.md): the run loop, prompt and rules of any run, and a real model; but a case answers in
//! place of tools and people, and nothing is stored. Nothing is connected to but the model.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use daemon_api::RequestKind;
use evals::{Answer, Answered, Answers, AskedCall, MadeCall};
use llm::Cost;
use llm::event::Usage;
use llm::request::{Message, ToolCall};
use mc_client::idempotency::RunKey;
use mc_client::steps::RecalledMemory;
use mc_client::types::Capabilities;
use serde_json::{Value, json};
use service::otel::{Side, Span};
use service::trace::TraceId;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;
use wombat_core::agent_config::AgentProfile;
use wombat_core::workspace::Snapshot;

use super::approval::{Decision, arguments_of};
use super::attempts::Attempt;
use super::driver::RunDriver;
use super::finalizer::RunFinalizer;
use super::finish::Progress;
use super::journal::Journal;
use super::launch::TIMEOUT_GRACE;
use super::prepare::Earlier;
use super::redaction;
use super::tool_calls::Need;
use crate::run::answer::{Ending, RunAnswer};
use crate::run::error::{RunError, RunErrorKind};
use crate::run::events::EventSink;
use crate::run::request::RunRequest;
use crate::state::App;
use crate::tools::{ASK_USER, FIND_TOOLS, OwnCall, READ_RESULT, RequestedCall, ToolReply, ToolSet};

/// The tool that reads the workspace, and answers for itself.
const READ_SKILL: &str = "read_skill";

/// The task of a run that has none.
const TASK: &str = "eval";

/// The name space of the keys of cases.
const KEYS: &str = "eval";

/// What a case answers, and what it has been asked.
#[derive(Debug)]
pub(crate) struct Replay {
    case: String,
    answers: Mutex<Answers>,
    calls: Mutex<BTreeMap<u32, MadeCall>>,
    asked: Mutex<Asked>,
    now: Option<DateTime<Utc>>,
    memories: Vec<RecalledMemory>,
}

/// What the model was asked.
#[derive(Debug, Clone, Default)]
struct Asked {
    turns: u32,
    prompt: String,
}

/// What came of a replayed run.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The answer, or why it failed.
    pub(crate) result: Result<RunAnswer, RunError>,
    /// The calls of the model, in order.
    pub(crate) calls: Vec<MadeCall>,
    /// How often the model was asked.
    pub(crate) turns: u32,
    /// The system prompt.
    pub(crate) prompt: String,
    /// The tokens.
    pub(crate) usage: Usage,
    /// The price.
    pub(crate) cost: Cost,
}

/// What a replayed run works with.
pub(crate) struct Stage {
    /// The request.
    pub(crate) request: RunRequest,
    /// The workspace.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The role.
    pub(crate) profile: AgentProfile,
    /// Its tools.
    pub(crate) tools: Arc<ToolSet>,
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a case answers a call. The workspace and the list of tools answer for themselves, and a question is the
/// run's own.
pub(super) fn is_answered(call: &ToolCall) -> bool {
    !matches!(call.name.as_str(), READ_SKILL | ASK_USER | FIND_TOOLS)
}

/// A call on which the journal has no decision: it waits, as it did.
pub(super) fn undecided(attempt: &Attempt<'_>, need: &Need) -> Decision {
    let requested = RequestedCall::of(&attempt.planned.call);
    let (kind, question) = match need {
        Need::Approval { .. } => (RequestKind::Approval, None),
        Need::Answer(question) => {
            let asked = question.arguments.get("question").and_then(Value::as_str);
            (RequestKind::Question, Some(asked.unwrap_or_default().to_owned()))
        }
    };
    Decision::Pending(Box::new(daemon_api::ToolRequest {
        id: format!("eval-{}", attempt.at),
        kind,
        tool: requested.tool.to_owned(),
        arguments: Value::Object(arguments_of(&requested)),
        question,
        options: None,
        parameters: None,
        expires_at: None,
        asked_by: None,
    }))
}

impl Replay {
    /// A case that has not been asked yet.
    pub(crate) fn new(
        case: String,
        answers: Answers,
        now: Option<DateTime<Utc>>,
        memories: Vec<RecalledMemory>,
    ) -> Self {
        let (calls, asked) = (Mutex::default(), Mutex::default());
        Self { case, answers: Mutex::new(answers), calls, asked, now, memories }
    }

    /// The id of the case.
    pub(super) fn case(&self) -> &str {
        &self.case
    }

    /// What the run is reminded of.
    pub(super) fn memories(&self) -> Vec<RecalledMemory> {
        self.memories.clone()
    }

    /// Takes down that the model is asked.
    pub(super) fn asks(&self, messages: &[Message]) {
        let mut asked = lock(&self.asked);
        asked.turns += 1;
        if let (1, Some(Message::System { content })) = (asked.turns, messages.first()) {
            asked.prompt.clone_from(content);
        }
    }

    /// Whether the model of the case reads on in results: in what was recorded, or written for it.
    pub(super) fn reads_results(&self) -> bool {
        lock(&self.answers).has_any(READ_RESULT)
    }

    /// The answer to a call of which the rules say this. A call that nothing answers ends the run.
    pub(super) fn answer(
        &self,
        tools: &ToolSet,
        attempt: &Attempt<'_>,
        said: ToolReply,
    ) -> Result<ToolReply, RunError> {
        let call = &attempt.planned.call;
        let meant = RequestedCall::of(call);
        let called = attempt.identity.endpoint.as_ref();
        let called = called.map(|(method, path)| format!("{method} {path}"));
        let endpoint = called.or_else(|| tools.endpoint(meant.tool).map(ToString::to_string));
        let asked = AskedCall {
            tool: &call.name,
            arguments: &call.arguments,
            meant: (meant.tool, meant.arguments),
            endpoint: endpoint.as_deref(),
            needs_approval: match &said {
                ToolReply::Judged { waits, .. } => *waits,
                said => matches!(said, ToolReply::NeedsApproval(_)),
            },
        };
        let note = |answered, waits| self.note(attempt, &asked, answered, (waits, false));
        let answer = match &said {
            ToolReply::Judged { .. } | ToolReply::NeedsApproval(_) => {
                lock(&self.answers).next(asked)
            }
            ToolReply::OfRun(OwnCall::Question(_)) => lock(&self.answers).next_question(asked),
            // Judging makes none of these; whoever made one would work with the real backend.
            ToolReply::OfRun(_) => None,
            // The workspace has answered, or the call was not made.
            other => {
                let from = if other.is_made() { Answered::Workspace } else { Answered::Refused };
                note(from, false);
                return Ok(said);
            }
        };
        match answer {
            Some(Answer::Given { ok, content, from, unasked }) => {
                self.note(attempt, &asked, from, (false, unasked));
                Ok(match call.name == ASK_USER && ok {
                    true => ToolReply::Answered(word_of(&content)),
                    false => ToolReply::Recorded { ok, text: content },
                })
            }
            // Nobody has decided, so that nobody does.
            Some(Answer::Waits) => {
                note(Answered::Journal, true);
                Ok(match said {
                    ToolReply::Judged { .. } => ToolReply::NeedsApproval(call.name.clone()),
                    said => said,
                })
            }
            None => {
                note(Answered::Diverged, false);
                let why = format!("nothing answers the call {} {}", call.name, call.arguments);
                Err(RunError::new(RunErrorKind::Internal).caused_by(why))
            }
        }
    }

    fn note(
        &self,
        attempt: &Attempt<'_>,
        asked: &AskedCall<'_>,
        answered: Answered,
        (waits, unasked): (bool, bool),
    ) {
        let arguments = |given: &Value| if given.is_null() { json!({}) } else { given.clone() };
        let (tool, of_tool) = asked.meant;
        let made = MadeCall {
            tool: asked.tool.to_owned(),
            arguments: arguments(asked.arguments),
            answered,
            endpoint: asked.endpoint.map(str::to_owned),
            meant: (tool != asked.tool).then(|| (tool.to_owned(), arguments(of_tool))),
            waits,
            unasked,
        };
        lock(&self.calls).insert(attempt.at, made);
    }
}

/// A person's answer, as the journal has it, or as a case was written.
fn word_of(content: &str) -> Value {
    match serde_json::from_str::<Value>(content) {
        Ok(Value::Object(mut fields)) if fields.len() == 1 && fields.contains_key("answer") => {
            fields.shift_remove("answer").unwrap_or_default()
        }
        Ok(value) => value,
        Err(_) => Value::String(content.to_owned()),
    }
}

impl RunDriver<'_> {
    /// The time that the run is told.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.replay.and_then(|replay| replay.now).unwrap_or_else(Utc::now)
    }
}

/// Runs a case with the run loop of any run.
pub(crate) async fn replay(app: &App, stage: Stage, replay: &Replay) -> Replayed {
    let registered = app.runs.register(Uuid::now_v7().to_string(), None);
    let (result, usage, cost) = match registered {
        Ok(mut registration) => {
            let handle = registration.handle.clone();
            let result = Box::pin(run(app, &stage, replay, &handle)).await;
            registration.settle();
            let tally = handle.meter.read_with_estimate();
            (result, tally.usage, tally.cost)
        }
        Err(error) => (Err(error), Usage::default(), Cost::nothing()),
    };
    let calls = std::mem::take(&mut *lock(&replay.calls)).into_values().collect();
    let Asked { turns, prompt } = lock(&replay.asked).clone();
    Replayed { result, calls, turns, prompt, usage, cost }
}

async fn run(
    app: &App,
    stage: &Stage,
    replay: &Replay,
    handle: &Arc<crate::run::registry::RunHandle>,
) -> Result<RunAnswer, RunError> {
    let Stage { request, snapshot, profile, tools } = stage;
    let session = &request.session;
    let (user, role) = (session.user().as_str(), session.role().as_str());
    // The same each time, and so are the marks in the prompt.
    let run_key = RunKey::derive_in(KEYS, user, role, replay.case());
    let trace = TraceId::random();
    let span = Span::of_request(&trace, Side::Internal, || format!("eval {role}"));
    let finalizer = RunFinalizer::new(handle.clone(), app.runs.tracker().clone());
    let driver = RunDriver {
        app,
        request,
        handle,
        run_key: &run_key,
        fence: OnceLock::new(),
        redactor: redaction::of_profile(app, request, profile),
        trace: &trace,
        span: &span,
        sink: &EventSink::disabled(),
        deadline: Instant::now() + request.limits.timeout,
        finalizer: &finalizer,
        fingerprint: OnceLock::new(),
        replay: Some(replay),
    };
    // Nothing is asked of a backend: what its features would add is in the case.
    let found = (driver.plain_client()?, Arc::new(Capabilities::default()), snapshot.clone());
    let journal = Journal::default();
    let context = driver.context_with(found, profile.clone(), tools.clone(), TASK, journal);
    driver.check_model(&context.model)?;
    if driver.has_empty_checklist(snapshot) {
        return Ok(context.answer(Ending::Silent, String::new(), Progress::default()));
    }
    let conversation = async {
        let turns = request.history.clone().unwrap_or_default();
        let earlier = Earlier { turns, ..Earlier::default() };
        let (messages, typed) = Box::pin(context.open_conversation(earlier)).await?;
        Box::pin(context.converse(messages, typed)).await
    };
    let result = timeout_at(driver.deadline + TIMEOUT_GRACE, conversation).await;
    let result = result.unwrap_or_else(|_| Err(RunError::new(RunErrorKind::Timeout)));
    finalizer.finish(&result).await;
    result
}

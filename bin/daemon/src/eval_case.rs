//! One case: replayed with the run loop, and judged.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use evals::{
    Answered, Answers, Case, CaseReport, CaseStatus, CatalogueTool, Ended, Failure, GivenMemory,
    HistoryTurn, TurnRole, judge_run,
};
use llm::model::ModelRef;
use llm::request::Message;
use mc_client::memories::MemoryScope;
use mc_client::steps::RecalledMemory;
use serde_json::{Value, json};

use crate::agent::replay::{Replay, Replayed, Stage, replay};
use crate::api::cases::{self, CaseRequest};
use crate::eval_judge;
use crate::run::error::RunErrorKind;
use crate::state::App;
use crate::tools::{CaseTool, CaseTools, ToolSet};

/// The user of a case that names none.
const USER: &str = "user";

/// The most of a call's arguments that a failure names, characters.
const MAX_ARGUMENTS: usize = 500;

/// A role, and the id of the rules of its profile, where there are any.
type RoleRules = (String, Option<String>);

/// The tools of a file's cases, and the sets of the roles made of them.
pub(crate) struct FileTools {
    tools: CaseTools,
    sets: Mutex<HashMap<RoleRules, Arc<ToolSet>>>,
}

impl FileTools {
    /// Compiles a catalogue.
    ///
    /// # Errors
    /// What is wrong with a tool of it.
    pub(crate) fn new(catalogue: &[CatalogueTool]) -> Result<Self, String> {
        let tools: Vec<_> = catalogue.iter().map(case_tool).collect();
        let tools = CaseTools::new(&tools);
        match tools.problems.first() {
            Some(problem) => Err(format!("catalogue: {problem}")),
            None => Ok(Self { tools, sets: Mutex::default() }),
        }
    }
}

fn case_tool(tool: &CatalogueTool) -> CaseTool {
    CaseTool {
        name: tool.name.clone(),
        description: tool.description.clone(),
        parameters: tool.parameters.clone(),
        endpoint: tool.endpoint.clone(),
    }
}

/// How cases are tried.
#[derive(Clone)]
pub(crate) struct Trial {
    /// The daemon's parts.
    pub(crate) app: App,
    /// Whether the models of profiles are asked.
    pub(crate) models_of_profiles: bool,
    /// Whether answers come from recordings.
    pub(crate) is_replayed: bool,
    /// The model that judges.
    pub(crate) judge: ModelRef,
}

/// The code of a run of which an answer of the model was not recorded.
const NOT_RECORDED: &str = "llm_invalid_request";

/// What came of a case, before it is judged.
pub(crate) struct Tried {
    /// The run.
    pub(crate) ended: Ended,
    /// The model that answered last.
    pub(crate) model: Option<String>,
    /// Whether the model could not be asked.
    pub(crate) is_broken: bool,
}

impl Trial {
    /// Replays a case and judges it.
    pub(crate) async fn report(&self, case: &Case, tools: &FileTools) -> CaseReport {
        let mut report = CaseReport {
            id: case.id.clone(),
            role: case.role.clone(),
            status: CaseStatus::Error,
            failures: Vec::new(),
            calls: Vec::new(),
            response: String::new(),
            ending: String::new(),
            turns: 0,
            tokens: 0,
            cost_usd: None,
            latency_ms: 0,
            score: None,
            judging: None,
        };
        let Tried { ended, is_broken, .. } = match self.replay(case, tools).await {
            Ok(tried) => tried,
            Err(why) => {
                report.failures.push(failure("run", json!("a run"), json!(why)));
                return report;
            }
        };
        let diverged = ended.calls.iter().find(|call| call.answered == Answered::Diverged);
        report.failures = match diverged {
            Some(call) => {
                let arguments: String =
                    call.arguments.to_string().chars().take(MAX_ARGUMENTS).collect();
                let expected = json!("a call that the journal or a fixture answers");
                vec![failure("answers", expected, json!(format!("{} {arguments}", call.tool)))]
            }
            None => judge_run(&case.expect, &ended).await,
        };
        report.status = match (diverged.is_some(), report.failures.is_empty()) {
            (true, _) => CaseStatus::Diverged,
            // What was not recorded says nothing of the run, whatever is expected.
            _ if self.is_replayed && ended.status == NOT_RECORDED => CaseStatus::Error,
            (false, true) => CaseStatus::Passed,
            (false, false) if is_broken && is_of_status(&report.failures) => CaseStatus::Error,
            (false, false) => CaseStatus::Failed,
        };
        if let (Some(judge), CaseStatus::Passed | CaseStatus::Failed) =
            (&case.expect.judge, report.status)
        {
            let (judged, judging) = eval_judge::judge(self, judge, case, &ended).await;
            report.judging = judging;
            match judged {
                Ok(judged) => {
                    report.score = Some(judged.score);
                    if judged.score < judge.min {
                        let actual = json!(format!("{}: {}", judged.score, judged.reason));
                        report.failures.push(failure("judge", json!(judge.min), actual));
                        report.status = CaseStatus::Failed;
                    }
                }
                Err(why) => {
                    report.failures.push(failure("judge", json!(judge.min), json!(why)));
                    report.status = CaseStatus::Error;
                }
            }
        }
        let Ended { status, calls, response, turns, tokens, cost_usd, latency_ms, .. } = ended;
        (report.ending, report.calls, report.response) = (status, calls, response);
        (report.turns, report.tokens) = (turns, tokens);
        (report.cost_usd, report.latency_ms) = (cost_usd, latency_ms);
        report
    }

    /// Replays a case.
    ///
    /// # Errors
    /// Why no run of it can start.
    pub(crate) async fn replay(&self, case: &Case, tools: &FileTools) -> Result<Tried, String> {
        let asked = CaseRequest {
            user: case.user.as_deref().unwrap_or(USER),
            role: &case.role,
            message: &case.message,
            history: case.history.iter().map(turn).collect(),
            metadata: &case.metadata,
            limits: case.limits.as_ref().map(|limits| json!(limits)),
            profile: case.profile.as_ref(),
            models_of_profile: self.models_of_profiles,
            // The run that it was made of was asked for JSON.
            output: case.source.as_ref().and(case.expect.output.as_ref()).map(|o| o.written()),
        };
        let (request, snapshot, profile) = cases::read(&self.app, asked).await?;
        let tools = {
            let rules = profile.tools.customer().map(|rules| rules.id().to_owned());
            let mut sets = tools.sets.lock().unwrap_or_else(PoisonError::into_inner);
            let of_role = sets.entry((case.role.clone(), rules));
            let most = self.app.settings.tools_direct;
            let make = || Arc::new(tools.tools.of_role(&snapshot, &profile, most));
            of_role.or_insert_with(make).clone()
        };
        let memories = case.memories.iter().enumerate().map(memory).collect();
        let answers = Replay::new(case.id.clone(), Answers::of(case), case.now, memories);
        let stage = Stage { request, snapshot, profile, tools };
        let started = Instant::now();
        let replayed = Box::pin(replay(&self.app, stage, &answers)).await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(ended(replayed, latency_ms))
    }
}

fn failure(expectation: &str, expected: Value, actual: Value) -> Failure {
    Failure { expectation: expectation.to_owned(), expected, actual }
}

fn is_of_status(failures: &[Failure]) -> bool {
    failures.iter().any(|failure| failure.expectation == "status")
}

fn turn(turn: &HistoryTurn) -> Message {
    match turn.role {
        TurnRole::User => Message::user(turn.content.clone()),
        TurnRole::Assistant => Message::assistant(turn.content.clone()),
        TurnRole::System => Message::system(turn.content.clone()),
    }
}

fn memory((at, memory): (usize, &GivenMemory)) -> RecalledMemory {
    let scope = memory.scope.parse().unwrap_or(MemoryScope::User);
    RecalledMemory { id: format!("eval-{at}"), scope, text: memory.text.clone() }
}

fn ended(replayed: Replayed, latency_ms: u64) -> Tried {
    let Replayed { result, calls, turns, prompt, usage, cost } = replayed;
    let mut ended = Ended {
        calls,
        turns,
        prompt,
        tokens: usage.total_tokens,
        cost_usd: cost.known.then(|| llm::round_usd(cost.total_cost)),
        latency_ms,
        ..Ended::default()
    };
    match result {
        Ok(answer) => {
            ended.status = answer.ending.as_str().to_owned();
            let model = answer.model.as_ref().map(ToString::to_string);
            ended.response = answer.response;
            Tried { ended, model, is_broken: false }
        }
        Err(error) => {
            ended.status = error.code().to_owned();
            ended.error = Some(error.message());
            ended.response =
                error.produced.as_ref().map(|made| made.response.clone()).unwrap_or_default();
            let is_broken = matches!(
                error.kind,
                RunErrorKind::Llm(..) | RunErrorKind::Timeout | RunErrorKind::Internal
            );
            Tried { ended, model: None, is_broken }
        }
    }
}

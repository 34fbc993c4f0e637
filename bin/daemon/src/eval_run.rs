//! `wombat-daemon eval run`: replays the cases of files, and tells what came of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use evals::{Baseline, Case, CaseFile, CaseReport, Report};
use futures::{StreamExt as _, stream};
use llm::Tier;
use llm::model::ModelRef;
use service::exit;
use service::settings::Layers;
use wombat_core::untrusted::FenceKey;

use crate::eval::{Failed, Run, write};
use crate::eval_case::{FileTools, Trial};
use crate::settings::Settings;
use crate::state::App;

/// Stands in place of the backend, which a replay never asks: the port of the service that throws all away.
const NO_BACKEND: &str = "http://127.0.0.1:9";

/// Stands in place of the secret of agent tokens, which a replay sends nowhere.
const NO_SECRET: &str = "a replayed run sends no agent token anywhere";

/// What the marks in prompts are made with: the same on each machine, so that recordings fit.
const MARKS: &[u8] = b"wombat eval";

/// The most of a tool's answer that the model gets, characters.
const MAX_RESULT: usize = 100_000_000;

/// How the model is asked.
#[derive(Debug, Default)]
pub(crate) struct Asking {
    /// The model for all tiers.
    pub(crate) model: Option<String>,
    /// Where answers are written to.
    pub(crate) record: Option<String>,
    /// Where answers are taken from.
    pub(crate) replay: Option<String>,
}

/// The daemon's parts for replays: no backend, no tools but those of cases.
///
/// # Errors
/// What is wrong with settings, model or workspace.
pub(crate) fn trial(
    layers: &impl Fn(Vec<(&'static str, String)>) -> Layers,
    mut flags: Vec<(&'static str, String)>,
    asking: &Asking,
) -> Result<Trial, Failed> {
    flags.push(("BACKEND_URL", NO_BACKEND.to_owned()));
    flags.push(("WOMBAT_CONTROL_PLANE_URL", NO_BACKEND.to_owned()));
    flags.push(("AGENT_JWT_SECRET", NO_SECRET.to_owned()));
    flags.push(("AGENT_JWT_ALGORITHM", "HS256".to_owned()));
    let folders = [("LLM_RECORD_DIR", &asking.record), ("LLM_REPLAY_DIR", &asking.replay)];
    for (name, folder) in folders {
        flags.extend(folder.clone().map(|folder| (name, folder)));
    }
    let mut settings = Settings::read(&layers(flags)).map_err(Failed::settings)?;
    // The command's own folders are meant, whatever the settings have besides.
    match (&asking.record, &asking.replay) {
        (Some(_), _) => settings.llm.replay_dir = None,
        (_, Some(_)) => settings.llm.record_dir = None,
        (None, None) => {}
    }
    // Whoever judges is the same, whichever model is tried.
    let judge = settings.llm.default.clone();
    if let Some(name) = &asking.model {
        let model = ModelRef::parse(name, settings.llm.default.provider);
        let model = model.map_err(|error| Failed::settings(format!("--model: {error}")))?;
        settings.llm.default = model;
        (settings.llm.cheap, settings.llm.best, settings.llm.fallback) = (None, None, None);
    }
    settings.fences = FenceKey::new(MARKS);
    settings.openapi = None;
    // What is recorded was cut when it was told.
    settings.tool_result_max_chars = MAX_RESULT;
    let app = App::new(settings).map_err(|error| Failed::settings(error.to_string()))?;
    if let Err(error) = app.workspace.snapshot().usable() {
        let folder = app.settings.workspace.display();
        return Err(Failed::settings(format!("the workspace {folder}: {error}")));
    }
    let is_replayed = asking.replay.is_some();
    Ok(Trial { app, models_of_profiles: asking.model.is_none(), is_replayed, judge })
}

/// A case, and the tools of its file.
type Prepared = (Case, Arc<FileTools>);

/// Runs the command. Whether all passed that count.
pub(crate) async fn run(
    layers: &impl Fn(Vec<(&'static str, String)>) -> Layers,
    flags: Vec<(&'static str, String)>,
    run: Run,
) -> Result<bool, Failed> {
    let cases = read(&run)?;
    let baseline = run.baseline.as_deref().map(read_baseline).transpose()?;
    let asking =
        Asking { model: run.model.clone(), record: run.record.clone(), replay: run.replay.clone() };
    let trial = trial(layers, flags, &asking)?;
    for (case, _) in &cases {
        let judge = case.expect.judge.as_ref();
        let checked = judge.map_or(Ok(()), |judge| trial.judge_of(judge).map(drop));
        checked.map_err(|why| Failed::broken(format!("case {:?}: {why}", case.id)))?;
    }
    let report = replay_all(&trial, cases, usize::from(run.jobs)).await;
    for line in report.to_table(baseline.as_ref()) {
        exit::say(line);
    }
    let files = [
        (&run.json, report.to_json()),
        (&run.junit, report.to_junit()),
        (&run.markdown, report.to_markdown(baseline.as_ref())),
        (&run.html, report.to_html(baseline.as_ref())),
    ];
    for (path, text) in files {
        if let Some(path) = path {
            write(path, &text)?;
        }
    }
    Ok(report.is_good(baseline.as_ref()))
}

/// The cases that are asked for.
fn read(run: &Run) -> Result<Vec<Prepared>, Failed> {
    let mut all: Vec<Prepared> = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for path in &run.files {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failed::broken(format!("{name} cannot be read: {error}")))?;
        let file = CaseFile::parse(&name, &text).map_err(Failed::broken)?;
        let tools = FileTools::new(&file.catalogue)
            .map_err(|why| Failed::broken(format!("{name}: {why}")))?;
        let tools = Arc::new(tools);
        for case in file.cases {
            if let Some(before) = seen.insert(case.id.clone(), name.clone()) {
                let why = format!("{name}: the case {:?} stands in {before}, too", case.id);
                return Err(Failed::broken(why));
            }
            if run.case.as_deref().is_none_or(|pattern| case.is_wanted(pattern)) {
                all.push((case, tools.clone()));
            }
        }
    }
    if all.is_empty() {
        let why = match &run.case {
            Some(pattern) => format!("there is no case {pattern:?}"),
            None => "there is no case in these files".to_owned(),
        };
        return Err(Failed::broken(why));
    }
    Ok(all)
}

fn read_baseline(path: &Path) -> Result<Baseline, Failed> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failed::broken(format!("{name} cannot be read: {error}")))?;
    Baseline::parse(&name, &text).map_err(Failed::broken)
}

/// Replays cases, some at once, and reports them in their order.
async fn replay_all(trial: &Trial, cases: Vec<Prepared>, jobs: usize) -> Report {
    let started = Instant::now();
    let tried = cases.into_iter().map(|(case, tools)| {
        let trial = trial.clone();
        async move {
            let (id, role) = (case.id.clone(), case.role.clone());
            let task = tokio::spawn(async move { trial.report(&case, &tools).await });
            task.await.unwrap_or_else(|error| crashed(id, role, &error.to_string()))
        }
    });
    let reports: Vec<CaseReport> = stream::iter(tried).buffered(jobs).collect().await;
    let digest = trial.app.workspace.snapshot().digest().to_owned();
    let model = trial.app.llm.model(Tier::Default).to_string();
    Report::new(digest, model, reports, started.elapsed())
}

/// A case whose replay has panicked.
fn crashed(id: String, role: String, why: &str) -> CaseReport {
    let failure = evals::Failure {
        expectation: "run".to_owned(),
        expected: serde_json::Value::Null,
        actual: serde_json::Value::String(why.to_owned()),
    };
    CaseReport {
        id,
        role,
        status: evals::CaseStatus::Error,
        failures: vec![failure],
        calls: Vec::new(),
        response: String::new(),
        ending: String::new(),
        turns: 0,
        tokens: 0,
        cost_usd: None,
        latency_ms: 0,
        score: None,
        judging: None,
    }
}

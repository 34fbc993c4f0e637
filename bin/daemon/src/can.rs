//! `wombat-daemon can`: asks the policy, as a run would, without a daemon that serves.

use std::fmt::Write as _;
use std::process::ExitCode;

use daemon_api::{CallDecision, Can, CanAnswer, RuleSource};
use serde_json::{Map, Value};
use service::exit;
use service::settings::{Layers, Reader};
use service::trace::TraceId;

use crate::agent::can::{CanError, can};
use crate::run::customer::DEFAULT_WORKSPACE;
use crate::settings::{Settings, read_workspaces};
use crate::state::App;

/// The exit code of a call that waits for a person.
const APPROVAL: u8 = 3;

/// The exit code of a call that is denied.
const DENIED: u8 = 4;

/// Reads `--arguments`.
///
/// # Errors
/// When it is no JSON object.
pub fn arguments(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))
}

/// Whether `--workspace` is a name of `WOMBAT_WORKSPACES`, and not a folder.
pub fn is_name(layers: &Layers, workspace: &str) -> bool {
    let text = Reader::new(layers).optional("WOMBAT_WORKSPACES").unwrap_or_default();
    let named = read_workspaces(&text).unwrap_or_default();
    workspace == DEFAULT_WORKSPACE || named.iter().any(|(name, _)| name == workspace)
}

/// Answers, and says so by its exit code.
pub fn run(name: &str, layers: &Layers, asked: &Can, as_json: bool) -> ExitCode {
    let settings = match Settings::read(layers) {
        Ok(settings) => settings,
        Err(problems) => return exit::fail(exit::CONFIG, name, &problems),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILURE, name, &error),
    };
    let answered = runtime.block_on(async {
        let app = App::new(settings).map_err(|error| error.to_string())?;
        let answered = can(&app, &TraceId::random(), asked).await;
        app.workspaces.close().await;
        answered.map_err(|error| told(&error))
    });
    match answered {
        Ok(answer) => {
            match as_json {
                true => exit::say(serde_json::to_string(&answer).unwrap_or_default()),
                false => exit::say(line(&answer)),
            }
            ExitCode::from(match answer.decision {
                CallDecision::Allowed => 0,
                CallDecision::Approval => APPROVAL,
                CallDecision::Denied => DENIED,
            })
        }
        Err(why) => exit::fail(exit::FAILURE, name, &format!("it cannot be known: {why}")),
    }
}

fn told(error: &CanError) -> String {
    match error {
        CanError::Fields(fields) => {
            let all: Vec<_> = fields.iter().map(|(name, why)| format!("{name}: {why}")).collect();
            all.join("; ")
        }
        CanError::Run(error) => format!("{} ({})", error.message(), error.code()),
    }
}

/// The answer in one line.
fn line(answer: &CanAnswer) -> String {
    let mut line = match answer.decision {
        CallDecision::Allowed => "allowed: ".to_owned(),
        CallDecision::Approval => "a person's approval: ".to_owned(),
        CallDecision::Denied => "denied: ".to_owned(),
    };
    line += &answer.tool;
    let endpoint = answer.endpoint.as_deref();
    let _infallible = endpoint.map_or(Ok(()), |endpoint| write!(line, " {endpoint}"));
    let rule = &answer.rule;
    let place = match &rule.source {
        RuleSource::AgentConfig => "agent-config.json",
        RuleSource::Profile => "the customer's profile",
        RuleSource::Skill => "a skill",
        RuleSource::Undeclared => "nothing declares it",
        RuleSource::Schema => "the tool's schema",
        RuleSource::Other(other) => other,
    };
    let file = rule.file.as_deref().unwrap_or(place);
    line += ", by ";
    line += file;
    let _infallible = rule.line.map_or(Ok(()), |at| write!(line, ":{at}"));
    if let Some(list) = &rule.list {
        line = line + ", " + list;
    }
    if let Some(pattern) = &rule.pattern {
        let _infallible = write!(line, " {pattern:?}");
    }
    if answer.deferred {
        line += "; the model finds it by find_tools";
    }
    for error in &answer.errors {
        let _infallible = write!(line, "\n  {error}");
    }
    line
}

//! `wombat-daemon check`: checks settings, workspace, model, backend and tools; each finding says what to
//! do.

mod acting;
mod clocks;
mod control_plane;
pub mod documents;
mod enabled;
mod matrix;
mod models;
mod outputs;
mod redaction;
mod running;

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon_api::RoleTools;
use llm::LlmClient;
use mc_client::types::Capabilities;
use service::settings::{Layers, Reader, SettingsError};
use shown::counted;
use wombat_core::advice::{KnownTools, advise};
use wombat_core::workspace::{Snapshot, Workspace, WorkspaceOptions, WorkspaceStatus};

pub use self::acting::{TriedAs, unknown_role};
use self::running::OnDisk;
use crate::backend::Backend;
use crate::init::{SHARED_MEMORY, shown_names};
use crate::settings::{Settings, lookup};
use crate::tools::{self, Inspection, Tools};
use crate::workspaces;

/// The timeout of asking the backend.
const BACKEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing to do.
    Good,
    /// Runs work, but something should be corrected.
    Warning,
    /// Runs work, but without what skills declare.
    Loss,
    /// No run of the user that was tried can work; whether others' can is not known.
    Refused,
    /// No run can work.
    Failure,
    /// Something to know, such as what was not checked.
    Note,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The severity.
    pub level: Level,
    /// What was found, and what to do.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.level {
            Level::Good => "ok  ",
            Level::Warning | Level::Loss => "warn",
            Level::Failure | Level::Refused => "FAIL",
            Level::Note => "note",
        };
        write!(f, "{mark}  ")?;
        self.text.chars().try_for_each(|c| match c {
            c if acts_on_a_terminal(c) => write!(f, "{}", c.escape_unicode()),
            c => f.write_char(c),
        })
    }
}

/// Whether a terminal does something for a character instead of showing it: control characters, and those
/// that turn the direction of text. Names in a workspace may hold them.
fn acts_on_a_terminal(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns
}

/// Checks everything. Asks the backend for its capabilities and the models' servers for what costs
/// nothing; calls no model, which would cost money. `tried`: as whom the application is tried.
pub async fn check(layers: &Layers, tried: Option<&TriedAs>) -> Vec<Finding> {
    let mut report = Report::default();
    match Settings::read(layers) {
        Ok(settings) => {
            report.good("settings: all can be read (wombat-daemon config shows them)");
            for warning in &settings.warnings {
                report.warn(format!("settings: {warning}"));
            }
            report.zones();
            let workspace = report.workspace(workspace_of(&settings));
            report.named_workspaces(&settings);
            if let Some((options, snapshot)) = &workspace {
                report.outputs(options, snapshot).await;
                report.redaction(snapshot);
            }
            let lacks_role =
                workspace.as_ref().is_some_and(|(_, snapshot)| report.lacks_role(tried, snapshot));
            let model = report.models(&settings).await;
            let backend = report.backend(&settings).await;
            if let (Some((_, snapshot)), Some((backend, _))) = (&workspace, &backend)
                && !lacks_role
            {
                report.acting(tried, snapshot, backend).await;
            }
            report.daemon_url(layers, &settings).await;
            let disk = report.tools(&settings, workspace, backend, model).await;
            if let Some(disk) = disk {
                report.running(layers, &settings, &disk).await;
            }
        }
        Err(SettingsError(problems)) => {
            for problem in problems {
                report.fail(format!("settings: {problem}"));
            }
            if let Some((options, snapshot)) = report.workspace(workspace_without_settings(layers))
            {
                report.outputs(&options, &snapshot).await;
                report.redaction(&snapshot);
                report.lacks_role(tried, &snapshot);
                report.advice(&options, &snapshot, &tools::unasked(&snapshot));
            }
            report.warn("model and backend: not checked until the settings are valid");
        }
    }
    report.0
}

/// What cannot work, as the last line says it; `None` where runs can.
pub fn failed(findings: &[Finding]) -> Option<&'static str> {
    let has = |level| findings.iter().any(|finding| finding.level == level);
    match (has(Level::Failure), has(Level::Refused)) {
        (true, _) => Some("No run can work. Correct what is marked FAIL first."),
        (false, true) => Some(
            "No run of this user can work in the application. Correct what is marked FAIL, or try an id that it knows.",
        ),
        (false, false) => None,
    }
}

fn workspace_of(settings: &Settings) -> WorkspaceOptions {
    workspaces::options(settings, settings.workspace.clone(), settings.agent_config.clone())
}

/// The workspace's options as far as they can be read while other settings are invalid.
pub(crate) fn workspace_without_settings(layers: &Layers) -> WorkspaceOptions {
    let mut reader = Reader::new(layers);
    WorkspaceOptions {
        path: reader.text("WOMBAT_WORKSPACE", "./workspace").into(),
        agent_config: reader.optional("WOMBAT_AGENT_CONFIG").map(PathBuf::from),
        max_file_chars: reader.number("WOMBAT_MAX_FILE_CHARS", 20_000_usize, 100..=10_000_000),
        skills_mode: reader
            .parse("WOMBAT_SKILLS_MODE", "auto", "auto, inline or on_demand")
            .unwrap_or_default(),
        env: lookup(&layers.variables()),
        is_secret: service::settings::names::is_own_secret,
    }
}

/// A workspace that could be read.
type ReadableWorkspace = Option<(WorkspaceOptions, Arc<Snapshot>)>;

#[derive(Default)]
struct Report(Vec<Finding>);

impl Report {
    fn good(&mut self, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Good, text: text.into() });
    }

    fn warn(&mut self, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Warning, text: text.into() });
    }

    fn note(&mut self, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Note, text: text.into() });
    }

    fn refused(&mut self, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Refused, text: text.into() });
    }

    fn fail(&mut self, text: impl Into<String>) {
        self.0.push(Finding { level: Level::Failure, text: text.into() });
    }

    fn workspace(&mut self, options: WorkspaceOptions) -> ReadableWorkspace {
        let workspace = Workspace::open(options.clone());
        let snapshot = workspace.snapshot();
        if snapshot.status() == WorkspaceStatus::Missing {
            for problem in snapshot.problems() {
                self.fail(format!("workspace: {problem}, or write one with wombat-daemon init"));
            }
            return None;
        }
        let enabled = snapshot.skills().iter().filter(|skill| skill.enabled).count();
        let roles = snapshot.agents();
        let roles: Vec<_> = roles.iter().map(|agent| agent.role.as_str()).collect();
        self.good(format!(
            "workspace: {}: {} ({}), {enabled} of {} enabled, {}",
            options.path.display(),
            counted(roles.len(), "role"),
            shown_names(&roles),
            counted(snapshot.skills().len(), "skill"),
            counted(snapshot.endpoints().len(), "endpoint")
        ));
        self.note(format!("workspace: {SHARED_MEMORY}"));
        Some((options, snapshot))
    }

    /// The workspaces that profiles may choose besides, each with its own problems.
    fn named_workspaces(&mut self, settings: &Settings) {
        for (name, path) in &settings.customers.workspaces {
            let options =
                workspaces::options(settings, path.clone(), workspaces::rules_of(settings, path));
            let snapshot = Workspace::open(options).snapshot();
            let roles = snapshot.agents();
            let roles: Vec<_> = roles.iter().map(|agent| agent.role.as_str()).collect();
            let is_usable = snapshot.usable().is_ok();
            for problem in snapshot.problems() {
                let text = format!("workspace {name}: {problem}");
                if is_usable { self.warn(text) } else { self.fail(text) }
            }
            if is_usable {
                let (shown, count) = (shown_names(&roles), counted(roles.len(), "role"));
                let place = path.display();
                self.good(format!("workspace {name}: {place}: {count} ({shown})"));
            }
        }
    }

    fn advice(&mut self, options: &WorkspaceOptions, snapshot: &Snapshot, tools: &KnownTools) {
        for advice in advise(options, snapshot, tools) {
            let text = format!("workspace: {advice}");
            if advice.is_fatal { self.fail(text) } else { self.warn(text) }
        }
    }

    /// Asks all sources of external tools, then gives the workspace's advice, which needs them. Returns
    /// what a daemon would have, where all could be asked.
    async fn tools(
        &mut self,
        settings: &Settings,
        workspace: ReadableWorkspace,
        backend: Option<(Arc<Backend>, Arc<Capabilities>)>,
        model: Option<LlmClient>,
    ) -> Option<OnDisk> {
        let (options, snapshot) = workspace?;
        let (Some((backend, capabilities)), Some(model)) = (backend, model) else {
            self.advice(&options, &snapshot, &tools::unasked(&snapshot));
            return None;
        };
        let http = match service::http::client_builder().build() {
            Ok(http) => http,
            Err(error) => {
                let why = service::http::explain(&error);
                self.fail(format!("tools: the HTTP client could not be created: {why}"));
                return None;
            }
        };
        let tools = Tools::new(
            settings.openapi.clone(),
            &backend,
            http.clone(),
            settings.workspace.clone(),
            model,
            settings.tools_direct,
        );
        let Inspection { known, document, problems, mapped, roles } =
            tools.inspect(&snapshot, &capabilities).await;
        let listed = tools.list(&snapshot, &capabilities).await;
        tools.close().await;
        let lost = documents::lost(&snapshot, &known.documented);
        self.0.extend(documents::findings(document, lost, &http, &backend).await);
        let external = known.names.len().saturating_sub(tools::builtin_names().len());
        if external > 0 {
            self.good(format!(
                "tools: {} besides the built-in ones (OpenAPI, the backend's own, MCP)",
                counted(external, "tool")
            ));
        }
        for RoleTools { role, tools } in &roles {
            let external = tools.iter().filter(|tool| tool.source != "built-in");
            let names: Vec<_> = external.map(|tool| tool.name.as_str()).collect();
            if !names.is_empty() {
                self.good(format!("tools: {role} has {}", shown_names(&names)));
            }
            let deferred = tools.iter().filter(|tool| tool.deferred).count();
            if deferred > 0 {
                self.good(format!(
                    "tools: {role}'s model is given {} at once and finds {deferred} by find_tools \
                     (WOMBAT_TOOLS_DIRECT, tools.defer)",
                    tools.len() - deferred
                ));
            }
        }
        for what in mapped {
            self.good(format!("tools: {what}"));
        }
        for what in problems {
            self.warn(format!("tools: {what}"));
        }
        self.enabled(&snapshot, &capabilities);
        self.matrix(&listed);
        self.declared(&snapshot);
        self.advice(&options, &snapshot, &known);
        let path = snapshot.path();
        let workspace = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Some(OnDisk {
            workspace: workspace.display().to_string(),
            digest: snapshot.digest().to_owned(),
            roles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown_as_its_code() {
        let text = "a\u{1b}[2J\u{7}\u{202e}\nb ä".to_owned();
        let shown = Finding { level: Level::Warning, text }.to_string();
        assert_eq!(shown, r"warn  a\u{1b}[2J\u{7}\u{202e}\u{a}b ä");
    }
}

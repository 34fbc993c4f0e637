//! `wombat-daemon init`: writes a workspace to start from, and beside an application that exists also the
//! settings that both share.

mod beside;
mod shared;

use std::fs;
use std::path::{Path, PathBuf};

use service::settings::{Layers, Reader, SettingsError};
use url::Url;

use self::beside::{Skill, skill};
use crate::tools::Asker;

/// The starter's files.
const FILES: [(&str, &str); 7] = [
    ("AGENTS.md", include_str!("../starter/AGENTS.md")),
    ("SOUL.md", include_str!("../starter/SOUL.md")),
    ("IDENTITY.md", include_str!("../starter/IDENTITY.md")),
    ("TOOLS.md", include_str!("../starter/TOOLS.md")),
    ("HEARTBEAT.md", include_str!("../starter/HEARTBEAT.md")),
    ("skills/mission-control/SKILL.md", include_str!("../starter/skills/mission-control/SKILL.md")),
    ("agent-config.json", include_str!("../starter/agent-config.json")),
];

/// The starter's file of roles.
const CONFIG: &str = "agent-config.json";

/// What it says of tools, and what it says beside an application: what cannot be undone needs a person.
const TOOLS: &str = "\"tools\": {}";
const CAREFUL_TOOLS: &str = "\"tools\": { \"approval\": [\"DELETE /**\"] }";

/// Why the workspace was not written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Files exist; nothing was written.
    #[error("{} would be overwritten; nothing was written. Use --force to replace them", .0.join(", "))]
    Exists(Vec<String>),
    /// The application cannot be asked, or the settings contradict the command.
    #[error("{0}")]
    Beside(String),
    /// A file could not be written.
    #[error("{} could not be written: {cause}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
}

/// The folder that the settings name.
///
/// # Errors
/// When the settings cannot be read.
pub fn folder(layers: &Layers) -> Result<PathBuf, SettingsError> {
    let mut reader = Reader::new(layers);
    let folder = reader.text("WOMBAT_WORKSPACE", "./workspace");
    reader.finish()?;
    // Written as people write it.
    Ok(folder.strip_prefix("./").unwrap_or(&folder).into())
}

/// Writes the files and returns their paths. Overwrites only with `force`, and only these files.
///
/// # Errors
/// When a file exists and `force` is not given, or one cannot be written.
pub fn init(dir: &Path, force: bool) -> Result<Vec<PathBuf>, InitError> {
    let files = FILES.map(|(name, text)| (name, text.to_owned()));
    write_all(dir, force, &files)
}

/// What `init --beside` has done.
#[derive(Debug)]
pub struct Beside {
    /// The files of the workspace.
    pub files: Vec<PathBuf>,
    /// What was found and written, and what to do next, line by line.
    pub report: Vec<String>,
}

/// Writes a workspace with a skill for the application at `url`, and the missing lines of `.env` in the
/// working directory. `document` is the path of the application's OpenAPI document, which is looked for
/// at the usual addresses when absent.
///
/// # Errors
/// When the application does not answer, the settings contradict the command, or a file cannot be
/// written.
pub async fn init_beside(
    layers: &Layers,
    dir: &Path,
    force: bool,
    url: &str,
    document: Option<&str>,
) -> Result<Beside, InitError> {
    let application =
        Url::parse(url).ok().filter(|url| url.has_host() && url.scheme().starts_with("http"));
    let application = application.ok_or_else(|| {
        let why = "--beside: allowed: the application's address, such as http://127.0.0.1:8000";
        InitError::Beside(why.to_owned())
    })?;
    let http = service::http::client_builder().build();
    let http = http.map_err(|error| InitError::Beside(service::http::explain(&error)))?;
    let asker = Asker::new(&http, application.as_str());
    let mut found = asker.discover().await.map_err(|why| {
        let url = shown::url(application.as_str());
        InitError::Beside(format!(
            "the application at {url} does not answer: {why}; start it first"
        ))
    })?;
    let found = match document {
        Some(path) => asker.document(path).await,
        None if found.is_empty() => None,
        None => Some(found.swap_remove(0)),
    };
    let made = found.as_ref().map(|found| skill(found, &application)).transpose();
    let made = made.map_err(|why| InitError::Beside(format!("the OpenAPI document: {why}")))?;
    let path = found.as_ref().map(|found| found.path.as_str());
    let shared = shared::missing(layers, &application, dir, path).map_err(InitError::Beside)?;
    let mut files: Vec<_> = FILES.map(|(name, text)| (name, text.to_owned())).into();
    let deletes = made.as_ref().is_some_and(|made| made.deletes);
    for (_, text) in files.iter_mut().filter(|(name, _)| *name == CONFIG && deletes) {
        *text = text.replace(TOOLS, CAREFUL_TOOLS);
    }
    if let Some(made) = &made {
        files.push(("skills/application/SKILL.md", made.text.clone()));
        files.extend(made.left_out.clone().map(|text| ("skills/application/left-out.md", text)));
    }
    let files = write_all(dir, force, &files)?;
    let env = Path::new(".");
    shared::append(env, &shared)
        .map_err(|cause| InitError::Write { path: env.join(".env"), cause })?;
    let report = report(path.zip(made.as_ref()), document, dir, &shared);
    Ok(Beside { files, report })
}

fn report(
    found: Option<(&str, &Skill)>,
    asked: Option<&str>,
    dir: &Path,
    shared: &shared::Shared,
) -> Vec<String> {
    let dir = dir.display();
    let mut lines = Vec::new();
    if !shared.lines.is_empty() {
        let names: Vec<_> = shared.lines.iter().map(|(name, _)| *name).collect();
        lines.push(format!(".env: added {}", names.join(", ")));
    }
    lines.push(match (found, asked) {
        (Some((path, skill)), _) => format!(
            "{path}: {dir}/skills/application/SKILL.md declares {} of its operations and leaves out {}; edit it as you like{}",
            skill.declared,
            skill.others,
            if skill.deletes { ". Calls with DELETE wait for a person's approval (agent-config.json)" } else { "" }
        ),
        (None, Some(path)) => format!(
            "{path} is no OpenAPI document. Give its path with --openapi, or declare endpoints in a skill (docs/WORKSPACE.md)"
        ),
        (None, None) => "No OpenAPI document at the usual addresses. Give its path with --openapi, or declare endpoints in a skill (docs/WORKSPACE.md)".to_owned(),
    });
    lines.push(format!("Tasks, messages and journals: {}", shared.tables));
    lines.push("Next:".to_owned());
    lines.push("  1. In the application, accept X-Agent-Token where it finds out who calls, and send messages to AGENT_DAEMON_URL (docs/BESIDE.md: fifteen lines)".to_owned());
    let model = match shared.has_model {
        true => "",
        false => {
            ", after adding a model to .env: OPENAI_API_KEY=… or LLM_PROVIDER=… (docs/REAL_MODELS.md)"
        }
    };
    lines.push(format!(
        "  2. Start wombat-mission-control and wombat-daemon here, and the application again{model}"
    ));
    lines.push("  3. wombat-daemon check".to_owned());
    lines
}

fn write_all(dir: &Path, force: bool, files: &[(&str, String)]) -> Result<Vec<PathBuf>, InitError> {
    let paths: Vec<_> = files.iter().map(|(name, _)| dir.join(name)).collect();
    // A symbolic link counts as existing, whatever its target: the target is not ours to replace.
    let there = |path: &&PathBuf| path.symlink_metadata().is_ok();
    let existing: Vec<String> =
        paths.iter().filter(there).map(|path| path.display().to_string()).collect();
    if !force && !existing.is_empty() {
        return Err(InitError::Exists(existing));
    }
    for ((_, text), path) in files.iter().zip(&paths) {
        write(path, text).map_err(|cause| InitError::Write { path: path.clone(), cause })?;
    }
    Ok(paths)
}

/// Writes atomically: a running daemon may be watching the folder.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, text)?;
    fs::rename(&fresh, path)
}

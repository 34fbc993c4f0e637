//! `wombat-daemon init`: writes a workspace to start from, and beside an application that exists also the
//! settings that both share.

mod beside;
mod shared;

use std::fs;
use std::path::{Path, PathBuf};

use service::settings::{Layers, Reader, SettingsError};
use url::Url;

use self::beside::{Skill, skill};
pub(crate) use self::shared::local_port;
use crate::tools::{Asker, Found};

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

/// The application's skill, and what it leaves out.
const SKILL: &str = "skills/application/SKILL.md";
const LEFT_OUT: &str = "skills/application/left-out.md";

/// The most names in a line.
const MAX_NAMES: usize = 20;

/// The starter's file of roles.
const CONFIG: &str = "agent-config.json";

/// What it says of tools, and what it says beside an application: what cannot be undone needs a person.
const TOOLS: &str = "\"tools\": {}";
const CAREFUL_TOOLS: &str = "\"tools\": { \"approval\": [\"DELETE /**\"] }";

/// What must be known before somebody's affairs are written into a workspace.
pub const SHARED_MEMORY: &str = "MEMORY.md and memory/ are every user's: all of them get the same text. What belongs to \
    one user is for the backend to remember (feature memories; docs/WORKSPACE.md, \"Memory\")";

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
/// at the usual addresses when absent. Files that exist are kept; `force` replaces those of the skill.
///
/// # Errors
/// When the application does not answer, there is no document at `document`, the settings contradict the
/// command, or a file cannot be written.
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
    let found = find(&http, &application, document).await.map_err(InitError::Beside)?;
    let made = found.as_ref().map(|found| skill(found, &application)).transpose();
    let made = made.map_err(|why| InitError::Beside(format!("the OpenAPI document: {why}")))?;
    let path = found.as_ref().map(|found| found.path.as_str());
    let shared = shared::missing(layers, &application, dir, path).map_err(InitError::Beside)?;
    let env = Path::new(".");
    let appended = shared::append(env, &shared)
        .map_err(|cause| InitError::Write { path: env.join(".env"), cause })?;
    // Without a document nobody knows what may be declared later.
    let deletes = made.as_ref().is_none_or(|made| made.deletes);
    let deletes_wait = deletes_wait(&dir.join(CONFIG));
    let mut files: Vec<_> = FILES.map(|(name, text)| (name, text.to_owned())).into();
    for (_, text) in files.iter_mut().filter(|(name, _)| *name == CONFIG && deletes) {
        *text = text.replace(TOOLS, CAREFUL_TOOLS);
    }
    files.retain(|(name, _)| !is_there(&dir.join(name)));
    let skill_path = dir.join(SKILL);
    let kept = (is_there(&skill_path) && !force).then(|| known(dir));
    if let Some(made) = made.as_ref().filter(|_| kept.is_none()) {
        files.push((SKILL, made.text.clone()));
        files.extend(made.left_out.clone().map(|text| (LEFT_OUT, text)));
    }
    let files = write_all(dir, true, &files)?;
    let mut report = Vec::new();
    if !shared.lines.is_empty() {
        let names: Vec<_> = shared.lines.iter().map(|(name, _)| *name).collect();
        report.push(format!(".env: added {}", names.join(", ")));
        report.extend(appended.warnings);
    }
    if appended.is_ignored_now {
        report.push(".gitignore: added .env, which holds secrets".to_owned());
    }
    report.push(match (path, &made, kept) {
        (Some(_), Some(made), Some(kept)) => of_kept(made, &skill_path, &kept),
        (Some(path), Some(made), None) => of_new(made, &skill_path, path, deletes_wait),
        _ => without_document(&http, &application).await,
    });
    report.extend(next(&shared));
    Ok(Beside { files, report })
}

/// The document that is named, or the best one at the usual addresses.
async fn find(
    http: &reqwest::Client,
    application: &Url,
    document: Option<&str>,
) -> Result<Option<Found>, String> {
    let asker = Asker::new(http, application.as_str());
    if let Some(place) = document {
        return asker.named(place).await.map(Some).map_err(|why| {
            format!(
                "--openapi: {why}; nothing was written. Correct --openapi, or leave it out to try the usual addresses"
            )
        });
    }
    let found = asker.discover().await.map_err(|why| {
        let url = shown::url(application.as_str());
        format!("the application at {url} does not answer: {why}; start it first")
    })?;
    Ok(found.into_iter().next())
}

/// What to do without a document, and why there is none.
async fn without_document(http: &reqwest::Client, application: &Url) -> String {
    let what = match Asker::new(http, application.as_str()).unreadable().await {
        Some((path, why)) => {
            format!(
                "The OpenAPI document at {path} cannot be used: {why}. Correct it and run this again"
            )
        }
        None => "No OpenAPI document at the usual addresses. Run this again".to_owned(),
    };
    format!("{what} with --openapi PATH, or declare endpoints in a skill (docs/WORKSPACE.md)")
}

/// The files of the skill that stand there.
fn known(dir: &Path) -> String {
    [SKILL, LEFT_OUT].map(|name| fs::read_to_string(dir.join(name)).unwrap_or_default()).join("\n")
}

/// Whether calls with `DELETE` wait for a person, as a file of roles that stands there says of each of them, or the
/// one that is written says.
fn deletes_wait(config: &Path) -> bool {
    if !is_there(config) {
        return true;
    }
    let text = fs::read_to_string(config).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let rules = |agent: &serde_json::Value| agent["tools"]["approval"].as_array().cloned();
    let says = |agent: &serde_json::Value| {
        rules(agent).unwrap_or_default().iter().any(|rule| rule == "DELETE /**" || rule == "* /**")
    };
    config["agents"].as_array().is_some_and(|agents| !agents.is_empty() && agents.iter().all(says))
}

fn of_new(made: &Skill, skill: &Path, document: &str, deletes_wait: bool) -> String {
    let (skill, declared, others) = (skill.display(), made.declared, made.others);
    let consent = match (made.deletes, deletes_wait) {
        (false, _) => "",
        (true, true) => ". Calls with DELETE wait for a person's approval (agent-config.json)",
        (true, false) => {
            ". Your agent-config.json was kept: should calls with DELETE wait for a person's approval, it has to say so (tools.approval)"
        }
    };
    format!(
        "{document}: {skill} declares {declared} of its operations and leaves out {others}; edit it as you like{consent}"
    )
}

fn of_kept(made: &Skill, skill: &Path, kept: &str) -> String {
    let skill = skill.display();
    let new = made.not_in(kept);
    match new.len() {
        0 => format!("{skill}: kept; the document has nothing new"),
        _ => format!(
            "{skill}: kept; not in it: {}. Add what an agent may call, or write it anew with --force",
            shown_names(&new)
        ),
    }
}

/// Names in a line that stays readable.
pub(crate) fn shown_names(names: &[&str]) -> String {
    let (first, others) = names.split_at(names.len().min(MAX_NAMES));
    let more = match others.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", first.join(", "))
}

/// What to do next.
fn next(shared: &shared::Shared) -> Vec<String> {
    let model = match shared.has_model {
        true => "",
        false => {
            ", after adding a model to .env: OPENAI_API_KEY=…, LLM_PROVIDER=… (docs/REAL_MODELS.md), or without any, LLM_PROVIDER=offline and LLM_OFFLINE_SCRIPT=… (docs/CONFIGURATION.md, \"The offline provider\")"
        }
    };
    vec![
        SHARED_MEMORY.to_owned(),
        format!("Tasks, messages and journals: {}", shared.tables),
        "Next:".to_owned(),
        "  1. In the application, accept X-Agent-Token where it finds out who calls, and send messages to AGENT_DAEMON_URL (docs/BESIDE.md: fourteen lines)".to_owned(),
        format!("  2. Start wombat-mission-control and wombat-daemon here, and the application again{model}"),
        "  3. wombat-daemon check --user ID, with the id of one of your users".to_owned(),
    ]
}

/// A symbolic link counts as existing, whatever its target: the target is not ours to replace.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn write_all(dir: &Path, force: bool, files: &[(&str, String)]) -> Result<Vec<PathBuf>, InitError> {
    let paths: Vec<_> = files.iter().map(|(name, _)| dir.join(name)).collect();
    let existing = paths.iter().filter(|path| is_there(path));
    let existing: Vec<String> = existing.map(|path| path.display().to_string()).collect();
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

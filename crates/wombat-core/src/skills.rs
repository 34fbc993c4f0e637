//! Skills: parsing a `SKILL.md`, checking its gates, and finding the endpoints that it declares.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::agent_config::AgentConfig;
use crate::endpoint::{EndpointPattern, endpoints_in_markdown};
use crate::frontmatter;
use crate::loader::{Folder, Read};
use crate::nearest::nearest;

/// The largest file beside a skill that is read, bytes.
const MAX_SKILL_FILE: usize = 256 * 1024;

/// The limit of all files beside one skill, bytes.
const MAX_SKILL_FILES: usize = 2 * 1024 * 1024;

/// The depth to which the folders of a skill are read.
const MAX_DEPTH: usize = 4;

/// The longest description of the Agent Skills standard, in characters.
const MAX_DESCRIPTION: usize = 1024;

/// How much of its text stands for a missing description, in characters.
const MAX_OPENING: usize = 300;

/// A parsed skill.
#[derive(Debug, Clone, PartialEq)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// Its description, for the model.
    pub description: String,
    /// Why it is disabled, if it is.
    pub gate_reason: Option<String>,
    /// Whether it is hidden from the model (`disable-model-invocation`).
    pub hidden: bool,
    /// Its file, within the workspace.
    pub location: String,
    /// `metadata` of its front matter.
    pub metadata: Value,
    /// The endpoints that it declares.
    pub endpoints: Vec<EndpointPattern>,
    /// The text after the front matter.
    pub body: String,
    /// The files beside it, by their path from its folder.
    pub files: BTreeMap<String, String>,
    /// Deviations from the standard.
    pub warnings: Vec<String>,
}

impl Skill {
    /// Whether the model gets it.
    pub fn is_visible(&self) -> bool {
        self.gate_reason.is_none() && !self.hidden
    }
}

/// An item of `GET /skills`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SkillReport {
    /// The skill.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Whether it is enabled.
    pub enabled: bool,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate_reason: Option<String>,
    /// Its file, within the workspace.
    pub location: String,
    /// `metadata` of its front matter.
    pub metadata: Value,
    /// The endpoints that it declares.
    pub endpoints: Vec<EndpointPattern>,
    /// Deviations from the standard.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A skill that could not be parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokenSkill {
    pub(crate) line: Option<usize>,
    pub(crate) reason: String,
    /// Whether rules may be lost with it: it cannot be read whole. Otherwise it only breaks the format's
    /// demands, and is left out.
    pub(crate) is_policy: bool,
}

/// What gates are checked against.
pub(crate) struct GateContext<'a> {
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) config: &'a AgentConfig,
}

/// Parses a skill's `SKILL.md`.
pub(crate) fn parse(
    folder_name: &str,
    text: &str,
    gates: &GateContext<'_>,
) -> Result<Skill, BrokenSkill> {
    let parsed = frontmatter::parse(text).map_err(|error| BrokenSkill {
        line: error.line,
        reason: error.reason,
        is_policy: true,
    })?;
    if parsed.fields.is_empty()
        && let Some((line, reason)) = misplaced(parsed.body)
    {
        // Gates and endpoints would be lost with it.
        return Err(BrokenSkill { line: Some(line), reason: reason.to_owned(), is_policy: true });
    }
    if text.trim().is_empty() {
        let reason = "the file is empty".to_owned();
        return Err(BrokenSkill { line: None, reason, is_policy: false });
    }
    let field = |name: &str| parsed.fields.get(name).and_then(Value::as_str).map(str::trim);
    let given = field("description").unwrap_or_default();
    let name = field("name").filter(|name| !name.is_empty()).unwrap_or(folder_name).to_owned();
    let metadata = parsed.fields.get("metadata").cloned().unwrap_or(Value::Null);
    if !metadata.is_null() && !metadata.is_object() {
        // Gates and endpoints would be lost with it.
        let line = line_of(text, "metadata");
        let reason = "metadata of the front matter is not an object".to_owned();
        return Err(BrokenSkill { line, reason, is_policy: true });
    }
    let endpoints = declared_endpoints(&metadata, parsed.body).map_err(|(word, reason)| {
        BrokenSkill { line: line_of(text, &word), reason, is_policy: true }
    })?;
    let warnings = departures(&name, folder_name, given, &parsed.fields);
    let description = match given {
        "" => opening(parsed.body).unwrap_or_else(|| name.clone()),
        given => given.to_owned(),
    };
    Ok(Skill {
        gate_reason: gate(&metadata, gates),
        hidden: parsed.fields.get("disable-model-invocation") == Some(&Value::Bool(true)),
        location: format!("skills/{folder_name}/SKILL.md"),
        body: parsed.body.trim().to_owned(),
        files: BTreeMap::new(),
        name,
        description,
        metadata,
        endpoints,
        warnings,
    })
}

/// Front matter that is not where it must be, with its line: nothing of it would count.
fn misplaced(text: &str) -> Option<(usize, &'static str)> {
    let is_field = |line: &str| {
        let name = line.split_once(':').map(|(name, _)| name.trim_end());
        matches!(name, Some("name" | "description" | "metadata"))
    };
    let (at, first) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty())?;
    if first.trim() == "---" && at > 0 {
        return Some((at + 1, "the front matter must begin in the first line"));
    }
    let mut lines = text.lines().skip(at).take_while(|line| !line.trim().is_empty());
    let is_open = is_field(first) && lines.any(|line| line.trim_end() == "---");
    is_open.then_some((at + 1, "the line '---' before the front matter is missing"))
}

/// What a skill without a description says first: its first paragraph, else its first heading. Code is
/// neither.
fn opening(body: &str) -> Option<String> {
    let mut in_code = false;
    let lines = body.lines().map(str::trim).map(|line| {
        let is_fence = line.starts_with("```") || line.starts_with("~~~");
        in_code ^= is_fence;
        if is_fence || in_code { "" } else { line }
    });
    let lines: Vec<&str> = lines.collect();
    let is_text = |line: &&&str| !line.is_empty() && !line.starts_with(['#', '|', '<', '-']);
    let mut text = lines.iter().skip_while(|line| !is_text(line)).take_while(is_text);
    let text = match text.next() {
        Some(first) => text.fold((*first).to_owned(), |all, line| format!("{all} {line}")),
        None => {
            lines.iter().find(|line| line.starts_with('#'))?.trim_matches(['#', ' ']).to_owned()
        }
    };
    let end = text.char_indices().nth(MAX_OPENING).map_or(text.len(), |(at, _)| at);
    Some(text[..end].trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// The endpoints of `metadata.wombat.endpoints`, else those of the text. An error names the word that is
/// wrong and says why: where the list cannot be read, those of the text would be more than it allows.
fn declared_endpoints(
    metadata: &Value,
    body: &str,
) -> Result<Vec<EndpointPattern>, (String, String)> {
    const LIST: &str = "endpoints";
    let fields = match metadata.get("wombat") {
        None | Some(Value::Null) => return Ok(endpoints_in_markdown(body)),
        Some(Value::Object(fields)) => fields,
        Some(_) => return Err(("wombat".into(), "metadata.wombat is not an object".into())),
    };
    if let Some(other) = fields.keys().find(|key| *key != LIST && nearest(key, [LIST]).is_some()) {
        let reason = format!("unknown key {other:?} in metadata.wombat; did you mean {LIST:?}?");
        return Err((other.clone(), reason));
    }
    let listed = match fields.get(LIST) {
        None => return Ok(endpoints_in_markdown(body)),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            return Err((LIST.into(), "metadata.wombat.endpoints is not a list".into()));
        }
    };
    let endpoint = |item: &Value| {
        let text = item.as_str().unwrap_or_default();
        EndpointPattern::parse(text)
            .map_err(|error| (text.to_owned(), format!("endpoint {item}: {error}")))
    };
    listed.iter().map(endpoint).collect()
}

/// The first line that has a word.
fn line_of(text: &str, word: &str) -> Option<usize> {
    let mut lines = text.lines();
    lines.position(|line| !word.is_empty() && line.contains(word)).map(|at| at + 1)
}

fn departures(
    name: &str,
    folder: &str,
    description: &str,
    fields: &Map<String, Value>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if fields.is_empty() {
        warnings.push(
            "it has no front matter; the folder's name and the beginning of its text are used"
                .to_owned(),
        );
    } else if description.is_empty() {
        warnings.push(
            "the front matter has no description; the beginning of the text is used".to_owned(),
        );
    }
    if !fields.is_empty() && !fields.contains_key("name") {
        warnings.push("the front matter has no name; the folder's name is used".to_owned());
    }
    if name.chars().count() > 64 || !name.chars().all(plain) {
        warnings.push(format!(
            "name {name:?}: the standard asks for at most 64 lower-case letters, digits and hyphens"
        ));
    } else if name != folder {
        warnings.push(format!("name {name:?} differs from its folder's name {folder:?}"));
    }
    if description.chars().count() > MAX_DESCRIPTION {
        warnings.push(format!("the description has over {MAX_DESCRIPTION} characters"));
    }
    warnings
}

/// Why a skill is disabled, by the gates under `metadata.openclaw` (or the older `clawdbot`). A gate that
/// cannot be read is closed.
fn gate(metadata: &Value, context: &GateContext<'_>) -> Option<String> {
    closed(metadata, context).unwrap_or_else(|what| Some(format!("{what}, so that it is not open")))
}

fn closed(metadata: &Value, context: &GateContext<'_>) -> Result<Option<String>, String> {
    let Some(gates) = metadata.get("openclaw").or_else(|| metadata.get("clawdbot")) else {
        return Ok(None);
    };
    let none = Value::Null;
    let requires = gates.get("requires").unwrap_or(&none);
    if !(gates.is_object() && (requires.is_object() || requires.is_null())) {
        return Err("the gate requires is not an object".to_owned());
    }
    if gates.get("always") == Some(&Value::Bool(true)) {
        return Ok(None);
    }
    let here = match std::env::consts::OS {
        "macos" => "darwin",
        "windows" => "win32",
        other => other,
    };
    let systems = texts(gates, "os")?;
    if !systems.is_empty() && !systems.contains(&here) {
        return Ok(Some(format!("needs the operating system {}", systems.join(" or "))));
    }
    for name in texts(requires, "env")? {
        if (context.env)(name).is_none_or(|value| value.is_empty()) {
            return Ok(Some(format!("the environment variable {name} is not set")));
        }
    }
    for name in texts(requires, "bins")? {
        if !on_path(name, context.env) {
            return Ok(Some(format!("the program {name} is not on PATH")));
        }
    }
    let any = texts(requires, "anyBins")?;
    if !any.is_empty() && !any.iter().any(|name| on_path(name, context.env)) {
        return Ok(Some(format!("none of the programs {} is on PATH", any.join(", "))));
    }
    for path in texts(requires, "config")? {
        if !context.config.is_truthy(path) {
            return Ok(Some(format!("agent-config.json does not set {path}")));
        }
    }
    Ok(None)
}

/// A list of strings, or a single one.
fn texts<'a>(gates: &'a Value, name: &str) -> Result<Vec<&'a str>, String> {
    let items = match gates.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(vec![text.as_str()]),
        Some(Value::Array(items)) => items.iter().map(Value::as_str).collect(),
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => None,
    };
    items.ok_or_else(|| format!("the gate {name} is not a list of strings"))
}

fn on_path(program: &str, env: &dyn Fn(&str) -> Option<String>) -> bool {
    use std::os::unix::fs::PermissionsExt;
    if program.contains('/') {
        return false;
    }
    let path = env("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| {
        std::fs::metadata(dir.join(program))
            .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    })
}

/// Reads the files beside a skill that are text and within the size limits.
pub(crate) fn read_files(folder: &Folder, skill_folder: &str) -> BTreeMap<String, String> {
    let base = format!("skills/{skill_folder}");
    let mut files = BTreeMap::new();
    let mut room = MAX_SKILL_FILES;
    let mut todo = vec![(String::new(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        for name in folder.list(&join(&base, &dir)) {
            let inner = join(&dir, &name);
            let path = join(&base, &inner);
            if folder.is_dir(&path) {
                if depth < MAX_DEPTH {
                    todo.push((inner, depth + 1));
                }
            } else if inner != "SKILL.md"
                && let Read::Text(text) = folder.read(&path)
                && text.len() <= MAX_SKILL_FILE.min(room)
            {
                room -= text.len();
                files.insert(inner, text);
            }
        }
    }
    files
}

fn join(dir: &str, name: &str) -> String {
    match (dir.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (_, true) => dir.to_owned(),
        (false, false) => format!("{dir}/{name}"),
    }
}

#[cfg(test)]
mod tests;

//! The file of cases: YAML, in which every unknown key is an error.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::answers::key_of;
use crate::expect::Expect;
use crate::matcher::Matcher;
use crate::pattern::{Pattern, is_wanted};

/// The version of the format.
pub(crate) const VERSION: u32 = 1;

/// The most values in a file.
const MAX_NODES: usize = 20_000_000;

/// The most text in a file, bytes.
const MAX_TEXT: usize = 512 * 1024 * 1024;

/// A file of cases.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct CaseFile {
    /// The version of the format.
    pub version: u32,
    /// The tools that are not built in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub catalogue: Vec<CatalogueTool>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// A tool that is not built in.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueTool {
    /// The name that models see.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The JSON Schema of its arguments.
    #[serde(default)]
    pub parameters: Value,
    /// What it calls: `METHOD /path`, for rules by endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

/// A run as a test.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its id, one in all files.
    pub id: String,
    /// The role that answers.
    pub role: String,
    /// The user's message.
    pub message: String,
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Earlier turns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryTurn>,
    /// As a request has it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The time that the run is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<DateTime<Utc>>,
    /// What it is reminded of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub memories: Vec<GivenMemory>,
    /// The limits that it was asked with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<CaseLimits>,
    /// The customer's profile, as the backend answers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Value>,
    /// What the tools answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<RecordedAnswer>,
    /// What answers calls that have no recorded answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixtures: Vec<Fixture>,
    /// What of a tool's arguments does not count when its answer is looked up: JSON pointers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignore: BTreeMap<String, Vec<String>>,
    /// What is expected.
    #[serde(default)]
    pub expect: Expect,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<CaseSource>,
}

/// The limits of a run, as in a request; those of the settings where they are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseLimits {
    /// Turns with tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// Tokens of one answer of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// The price of all model calls together, US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost_usd: Option<f64>,
    /// The run's time, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_secs: Option<u64>,
}

/// An earlier turn.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryTurn {
    /// `user`, `assistant` or `system`.
    pub role: TurnRole,
    /// What was said.
    pub content: String,
}

/// Who said an earlier turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnRole {
    /// The user.
    User,
    /// The agent.
    Assistant,
    /// The application.
    System,
}

/// A memory that the run is reminded of: its text, or with its scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenMemory {
    /// Whose it is: `user`, `task` or `tenant`.
    pub scope: String,
    /// What it says.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMemory {
    #[serde(default)]
    scope: Option<String>,
    text: String,
}

impl<'de> Deserialize<'de> for GivenMemory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = GivenMemory;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or {text, scope}")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<GivenMemory, E> {
                Ok(GivenMemory { scope: "user".to_owned(), text: text.to_owned() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<GivenMemory, A::Error> {
                let written = WrittenMemory::deserialize(MapAccessDeserializer::new(map))?;
                let scope = written.scope.unwrap_or_else(|| "user".to_owned());
                if !matches!(scope.as_str(), "user" | "task" | "tenant") {
                    return Err(A::Error::custom("scope must be user, task or tenant"));
                }
                Ok(GivenMemory { scope, text: written.text })
            }
        }
        deserializer.deserialize_any(Written)
    }
}

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    #[serde(default = "no_arguments")]
    pub arguments: Value,
    /// Which of the run's equal calls it was, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u32>,
    /// Whether it succeeded.
    #[serde(default = "yes")]
    pub ok: bool,
    /// Whether a person had to approve it: where no rule asks for that any more, the case fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approval: bool,
    /// What it answered: text, or JSON; null where the call waits for a person who has not decided.
    #[serde(deserialize_with = "Value::deserialize")]
    pub content: Value,
}

/// What answers a call that has no recorded answer.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fixture {
    /// The tools.
    pub tool: Pattern,
    /// What their arguments are like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Matcher>,
    /// What they answer.
    pub content: Value,
    /// Whether they succeed.
    #[serde(default = "yes")]
    pub ok: bool,
}

/// The run that a case was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaseSource {
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_key: Option<String>,
    /// The digest of its workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_digest: Option<String>,
    /// The model that answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}

fn yes() -> bool {
    true
}

fn no_arguments() -> Value {
    Value::Object(Map::new())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFile {
    version: Spanned<u32>,
    #[serde(default)]
    catalogue: Vec<Spanned<CatalogueTool>>,
    #[serde(default)]
    cases: Vec<Spanned<Case>>,
}

impl CaseFile {
    /// Reads a file. `name` names it in the error.
    ///
    /// # Errors
    /// What is wrong, with the file and the line.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let mut budget = serde_saphyr::Budget::default();
        budget.max_nodes = MAX_NODES;
        budget.max_events = MAX_NODES * 2;
        budget.max_total_scalar_bytes = MAX_TEXT;
        let mut options = serde_saphyr::Options::default();
        options.budget = Some(budget);
        options.with_snippet = false;
        let written: WrittenFile =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let line = error.location().map(|at| at.line());
                let why = error.to_string();
                at(name, line, why.trim())
            })?;
        if written.version.value != VERSION {
            let found = written.version.value;
            let why = format!("version is {found}, and this program reads version {VERSION}");
            return Err(at(name, Some(written.version.referenced.line()), &why));
        }
        let mut seen = HashMap::new();
        for tool in &written.catalogue {
            let line = tool.referenced.line();
            let why = tool.value.problem().or_else(|| {
                let before = seen.insert(tool.value.name.clone(), line)?;
                Some(format!("the tool {:?} stands in line {before}, too", tool.value.name))
            });
            if let Some(why) = why {
                return Err(at(name, Some(line), &why));
            }
        }
        let mut seen = HashMap::new();
        for case in &written.cases {
            let line = case.referenced.line();
            let why = case.value.problem().or_else(|| {
                let before = seen.insert(case.value.id.clone(), line)?;
                Some(format!("the case {:?} stands in line {before}, too", case.value.id))
            });
            if let Some(why) = why {
                return Err(at(name, Some(line), &why));
            }
        }
        let catalogue = written.catalogue.into_iter().map(|tool| tool.value).collect();
        let cases = written.cases.into_iter().map(|case| case.value).collect();
        Ok(Self { version: VERSION, catalogue, cases })
    }
}

fn at(name: &str, line: Option<u64>, why: &str) -> String {
    match line {
        Some(line) if line > 0 => format!("{name}:{line}: {why}"),
        _ => format!("{name}: {why}"),
    }
}

impl CatalogueTool {
    fn problem(&self) -> Option<String> {
        if self.name.trim().is_empty() {
            return Some("a tool of the catalogue has no name".to_owned());
        }
        let is_method = |method: &str| method.chars().all(|c| c.is_ascii_uppercase());
        let endpoint = self.endpoint.as_deref()?;
        match endpoint.split_once(' ') {
            Some((method, path)) if is_method(method) && path.starts_with('/') => None,
            _ => Some(format!("endpoint {endpoint:?} is not METHOD /path")),
        }
    }
}

impl Case {
    fn problem(&self) -> Option<String> {
        let empty = [("id", &self.id), ("role", &self.role)];
        if let Some((field, _)) = empty.iter().find(|(_, text)| text.trim().is_empty()) {
            return Some(format!("{field} is empty"));
        }
        if self.profile.as_ref().is_some_and(|profile| !profile.is_object() && !profile.is_null()) {
            return Some(format!("case {:?}: profile must be an object", self.id));
        }
        if self.answers.iter().any(|answer| answer.nth == Some(0)) {
            return Some(format!("case {:?}: nth counts from 1", self.id));
        }
        let mut seen = HashSet::new();
        let numbered = self.answers.iter().filter(|answer| !self.ignore.contains_key(&answer.tool));
        for answer in numbered.filter(|answer| answer.nth.is_some()) {
            if !seen.insert((key_of(&answer.tool, &answer.arguments, &[]), answer.nth)) {
                let (id, tool) = (&self.id, &answer.tool);
                return Some(format!("case {id:?}: two answers of {tool} have the same nth"));
            }
        }
        let mut pointers = self.ignore.values().flatten();
        let wrong = pointers.find(|pointer| !pointer.is_empty() && !pointer.starts_with('/'))?;
        let id = &self.id;
        Some(format!("case {id:?}: {wrong:?} is no JSON pointer, such as /a/b"))
    }

    /// Whether the case is one that `--case` asks for: its id, in which `*` stands for anything.
    pub fn is_wanted(&self, pattern: &str) -> bool {
        is_wanted(pattern, &self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
version: 1
catalogue:
  - {name: refund, description: pays back, parameters: {type: object}, endpoint: POST /api/refunds}
cases:
  - id: one
    role: scout
    message: |
      hello
    user: u1
    history: [{role: user, content: hi}, {role: assistant, content: yes?}]
    now: 2026-05-01T10:00:00Z
    memories: [likes tea, {scope: task, text: in Rome}]
    answers:
      - {tool: refund, arguments: {id: 1}, nth: 1, ok: true, content: done}
    fixtures: [{tool: list_*, arguments: {a: {$any: true}}, content: []}]
    ignore: {refund: [/at]}
    expect:
      calls: [{tool: refund, arguments: {id: {$gte: 1}}, max: 1}, list_tasks]
      response: {contains: done, matches: [\"^d\"]}
      output: {type: object}
";

    #[test]
    fn a_file_is_read() {
        let file = CaseFile::parse("a.yaml", GOOD).unwrap();
        let case = &file.cases[0];
        assert_eq!((case.message.as_str(), case.history.len()), ("hello\n", 2));
        assert_eq!(case.memories[0].scope, "user");
        assert_eq!(case.expect.calls[1].tool, Pattern::from("list_tasks"));
        assert_eq!((case.expect.calls[0].min, case.expect.calls[0].max), (1, Some(1)));
        assert!(case.is_wanted("o*") && !case.is_wanted("two"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file_and_line() {
        let case = "version: 1\ncases:\n  - id: a\n    role: r\n    message: m\n";
        for (text, line, told) in [
            ("version: 2\ncases: []\n".to_owned(), 1, "version"),
            ("cases: []\n".to_owned(), 0, "version"),
            (format!("{case}    mesage: x\n"), 6, "mesage"),
            (format!("{case}    expect: {{statuss: ok}}\n"), 6, "statuss"),
            (format!("{case}    expect:\n      calls:\n        - {{tool: a, x: 1}}\n"), 8, "x"),
            (format!("{case}    expect:\n      response:\n        matches: '('\n"), 8, "regular"),
            (format!("{case}    answers: [{{tool: a}}]\n"), 6, "content"),
            (
                format!(
                    "{case}    fixtures:\n      - {{tool: a, content: 1, arguments: {{$x: 1}}}}\n"
                ),
                7,
                "$x",
            ),
            (format!("{case}  - id: a\n    role: r\n    message: m\n"), 6, "stands in line 3"),
            (format!("{case}    ignore: {{a: [b]}}\n"), 3, "JSON pointer"),
            (
                format!(
                    "{case}    answers: [{{tool: a, nth: 1, content: x}}, {{tool: a, nth: 1, content: y}}]\n"
                ),
                3,
                "same nth",
            ),
            (format!("{case}    expect: {{judge: {{rubric: a, min: 2}}}}\n"), 6, "0 to 1"),
            ("version: 1\ncases: [\n".to_owned(), 0, "line"),
        ] {
            let error = CaseFile::parse("b.yaml", &text).unwrap_err();
            assert!(error.starts_with("b.yaml:") && error.contains(told), "{text}\n{error}");
            let place = format!("b.yaml:{line}:");
            assert!(line == 0 || error.starts_with(&place), "{text}\n{error}");
        }
    }
}

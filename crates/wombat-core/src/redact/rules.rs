//! `redact` of a role: what is replaced, and where.

use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::placeholder::{MAX_KIND, is_kind};
use super::spans::{Found, merge};
use super::{checks, emails, ibans, keys, numbers, phones};
use crate::nearest::nearest;

/// The most patterns of a role.
const MAX_PATTERNS: usize = 50;

/// The most characters of a pattern.
const MAX_PATTERN_CHARS: usize = 500;

/// The most bytes that a pattern takes as a program: `\w{500}` would take megabytes.
const MAX_PROGRAM: usize = 1024 * 1024;

/// The keys of `redact`.
const KEYS: [&str; 4] = ["to", "kinds", "patterns", "mode"];

/// The keys of a pattern.
const PATTERN_KEYS: [&str; 3] = ["name", "regex", "check"];

const TO: [&str; 3] = ["provider", "journal", "traces"];
const MODES: [&str; 2] = ["redact", "redact-restore"];
const CHECKS: [&str; 2] = ["luhn", "mod97"];

type Scan = fn(&str, &mut Vec<std::ops::Range<usize>>);

/// The kinds that are built in.
const KINDS: [(&str, Scan); 5] = [
    ("email", emails::find),
    ("phone", phones::find),
    ("iban", ibans::find),
    ("card", numbers::find),
    ("key", keys::find),
];

static KIND_NAMES: LazyLock<Vec<&'static str>> =
    LazyLock::new(|| KINDS.iter().map(|(name, _)| *name).collect());

/// Where values are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// In what models get.
    pub provider: bool,
    /// In what the backend keeps of a run.
    pub journal: bool,
    /// In traces and logs.
    pub traces: bool,
}

/// Whether values come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedactMode {
    /// The placeholders stay.
    #[default]
    Redact,
    /// What leaves the run has the values again.
    RedactRestore,
}

impl RedactMode {
    /// The mode as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redact => MODES[0],
            Self::RedactRestore => MODES[1],
        }
    }
}

/// The rules of a role, compiled.
#[derive(Debug, Clone)]
pub struct RedactRules {
    /// Where.
    pub to: Targets,
    /// Whether values come back.
    pub mode: RedactMode,
    kinds: Vec<&'static str>,
    patterns: Vec<Pattern>,
}

#[derive(Debug, Clone)]
struct Pattern {
    name: String,
    regex: Regex,
    check: Option<fn(&str) -> bool>,
}

impl RedactRules {
    /// All kinds that are built in, and the patterns of a role where it has some.
    pub fn all_kinds(role: Option<&Self>) -> Self {
        let to = Targets { provider: false, journal: false, traces: false };
        let patterns = role.map(|role| role.patterns.clone()).unwrap_or_default();
        Self { to, mode: RedactMode::Redact, kinds: KIND_NAMES.clone(), patterns }
    }

    /// What of a text is to be replaced: in order, and nothing twice.
    pub fn find<'a>(&'a self, text: &str) -> Vec<Found<'a>> {
        let (mut found, mut ranges) = (Vec::new(), Vec::new());
        for (kind, scan) in KINDS.iter().filter(|(kind, _)| self.kinds.contains(kind)) {
            scan(text, &mut ranges);
            found.extend(ranges.drain(..).map(|range| Found { range, kind }));
        }
        for pattern in &self.patterns {
            let all = pattern.regex.find_iter(text).filter(|found| !found.is_empty());
            let right =
                all.filter(|found| pattern.check.is_none_or(|is_right| is_right(found.as_str())));
            found.extend(right.map(|found| Found { range: found.range(), kind: &pattern.name }));
        }
        if found.len() < 2 { found } else { merge(found) }
    }

    /// What is replaced, where, and whether it comes back, in a line for people.
    pub fn told(&self) -> String {
        let Targets { provider, journal, traces } = self.to;
        let to = TO.iter().zip([provider, journal, traces]).filter(|(_, is_on)| *is_on);
        let to: Vec<&str> = to.map(|(name, _)| *name).collect();
        let kinds = self.kinds.iter().copied();
        let kinds: Vec<&str> =
            kinds.chain(self.patterns.iter().map(|pattern| pattern.name.as_str())).collect();
        format!("{} in {} ({})", kinds.join(", "), to.join(", "), self.mode.as_str())
    }

    /// Reads `redact` of an entry of the file; `None` where it has none.
    ///
    /// # Errors
    /// Each problem, which begins with its place.
    pub fn of_entry(entry: &Value) -> Result<Option<Self>, Vec<String>> {
        let redact = match entry.get("redact") {
            None | Some(Value::Null) => return Ok(None),
            Some(redact) => redact,
        };
        let Some(fields) = redact.as_object() else {
            return Err(vec![format!("redact: must be an object with {}", KEYS.join(", "))]);
        };
        let mut problems = unknown(fields, "redact", &KEYS);
        let to = names(fields.get("to"), "redact.to", &TO, &mut problems);
        let kinds = names(fields.get("kinds"), "redact.kinds", &KIND_NAMES, &mut problems);
        let patterns = patterns(fields.get("patterns"), &mut problems);
        let mode = match fields.get("mode") {
            None | Some(Value::Null) => RedactMode::Redact,
            Some(mode) if mode == MODES[0] => RedactMode::Redact,
            Some(mode) if mode == MODES[1] => RedactMode::RedactRestore,
            Some(mode) => {
                problems.push(format!("redact.mode: {mode} is not {}", MODES.join(" or ")));
                RedactMode::Redact
            }
        };
        if problems.is_empty() && to.is_empty() {
            problems.push(format!("redact.to: names no place; it takes {}", TO.join(", ")));
        }
        if problems.is_empty() && kinds.is_empty() && patterns.is_empty() {
            let what = "names nothing to replace; give it kinds or patterns";
            problems.push(format!("redact: {what}"));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let has = |name: &str| to.contains(&name);
        let to = Targets { provider: has(TO[0]), journal: has(TO[1]), traces: has(TO[2]) };
        Ok(Some(Self { to, mode, kinds, patterns }))
    }
}

/// Keys that are none.
fn unknown(fields: &Map<String, Value>, place: &str, known: &[&str]) -> Vec<String> {
    let other = fields.keys().filter(|key| !known.contains(&key.as_str()));
    let told = other.map(|key| match nearest(key, known.iter().copied()) {
        Some(near) => format!("{place}: unknown key {key:?}; did you mean {near:?}?"),
        None => format!("{place}: unknown key {key:?}; it has {}", known.join(", ")),
    });
    told.collect()
}

/// The names of a list, each once.
fn names(
    given: Option<&Value>,
    place: &str,
    known: &[&'static str],
    problems: &mut Vec<String>,
) -> Vec<&'static str> {
    let items = match given {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            problems.push(format!("{place}: must be a list of {}", known.join(", ")));
            return Vec::new();
        }
    };
    for (at, item) in items.iter().enumerate() {
        if !item.as_str().is_some_and(|item| known.contains(&item)) {
            let near = item.as_str().and_then(|item| nearest(item, known.iter().copied()));
            problems.push(match near {
                Some(near) => format!("{place}[{at}]: there is no {item}; did you mean {near:?}?"),
                None => format!("{place}[{at}]: there is no {item}; it takes {}", known.join(", ")),
            });
        }
    }
    known.iter().copied().filter(|name| items.iter().any(|item| item == name)).collect()
}

fn patterns(given: Option<&Value>, problems: &mut Vec<String>) -> Vec<Pattern> {
    let items = match given {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => {
            problems.push("redact.patterns: must be a list of {name, regex, check?}".to_owned());
            return Vec::new();
        }
    };
    if items.len() > MAX_PATTERNS {
        let many = items.len();
        problems.push(format!(
            "redact.patterns: has {many} patterns; at most {MAX_PATTERNS} are allowed"
        ));
        return Vec::new();
    }
    let mut patterns: Vec<Pattern> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let place = format!("redact.patterns[{at}]");
        let Some(fields) = item.as_object() else {
            problems.push(format!("{place}: must be an object with {}", PATTERN_KEYS.join(", ")));
            continue;
        };
        problems.extend(unknown(fields, &place, &PATTERN_KEYS));
        match pattern(fields) {
            Ok(pattern) if patterns.iter().any(|other| other.name == pattern.name) => {
                problems.push(format!("{place}.name: another pattern is {:?}, too", pattern.name));
            }
            Ok(pattern) => patterns.push(pattern),
            Err((field, why)) => problems.push(format!("{place}.{field}: {why}")),
        }
    }
    patterns
}

/// Reads one pattern; the error is the field's name and what is wrong.
fn pattern(fields: &Map<String, Value>) -> Result<Pattern, (&'static str, String)> {
    let text = |name: &'static str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.as_str()),
        Some(_) => Err((name, "must be a text".to_owned())),
        None => Err((name, "is missing".to_owned())),
    };
    let name = text("name")?;
    if !is_kind(name) {
        let form = format!(
            "{name:?} is not 1 to {MAX_KIND} of a-z, 0-9, - and _, beginning with a letter"
        );
        return Err(("name", form));
    }
    if KIND_NAMES.contains(&name) {
        return Err((
            "name",
            format!("{name:?} is a kind; list it in kinds, or name the pattern otherwise"),
        ));
    }
    let check = match fields.get("check") {
        None | Some(Value::Null) => None,
        Some(check) if check == CHECKS[0] => Some(checks::luhn as fn(&str) -> bool),
        Some(check) if check == CHECKS[1] => Some(checks::mod97 as fn(&str) -> bool),
        Some(check) => return Err(("check", format!("{check} is not {}", CHECKS.join(" or ")))),
    };
    let regex = compile(text("regex")?).map_err(|why| ("regex", why))?;
    Ok(Pattern { name: name.to_owned(), regex, check })
}

fn compile(text: &str) -> Result<Regex, String> {
    let chars = text.chars().count();
    if chars > MAX_PATTERN_CHARS {
        return Err(format!("has {chars} characters; at most {MAX_PATTERN_CHARS} are allowed"));
    }
    let built = RegexBuilder::new(text).size_limit(MAX_PROGRAM).dfa_size_limit(MAX_PROGRAM).build();
    let regex = match built {
        Ok(regex) => regex,
        Err(regex::Error::CompiledTooBig(_)) => {
            return Err("is too large when it is compiled; use smaller counts in it".to_owned());
        }
        Err(error) => {
            let line = error.to_string();
            let why = line.lines().last().unwrap_or_default().trim();
            let why = why.strip_prefix("error: ").unwrap_or(why);
            return Err(format!("{text:?} is not valid in RE2's syntax: {why}"));
        }
    };
    if regex.is_match("") {
        return Err(format!("{text:?} fits the empty text, and so everywhere"));
    }
    Ok(regex)
}

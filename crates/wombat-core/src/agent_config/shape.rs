//! What a file may not contain, because a rule in it would silently not hold: keys that only look like
//! those of rules, rules at another place, variables that are not set.

use serde_json::{Map, Value};

use super::ConfigError;
use super::lines::line_from;
use crate::json_lines::{Step, line_at};
use crate::nearest::nearest_within;

/// The keys of an agent's `tools`.
pub(crate) const TOOLS_KEYS: [&str; 6] =
    ["allow", "deny", "approval", "idempotent", "enable", "defer"];

/// The most wrong letters of a key that is taken for a misspelt one: `denied` has three.
const MAX_WRONG: usize = 3;

/// The list of all agents.
const AGENTS: &str = "agents";

/// The rules of an agent.
const TOOLS: &str = "tools";

/// What an agent remembers.
const MEMORY: &str = "memory";

/// What of an agent's runs is redacted.
const REDACT: &str = "redact";

/// The schema of an agent's replies.
const OUTPUT: &str = "output";

/// All that is wrong with a file's shape, before variables are filled in.
pub(super) fn problems(
    raw: &Value,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<ConfigError> {
    let Some(fields) = raw.as_object() else {
        return vec![ConfigError { line: Some(1), reason: "it is not an object".to_owned() }];
    };
    let mut found = Shape { text, env, from: 0, errors: Vec::new() };
    found.look_alikes(fields, AGENTS, "");
    for key in fields.keys().filter(|key| TOOLS_KEYS.contains(&key.as_str())) {
        found.misplaced(key, "");
    }
    let rules = fields.get(TOOLS).and_then(Value::as_object);
    for key in rules.into_iter().flat_map(Map::keys).filter(|key| is_rule(key)) {
        found.misplaced(key, "");
    }
    let entries = fields.get(AGENTS).and_then(Value::as_array);
    for (at, entry) in entries.into_iter().flatten().enumerate() {
        match entry.as_object() {
            Some(entry) => found.entry(at, entry),
            // A list would pass for an object, too.
            None => {
                let line = line_at(text, &[Step::Key(AGENTS), Step::Index(at)]);
                let reason = format!("agent {}: is not an object", at + 1);
                found.errors.push(ConfigError { line, reason });
            }
        }
    }
    found.errors
}

fn is_rule(key: &str) -> bool {
    TOOLS_KEYS.contains(&key)
}

struct Shape<'a> {
    text: &'a str,
    env: &'a dyn Fn(&str) -> Option<String>,
    /// The line from which keys are looked for.
    from: usize,
    errors: Vec<ConfigError>,
}

impl Shape<'_> {
    fn add(&mut self, word: &str, reason: String) {
        let line = line_from(self.text, self.from, word);
        self.errors.push(ConfigError { line, reason });
    }

    fn entry(&mut self, at: usize, entry: &Map<String, Value>) {
        let role = entry.get("role").and_then(Value::as_str);
        let of =
            role.map_or_else(|| format!("agent {}: ", at + 1), |role| format!("agent {role:?}: "));
        let place = [Step::Key(AGENTS), Step::Index(at)];
        self.from = line_at(self.text, &place).unwrap_or(0);
        self.look_alikes(entry, TOOLS, &of);
        self.look_alikes(entry, OUTPUT, &of);
        self.look_alikes(entry, MEMORY, &of);
        self.look_alikes(entry, REDACT, &of);
        for key in entry.keys().filter(|key| is_rule(key)) {
            self.misplaced(key, &of);
        }
        let tools = entry.get(TOOLS);
        if tools.is_some_and(|tools| !tools.is_object()) {
            self.add(TOOLS, format!("{of}tools is not an object"));
        }
        for key in tools.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
            if !is_rule(key) {
                let hint = match nearest_within(key, TOOLS_KEYS, MAX_WRONG) {
                    Some(near) => format!("did you mean {near:?}?"),
                    None => format!("the known keys are {}", TOOLS_KEYS.join(", ")),
                };
                self.add(key, format!("{of}unknown key {key:?} in tools; {hint}"));
            }
        }
        let mut unset = Vec::new();
        for value in [entry.get("role"), tools, entry.get(REDACT)].into_iter().flatten() {
            super::unset_variables(value, self.env, &mut unset);
        }
        unset.dedup();
        for name in unset {
            // It stands inside of a string, so there are no quotes around it.
            let mark = format!("${{{name}}}");
            let line = self.text.lines().position(|line| line.contains(&mark)).map(|at| at + 1);
            let reason = format!("{of}{mark} is not set");
            self.errors.push(ConfigError { line, reason });
        }
    }

    /// Keys that are meant to be `name`: in another case, or with one wrong letter where `name` itself is
    /// missing. Other unknown keys belong to older files.
    fn look_alikes(&mut self, fields: &Map<String, Value>, name: &str, of: &str) {
        for key in fields.keys().filter(|key| *key != name) {
            let lower = key.to_lowercase();
            let is_slip = strsim::damerau_levenshtein(&lower, name) <= 1;
            if lower == name || (is_slip && !fields.contains_key(name)) {
                self.add(key, format!("{of}unknown key {key:?}; did you mean {name:?}?"));
            }
        }
    }

    fn misplaced(&mut self, key: &str, of: &str) {
        let place = "it belongs into \"tools\" of an entry of \"agents\"";
        self.add(key, format!("{of}{key:?} has no effect here; {place}"));
    }
}

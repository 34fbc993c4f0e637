//! A script of one's own: YAML with a list of rules, of which the first that matches answers
//! (docs/CONFIGURATION.md, "The offline provider").

use std::path::Path;
use std::time::Duration;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::template::{Captures, Facts};

/// A script that has been read and checked.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    rules: Vec<Rule>,
}

/// A rule: when it matches, and the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(default)]
    when: When,
    /// The answer's text.
    #[serde(default)]
    pub(super) say: Option<String>,
    /// The tools that are called.
    #[serde(default)]
    pub(super) call: Vec<Call>,
    /// Delay before the answer, milliseconds.
    #[serde(default)]
    pub(super) delay_ms: u64,
    /// An error instead of an answer.
    #[serde(default)]
    pub(super) fail: Option<Fail>,
}

/// Conditions; all that are given must hold.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    /// The agent's role.
    #[serde(default)]
    role: Option<String>,
    /// Matches the newest user message, or it with a line for each of its images and documents.
    #[serde(default)]
    user: Option<Pattern>,
    /// Matches the images and documents of that message: `[image cat.png] [document a.pdf]`.
    #[serde(default)]
    files: Option<Pattern>,
    /// The tool whose result is the newest message.
    #[serde(default)]
    tool: Option<String>,
    /// Matches that result.
    #[serde(default)]
    result: Option<Pattern>,
    /// The number of tool results since the newest user message.
    #[serde(default)]
    step: Option<usize>,
}

/// A tool call; its arguments may contain templates anywhere.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Call {
    pub(super) name: String,
    #[serde(default = "no_arguments")]
    pub(super) arguments: Value,
}

fn no_arguments() -> Value {
    Value::Object(serde_json::Map::new())
}

/// The error that a provider would return.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fail {
    /// The HTTP status.
    pub(super) status: u16,
    /// `Retry-After`, seconds.
    #[serde(default, deserialize_with = "seconds")]
    pub(super) retry_after: Option<Duration>,
}

fn seconds<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    let duration = |seconds| Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom);
    seconds.map(duration).transpose()
}

/// A regular expression of the regex crate.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Regex);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Regex::new(&text)
            .map(Self)
            .map_err(|error| format!("{text:?} is not a regular expression: {error}"))
    }
}

impl Rules {
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{name} cannot be read: {error}"))?;
        Self::parse(&text).map_err(|error| format!("{name}: {error}"))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
        for (n, rule) in document.rules.iter().enumerate() {
            if rule.say.is_none() && rule.call.is_empty() && rule.fail.is_none() {
                return Err(format!("rule {} has no action: add say, call or fail", n + 1));
            }
            if rule.fail.as_ref().is_some_and(|fail| !(400..600).contains(&fail.status)) {
                return Err(format!("rule {}: fail.status must be from 400 to 599", n + 1));
            }
        }
        Ok(Self { rules: document.rules })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }
}

impl Rule {
    /// The captures of the rule's pattern, if the rule matches.
    pub(super) fn fits(&self, facts: &Facts<'_>) -> Option<Captures> {
        let when = &self.when;
        let last = facts.last_tool();
        if when.role.as_deref().is_some_and(|role| role != facts.role())
            || when.step.is_some_and(|step| step != facts.steps())
        {
            return None;
        }
        match (&when.tool, last) {
            (Some(tool), Some(last)) if tool == last => {}
            (Some(_), _) => return None,
            // A rule without a tool answers the user: otherwise what it calls would be called again
            // after every result. Only a rule of text alone matches after a result, too.
            (None, Some(_))
                if when.user.is_some() || when.files.is_some() || !self.call.is_empty() =>
            {
                return None;
            }
            (None, _) => {}
        }
        if let Some(Pattern(pattern)) = &when.result
            && !pattern.is_match(&facts.last_result_text())
        {
            return None;
        }
        if let Some(Pattern(pattern)) = &when.files
            && !pattern.is_match(&facts.files())
        {
            return None;
        }
        match &when.user {
            None => Some(Captures::default()),
            Some(Pattern(pattern)) => Captures::of(pattern, facts.user())
                .or_else(|| Captures::of(pattern, &facts.user_and_files())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_script_is_told_with_its_place() {
        for (text, told) in [
            ("rules:\n  - when: {user: '('}\n    say: x\n", "regular expression"),
            ("rules:\n  - when: {who: x}\n    say: x\n", "who"),
            ("rules:\n  - when: {role: x}\n", "rule 1"),
            ("rules:\n  - say: a\n  - fail: {status: 200}\n", "rule 2"),
            ("rule: []\n", "rule"),
            ("rules: [", "line"),
        ] {
            let error = Rules::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let error = Rules::load(Path::new("/nowhere/script.yaml")).unwrap_err();
        assert!(error.contains("/nowhere/script.yaml cannot be read"), "{error}");
    }
}

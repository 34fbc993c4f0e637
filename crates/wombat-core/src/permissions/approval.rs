//! What waits for a person's approval: tools and endpoints, some of them only with certain arguments.

use std::fmt;

use schemas::condition::Condition;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::pattern::ToolPattern;
use super::ruling::RuleOrigin;

/// An entry of `approval`, as it is in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalEntry {
    /// A tool or an endpoint.
    pub tool: String,
    /// The condition on the arguments; any call waits without one.
    pub when: Option<Value>,
}

/// The tool alone, as the API has always shown it.
impl Serialize for ApprovalEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.tool.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ApprovalEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either)
    }
}

/// Reads a string, or an object.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = ApprovalEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or {\"tool\": …, \"when\": {…}}")
    }

    fn visit_str<E: Error>(self, tool: &str) -> Result<Self::Value, E> {
        Ok(ApprovalEntry { tool: tool.to_owned(), when: None })
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Conditional {
            tool: String,
            when: Value,
        }
        let Conditional { tool, when } = Conditional::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ApprovalEntry { tool, when: Some(when) })
    }
}

/// A rule by which calls wait for approval.
#[derive(Debug, Clone)]
pub(super) struct Approval {
    pub(super) pattern: ToolPattern,
    when: Option<Condition>,
}

impl Approval {
    /// Reads the entries; what is wrong with one is added to `problems`, with its place.
    pub(super) fn read(entries: &[ApprovalEntry], problems: &mut Vec<String>) -> Vec<Self> {
        let mut read = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let when = match entry.when.as_ref().map(Condition::parse).transpose() {
                Ok(when) => when,
                Err(wrong) => {
                    let place = format!("tools.approval[{at}].when");
                    problems.extend(wrong.into_iter().map(|why| format!("{place}: {why}")));
                    continue;
                }
            };
            match ToolPattern::parse(&entry.tool) {
                Ok(pattern) => read.push(Self { pattern, when }),
                Err(error) => problems.push(error),
            }
        }
        read
    }

    /// As it is written, with its place.
    pub(super) fn told(&self, origin: RuleOrigin) -> String {
        let rule = format!("\"{}\" in {}", self.pattern, origin.place());
        match &self.when {
            Some(when) => format!("{rule}, where {}", when.as_json()),
            None => rule,
        }
    }

    /// Whether a call with these arguments waits. What cannot be judged does.
    pub(super) fn asks(&self, arguments: Option<&Map<String, Value>>) -> bool {
        match (&self.when, arguments) {
            (None, _) | (Some(_), None) => true,
            (Some(when), Some(arguments)) => when.judge(arguments).asks(),
        }
    }
}

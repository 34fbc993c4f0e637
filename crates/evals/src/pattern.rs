//! Patterns of tools: a name in which `*` stands for anything, or `METHOD /path` for calls of endpoints.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A pattern of tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.trim().is_empty() {
            true => Err(serde::de::Error::custom("a tool's name is empty")),
            false => Ok(Self(text)),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Pattern {
    /// Whether it is the name of this tool.
    pub(crate) fn names(&self, tool: &str) -> bool {
        self.0 == tool
    }

    /// Whether a call of this tool is meant. `endpoint` is where the tool calls, where that is always the same
    /// place; a call of `call_backend` has its own among the arguments.
    pub fn fits(&self, tool: &str, endpoint: Option<&str>, arguments: &Value) -> bool {
        if !self.0.contains(' ') {
            return is_like(&self.0, tool);
        }
        let named = endpoint.map(str::to_owned).or_else(|| {
            let (method, path) = (arguments["method"].as_str()?, arguments["path"].as_str()?);
            Some(format!("{method} {}", path.split('?').next().unwrap_or(path)))
        });
        named.is_some_and(|named| is_like(&self.0, &named) || same_template(&self.0, &named))
    }
}

/// Whether two endpoints have the same path but for the names of its parameters.
fn same_template(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other || is_parameter(one, other) => {}
            _ => return false,
        }
    }
}

fn is_parameter(one: &str, other: &str) -> bool {
    let is_named = |part: &str| part == "*" || (part.starts_with('{') && part.ends_with('}'));
    is_named(one) && (is_named(other) || !other.is_empty())
}

/// Whether a text is the pattern, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Whether a case's id is one that is asked for by a pattern.
pub(crate) fn is_wanted(pattern: &str, id: &str) -> bool {
    let (pattern, id): (Vec<char>, Vec<char>) = (pattern.chars().collect(), id.chars().collect());
    // Where the last `*` was, and how much of the id it has taken.
    let (mut at, mut from, mut star) = (0, 0, None);
    while from < id.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, from));
                at += 1;
            }
            Some(c) if *c == '?' || *c == id[from] => {
                at += 1;
                from += 1;
            }
            _ => match star {
                Some((begin, taken)) => {
                    star = Some((begin, taken + 1));
                    (at, from) = (begin + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_asked_for_by_globs() {
        for (glob, id, wanted) in [
            ("scout-*", "scout-1", true),
            ("*", "", true),
            ("", "", true),
            ("s?out*1", "scout-11", true),
            ("*a*b", "xaxbxab", true),
            ("scout", "scout-1", false),
            ("?", "", false),
            ("a*b", "a", false),
        ] {
            assert_eq!(is_wanted(glob, id), wanted, "{glob} {id}");
        }
    }

    #[test]
    fn a_pattern_is_a_name_or_an_endpoint() {
        let none = json!({});
        for (pattern, tool, fits) in [
            ("create_task", "create_task", true),
            ("create_task", "create_task_2", false),
            ("*", "anything", true),
            ("create_*", "create_task", true),
            ("*_task", "create_task", true),
            ("c*e_*k", "create_task", true),
            ("*_task", "create_document", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(Pattern::from(pattern).fits(tool, None, &none), fits, "{pattern} {tool}");
        }
        let call = json!({ "method": "POST", "path": "/api/refunds/7?x=1" });
        for (pattern, fits) in [
            ("POST /api/refunds/7", true),
            ("POST /api/refunds/*", true),
            ("POST /api/refunds/{id}", true),
            ("* /api/refunds/*", true),
            ("GET /api/refunds/*", false),
            ("POST /api/refunds", false),
        ] {
            assert_eq!(Pattern::from(pattern).fits("call_backend", None, &call), fits, "{pattern}");
        }
        let typed = Pattern::from("POST /api/refunds/{id}");
        assert!(typed.fits("refund", Some("POST /api/refunds/{refund_id}"), &none));
        assert!(!typed.fits("refund", None, &none));
    }
}

//! One pattern of a role's rules: a tool's name, or an endpoint.

use std::fmt;

use crate::endpoint::{EndpointPattern, FoldedPattern, METHODS};
use crate::operations::{Operation, is_unambiguous};

/// What else somebody may write for a method, in capitals: `all/items` is the name of an operation.
const OTHER_METHODS: [&str; 6] = ["HEAD", "OPTIONS", "TRACE", "CONNECT", "ANY", "ALL"];

#[derive(Debug, Clone)]
pub(super) enum ToolPattern {
    Name(String),
    Endpoint {
        /// For what is allowed.
        exact: EndpointPattern,
        /// For what is denied or needs approval.
        folded: Box<FoldedPattern>,
    },
}

/// As it is in the file.
impl fmt::Display for ToolPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Endpoint { exact, .. } => write!(f, "{exact}"),
        }
    }
}

impl ToolPattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let neither = || format!("tool pattern {text:?} is neither a tool name nor METHOD /path");
        if text.contains('/') && text.contains(char::is_whitespace) {
            return match EndpointPattern::parse(text) {
                Ok(exact) => {
                    let folded = Box::new(FoldedPattern::of(&exact));
                    Ok(Self::Endpoint { exact, folded })
                }
                Err(error) => Err(format!("tool pattern {text:?}: {error}")),
            };
        }
        // The operations of some documents have names with a slash, such as `repos/get`.
        let plain = |c: char| c.is_alphanumeric() || "_-*./:#@$~+".contains(c);
        if text.is_empty() || !text.chars().all(plain) || is_path(text) {
            return Err(neither());
        }
        Ok(Self::Name(text.to_owned()))
    }

    /// Whether `allow` means the tool of an endpoint as a whole.
    pub(super) fn covers(&self, tool: &NamedTool<'_>) -> bool {
        match self {
            Self::Name(name) => tool.is_allowed_as(name),
            Self::Endpoint { exact, .. } => tool.endpoint.is_some_and(|tool| exact.covers(tool)),
        }
    }

    /// Whether `allow` means some call of the tool.
    pub(super) fn may_meet(&self, tool: &NamedTool<'_>) -> bool {
        match self {
            Self::Name(name) => tool.is_allowed_as(name),
            Self::Endpoint { exact, .. } => tool.endpoint.is_some_and(|tool| exact.may_meet(tool)),
        }
    }

    /// Whether `approval` means some call of the tool.
    pub(super) fn restricts(&self, tool: &NamedTool<'_>) -> bool {
        match self {
            Self::Name(name) => glob(name, tool.name) || tool.id.is_some_and(|id| glob(name, id)),
            Self::Endpoint { folded, .. } => {
                tool.endpoint.is_some_and(|tool| folded.may_meet(&FoldedPattern::of(tool)))
            }
        }
    }

    /// Whether `deny` means every call of the tool.
    pub(super) fn denies(&self, tool: &NamedTool<'_>) -> bool {
        match self {
            Self::Name(name) => glob(name, tool.name) || tool.id.is_some_and(|id| glob(name, id)),
            Self::Endpoint { folded, .. } => {
                tool.endpoint.is_some_and(|tool| folded.covers(&FoldedPattern::of(tool)))
            }
        }
    }
}

/// Whether a text is a path whose method is missing, or not set apart.
fn is_path(text: &str) -> bool {
    let Some((before, after)) = text.split_once('/') else { return false };
    let word = before.trim_matches(|c: char| !c.is_alphanumeric());
    let is_method = METHODS.iter().any(|method| method.eq_ignore_ascii_case(word))
        || OTHER_METHODS.contains(&word);
    let is_any = before == "*" && after.contains('/');
    before.is_empty() || after.starts_with('/') || is_method || is_any
}

/// A tool, as rules name it.
#[derive(Debug, Clone, Copy)]
pub struct NamedTool<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its name at its source, where that is another one.
    pub id: Option<&'a str>,
    /// What it calls.
    pub endpoint: Option<&'a EndpointPattern>,
}

impl<'a> NamedTool<'a> {
    /// A tool that calls no endpoint.
    pub fn without_endpoint(name: &'a str) -> Self {
        Self { name, id: None, endpoint: None }
    }

    pub(super) fn is_allowed_as(&self, pattern: &str) -> bool {
        glob(pattern, self.name) || allowed_id(self.id).is_some_and(|id| glob(pattern, id))
    }
}

impl<'a> From<&'a Operation> for NamedTool<'a> {
    fn from(operation: &'a Operation) -> Self {
        Self {
            name: &operation.tool,
            id: operation.id.as_deref(),
            endpoint: Some(&operation.endpoint),
        }
    }
}

/// What `allow` may name must mean no other tool.
pub(super) fn allowed_id(id: Option<&str>) -> Option<&str> {
    id.filter(|id| is_unambiguous(id))
}

/// Matches a pattern in which `*` stands for any text.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

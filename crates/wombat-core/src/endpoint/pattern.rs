//! `METHOD /path` with parameters.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::fold;
use super::path::{NormalPath, PathError, decode};
use super::segment::{ANY, GREEDY, SOME, is_gap, matches, matches_stem, meet};

/// The methods that an endpoint can have.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `METHOD /path`.
    #[error("an endpoint must have the form METHOD /path, with {}", METHODS.join(", "))]
    Shape,
    /// A brace without its other half.
    #[error("the braces in its path do not match")]
    Braces,
    /// The path is invalid.
    #[error("{0}")]
    Path(#[from] PathError),
}

/// `METHOD /path` with parameters within a segment: `{name}`, `<name>`, or `:name` where it begins one,
/// for at least one character; `*` for any text, and as a whole segment for at least one character. `**`
/// at the end is any number of segments.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointPattern {
    method: String,
    segments: Vec<String>,
    /// Whether any further segments may follow.
    is_open: bool,
    text: String,
    /// The names of query parameters that it was written with.
    query: BTreeSet<String>,
}

impl EndpointPattern {
    /// Parses `METHOD /path`.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let (method, path) =
            text.trim().split_once(char::is_whitespace).ok_or(EndpointError::Shape)?;
        let path = path.trim();
        let method = method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) && method != "*" {
            return Err(EndpointError::Shape);
        }
        let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        if rest.contains(char::is_whitespace) {
            return Err(EndpointError::Shape);
        }
        let text = format!("{method} {path}");
        let (fixed, is_open) = match rest.strip_suffix("**") {
            Some("") => (None, true),
            Some(fixed) if fixed.ends_with('/') => (fixed.strip_suffix('/'), true),
            Some(_) | None => (Some(rest), false),
        };
        let segments = segments(fixed, |part| {
            if part == "**" { Err(EndpointError::Shape) } else { with_gaps(part) }
        })?;
        if is_open && segments.iter().any(String::is_empty) {
            return Err(PathError::Segments.into());
        }
        Ok(Self { method, segments, is_open, text, query: BTreeSet::new() })
    }

    /// The endpoint with the names of query parameters that it declares.
    pub(super) fn with_query(mut self, names: impl IntoIterator<Item = String>) -> Self {
        self.query.extend(names);
        self
    }

    /// The names of query parameters that it declares; most endpoints declare none and take any.
    pub fn query(&self) -> &BTreeSet<String> {
        &self.query
    }

    /// The endpoint of a path with parameters in braces, as in an OpenAPI document: everything else is
    /// text.
    ///
    /// # Errors
    /// As [`EndpointPattern::parse`].
    pub fn of_template(method: &str, path: &str) -> Result<Self, EndpointError> {
        let rest = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        let segments = segments(Some(rest), |part| fill(part, |_| None))?;
        let text = format!("{method} {path}");
        let method = method.to_owned();
        Ok(Self { method, segments, is_open: false, text, query: BTreeSet::new() })
    }

    /// Whether a call matches this endpoint. Case-sensitive.
    pub fn matches(&self, method: &str, path: &NormalPath) -> bool {
        let given = path.segments();
        (self.method == "*" || self.method == method)
            && fits(self.segments.len(), self.is_open, given.len())
            && self.segments.iter().zip(given).all(|(ours, given)| matches(ours, given))
    }

    /// Whether this endpoint matches every call that the other one matches.
    pub fn covers(&self, other: &Self) -> bool {
        (self.method == "*" || self.method == other.method)
            && covers((&self.segments, self.is_open), (&other.segments, other.is_open))
    }

    /// Whether some call matches both endpoints.
    pub fn may_meet(&self, other: &Self) -> bool {
        may_meet(
            (&self.method, &self.segments, self.is_open),
            (&other.method, &other.segments, other.is_open),
            |ours, theirs| meet(ours, theirs),
        )
    }
}

/// An endpoint that matches whatever a server may take for one of its calls: see [`fold`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoldedPattern {
    exact: EndpointPattern,
    method: String,
    /// The forms of each segment, none of which is empty.
    segments: Vec<Vec<String>>,
    is_open: bool,
}

impl FoldedPattern {
    /// What a server may take for this endpoint.
    pub(crate) fn of(pattern: &EndpointPattern) -> Self {
        let folded = pattern.segments.iter().map(|segment| fold::forms(segment));
        // A trailing slash is no segment of its own.
        let mut segments: Vec<Vec<String>> =
            folded.filter(|forms| forms.first().is_some_and(|first| !first.is_empty())).collect();
        let mut is_open = pattern.is_open;
        let is_greedy = |forms: &Vec<String>| forms.iter().any(|form| form.contains(GREEDY));
        if let Some(at) = segments.iter().position(is_greedy) {
            // What follows may be in a later segment.
            segments.truncate(at + 1);
            for form in &mut segments[at] {
                if let Some(end) = form.find(GREEDY) {
                    form.truncate(end);
                    form.push(SOME);
                }
            }
            is_open = true;
        }
        if let Some(last) = segments.last_mut().filter(|_| !is_open) {
            let literals = last.iter().filter(|form| !form.contains(is_gap));
            let stems: Vec<_> = literals.filter_map(|form| fold::stem(form)).collect();
            let stems: Vec<String> = stems.into_iter().map(str::to_owned).collect();
            last.extend(stems);
        }
        let method = same_method(&pattern.method).to_owned();
        Self { exact: pattern.clone(), method, segments, is_open }
    }

    /// What a server may take each segment for.
    pub(super) fn forms(&self) -> &[Vec<String>] {
        &self.segments
    }

    /// The number of segments that all its calls have, if there is one.
    pub(crate) fn length(&self) -> Option<usize> {
        (!self.is_open).then_some(self.segments.len())
    }

    /// Whether a server may take a call for this endpoint.
    pub(crate) fn matches(&self, method: &str, path: &NormalPath) -> bool {
        path.readings().any(|given| self.matches_reading(method, given))
            || self.exact.matches(method, path)
    }

    fn matches_reading(&self, method: &str, given: &[Vec<String>]) -> bool {
        let segment = |(at, (ours, theirs)): (usize, (&Vec<String>, &Vec<String>))| {
            let is_last = at + 1 == given.len();
            let hit = if is_last { matches_stem } else { matches };
            ours.iter().any(|ours| theirs.iter().any(|theirs| hit(ours, theirs)))
        };
        (self.method == "*" || self.method == same_method(method))
            && fits(self.segments.len(), self.is_open, given.len())
            && self.segments.iter().zip(given).enumerate().all(segment)
    }

    /// Whether this endpoint surely matches every call that the other one matches.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let first = |forms: &Vec<String>| forms.first().cloned().unwrap_or_default();
        let (ours, theirs): (Vec<_>, Vec<_>) =
            (self.segments.iter().map(first).collect(), other.segments.iter().map(first).collect());
        (self.method == "*" || self.method == other.method)
            && covers((&ours, self.is_open), (&theirs, other.is_open))
    }

    /// Whether some call matches both endpoints.
    pub(crate) fn may_meet(&self, other: &Self) -> bool {
        may_meet(
            (&self.method, &self.segments, self.is_open),
            (&other.method, &other.segments, other.is_open),
            |ours, theirs| ours.iter().any(|ours| theirs.iter().any(|theirs| meet(ours, theirs))),
        )
    }
}

/// A `HEAD` does on a server what a `GET` does (RFC 9110, 9.3.2).
fn same_method(method: &str) -> &str {
    if method == "HEAD" { "GET" } else { method }
}

/// Whether a path of this length can match a pattern.
fn fits(pattern: usize, is_open: bool, path: usize) -> bool {
    if is_open { path >= pattern } else { path == pattern }
}

fn covers(ours: (&[String], bool), theirs: (&[String], bool)) -> bool {
    (ours.1 || !theirs.1)
        && fits(ours.0.len(), ours.1, theirs.0.len())
        && ours.0.iter().zip(theirs.0).all(|(ours, theirs)| matches(ours, theirs))
}

fn may_meet<S>(
    ours: (&str, &[S], bool),
    theirs: (&str, &[S], bool),
    meet: impl Fn(&S, &S) -> bool,
) -> bool {
    let (a, b) = (ours.1.len(), theirs.1.len());
    (ours.0 == "*" || theirs.0 == "*" || ours.0 == theirs.0)
        && (a == b || (a < b && ours.2) || (b < a && theirs.2))
        && ours.1.iter().zip(theirs.1).all(|(a, b)| meet(a, b))
}

/// The segments of a path without its first slash.
fn segments(
    path: Option<&str>,
    read: impl Fn(&str) -> Result<String, EndpointError>,
) -> Result<Vec<String>, EndpointError> {
    let parts: Vec<&str> = path.into_iter().flat_map(|path| path.split('/')).collect();
    let mut segments = Vec::with_capacity(parts.len());
    for (at, part) in parts.iter().enumerate() {
        if part.is_empty() && at + 1 < parts.len() {
            return Err(PathError::Segments.into());
        }
        let segment = read(part)?;
        if !segment.contains(is_gap) {
            // Text alone must be a path that could be called.
            NormalPath::parse(&format!("/{part}"))?;
        }
        segments.push(segment);
    }
    Ok(segments)
}

/// A segment of which `*`, `{name}`, `<name>` and `:name` are gaps.
fn with_gaps(part: &str) -> Result<String, EndpointError> {
    let is_express = part.starts_with(':');
    let filled = fill(part, |rest| {
        if rest.starts_with('*') {
            return Some((ANY, 1));
        }
        if rest.starts_with('<') {
            let end = rest.find('>').filter(|end| *end > 1)?;
            let gap = if rest.starts_with("<path:") { GREEDY } else { SOME };
            return Some((gap, end + 1));
        }
        // Express has names that begin with a colon, at the beginning or after a dash or a dot.
        let before = &part[..part.len() - rest.len()];
        let begins = is_express && (before.is_empty() || before.ends_with(['-', '.']));
        let name = rest.strip_prefix(':').filter(|_| begins)?;
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        (end > 0).then_some((SOME, end + 1))
    })?;
    if !filled.is_empty() && filled.chars().all(|c| c == ANY) {
        return Ok(SOME.to_string());
    }
    Ok(filled)
}

/// A segment with its parameters in braces made gaps, and what else `gap` finds: a gap and how many bytes
/// of the rest it takes.
fn fill(part: &str, gap: impl Fn(&str) -> Option<(char, usize)>) -> Result<String, EndpointError> {
    let (mut filled, mut literal) = (String::new(), String::new());
    let mut rest = part;
    while let Some(c) = rest.chars().next() {
        let found = match c {
            '{' => {
                let length = braces(rest).ok_or(EndpointError::Braces)?;
                Some((gap_of(&rest[1..length - 1]), length))
            }
            '}' => return Err(EndpointError::Braces),
            '?' | '#' => return Err(PathError::QueryOrFragment.into()),
            _ => gap(rest),
        };
        match found {
            Some((gap, length)) => {
                filled.push_str(&decode(&literal)?);
                literal.clear();
                filled.push(gap);
                rest = &rest[length..];
            }
            None => {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    filled.push_str(&decode(&literal)?);
    Ok(filled)
}

/// The gap of a parameter. Some take several segments: `{path+}` (API Gateway), `{+path}` (RFC 6570),
/// `{*path}` (ASP.NET), `{path:path}` (Starlette), `{path...}` (Go).
fn gap_of(name: &str) -> char {
    let is_greedy = name.starts_with(['*', '+'])
        || name.ends_with(['*', '+'])
        || name.ends_with("...")
        || name.ends_with(":path");
    if is_greedy { GREEDY } else { SOME }
}

/// The length of the parameter at the beginning of a text: `{name}`, or `{name:[0-9]{4}}`.
fn braces(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return (at > 1).then_some(at + 1);
        }
    }
    None
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EndpointPattern({self})")
    }
}

impl FromStr for EndpointPattern {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl Serialize for EndpointPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

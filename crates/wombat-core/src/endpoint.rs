//! Endpoints that a skill declares, and paths that a model writes.
//!
//! A path is normalised once and then compared segment by segment. What some server could read as
//! another path (dot segments, encoded slashes, backslashes, control characters, double encoding)
//! is rejected, never repaired.

use std::fmt;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 2048;

/// The methods that an endpoint can have.
pub const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// Why a path was rejected. The text is for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has a host, or is relative.
    #[error("a path must begin with '/' and have no host")]
    NotAbsolute,
    /// `//`, `.` or `..`.
    #[error("a path must not have empty, '.' or '..' segments")]
    Segments,
    /// `?` or `#`.
    #[error("a path must not contain '?' or '#'; pass the query separately")]
    QueryOrFragment,
    /// Backslash, encoded slash, control character, or something encoded twice.
    #[error(
        "a path must not contain a backslash, encoded slash, control character or double encoding"
    )]
    Characters,
    /// `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the path's percent-encoding is invalid")]
    Encoding,
    /// Over 2,048 bytes.
    #[error("the path is too long")]
    TooLong,
}

/// A path that every server reads in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath {
    /// The decoded segments. A trailing slash is an empty last one.
    segments: Vec<String>,
    encoded: String,
}

impl NormalPath {
    /// Normalises a path, or rejects it.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        if raw.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let rest = raw.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
        if raw.contains(['?', '#']) {
            return Err(PathError::QueryOrFragment);
        }
        let mut segments = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let is_last = parts.peek().is_none();
            let segment = decode(part)?;
            // An empty last segment is a trailing slash, or the root. Some servers take what follows a
            // semicolon for a parameter, so that `..;` means the parent there.
            let plain = segment.split(';').next().unwrap_or_default();
            if (segment.is_empty() && !is_last) || plain == "." || plain == ".." {
                return Err(PathError::Segments);
            }
            segments.push(segment);
        }
        let encoded = segments.iter().map(|segment| format!("/{}", encode(segment))).collect();
        Ok(Self { segments, encoded })
    }

    /// The path as it is sent.
    pub fn as_str(&self) -> &str {
        &self.encoded
    }

    /// The path without its trailing slash, if any: many servers treat both as the same endpoint.
    #[must_use]
    pub fn without_trailing_slash(&self) -> Self {
        let mut path = self.clone();
        if path.segments.len() > 1 && path.segments.last().is_some_and(String::is_empty) {
            path.segments.pop();
            path.encoded.truncate(path.encoded.len() - 1);
        }
        path
    }

    /// The decoded segments.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }
}

fn decode(part: &str) -> Result<String, PathError> {
    let bytes = part.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        let is_escape = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'%' && !(is_escape(i + 1) && is_escape(i + 2)) {
            return Err(PathError::Encoding);
        }
    }
    let decoded = percent_decode_str(part).decode_utf8().map_err(|_| PathError::Encoding)?;
    let forbidden = |c: char| matches!(c, '/' | '\\') || c.is_control();
    if decoded.contains(forbidden) {
        return Err(PathError::Characters);
    }
    // A server that decodes twice would see another path.
    let again = percent_decode_str(&decoded).decode_utf8_lossy();
    let plain = again.split(';').next().unwrap_or_default();
    if again.contains(forbidden) || (again != decoded && matches!(plain, "." | "..")) {
        return Err(PathError::Characters);
    }
    Ok(decoded.into_owned())
}

fn encode(segment: &str) -> String {
    let mut out = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Why a text is not an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `METHOD /path`.
    #[error("an endpoint must have the form METHOD /path, with {}", METHODS.join(", "))]
    Shape,
    /// The path is invalid.
    #[error("{0}")]
    Path(#[from] PathError),
}

/// `METHOD /path` with parameters: `{name}`, `:name`, `<name>` or `*` for one segment, `**` at the
/// end for any number of them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointPattern {
    method: String,
    segments: Vec<Segment>,
    text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Literal(String),
    One,
    Rest,
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
        let parts: Vec<&str> = rest.split('/').collect();
        let mut segments = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let is_last = i + 1 == parts.len();
            segments.push(match *part {
                "**" if is_last => Segment::Rest,
                "**" => return Err(EndpointError::Shape),
                "" if !is_last => return Err(PathError::Segments.into()),
                part if is_parameter(part) => Segment::One,
                part => {
                    let normal = NormalPath::parse(&format!("/{part}"))?;
                    Segment::Literal(normal.segments.concat())
                }
            });
        }
        Ok(Self { text: format!("{method} {path}"), method, segments })
    }

    /// Whether a call matches this endpoint. Case-sensitive.
    pub fn matches(&self, method: &str, path: &NormalPath) -> bool {
        if self.method != "*" && self.method != method {
            return false;
        }
        let mut given = path.segments.iter();
        for segment in &self.segments {
            match segment {
                Segment::Rest => return true,
                Segment::One => match given.next() {
                    Some(value) if !value.is_empty() => {}
                    Some(_) | None => return false,
                },
                Segment::Literal(literal) => {
                    if given.next() != Some(literal) {
                        return false;
                    }
                }
            }
        }
        given.next().is_none()
    }

    /// The endpoint of a path with parameters in braces, as in an OpenAPI document.
    ///
    /// # Errors
    /// As [`EndpointPattern::parse`].
    pub fn of_template(method: &str, path: &str) -> Result<Self, EndpointError> {
        // A segment that is partly a parameter may be anything.
        let part = |part: &str| if part.contains('{') { "*".to_owned() } else { part.to_owned() };
        let path: Vec<String> = path.split('/').map(part).collect();
        Self::parse(&format!("{method} {}", path.join("/")))
    }

    /// Whether this endpoint matches every call that the other one matches.
    pub fn covers(&self, other: &Self) -> bool {
        if self.method != "*" && self.method != other.method {
            return false;
        }
        let mut theirs = other.segments.iter();
        for ours in &self.segments {
            match (ours, theirs.next()) {
                (Segment::Rest, _) => return true,
                (Segment::One, Some(Segment::One)) => {}
                (Segment::One, Some(Segment::Literal(literal))) if !literal.is_empty() => {}
                (Segment::Literal(a), Some(Segment::Literal(b))) if a == b => {}
                (Segment::One | Segment::Literal(_), Some(_) | None) => return false,
            }
        }
        theirs.next().is_none()
    }

    /// Whether some call matches both endpoints.
    pub fn may_meet(&self, other: &Self) -> bool {
        if self.method != "*" && other.method != "*" && self.method != other.method {
            return false;
        }
        let (mut ours, mut theirs) = (self.segments.iter(), other.segments.iter());
        loop {
            match (ours.next(), theirs.next()) {
                (Some(Segment::Rest), _) | (_, Some(Segment::Rest)) | (None, None) => return true,
                (Some(Segment::Literal(a)), Some(Segment::Literal(b))) if a != b => return false,
                (Some(_), Some(_)) => {}
                (Some(_), None) | (None, Some(_)) => return false,
            }
        }
    }
}

fn is_parameter(part: &str) -> bool {
    part == "*"
        || (part.len() > 2 && part.starts_with('{') && part.ends_with('}'))
        || (part.len() > 2 && part.starts_with('<') && part.ends_with('>'))
        || (part.len() > 1 && part.starts_with(':'))
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

/// The endpoints in a Markdown text's fenced code blocks: lines that begin with a method and a path.
/// A query, and anything after the path, is ignored.
pub fn endpoints_in_markdown(text: &str) -> Vec<EndpointPattern> {
    let mut found: Vec<EndpointPattern> = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some((mark, len)) = fence_mark(line) {
            match fence {
                None => fence = Some((mark, len)),
                // A fence is closed by a line with at least as many of the same character, and nothing else.
                Some((open, open_len))
                    if mark == open && len >= open_len && line.chars().all(|c| c == mark) =>
                {
                    fence = None;
                }
                Some(_) => {}
            }
        } else if fence.is_some()
            && let Some(endpoint) = endpoint_in_line(line)
            && !found.contains(&endpoint)
        {
            found.push(endpoint);
        }
    }
    found
}

fn fence_mark(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let len = line.chars().take_while(|c| *c == mark).count();
    (len >= 3).then_some((mark, len))
}

fn endpoint_in_line(line: &str) -> Option<EndpointPattern> {
    let line = line.trim_start_matches(['$', '-', '*', '>', ' ']);
    let mut words = line.split_whitespace();
    let method = words.next().filter(|word| METHODS.contains(word))?;
    let path = words.next()?.split(['?', '#']).next()?;
    EndpointPattern::parse(&format!("{method} {path}")).ok()
}

#[cfg(test)]
mod tests;

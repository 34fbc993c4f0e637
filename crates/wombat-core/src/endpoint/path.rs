//! Paths that a model writes.
//!
//! A path is normalised once and then compared segment by segment. What some server could read as
//! another path (dot segments, encoded slashes, backslashes, control characters, double encoding)
//! is rejected, never repaired.

use percent_encoding::percent_decode_str;

use super::fold;
use super::segment::is_gap;

/// The longest path, in bytes.
const MAX_PATH_BYTES: usize = 2048;

/// Why a path was rejected. The text is for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It has a host, or is relative.
    #[error("a path must begin with '/' and have no host")]
    NotAbsolute,
    /// `//`, `.` or `..`, or what a server may read as one of them.
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

/// A path that every server reads in the same way, but for what its readings even out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalPath {
    /// The decoded segments. A trailing slash is an empty last one.
    segments: Vec<String>,
    /// The forms of each segment; and those of the segments that are left where a proxy decodes a `?` or `#`.
    folded: Vec<Vec<Vec<String>>>,
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
        let (mut segments, mut folded) = (Vec::new(), Vec::new());
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            let segment = decode(part)?;
            // An empty last segment is a trailing slash, or the root.
            if !segment.is_empty() {
                folded.push(plain(&segment)?);
            } else if parts.peek().is_some() {
                return Err(PathError::Segments);
            }
            segments.push(segment);
        }
        let mut folded = vec![folded];
        folded.extend(before_query(&segments));
        let mut encoded = String::with_capacity(raw.len());
        for segment in &segments {
            encoded.push('/');
            encode(segment, &mut encoded);
        }
        Ok(Self { segments, folded, encoded })
    }

    /// The path as it is sent.
    pub fn as_str(&self) -> &str {
        &self.encoded
    }

    /// The decoded segments.
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// What servers may take each segment for, for rules that must not be evaded. No form is empty. There
    /// is a second, shorter reading of a path with an encoded `?` or `#`.
    pub(crate) fn readings(&self) -> impl Iterator<Item = &[Vec<String>]> {
        self.folded.iter().map(Vec::as_slice)
    }
}

/// The forms of the segments before the first `?` or `#`, if there is one.
fn before_query(segments: &[String]) -> Option<Vec<Vec<String>>> {
    if !segments.iter().any(|segment| segment.contains(['%', '?', '#'])) {
        return None;
    }
    let decoded = segments.iter().map(|segment| fold::decoded(segment));
    let (at, cut) = decoded.enumerate().find_map(|(at, segment)| {
        let end = segment.find(['?', '#'])?;
        Some((at, segment[..end].to_owned()))
    })?;
    let whole = segments[..at].iter().map(|segment| fold::forms(segment));
    let left = whole.chain([fold::forms(&cut)]);
    Some(left.filter(|forms| forms.iter().all(|form| !form.is_empty())).collect())
}

/// What servers may take a segment for, if it cannot be another path: `..`, `..;x`
/// and `.. ` are the parent for some servers, and `;x` is nothing.
fn plain(segment: &str) -> Result<Vec<String>, PathError> {
    let forms = fold::forms(segment);
    if forms.iter().any(String::is_empty) {
        return Err(PathError::Segments);
    }
    let forbidden = |c: char| matches!(c, '/' | '\\') || is_gap(c);
    if forms.iter().any(|form| form.contains(forbidden)) {
        return Err(PathError::Characters);
    }
    Ok(forms)
}

/// Decodes a part of a path, of at most one segment.
pub(super) fn decode(part: &str) -> Result<String, PathError> {
    let bytes = part.as_bytes();
    // Most segments are plain.
    if bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)) {
        return Ok(part.to_owned());
    }
    for (i, byte) in bytes.iter().enumerate() {
        let is_escape = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_hexdigit);
        if *byte == b'%' && !(is_escape(i + 1) && is_escape(i + 2)) {
            return Err(PathError::Encoding);
        }
    }
    let decoded = percent_decode_str(part).decode_utf8().map_err(|_| PathError::Encoding)?;
    let forbidden = |c: char| matches!(c, '/' | '\\') || c.is_control() || is_gap(c);
    // A server that decodes twice would see another path.
    if decoded.contains(forbidden)
        || percent_decode_str(&decoded).decode_utf8_lossy().contains(forbidden)
    {
        return Err(PathError::Characters);
    }
    Ok(decoded.into_owned())
}

/// Appends a segment as it is sent.
fn encode(segment: &str, out: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

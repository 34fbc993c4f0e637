//! The trace that a request belongs to: `x-trace-id`, W3C `traceparent`.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use uuid::Uuid;

/// The longest `x-trace-id` that is accepted.
const MAX_LEN: usize = 128;

/// A trace id: the text in responses and logs, and the 16 bytes in `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceId {
    text: Arc<str>,
    bytes: u128,
    /// The caller's span, if it sent one.
    parent: Option<NonZeroU64>,
    /// The span of the run that answers the request; 0 where none does.
    run: u64,
}

impl TraceId {
    /// A new UUIDv7.
    pub fn random() -> Self {
        let id = Uuid::now_v7();
        Self::of(id.to_string().into(), id.as_u128(), None)
    }

    /// The incoming `x-trace-id`, or the trace id of an incoming `traceparent`, or a new one. Invalid
    /// values are ignored.
    pub fn from_headers(x_trace_id: Option<&str>, traceparent: Option<&str>) -> Self {
        let of_traceparent = traceparent.and_then(trace_id_of);
        let parent = of_traceparent.and(traceparent).and_then(span_id_of);
        match (x_trace_id.filter(|text| is_safe(text)), of_traceparent) {
            // Spans belong to the caller's trace, whatever its id is shown as.
            (Some(text), Some(hex)) => Self::of(text.into(), parse_hex(hex), parent),
            (Some(text), None) => Self::of(text.into(), bytes_of(text), parent),
            (None, Some(hex)) => Self::of(hex.into(), parse_hex(hex), parent),
            (None, None) => Self::random(),
        }
    }

    fn of(text: Arc<str>, bytes: u128, parent: Option<NonZeroU64>) -> Self {
        Self { text, bytes, parent, run: new_span_id() }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The 16 bytes of `traceparent`.
    pub(crate) fn bytes(&self) -> u128 {
        self.bytes
    }

    /// The caller's span, if it sent one.
    pub(crate) fn parent(&self) -> Option<u64> {
        self.parent.map(NonZeroU64::get)
    }

    /// The same for a request that no run answers.
    #[must_use]
    pub fn without_run(&self) -> Self {
        Self { run: 0, ..self.clone() }
    }

    /// The span of the run that answers the request, 0 where none does; what comes before it can be put below it.
    pub(crate) fn run(&self) -> u64 {
        self.run
    }

    /// A `traceparent` of this trace with a new span id.
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.bytes, new_span_id())
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a caller's id is safe in a header and a log line.
fn is_safe(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LEN && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2.2).
fn trace_id_of(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.trim().split('-');
    let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|b| b == b'0');
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(span, 16);
    (valid && !zero(trace) && !zero(span)).then_some(trace)
}

/// The span id of a `traceparent` whose trace id is valid.
fn span_id_of(traceparent: &str) -> Option<NonZeroU64> {
    let id = u64::from_str_radix(traceparent.trim().split('-').nth(2)?, 16).ok()?;
    NonZeroU64::new(id)
}

/// The id of a new span.
pub(crate) fn new_span_id() -> u64 {
    Uuid::new_v4().as_u64_pair().0.max(1)
}

fn parse_hex(hex: &str) -> u128 {
    u128::from_str_radix(hex, 16).unwrap_or(1)
}

/// The 16 bytes of an id: its value, if it is 32 hex digits or a UUID, else a hash.
fn bytes_of(text: &str) -> u128 {
    let own = Uuid::try_parse(text).map(|id| id.as_u128()).unwrap_or_default();
    if own != 0 { own } else { fnv(text.as_bytes()) }
}

/// FNV-1a, 128 bits: it only has to be stable, not secret.
fn fnv(bytes: &[u8]) -> u128 {
    bytes
        .iter()
        .fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        })
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn an_incoming_id_is_kept_and_its_trace_goes_on() {
        let id = TraceId::from_headers(Some("abc-1"), Some(PARENT));
        assert_eq!(id.as_str(), "abc-1");
        assert!(id.traceparent().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
        let id = TraceId::from_headers(None, Some(PARENT));
        assert_eq!(id.as_str(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn what_is_no_trace_id_is_ignored() {
        for parent in
            ["", "x", "00-0-0-0", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        {
            let id = TraceId::from_headers(Some("a b\n"), Some(parent));
            assert!(Uuid::parse_str(id.as_str()).is_ok(), "{parent}: {id}");
        }
    }

    #[test]
    fn every_call_has_a_span_of_its_own_in_the_same_trace() {
        let id = TraceId::from_headers(Some("anything"), None);
        let (a, b) = (id.traceparent(), id.traceparent());
        assert_ne!(a, b);
        assert_eq!(a[..36], b[..36]);
        assert!(trace_id_of(&a).is_some());
    }
}

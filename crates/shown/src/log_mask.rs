//! What a run's redaction leaves of a text for the log.

use std::borrow::Cow;
use std::fmt::Debug;

/// Takes from a text what must not stand in the log. Whoever logs what the other side of a call has said, or where
/// a call went, asks it first, where the call has one.
pub trait LogMask: Debug + Send + Sync {
    /// The text for the log.
    fn for_log<'t>(&self, text: &'t str) -> Cow<'t, str>;
}

/// The text for the log of a call that may have a mask.
pub fn for_log<'t>(mask: Option<&dyn LogMask>, text: &'t str) -> Cow<'t, str> {
    mask.map_or(Cow::Borrowed(text), |mask| mask.for_log(text))
}

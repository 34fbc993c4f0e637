//! What a check says when it is over.

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum NotPassed {
    /// The backend does otherwise: what was seen.
    Failed(String),
    /// It could not be looked at: why.
    Skipped(String),
}

/// What was seen, when it is as the contract says.
pub(crate) type Verdict = Result<String, NotPassed>;

/// A failure, with what was seen.
pub(crate) fn failed<T>(seen: impl Into<String>) -> Result<T, NotPassed> {
    Err(NotPassed::Failed(seen.into()))
}

/// A failure unless it holds.
pub(crate) fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Result<(), NotPassed> {
    if holds { Ok(()) } else { Err(NotPassed::Failed(seen())) }
}

//! The outcome of a check.

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum NotPassed {
    /// The backend breaks the contract: what was expected and what came.
    Failed(String),
    /// The check could not be made: why.
    Skipped(String),
}

/// What the backend did, if it keeps the contract.
pub(crate) type Verdict = Result<String, NotPassed>;

/// A failure, with what was expected and what came.
pub(crate) fn failed<T>(seen: impl Into<String>) -> Result<T, NotPassed> {
    Err(NotPassed::Failed(seen.into()))
}

/// A failure unless the condition holds.
pub(crate) fn ensure(holds: bool, seen: impl FnOnce() -> String) -> Result<(), NotPassed> {
    if holds { Ok(()) } else { Err(NotPassed::Failed(seen())) }
}

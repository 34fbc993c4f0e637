//! The one place where the heartbeat repeats a call.

use std::fmt::Display;
use std::time::Duration;

/// Attempts in all; whoever is away for longer is met by the next tick.
const ATTEMPTS: u32 = 3;

/// The first wait between two attempts; doubles.
const WAIT: Duration = Duration::from_secs(1);

/// The longest wait that is granted when it is asked for: cron comes again.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// Makes a call until it succeeds or a repeat is not worth while. `again` says for an error
/// whether a repeat does no harm, and the wait that the other side asks for (zero when it asks for
/// none).
pub(crate) async fn repeat<T, E: Display>(
    mut call: impl AsyncFnMut() -> Result<T, E>,
    mut again: impl FnMut(&E) -> Option<Duration>,
) -> Result<T, E> {
    let mut attempt = 1;
    loop {
        let error = match call().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        match again(&error) {
            Some(asked) if attempt < ATTEMPTS && asked <= MAX_WAIT => {
                tracing::info!(%error, attempt, "trying again");
                tokio::time::sleep(asked.max(WAIT * 2_u32.pow(attempt - 1))).await;
                attempt += 1;
            }
            Some(_) | None => return Err(error),
        }
    }
}

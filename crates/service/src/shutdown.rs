//! Shutdown on SIGTERM and SIGINT.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code after a second signal.
const SECOND_SIGNAL: i32 = 130;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the program at once.
/// Must be called within a tokio runtime.
///
/// # Errors
/// When the signal handlers cannot be installed.
pub fn signals() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        stop.cancel();
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::warn!("second stop signal; exiting at once");
        crate::telemetry::flush();
        std::process::exit(SECOND_SIGNAL);
    });
    Ok(token)
}

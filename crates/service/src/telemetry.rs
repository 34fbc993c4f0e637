//! Logging: to standard error, readable on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a log line looks (`WOMBAT_LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// `pretty` on a terminal, else `json`.
    pub fn fitting() -> Self {
        if std::io::stderr().is_terminal() { Self::Pretty } else { Self::Json }
    }
}

impl std::str::FromStr for LogFormat {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// Libraries whose log lines may hold what users and servers wrote, and their secrets, or repeat what
/// is said once a minute here: silent unless the filter names them.
const SILENT: [&str; 2] = ["rmcp", "opentelemetry"];

/// Starts logging. `filter` has the form of `RUST_LOG`. A second call changes nothing.
pub fn init(format: LogFormat, filter: &str) {
    let quiet = SILENT.iter().filter(|library| !filter.contains(**library));
    let quiet: String = quiet.map(|library| format!(",{library}=off")).collect();
    let filter = EnvFilter::builder().parse_lossy(format!("{filter}{quiet}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let _already_started = match format {
        LogFormat::Pretty => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

//! Logging: to standard error, readable on a terminal, JSON elsewhere.

mod batched_writer;
mod json_lines;

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::JsonFields;

use self::batched_writer::BatchedWriter;
use self::json_lines::JsonLines;

/// The writer of a service's log, which holds lines that are not written yet.
static WRITER: OnceLock<BatchedWriter> = OnceLock::new();

/// The format of log lines (`WOMBAT_LOG_FORMAT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Pretty,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The default: `pretty` on a terminal, else `json`.
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

/// Libraries whose log lines may contain user data and secrets, or repeat what this crate logs once
/// a minute: silent unless the filter names them.
const SILENT: [&str; 2] = ["rmcp", "opentelemetry"];

/// Starts logging for a short-lived program. `filter` has the form of `RUST_LOG`. A second call
/// changes nothing.
pub fn init(format: LogFormat, filter: &str) {
    start(format, filter, stderr);
}

/// Starts logging for a service: lines are written in batches, so that a request does not wait for
/// its log. Pending lines are written when the guard is dropped.
#[must_use = "dropping it flushes the log"]
pub fn init_service(format: LogFormat, filter: &str) -> FlushGuard {
    match BatchedWriter::start(stderr(), format.missing()) {
        Ok(writer) => {
            let writer = WRITER.get_or_init(|| writer).clone();
            start(format, filter, move || writer.clone());
        }
        // No thread can be started: log unbuffered. What else needs a thread reports the error.
        Err(_) => init(format, filter),
    }
    FlushGuard(())
}

/// Writes the pending log lines, before something else is written to standard error.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        writer.flush();
    }
}

/// Flushes the log when it is dropped; held by a service until it ends.
#[derive(Debug)]
pub struct FlushGuard(());

impl Drop for FlushGuard {
    fn drop(&mut self) {
        flush();
    }
}

impl LogFormat {
    /// Formats the line that stands for dropped lines.
    fn missing(self) -> fn(u64) -> String {
        match self {
            Self::Pretty => |dropped| {
                format!("ERROR {dropped} log lines are missing here: standard error was not read\n")
            },
            Self::Json => |dropped| {
                format!(
                    "{{\"level\":\"ERROR\",\"message\":\"log lines are missing here: standard error was \
                     not read\",\"dropped\":{dropped}}}\n"
                )
            },
        }
    }
}

fn start(
    format: LogFormat,
    filter: &str,
    writer: impl for<'a> MakeWriter<'a> + Send + Sync + 'static,
) {
    let quiet = SILENT.iter().filter(|library| !filter.contains(**library));
    let quiet: String = quiet.map(|library| format!(",{library}=off")).collect();
    let filter = EnvFilter::builder().parse_lossy(format!("{filter}{quiet}"));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let _already_started = match format {
        LogFormat::Pretty => builder.with_ansi(stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.fmt_fields(JsonFields::new()).event_format(JsonLines).try_init(),
    };
}

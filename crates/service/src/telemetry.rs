//! Logging: to standard error, readable on a terminal, JSON elsewhere.

mod gathered;

use std::io::{IsTerminal, stderr};
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::gathered::Gatherer;

/// What a service has to say and has not written yet.
static GATHERER: OnceLock<Gatherer> = OnceLock::new();

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

/// Starts logging, for a program that soon ends. `filter` has the form of `RUST_LOG`. A second call
/// changes nothing.
pub fn init(format: LogFormat, filter: &str) {
    start(format, filter, stderr);
}

/// Starts logging, for a service: its lines are gathered for some milliseconds, so that a request does
/// not wait for its log. What is left is written when the guard is dropped.
#[must_use = "the last lines are written when it is dropped"]
pub fn init_service(format: LogFormat, filter: &str) -> LastLines {
    match Gatherer::start(stderr(), format.missing()) {
        Ok(gatherer) => {
            let gatherer = GATHERER.get_or_init(|| gatherer).clone();
            start(format, filter, move || gatherer.clone());
        }
        // A machine without room for a thread is told of below, by whoever needs one, too.
        Err(_) => init(format, filter),
    }
    LastLines(())
}

/// Writes what a service has said so far, before something is said past its log.
pub fn flush() {
    if let Some(gatherer) = GATHERER.get() {
        gatherer.flush();
    }
}

/// Held by a service until it ends.
#[derive(Debug)]
pub struct LastLines(());

impl Drop for LastLines {
    fn drop(&mut self) {
        flush();
    }
}

impl LogFormat {
    /// The line that stands for lines that were dropped.
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
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

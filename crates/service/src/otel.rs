//! OpenTelemetry traces, exported over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! A [`Span`] always has an id, so that `traceparent` connects the programs; it is recorded only when
//! traces are exported. The export runs on its own thread: a slow or missing collector costs only its
//! spans, and one log line a minute.

mod exporter;
mod settings;
mod span;

pub use exporter::{start, stop};
pub use settings::OtelSettings;
pub use span::{Side, Span};

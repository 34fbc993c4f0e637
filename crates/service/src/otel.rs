//! OpenTelemetry traces, exported over OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! A [`Span`] always has an id, so that `traceparent` connects the programs; it is recorded only when
//! traces are exported. The export runs on its own thread: a slow or missing collector costs only its
//! spans, and one log line a minute.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId as OtelTraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{
    Protocol, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks,
    SpanProcessor as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

use crate::settings::Reader;
use crate::trace::TraceId;

/// How often ended spans are exported.
const EXPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The most spans that wait for export; further ones are dropped.
const MAX_QUEUE: usize = 4_096;

/// The timeout of one export.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The timeout of the last export, when the program ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How often a failed export is logged, seconds.
const LOG_INTERVAL: u64 = 60;

/// The settings of the export, from OpenTelemetry's own variables.
#[derive(Debug, Clone, Default)]
pub struct OtelSettings {
    endpoint: Option<String>,
    grpc: bool,
    headers: HashMap<String, SecretString>,
    service_name: Option<String>,
    content: bool,
}

impl OtelSettings {
    /// Reads the settings; errors are added to the reader's problems.
    pub fn read(r: &mut Reader<'_>) -> Self {
        let general = r.optional_url("OTEL_EXPORTER_OTLP_ENDPOINT");
        let traces = r.optional_url("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
        let protocol = r.text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        let grpc = protocol == "grpc";
        if !grpc && protocol != "http/protobuf" {
            r.refuse("OTEL_EXPORTER_OTLP_PROTOCOL", &protocol, "http/protobuf or grpc");
        }
        let headers = match r.secret("OTEL_EXPORTER_OTLP_HEADERS") {
            None => HashMap::new(),
            Some(list) => match headers(list.expose_secret()) {
                Some(headers) => headers,
                None => {
                    r.problem(
                        "OTEL_EXPORTER_OTLP_HEADERS",
                        "must be name=value, with commas between",
                    );
                    HashMap::new()
                }
            },
        };
        let disabled = r.flag("OTEL_SDK_DISABLED", false);
        // The general endpoint is for all signals; traces have their own path below it.
        let below = |base: String| {
            if grpc { base } else { format!("{}/v1/traces", base.trim_end_matches('/')) }
        };
        Self {
            endpoint: traces.or_else(|| general.map(below)).filter(|_| !disabled),
            grpc,
            headers,
            service_name: r.optional("OTEL_SERVICE_NAME"),
            content: r.flag("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", false),
        }
    }
}

fn headers(list: &str) -> Option<HashMap<String, SecretString>> {
    let pairs = list.split(',').map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), value.trim().to_owned().into()))
    });
    pairs.collect()
}

/// The exporter of the process.
static EXPORTER: OnceLock<Exporter> = OnceLock::new();

struct Exporter {
    processor: BatchSpanProcessor,
    content: bool,
}

/// Starts exporting traces, if an endpoint is set. Must be called within the runtime. A second call has
/// no effect.
///
/// # Errors
/// When the endpoint or a header is invalid.
pub fn start(settings: &OtelSettings, program: &'static str) -> Result<(), String> {
    let Some(endpoint) = &settings.endpoint else { return Ok(()) };
    let plain = settings.headers.iter();
    let plain = plain.map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let exporter = if settings.grpc {
        let headers: http::HeaderMap = (&plain.collect::<HashMap<_, _>>())
            .try_into()
            .map_err(|error: http::Error| error.to_string())?;
        builder
            .with_tonic()
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .with_metadata(opentelemetry_otlp::tonic_types::metadata::MetadataMap::from_headers(
                headers,
            ))
            .build()
    } else {
        builder
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .with_headers(plain.collect())
            .build()
    };
    let exporter = exporter.map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUE)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let exporter = RateLimitedLog { exporter, last_logged: AtomicU64::new(0) };
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let name = settings.service_name.clone().unwrap_or_else(|| program.to_owned());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    processor
        .set_resource(&Resource::builder().with_service_name(name).with_attribute(version).build());
    let _first = EXPORTER.set(Exporter { processor, content: settings.content });
    tracing::info!(endpoint, "exporting traces");
    Ok(())
}

/// Exports the remaining spans, for at most some seconds.
pub async fn stop() {
    let last = tokio::task::spawn_blocking(|| {
        EXPORTER.get().map(|exporter| exporter.processor.shutdown_with_timeout(SHUTDOWN_TIMEOUT))
    });
    // A collector that does not answer must not hold up the exit.
    let _sent_or_not = tokio::time::timeout(SHUTDOWN_TIMEOUT * 2, last).await;
}

/// An exporter whose failures are logged at most once a minute.
#[derive(Debug)]
struct RateLimitedLog<E> {
    exporter: E,
    /// When a failure was last logged, seconds since 1970.
    last_logged: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for RateLimitedLog<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        if let Err(error) = self.exporter.export(batch).await {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let last = self.last_logged.load(Ordering::Relaxed);
            if now.saturating_sub(last) >= LOG_INTERVAL {
                self.last_logged.store(now, Ordering::Relaxed);
                tracing::warn!(spans, %error, "trace export failed; spans dropped");
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It handles a call.
    Server,
    /// It makes a call.
    Client,
    /// Neither.
    Internal,
    /// It enqueues a message.
    Producer,
}

/// A span of a trace. It ends when it is dropped; one without [`Span::succeed`] or [`Span::fail`] was
/// abandoned.
#[derive(Debug)]
pub struct Span {
    trace: u128,
    id: u64,
    record: Option<Box<Record>>,
}

#[derive(Debug)]
struct Record {
    parent: Option<u64>,
    parent_is_remote: bool,
    side: Side,
    name: String,
    begun: SystemTime,
    attributes: Vec<KeyValue>,
    status: Option<Status>,
}

impl Span {
    /// A child of the caller's span, or the root of the trace. The name is only built when the span is
    /// recorded.
    pub fn of_request(trace: &TraceId, side: Side, name: impl FnOnce() -> String) -> Self {
        Self::begin(trace.bytes(), trace.parent(), true, side, name)
    }

    /// A child of this span.
    pub fn child(&self, side: Side, name: impl FnOnce() -> String) -> Self {
        Self::begin(self.trace, Some(self.id), false, side, name)
    }

    fn begin(
        trace: u128,
        parent: Option<u64>,
        parent_is_remote: bool,
        side: Side,
        name: impl FnOnce() -> String,
    ) -> Self {
        let record = EXPORTER.get().map(|_| {
            Box::new(Record {
                parent,
                parent_is_remote,
                side,
                name: name(),
                begun: SystemTime::now(),
                attributes: Vec::new(),
                status: None,
            })
        });
        Self { trace, id: Uuid::new_v4().as_u64_pair().0.max(1), record }
    }

    /// The `traceparent` of calls within this span (W3C Trace Context).
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.id)
    }

    /// Adds an attribute of the semantic conventions.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.attributes.push(KeyValue::new(key, value.into()));
        }
    }

    /// Adds message content as an attribute, if the operator has enabled that.
    pub fn set_content(&mut self, key: &'static str, text: impl FnOnce() -> String) {
        if self.record.is_some() && EXPORTER.get().is_some_and(|exporter| exporter.content) {
            self.set(key, text());
        }
    }

    /// Marks the span as successful.
    pub fn succeed(&mut self) {
        if let Some(record) = &mut self.record {
            record.status = Some(Status::Unset);
        }
    }

    /// Marks the span as failed; `kind` is one of few values.
    pub fn fail(&mut self, kind: impl Into<Cow<'static, str>>) {
        let kind = kind.into();
        self.set("error.type", kind.clone().into_owned());
        if let Some(record) = &mut self.record {
            record.status = Some(Status::Error { description: kind });
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        let (Some(record), Some(exporter)) = (self.record.take(), EXPORTER.get()) else { return };
        let Record { parent, parent_is_remote, side, name, begun, attributes, status } = *record;
        exporter.processor.on_end(SpanData {
            span_context: SpanContext::new(
                OtelTraceId::from(self.trace),
                SpanId::from(self.id),
                TraceFlags::SAMPLED,
                false,
                TraceState::default(),
            ),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: parent_is_remote,
            span_kind: match side {
                Side::Server => SpanKind::Server,
                Side::Client => SpanKind::Client,
                Side::Internal => SpanKind::Internal,
                Side::Producer => SpanKind::Producer,
            },
            name: name.into(),
            start_time: begun,
            end_time: SystemTime::now(),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: status.unwrap_or_else(|| Status::error("abandoned")),
            instrumentation_scope: scope().clone(),
        });
    }
}

fn scope() -> &'static InstrumentationScope {
    static SCOPE: OnceLock<Arc<InstrumentationScope>> = OnceLock::new();
    SCOPE.get_or_init(|| {
        let scope = InstrumentationScope::builder("wombat");
        Arc::new(scope.with_version(env!("CARGO_PKG_VERSION")).build())
    })
}

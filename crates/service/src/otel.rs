//! Traces for OpenTelemetry, sent over OTLP when a collector is named (`OTEL_EXPORTER_OTLP_ENDPOINT`).
//!
//! A [`Span`] always has an id, so that `traceparent` leads from program to program; it is recorded
//! only when it is sent somewhere. Sending happens on a thread of its own: a collector that is slow
//! or gone costs nothing but its spans, and one log line a minute.

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

/// How often what has ended is sent.
const SEND_EVERY: Duration = Duration::from_secs(1);

/// Spans that wait to be sent; what comes beyond is dropped.
const QUEUE: usize = 4_096;

/// How long one sending may take.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long the last sending may hold up a program's end.
const LAST_SENDING: Duration = Duration::from_secs(2);

/// How often a collector that is gone is mentioned, seconds.
const MENTION_EVERY: u64 = 60;

/// Where traces go, by OpenTelemetry's own variables.
#[derive(Debug, Clone, Default)]
pub struct OtelSettings {
    endpoint: Option<String>,
    grpc: bool,
    headers: HashMap<String, SecretString>,
    service_name: Option<String>,
    content: bool,
}

impl OtelSettings {
    /// Reads them; what is wrong is among the reader's problems.
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
        // The general address is where all signals go; traces have their path below it.
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

/// What sends; one for the process.
static SENDER: OnceLock<Sender> = OnceLock::new();

struct Sender {
    processor: BatchSpanProcessor,
    content: bool,
}

/// Begins to send traces, where a collector is named. Must be called within the runtime. A second
/// call changes nothing.
///
/// # Errors
/// When the address or a header cannot be used.
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
            .with_timeout(SEND_LIMIT)
            .with_metadata(opentelemetry_otlp::tonic_types::metadata::MetadataMap::from_headers(
                headers,
            ))
            .build()
    } else {
        builder
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(SEND_LIMIT)
            .with_headers(plain.collect())
            .build()
    };
    let exporter = exporter.map_err(|error| format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"))?;
    let config = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let exporter = Patient { exporter, mentioned: AtomicU64::new(0) };
    let mut processor = BatchSpanProcessor::builder(exporter).with_batch_config(config).build();
    let name = settings.service_name.clone().unwrap_or_else(|| program.to_owned());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    processor
        .set_resource(&Resource::builder().with_service_name(name).with_attribute(version).build());
    let _first = SENDER.set(Sender { processor, content: settings.content });
    tracing::info!(endpoint, "traces are sent");
    Ok(())
}

/// Sends what is left, for a short while.
pub async fn stop() {
    let last = tokio::task::spawn_blocking(|| {
        SENDER.get().map(|sender| sender.processor.shutdown_with_timeout(LAST_SENDING))
    });
    // A collector that does not listen must not keep the program.
    let _sent_or_not = tokio::time::timeout(LAST_SENDING * 2, last).await;
}

/// An exporter that takes failure calmly.
#[derive(Debug)]
struct Patient<E> {
    exporter: E,
    /// When it was last mentioned, seconds since 1970.
    mentioned: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for Patient<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        if let Err(error) = self.exporter.export(batch).await {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let last = self.mentioned.load(Ordering::Relaxed);
            if now.saturating_sub(last) >= MENTION_EVERY {
                self.mentioned.store(now, Ordering::Relaxed);
                tracing::warn!(spans, %error, "traces could not be sent; everything else goes on");
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

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It answers one.
    Server,
    /// It makes one.
    Client,
    /// Neither.
    Internal,
    /// It hands something on.
    Producer,
}

/// Something that takes time, within a trace. It ends when it is dropped; one that was neither
/// [`Span::succeed`]ed nor [`Span::fail`]ed was given up.
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
    /// A span below the caller's own, or at the top of the trace. The name is only made when it is
    /// recorded.
    pub fn of_request(trace: &TraceId, side: Side, name: impl FnOnce() -> String) -> Self {
        Self::begin(trace.bytes(), trace.parent(), true, side, name)
    }

    /// A span below this one.
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
        let record = SENDER.get().map(|_| {
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

    /// What a call made within this span carries (W3C Trace Context).
    pub fn traceparent(&self) -> String {
        format!("00-{:032x}-{:016x}-01", self.trace, self.id)
    }

    /// Adds an attribute, by the semantic conventions.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(record) = &mut self.record {
            record.attributes.push(KeyValue::new(key, value.into()));
        }
    }

    /// Adds what people and models wrote, if the operator wants that to be sent.
    pub fn set_content(&mut self, key: &'static str, text: impl FnOnce() -> String) {
        if self.record.is_some() && SENDER.get().is_some_and(|sender| sender.content) {
            self.set(key, text());
        }
    }

    /// It came to what it was for.
    pub fn succeed(&mut self) {
        if let Some(record) = &mut self.record {
            record.status = Some(Status::Unset);
        }
    }

    /// It failed; `kind` is one of few words.
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
        let (Some(record), Some(sender)) = (self.record.take(), SENDER.get()) else { return };
        let Record { parent, parent_is_remote, side, name, begun, attributes, status } = *record;
        sender.processor.on_end(SpanData {
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
            status: status.unwrap_or_else(|| Status::error("given up")),
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

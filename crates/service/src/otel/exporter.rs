//! The export of ended spans.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    Protocol, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter, SpanProcessor as _,
};
use secrecy::ExposeSecret as _;

use super::settings::OtelSettings;

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

/// The exporter of the process.
pub(super) static EXPORTER: OnceLock<Exporter> = OnceLock::new();

pub(super) struct Exporter {
    pub(super) processor: BatchSpanProcessor,
    /// Whether message content is exported, too.
    pub(super) content: bool,
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
            .with_http_client(client()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .with_headers(plain.collect())
            .build()
    };
    let exporter = exporter.map_err(|error| {
        format!("OTEL_EXPORTER_OTLP_ENDPOINT: {}", shown::without_urls(&error.to_string()))
    })?;
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
    tracing::info!(endpoint = %shown::url(endpoint), "exporting traces");
    Ok(())
}

/// The client of the export, which has a thread of its own and so blocks.
fn client() -> Result<reqwest::blocking::Client, String> {
    // Built outside of the runtime, which its own one must not begin or end in.
    let build = || crate::http::blocking_client_builder().timeout(EXPORT_TIMEOUT).build();
    let built = std::thread::spawn(build).join();
    let built = built.map_err(|_| "the HTTP client could not be created".to_owned())?;
    built.map_err(|error| crate::http::explain(&error))
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
                let error = shown::without_urls(&error.to_string());
                tracing::warn!(spans, error, "trace export failed; spans dropped");
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

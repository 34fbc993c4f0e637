//! The settings of the export.

use std::collections::HashMap;

use secrecy::{ExposeSecret as _, SecretString};

use crate::settings::Reader;

/// The settings of the export, from OpenTelemetry's own variables.
#[derive(Debug, Clone, Default)]
pub struct OtelSettings {
    pub(super) endpoint: Option<String>,
    pub(super) grpc: bool,
    pub(super) headers: HashMap<String, SecretString>,
    pub(super) service_name: Option<String>,
    pub(super) content: bool,
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

//! Metrics for Prometheus. Labels are bounded: the router's patterns, never a requested path or a
//! user.

use std::time::Duration;

use http::{Method, StatusCode};
use service::metrics::{BuildError, Label, Registry};

/// The label of unknown endpoints and of unusual methods.
const OTHER: &str = "other";

/// Seconds: from a read of the database to a write that waits for others.
const BUCKETS: [f64; 12] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0];

const REQUESTS: &str = "wombat_backend_requests_total";
const REQUEST_SECONDS: &str = "wombat_backend_request_duration_seconds";
const WAITING: &str = "wombat_backend_notifications_waiting";
const OLDEST: &str = "wombat_backend_oldest_notification_age_seconds";
const LISTENERS: &str = "wombat_backend_event_streams";

/// Values that are measured at each scrape.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauges {
    /// Notifications that are neither delivered nor dead.
    pub(crate) waiting: i64,
    /// How long the oldest of them has waited; zero without any.
    pub(crate) oldest: Duration,
    /// Open event streams.
    pub(crate) listeners: usize,
}

/// The metrics of one backend.
#[derive(Debug)]
pub(crate) struct Metrics(Registry);

impl Metrics {
    /// Metrics without any observation.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let registry = Registry::new(&BUCKETS)?;
        let text = "Answered requests, by endpoint, method and class of status.";
        registry.describe_counter(REQUESTS, text);
        let text = "How long requests took until their answer began, by endpoint.";
        registry.describe_histogram(REQUEST_SECONDS, text);
        for (name, text) in [
            (WAITING, "Notifications that are neither delivered nor dead letters."),
            (OLDEST, "How long the oldest of them has waited; 0 without any."),
            (LISTENERS, "Open streams of events."),
        ] {
            registry.describe_gauge(name, text);
        }
        Ok(Self(registry))
    }

    /// Folds observations into the buckets, which keeps the memory bounded.
    pub(crate) fn upkeep(&self) {
        self.0.upkeep();
    }

    /// Counts and times an answered request. `route` is the router's pattern.
    pub(crate) fn request(
        &self,
        route: Option<String>,
        method: &Method,
        status: StatusCode,
        took: Duration,
    ) {
        let route = Label::new("route", route.unwrap_or_else(|| OTHER.to_owned()));
        let labels = vec![
            route.clone(),
            Label::from_static_parts("method", named(method)),
            Label::from_static_parts("status", class(status)),
        ];
        self.0.counter(REQUESTS, labels).increment(1);
        self.0.histogram(REQUEST_SECONDS, vec![route]).record(took);
    }

    /// Everything in Prometheus' text format.
    pub(crate) fn render(&self, gauges: Gauges) -> String {
        self.gauge(WAITING, f64::from(u32::try_from(gauges.waiting).unwrap_or(u32::MAX)));
        self.gauge(OLDEST, gauges.oldest.as_secs_f64());
        self.gauge(LISTENERS, f64::from(u32::try_from(gauges.listeners).unwrap_or(u32::MAX)));
        self.0.render()
    }

    fn gauge(&self, name: &'static str, value: f64) {
        self.0.gauge(name, Vec::new()).set(value);
    }
}

fn named(method: &Method) -> &'static str {
    const NAMED: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
    NAMED.into_iter().find(|name| method.as_str() == *name).unwrap_or(OTHER)
}

fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

//! Prometheus metrics: the registry that a program's own metrics are made of.

use std::fmt;

use metrics::{Key, Level, Metadata, Recorder as _, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use metrics::{Counter, Gauge, Histogram, Label};
pub use metrics_exporter_prometheus::BuildError;

/// The content type of [`Registry::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

static METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// The metrics of one program. Names ending in `_seconds` are described with that unit.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

impl Registry {
    /// A registry without metrics. `buckets` are the upper bounds of all histograms, in their unit.
    ///
    /// # Errors
    /// When there are no buckets.
    pub fn new(buckets: &[f64]) -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(buckets)?.build_recorder();
        Ok(Self { handle: recorder.handle(), recorder })
    }

    /// Sets the help text of a counter.
    pub fn describe_counter(&self, name: &'static str, help: &'static str) {
        self.recorder.describe_counter(name.into(), unit(name), help.into());
    }

    /// Sets the help text of a gauge.
    pub fn describe_gauge(&self, name: &'static str, help: &'static str) {
        self.recorder.describe_gauge(name.into(), unit(name), help.into());
    }

    /// Sets the help text of a histogram.
    pub fn describe_histogram(&self, name: &'static str, help: &'static str) {
        self.recorder.describe_histogram(name.into(), unit(name), help.into());
    }

    /// The counter with this name and these labels; it is shown from now on.
    pub fn counter(&self, name: &'static str, labels: Vec<Label>) -> Counter {
        self.recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
    }

    /// The gauge with this name and these labels; it is shown from now on.
    pub fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    /// The histogram with this name and these labels; it is shown from now on.
    pub fn histogram(&self, name: &'static str, labels: Vec<Label>) -> Histogram {
        self.recorder.register_histogram(&Key::from_parts(name, labels), &METADATA)
    }

    /// Sorts what was observed into the histograms' buckets. To be called every few seconds, because
    /// observations take memory until then.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> String {
        self.upkeep();
        self.handle.render()
    }
}

fn unit(name: &str) -> Option<Unit> {
    name.ends_with("_seconds").then_some(Unit::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_shown_from_their_registration_on() {
        let registry = Registry::new(&[0.5, 30.0]).unwrap();
        registry.describe_counter("calls_total", "Calls.");
        registry.describe_gauge("open", "Open calls.");
        registry.describe_histogram("age_seconds", "Ages.");
        let label = Label::from_static_parts("kind", "a");
        let calls = registry.counter("calls_total", vec![label]);
        let open = registry.gauge("open", Vec::new());
        let age = registry.histogram("age_seconds", Vec::new());
        let text = registry.render();
        for line in [
            "# HELP calls_total Calls.",
            "# TYPE calls_total counter",
            "calls_total{kind=\"a\"} 0",
            "# TYPE open gauge",
            "open 0",
            "# TYPE age_seconds histogram",
            "age_seconds_count 0",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        calls.increment(2);
        open.set(3.0);
        age.record(7.0);
        let text = registry.render();
        for line in [
            "calls_total{kind=\"a\"} 2",
            "open 3",
            "age_seconds_bucket{le=\"0.5\"} 0",
            "age_seconds_bucket{le=\"30\"} 1",
            "age_seconds_bucket{le=\"+Inf\"} 1",
            "age_seconds_sum 7",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn without_buckets_there_is_no_registry() {
        assert!(Registry::new(&[]).is_err());
    }
}

//! The dispatcher's Prometheus metrics.

use service::metrics::{BuildError, Counter, Gauge, Histogram, Label, Registry};

/// Upper bounds of ages, seconds: from a notification that is delivered at once to one that waited
/// for a daemon that was unavailable for an hour.
const BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// Counters since the start, and gauges of the present.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// Answered polls.
    pub(crate) polls: Counter,
    /// Failed polls.
    pub(crate) poll_failures: Counter,
    /// Events that announced a notification.
    pub(crate) wakes: Counter,
    /// Notifications added to the scheduler.
    pub(crate) received: Counter,
    /// Notifications delivered and acknowledged.
    pub(crate) delivered: Counter,
    /// Failed attempts, which count towards the dead letter.
    pub(crate) forward_failures: Counter,
    /// Forwards that found the session busy.
    pub(crate) session_busy: Counter,
    /// Forwards that found the daemon unavailable.
    pub(crate) outage_forwards: Counter,
    /// Notifications given up.
    pub(crate) dead: Counter,
    /// Runs that an instance took up again.
    pub(crate) resumed: Counter,
    /// Failed acknowledgements and dead letters.
    pub(crate) ack_failures: Counter,
    /// Webhooks, by what became of them.
    pub(crate) hooks: HookCounters,
    waiting: Gauge,
    in_flight: Gauge,
    daemon_down: Gauge,
    listening: Gauge,
    age: Histogram,
}

/// Webhooks by what became of them.
#[derive(Debug)]
pub(crate) struct HookCounters {
    /// An agent is told.
    pub(crate) accepted: Counter,
    /// It was told before.
    pub(crate) repeated: Counter,
    /// The hook leaves it out.
    pub(crate) filtered: Counter,
    /// It is not the service's, or cannot be used.
    pub(crate) refused: Counter,
    /// The service has to send it again.
    pub(crate) unavailable: Counter,
}

impl HookCounters {
    fn new(registry: &Registry) -> Self {
        let name = "wombat_dispatcher_hooks_total";
        registry.describe_counter(name, "Webhooks received, by result.");
        let counter =
            |result| registry.counter(name, vec![Label::from_static_parts("result", result)]);
        Self {
            accepted: counter("accepted"),
            repeated: counter("repeated"),
            filtered: counter("filtered"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
        }
    }
}

impl Metrics {
    /// All metrics, at zero.
    ///
    /// # Errors
    /// When the registry cannot be set up.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let registry = Registry::new(&BUCKETS)?;
        let counter = |name, help| {
            registry.describe_counter(name, help);
            registry.counter(name, Vec::new())
        };
        let gauge = |name, help| {
            registry.describe_gauge(name, help);
            registry.gauge(name, Vec::new())
        };
        let age = "wombat_dispatcher_delivery_age_seconds";
        registry.describe_histogram(age, "How old notifications were when they were delivered.");
        Ok(Self {
            polls: counter("wombat_dispatcher_polls_total", "Answered polls of the backend."),
            poll_failures: counter(
                "wombat_dispatcher_poll_failures_total",
                "Failed polls of the backend.",
            ),
            wakes: counter(
                "wombat_dispatcher_wakes_total",
                "Events that announced a notification.",
            ),
            received: counter(
                "wombat_dispatcher_received_total",
                "Notifications received from the backend.",
            ),
            delivered: counter(
                "wombat_dispatcher_delivered_total",
                "Notifications delivered and acknowledged.",
            ),
            forward_failures: counter(
                "wombat_dispatcher_forward_failures_total",
                "Failed forwards that count towards the dead letter.",
            ),
            session_busy: counter(
                "wombat_dispatcher_session_busy_total",
                "Forwards that found the session busy.",
            ),
            outage_forwards: counter(
                "wombat_dispatcher_outage_forwards_total",
                "Forwards that failed because the daemon was unavailable.",
            ),
            dead: counter(
                "wombat_dispatcher_dead_total",
                "Notifications that became dead letters.",
            ),
            resumed: counter(
                "wombat_dispatcher_runs_resumed_total",
                "Detached runs of instances that died, taken up again.",
            ),
            ack_failures: counter(
                "wombat_dispatcher_report_failures_total",
                "Failed acknowledgements and reports.",
            ),
            hooks: HookCounters::new(&registry),
            waiting: gauge(
                "wombat_dispatcher_waiting",
                "Notifications received and not yet finished.",
            ),
            in_flight: gauge("wombat_dispatcher_in_flight", "Notifications in progress."),
            daemon_down: gauge(
                "wombat_dispatcher_daemon_down",
                "1 while the daemon is unavailable.",
            ),
            listening: gauge(
                "wombat_dispatcher_listening",
                "1 while the backend's stream of events is open.",
            ),
            age: registry.histogram(age, Vec::new()),
            registry,
        })
    }

    /// How many notifications the scheduler holds, and how many of them are being worked on.
    pub(crate) fn set_queue(&self, waiting: usize, in_flight: usize) {
        self.waiting.set(number(waiting));
        self.in_flight.set(number(in_flight));
    }

    /// Whether the daemon is unavailable.
    pub(crate) fn set_daemon_down(&self, down: bool) {
        self.daemon_down.set(f64::from(u8::from(down)));
    }

    /// Whether the event stream is open.
    pub(crate) fn set_listening(&self, listening: bool) {
        self.listening.set(f64::from(u8::from(listening)));
    }

    /// A notification was delivered at this age. The clocks of two machines differ: a negative age
    /// counts as none.
    pub(crate) fn delivered_at_age(&self, age: chrono::Duration) {
        self.age.record(age.to_std().unwrap_or_default());
    }

    /// To be called every now and then; see [`Registry::upkeep`].
    pub(crate) fn upkeep(&self) {
        self.registry.upkeep();
    }

    /// The Prometheus text.
    pub(crate) fn render(&self) -> String {
        self.registry.render()
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_there_from_the_start() {
        let text = Metrics::new().unwrap().render();
        for name in [
            "polls_total",
            "poll_failures_total",
            "wakes_total",
            "received_total",
            "delivered_total",
            "forward_failures_total",
            "session_busy_total",
            "outage_forwards_total",
            "dead_total",
            "runs_resumed_total",
            "report_failures_total",
            "waiting",
            "in_flight",
            "daemon_down",
            "listening",
            "delivery_age_seconds_count",
        ] {
            let line = format!("wombat_dispatcher_{name} 0\n");
            assert!(text.contains(&line), "{line}\n{text}");
        }
    }

    #[test]
    fn ages_fall_into_all_buckets_that_hold_them() {
        let metrics = Metrics::new().unwrap();
        for ms in [-500, 400, 20_000, 7_200_000] {
            metrics.delivered_at_age(chrono::Duration::milliseconds(ms));
        }
        let text = metrics.render();
        for line in [
            "age_seconds_bucket{le=\"0.1\"} 1",
            "age_seconds_bucket{le=\"0.5\"} 2",
            "age_seconds_bucket{le=\"30\"} 3",
            "age_seconds_bucket{le=\"3600\"} 3",
            "age_seconds_bucket{le=\"+Inf\"} 4",
            "age_seconds_sum 7220.4",
            "age_seconds_count 4",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}

//! Counters, and their Prometheus text.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What was done since the start, and what is to be done now.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answered polls.
    pub(crate) polls: Counter,
    /// Polls that failed.
    pub(crate) poll_failures: Counter,
    /// Events that told of something new.
    pub(crate) wakes: Counter,
    /// Notifications taken in.
    pub(crate) received: Counter,
    /// Delivered and acknowledged.
    pub(crate) delivered: Counter,
    /// Failed forwards that count.
    pub(crate) forward_failures: Counter,
    /// Forwards that found the session busy.
    pub(crate) session_busy: Counter,
    /// Forwards that found the daemon away.
    pub(crate) outage_forwards: Counter,
    /// Given up.
    pub(crate) dead: Counter,
    /// Acknowledgements and reports that failed.
    pub(crate) ack_failures: Counter,
    /// On the board.
    pub(crate) waiting: Counter,
    /// Being worked on.
    pub(crate) in_flight: Counter,
    /// 1 while the daemon is away.
    pub(crate) daemon_down: Counter,
    /// 1 while the stream of events is open.
    pub(crate) listening: Counter,
    /// How old notifications were when they were delivered.
    pub(crate) age: Ages,
}

/// Upper bounds, seconds: from a notification that is delivered at once to one that waited for a
/// daemon that was away for an hour.
const BUCKETS: [f64; 12] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0];

/// A histogram of ages.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// Of each bound, how many were at most so old.
    buckets: [AtomicU64; BUCKETS.len()],
    count: AtomicU64,
    sum_ms: AtomicU64,
}

impl Ages {
    /// One was so old. The clocks of two machines differ: what comes from the future is new.
    pub(crate) fn add(&self, age: chrono::Duration) {
        let ms = u64::try_from(age.num_milliseconds()).unwrap_or(0);
        let seconds = Duration::from_millis(ms).as_secs_f64();
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS) {
            if seconds <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.sum_ms.fetch_add(ms, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn render(&self, out: &mut String) {
        const NAME: &str = "wombat_dispatcher_delivery_age_seconds";
        const HELP: &str = "How old notifications were when they were delivered.";
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let mut lines = format!("# HELP {NAME} {HELP}\n# TYPE {NAME} histogram\n");
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS) {
            lines += &format!("{NAME}_bucket{{le=\"{bound}\"}} {}\n", read(bucket));
        }
        let (count, sum) = (read(&self.count), Duration::from_millis(read(&self.sum_ms)));
        lines += &format!("{NAME}_bucket{{le=\"+Inf\"}} {count}\n");
        lines += &format!("{NAME}_sum {}\n{NAME}_count {count}\n", sum.as_secs_f64());
        out.push_str(&lines);
    }
}

/// A number that all may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// The Prometheus text format, version 0.0.4.
    pub(crate) fn render(&self) -> String {
        let mut out = String::new();
        let counters = [
            ("polls", "Answered polls of the backend.", &self.polls),
            ("poll_failures", "Failed polls of the backend.", &self.poll_failures),
            ("wakes", "Events that told of something new.", &self.wakes),
            ("received", "Notifications taken in.", &self.received),
            ("delivered", "Notifications delivered and acknowledged.", &self.delivered),
            ("forward_failures", "Failed forwards that count.", &self.forward_failures),
            ("session_busy", "Forwards that found the session busy.", &self.session_busy),
            ("outage_forwards", "Forwards that found the daemon away.", &self.outage_forwards),
            ("dead", "Notifications given up.", &self.dead),
            ("report_failures", "Failed acknowledgements and reports.", &self.ack_failures),
        ];
        for (name, help, counter) in counters {
            line(&mut out, &format!("wombat_dispatcher_{name}_total"), "counter", help, counter);
        }
        let gauges = [
            ("waiting", "Notifications taken in and not yet done.", &self.waiting),
            ("in_flight", "Notifications being worked on.", &self.in_flight),
            ("daemon_down", "1 while the daemon is away.", &self.daemon_down),
            ("listening", "1 while the backend's stream of events is open.", &self.listening),
        ];
        for (name, help, gauge) in gauges {
            line(&mut out, &format!("wombat_dispatcher_{name}"), "gauge", help, gauge);
        }
        self.age.render(&mut out);
        out
    }
}

fn line(out: &mut String, name: &str, kind: &str, help: &str, value: &Counter) {
    let value = value.get();
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_fall_into_all_buckets_that_hold_them() {
        let metrics = Metrics::default();
        for ms in [-500, 400, 20_000, 7_200_000] {
            metrics.age.add(chrono::Duration::milliseconds(ms));
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

//! Counters, and their Prometheus text.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// What was done since the start, and what is to be done now.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// Answered polls.
    pub(crate) polls: Counter,
    /// Polls that failed.
    pub(crate) polls_failed: Counter,
    /// Events that told of something new.
    pub(crate) wakes: Counter,
    /// Notifications taken in.
    pub(crate) received: Counter,
    /// Delivered and acknowledged.
    pub(crate) delivered: Counter,
    /// Failed forwards that count.
    pub(crate) failed: Counter,
    /// Forwards that found the session busy.
    pub(crate) busy: Counter,
    /// Forwards that found the daemon away.
    pub(crate) outages: Counter,
    /// Given up.
    pub(crate) dead: Counter,
    /// Acknowledgements and reports that failed.
    pub(crate) not_told: Counter,
    /// On the board.
    pub(crate) waiting: Counter,
    /// Being worked on.
    pub(crate) in_flight: Counter,
    /// 1 while the daemon is away.
    pub(crate) daemon_down: Counter,
    /// 1 while the stream of events is open.
    pub(crate) listening: Counter,
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
            ("poll_failures", "Failed polls of the backend.", &self.polls_failed),
            ("wakes", "Events that told of something new.", &self.wakes),
            ("received", "Notifications taken in.", &self.received),
            ("delivered", "Notifications delivered and acknowledged.", &self.delivered),
            ("forward_failures", "Failed forwards that count.", &self.failed),
            ("session_busy", "Forwards that found the session busy.", &self.busy),
            ("outage_forwards", "Forwards that found the daemon away.", &self.outages),
            ("dead", "Notifications given up.", &self.dead),
            ("report_failures", "Failed acknowledgements and reports.", &self.not_told),
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
        out
    }
}

fn line(out: &mut String, name: &str, kind: &str, help: &str, value: &Counter) {
    let value = value.get();
    // Writing to a string cannot fail.
    let _infallible = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

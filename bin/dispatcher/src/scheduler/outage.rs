//! Outages of the daemon: all forwards pause, and one at a time probes whether it is back.

use std::time::Duration;

use tokio::time::Instant;

use super::{Event, Job, Scheduler};
use crate::poll_schedule::delay;

/// An outage of the daemon.
#[derive(Debug)]
pub(super) struct Outage {
    /// When it was noticed.
    pub(super) since: Instant,
    /// No forward before this time.
    pub(super) until: Instant,
    /// Forwards in a row that found the daemon unavailable.
    pub(super) probes: u32,
    /// Whether a probe is in flight.
    pub(super) probing: bool,
}

impl Scheduler {
    /// A forward found the daemon unavailable.
    pub(super) fn outage_seen(
        &mut self,
        job: &Job,
        error: String,
        retry_after: Option<Duration>,
        now: Instant,
    ) -> Event {
        let backoff = self.limits.backoff;
        match &mut self.outage {
            None => {
                let until = now + delay(backoff, 1, retry_after);
                self.outage = Some(Outage { since: now, until, probes: 1, probing: false });
                Event::OutageBegan(error)
            }
            Some(outage) => {
                if job.probe {
                    outage.probing = false;
                    outage.probes = outage.probes.saturating_add(1);
                    outage.until = now + delay(backoff, outage.probes, retry_after);
                }
                Event::OutageContinues
            }
        }
    }

    /// How many forwards in a row have found the daemon unavailable.
    pub(crate) fn outage_probes(&self) -> u32 {
        self.outage.as_ref().map_or(0, |outage| outage.probes)
    }
}

//! What the board keeps of an outage of the daemon.

use std::time::Duration;

use tokio::time::Instant;

use super::{Board, Event, Job};
use crate::poll_schedule::delay;

#[derive(Debug)]
pub(super) struct Outage {
    pub(super) since: Instant,
    pub(super) until: Instant,
    pub(super) probes: u32,
    pub(super) probing: bool,
}

impl Board {
    pub(super) fn outage(
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
                Event::OutageGoesOn
            }
        }
    }

    /// How many forwards in a row have found the daemon away.
    pub(crate) fn outage_probes(&self) -> u32 {
        self.outage.as_ref().map_or(0, |outage| outage.probes)
    }
}

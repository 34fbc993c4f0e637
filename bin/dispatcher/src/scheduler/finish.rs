//! What a finished job means for its notification and for the outage.

use tokio::time::Instant;

use super::{AckResult, Event, Item, Job, Outcome, Scheduler, Step, id_of};
use crate::classify::Verdict;
use crate::poll_schedule::delay;

impl Scheduler {
    /// Applies the outcome of a job.
    pub(crate) fn finish(&mut self, job: &Job, outcome: Outcome, now: Instant) -> Vec<Event> {
        match job.step {
            Step::Forward => self.forwarding -= 1,
            Step::Acknowledge | Step::DeadLetter(_) => self.acking -= 1,
        }
        let mut events = Vec::new();
        match outcome {
            Outcome::Forwarded(verdict) => self.forwarded(job, verdict, now, &mut events),
            Outcome::Acked(result) => events.push(self.acked(job, result, now)),
        }
        events
    }

    fn forwarded(&mut self, job: &Job, verdict: Verdict, now: Instant, events: &mut Vec<Event>) {
        if let Verdict::Outage { error, retry_after } = verdict {
            events.push(self.outage_seen(job, error, retry_after, now));
            // The delay is the outage's, not the notification's.
            self.schedule(self.epoch, job.delivery.session_key.clone());
            return;
        }
        // The answer to a forward from before the outage says nothing about its end.
        if self.outage.as_ref().is_some_and(|outage| job.started >= outage.since) {
            self.outage = None;
            events.push(Event::OutageEnded);
        }
        let limits = self.limits;
        let epoch = self.epoch;
        let Some(item) = self.head(job) else { return };
        let at = match verdict {
            // Ahead of everything else: before the acknowledgement a crash means a second forward.
            Verdict::Delivered => {
                item.step = Step::Acknowledge;
                item.uncounted = 0;
                epoch
            }
            Verdict::Rejected(error) => {
                item.attempts += 1;
                item.step = Step::DeadLetter(error);
                item.uncounted = 0;
                epoch
            }
            Verdict::Failed { error, retry_after } => {
                item.attempts = item.attempts.saturating_add(1);
                item.uncounted = 0;
                if item.attempts >= limits.max_attempts {
                    item.step = Step::DeadLetter(error);
                    epoch
                } else {
                    events.push(Event::ForwardFailed(error));
                    now + delay(limits.backoff, item.attempts, retry_after)
                }
            }
            Verdict::Busy { retry_after } => {
                events.push(Event::SessionBusy);
                item.uncounted = item.uncounted.saturating_add(1);
                now + delay(limits.backoff, item.uncounted, retry_after)
            }
            Verdict::Outage { .. } => now,
        };
        self.schedule(at, job.delivery.session_key.clone());
    }

    fn acked(&mut self, job: &Job, result: AckResult, now: Instant) -> Event {
        match result {
            AckResult::Retry { error, retry_after } => {
                let backoff = self.limits.backoff;
                if let Some(item) = self.head(job) {
                    item.uncounted = item.uncounted.saturating_add(1);
                    let at = now + delay(backoff, item.uncounted, retry_after);
                    self.schedule(at, job.delivery.session_key.clone());
                }
                Event::AckFailed(error)
            }
            AckResult::Accepted => {
                self.finished.insert(id_of(&job.delivery));
                self.remove(job, now);
                match &job.step {
                    Step::Forward | Step::Acknowledge => Event::Delivered,
                    Step::DeadLetter(error) => {
                        Event::DeadLetter { error: error.clone(), reported: true }
                    }
                }
            }
            AckResult::Rejected(reason) => {
                self.skipped.insert(id_of(&job.delivery));
                self.remove(job, now);
                match &job.step {
                    Step::Forward | Step::Acknowledge => Event::AckRejected(reason),
                    Step::DeadLetter(error) => {
                        Event::DeadLetter { error: error.clone(), reported: false }
                    }
                }
            }
        }
    }

    fn remove(&mut self, job: &Job, now: Instant) {
        self.known.remove(&id_of(&job.delivery));
        let session = &job.delivery.session_key;
        let Some(queue) = self.sessions.get_mut(session) else { return };
        queue.pop_front();
        if queue.is_empty() {
            self.sessions.remove(session);
        } else {
            self.schedule(now, session.clone());
        }
    }

    fn head(&mut self, job: &Job) -> Option<&mut Item> {
        self.sessions.get_mut(&job.delivery.session_key)?.front_mut()
    }
}

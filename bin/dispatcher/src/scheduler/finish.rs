//! What the end of a job means for the board.

use tokio::time::Instant;

use super::{Board, Event, Item, Job, Outcome, Step, Told, id_of};
use crate::classify::Verdict;
use crate::poll_schedule::delay;

impl Board {
    /// Takes in how a job ended.
    pub(crate) fn finish(&mut self, job: &Job, outcome: Outcome, now: Instant) -> Vec<Event> {
        match job.step {
            Step::Forward => self.forwarding -= 1,
            Step::Acknowledge | Step::Bury(_) => self.telling -= 1,
        }
        let mut events = Vec::new();
        match outcome {
            Outcome::Forwarded(verdict) => self.forwarded(job, verdict, now, &mut events),
            Outcome::Told(told) => events.push(self.told(job, told, now)),
        }
        events
    }

    fn forwarded(&mut self, job: &Job, verdict: Verdict, now: Instant, events: &mut Vec<Event>) {
        if let Verdict::Outage { error, retry_after } = verdict {
            events.push(self.outage(job, error, retry_after, now));
            // In the outage's own time, not in the notification's.
            self.schedule(self.epoch, job.delivery.session_key.clone());
            return;
        }
        // An answer to what was sent before the outage began says nothing about its end.
        if self.outage.as_ref().is_some_and(|outage| job.started >= outage.since) {
            self.outage = None;
            events.push(Event::OutageOver);
        }
        let limits = self.limits;
        let epoch = self.epoch;
        let Some(item) = self.head(job) else { return };
        let at = match verdict {
            // Ahead of everything else: until it is told, a crash means a second forward.
            Verdict::Delivered => {
                item.step = Step::Acknowledge;
                item.waits = 0;
                epoch
            }
            Verdict::Refused(error) => {
                item.attempts += 1;
                item.step = Step::Bury(error);
                item.waits = 0;
                epoch
            }
            Verdict::Failed { error, retry_after } => {
                item.attempts = item.attempts.saturating_add(1);
                item.waits = 0;
                if item.attempts >= limits.max_attempts {
                    item.step = Step::Bury(error);
                    epoch
                } else {
                    events.push(Event::Failed(error));
                    now + delay(limits.backoff, item.attempts, retry_after)
                }
            }
            Verdict::Busy { retry_after } => {
                events.push(Event::Busy);
                item.waits = item.waits.saturating_add(1);
                now + delay(limits.backoff, item.waits, retry_after)
            }
            Verdict::Outage { .. } => now,
        };
        self.schedule(at, job.delivery.session_key.clone());
    }

    fn told(&mut self, job: &Job, told: Told, now: Instant) -> Event {
        match told {
            Told::Later { error, retry_after } => {
                let backoff = self.limits.backoff;
                if let Some(item) = self.head(job) {
                    item.waits = item.waits.saturating_add(1);
                    let at = now + delay(backoff, item.waits, retry_after);
                    self.schedule(at, job.delivery.session_key.clone());
                }
                Event::NotTold(error)
            }
            Told::Done => {
                self.finished.insert(id_of(&job.delivery));
                self.remove(job, now);
                match &job.step {
                    Step::Forward | Step::Acknowledge => Event::Delivered,
                    Step::Bury(error) => Event::Dead { error: error.clone(), reported: true },
                }
            }
            Told::Never(refusal) => {
                self.skipped.insert(id_of(&job.delivery));
                self.remove(job, now);
                match &job.step {
                    Step::Forward | Step::Acknowledge => Event::NeverTold(refusal),
                    Step::Bury(error) => Event::Dead { error: error.clone(), reported: false },
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

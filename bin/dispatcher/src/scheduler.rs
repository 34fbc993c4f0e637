//! What waits, for whom, and what is to be done next. Pure: time comes in from outside.
//!
//! Invariants: of one session only the oldest notification is worked on, and by one worker; a
//! notification leaves the board only when the backend knows what became of it, or never will.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use mc_client::types::Delivery;
use retry::Backoff;
use tokio::time::Instant;

use crate::classify::Verdict;
use crate::poll_schedule::delay;

/// What the settings say about patience.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sessions that are worked on at a time.
    pub(crate) concurrency: usize,
    /// Counted failures until a notification is dead.
    pub(crate) max_attempts: u32,
    /// The waits after failures.
    pub(crate) backoff: Backoff,
}

/// The next thing to do for a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send it to the daemon.
    Forward,
    /// Tell the backend that it was delivered.
    Acknowledge,
    /// Tell the backend that it is dead, and why.
    Bury(String),
}

/// A step that a worker is to take.
#[derive(Debug)]
pub(crate) struct Job {
    /// The notification.
    pub(crate) delivery: Arc<Delivery>,
    /// What to do.
    pub(crate) step: Step,
    /// Counted failures so far.
    pub(crate) attempts: u32,
    started: Instant,
    probe: bool,
}

/// What the backend said to an acknowledgement or a report.
#[derive(Debug)]
pub(crate) enum Told {
    /// It knows.
    Done,
    /// It could not be told now.
    Later {
        /// Why.
        error: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// It will not be told this.
    Never(String),
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Of a forward.
    Forwarded(Verdict),
    /// Of an acknowledgement or a report.
    Told(Told),
}

/// What happened that somebody may want to know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Delivered and acknowledged.
    Delivered,
    /// A forward failed and will be tried again.
    Failed(String),
    /// A session is busy; tried again.
    Busy,
    /// Given up. `reported` says whether the backend took it out of its queue.
    Dead { error: String, reported: bool },
    /// The backend could not be told; tried again.
    NotTold(String),
    /// Delivered, but the backend refuses to hear of it.
    NeverTold(String),
    /// The daemon is away.
    OutageBegan(String),
    /// Still away.
    OutageGoesOn,
    /// The daemon answers again.
    OutageOver,
}

type Id = (String, String);

#[derive(Debug)]
struct Item {
    delivery: Arc<Delivery>,
    step: Step,
    attempts: u32,
    /// Waits in a row that did not count.
    waits: u32,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    until: Instant,
    probes: u32,
    probing: bool,
}

/// All sessions with something to do.
#[derive(Debug)]
pub(crate) struct Board {
    limits: Limits,
    epoch: Instant,
    sessions: HashMap<String, VecDeque<Item>>,
    /// Sessions on which nobody works and whose next step is a forward.
    forwards: Due,
    /// Sessions on which nobody works and of which the backend is to be told something.
    tells: Due,
    turn: u64,
    known: HashSet<Id>,
    /// Done since the poll in progress began, whose answer may still hold them.
    finished: HashSet<Id>,
    /// Given up without the backend's knowledge: not touched again before a restart.
    skipped: HashSet<Id>,
    forwarding: usize,
    telling: usize,
    max_telling: usize,
    outage: Option<Outage>,
}

/// Sessions by the time from which on somebody should work on them; of those that are due at the
/// same time the one that waits longest comes first.
type Due = BTreeSet<(Instant, u64, String)>;

impl Board {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            epoch: now,
            sessions: HashMap::new(),
            forwards: BTreeSet::new(),
            tells: BTreeSet::new(),
            turn: 0,
            known: HashSet::new(),
            finished: HashSet::new(),
            skipped: HashSet::new(),
            forwarding: 0,
            telling: 0,
            max_telling: limits.concurrency,
            outage: None,
        }
    }

    /// A poll begins: what was done before it cannot be in its answer.
    pub(crate) fn poll_begins(&mut self) {
        self.finished.clear();
    }

    /// Takes in a poll's answer and gives the number of notifications that are new.
    pub(crate) fn merge(&mut self, deliveries: Vec<Delivery>, now: Instant) -> usize {
        let mut new = 0;
        for delivery in deliveries {
            let id = id_of(&delivery);
            if self.finished.contains(&id) || self.skipped.contains(&id) || !self.known.insert(id) {
                continue;
            }
            new += 1;
            let session = delivery.session_key.clone();
            let queue = self.sessions.entry(session.clone()).or_default();
            let attempts = delivery.attempts.unwrap_or_default();
            let delivery = Arc::new(delivery);
            queue.push_back(Item { delivery, step: Step::Forward, attempts, waits: 0 });
            if queue.len() == 1 {
                self.schedule(now, session);
            }
        }
        new
    }

    /// How much the backend may be told at a time.
    pub(crate) fn allow_telling(&mut self, at_a_time: usize) {
        self.max_telling = at_a_time;
    }

    /// The next job that is due, if a worker is free. Once `stopping`, no further forwards.
    pub(crate) fn next(&mut self, now: Instant, stopping: bool) -> Option<Job> {
        let is_due = |due: &Due| due.first().is_some_and(|(at, ..)| *at <= now);
        let blocked = self.outage.as_ref().is_some_and(|o| o.probing || now < o.until);
        // What the backend is to be told comes first: until it is, a crash means a second forward.
        let tells = self.telling < self.max_telling && is_due(&self.tells);
        let may_forward = !stopping && !blocked && self.forwarding < self.limits.concurrency;
        let (.., session) = match tells {
            true => self.tells.pop_first()?,
            false if may_forward && is_due(&self.forwards) => self.forwards.pop_first()?,
            false => return None,
        };
        let item = self.sessions.get(&session)?.front()?;
        let mut probe = false;
        match (&item.step, &mut self.outage) {
            (Step::Acknowledge | Step::Bury(_), _) => self.telling += 1,
            (Step::Forward, None) => self.forwarding += 1,
            (Step::Forward, Some(outage)) => {
                self.forwarding += 1;
                outage.probing = true;
                probe = true;
            }
        }
        Some(Job {
            delivery: Arc::clone(&item.delivery),
            step: item.step.clone(),
            attempts: item.attempts,
            started: now,
            probe,
        })
    }

    /// When [`Board::next`] has something again, as far as time alone decides.
    pub(crate) fn next_due(&self, stopping: bool) -> Option<Instant> {
        let first = |due: &Due| due.first().map(|(at, ..)| *at);
        let tell = first(&self.tells).filter(|_| self.telling < self.max_telling);
        let free = !stopping && self.forwarding < self.limits.concurrency;
        let forward = first(&self.forwards).filter(|_| free).and_then(|at| match &self.outage {
            None => Some(at),
            Some(outage) if outage.probing => None,
            Some(outage) => Some(outage.until.max(at)),
        });
        [tell, forward].into_iter().flatten().min()
    }

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

    fn outage(
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

    fn schedule(&mut self, at: Instant, session: String) {
        let Some(head) = self.sessions.get(&session).and_then(VecDeque::front) else { return };
        let due = match head.step {
            Step::Forward => &mut self.forwards,
            Step::Acknowledge | Step::Bury(_) => &mut self.tells,
        };
        self.turn += 1;
        due.insert((at, self.turn, session));
    }

    /// Notifications on the board.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Jobs that workers are at.
    pub(crate) fn in_flight(&self) -> usize {
        self.forwarding + self.telling
    }

    /// Whether there is too little to do now to keep all workers at work. What waits for a repeat
    /// does not count: it must not keep others from being fetched.
    pub(crate) fn is_hungry(&self, now: Instant) -> bool {
        let free = self.limits.concurrency.saturating_sub(self.forwarding);
        self.forwards.iter().take(free).take_while(|(at, ..)| *at <= now).count() < free
    }

    /// Whether the backend has yet to be told of something.
    pub(crate) fn is_settling(&self) -> bool {
        !self.tells.is_empty()
    }

    /// How many forwards in a row have found the daemon away.
    pub(crate) fn outage_probes(&self) -> u32 {
        self.outage.as_ref().map_or(0, |outage| outage.probes)
    }
}

fn id_of(delivery: &Delivery) -> Id {
    (delivery.user_id.clone(), delivery.notification_id.clone())
}

#[cfg(test)]
mod tests;

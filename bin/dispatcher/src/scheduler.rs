//! Decides which notification is worked on next. It does no input and output, and the time is
//! passed in, so that every decision can be tested.
//!
//! Invariants: of one session only the oldest notification is worked on, by one worker at a time. A
//! notification leaves the scheduler only when the backend has accepted its acknowledgement or its
//! dead letter, or will never accept it.

mod finish;
mod job;
mod outage;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use mc_client::types::Delivery;
use tokio::time::Instant;

pub(crate) use self::job::{AckResult, Event, Job, Limits, Outcome, Step};
use self::outage::Outage;

/// User and notification.
type Id = (String, String);

/// A notification in its session's queue.
#[derive(Debug)]
struct Item {
    delivery: Arc<Delivery>,
    step: Step,
    /// Failed attempts, which count towards the dead letter.
    attempts: u32,
    /// Retries in a row that do not count: the session was busy, or the backend unavailable.
    uncounted: u32,
}

/// The queues of all sessions.
#[derive(Debug)]
pub(crate) struct Scheduler {
    limits: Limits,
    epoch: Instant,
    sessions: HashMap<String, VecDeque<Item>>,
    /// Idle sessions whose next step is a forward.
    forwards: DueQueue,
    /// Idle sessions whose next step is an acknowledgement or a dead letter.
    acks: DueQueue,
    /// Grows with each entry of the queues, so that they are first in, first out.
    sequence: u64,
    /// All notifications in the queues.
    known: HashSet<Id>,
    /// Done since the current poll began, whose answer may still contain them.
    finished: HashSet<Id>,
    /// Done, but the backend rejected the acknowledgement or dead letter: ignored until a restart.
    skipped: HashSet<Id>,
    forwarding: usize,
    acking: usize,
    max_acks: usize,
    outage: Option<Outage>,
}

/// Sessions by the time at which they are due, then by sequence.
type DueQueue = BTreeSet<(Instant, u64, String)>;

impl Scheduler {
    /// A scheduler without notifications.
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            epoch: now,
            sessions: HashMap::new(),
            forwards: BTreeSet::new(),
            acks: BTreeSet::new(),
            sequence: 0,
            known: HashSet::new(),
            finished: HashSet::new(),
            skipped: HashSet::new(),
            forwarding: 0,
            acking: 0,
            max_acks: limits.concurrency,
            outage: None,
        }
    }

    /// A poll starts: what was done before cannot be in its answer.
    pub(crate) fn poll_started(&mut self) {
        self.finished.clear();
    }

    /// Adds a poll's notifications to the queues, and returns how many are new.
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
            queue.push_back(Item { delivery, step: Step::Forward, attempts, uncounted: 0 });
            if queue.len() == 1 {
                self.schedule(now, session);
            }
        }
        new
    }

    /// Sets how many acknowledgements and dead letters may be in flight.
    pub(crate) fn set_max_acks(&mut self, max: usize) {
        self.max_acks = max;
    }

    /// The next job that is due, if a worker is free. Once `stopping`, there are no more forwards.
    pub(crate) fn next(&mut self, now: Instant, stopping: bool) -> Option<Job> {
        let is_due = |queue: &DueQueue| queue.first().is_some_and(|(at, ..)| *at <= now);
        let paused = self.outage.as_ref().is_some_and(|o| o.probing || now < o.until);
        // Acknowledgements go first: before one, a crash means a second forward.
        let may_ack = self.acking < self.max_acks && is_due(&self.acks);
        let may_forward = !stopping && !paused && self.forwarding < self.limits.concurrency;
        let (.., session) = match may_ack {
            true => self.acks.pop_first()?,
            false if may_forward && is_due(&self.forwards) => self.forwards.pop_first()?,
            false => return None,
        };
        let item = self.sessions.get(&session)?.front()?;
        let mut probe = false;
        match (&item.step, &mut self.outage) {
            (Step::Acknowledge | Step::DeadLetter(_), _) => self.acking += 1,
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

    /// When [`Scheduler::next`] has a job again, if no other job finishes before.
    pub(crate) fn next_due(&self, stopping: bool) -> Option<Instant> {
        let first = |queue: &DueQueue| queue.first().map(|(at, ..)| *at);
        let ack = first(&self.acks).filter(|_| self.acking < self.max_acks);
        let free = !stopping && self.forwarding < self.limits.concurrency;
        let forward = first(&self.forwards).filter(|_| free).and_then(|at| match &self.outage {
            None => Some(at),
            Some(outage) if outage.probing => None,
            Some(outage) => Some(outage.until.max(at)),
        });
        [ack, forward].into_iter().flatten().min()
    }

    fn schedule(&mut self, at: Instant, session: String) {
        let Some(head) = self.sessions.get(&session).and_then(VecDeque::front) else { return };
        let queue = match head.step {
            Step::Forward => &mut self.forwards,
            Step::Acknowledge | Step::DeadLetter(_) => &mut self.acks,
        };
        self.sequence += 1;
        queue.insert((at, self.sequence, session));
    }

    /// The number of notifications in the queues.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the queues are empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The number of jobs in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.forwarding + self.acking
    }

    /// Whether fewer forwards are due than there are free workers. Notifications that wait for a
    /// retry are not due: they must not keep others from being fetched.
    pub(crate) fn has_idle_workers(&self, now: Instant) -> bool {
        let free = self.limits.concurrency.saturating_sub(self.forwarding);
        self.forwards.iter().take(free).take_while(|(at, ..)| *at <= now).count() < free
    }

    /// Whether acknowledgements or dead letters wait to be sent.
    pub(crate) fn has_pending_acks(&self) -> bool {
        !self.acks.is_empty()
    }
}

fn id_of(delivery: &Delivery) -> Id {
    (delivery.user_id.clone(), delivery.notification_id.clone())
}

#[cfg(test)]
mod tests;

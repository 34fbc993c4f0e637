//! What waits, for whom, and what is to be done next. Pure: time comes in from outside.
//!
//! Invariants: of one session only the oldest notification is worked on, and by one worker; a
//! notification leaves the board only when the backend knows what became of it, or never will.

mod finish;
mod job;
mod outage;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use mc_client::types::Delivery;
use tokio::time::Instant;

pub(crate) use self::job::{Event, Job, Limits, Outcome, Step, Told};
use self::outage::Outage;

type Id = (String, String);

#[derive(Debug)]
struct Item {
    delivery: Arc<Delivery>,
    step: Step,
    attempts: u32,
    /// Waits in a row that did not count.
    waits: u32,
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
}

fn id_of(delivery: &Delivery) -> Id {
    (delivery.user_id.clone(), delivery.notification_id.clone())
}

#[cfg(test)]
mod tests;

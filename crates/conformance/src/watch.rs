//! What must hold of every answer, whatever was asked.

use crate::answer::Answer;

/// The statuses that an error of the contract may have.
const STATUSES: [u16; 12] = [400, 401, 402, 403, 404, 405, 409, 413, 415, 429, 500, 503];

/// How many of a kind are kept.
const KEPT: usize = 3;

/// What was seen that should not have been.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How many answers there were.
    pub(crate) answers: usize,
    /// Errors without the contract's shape.
    pub(crate) shapeless: Vec<String>,
    /// Errors of a status that the contract does not have.
    pub(crate) strange: Vec<String>,
    /// 429 or 503 without a time to come back.
    pub(crate) without_wait: Vec<String>,
    /// Faults of the backend's own.
    pub(crate) broken: Vec<String>,
    /// Answers with a secret in them.
    pub(crate) leaks: Vec<String>,
}

fn keep(list: &mut Vec<String>, seen: String) {
    if list.len() < KEPT && !list.contains(&seen) {
        list.push(seen);
    }
}

impl Watch {
    /// Looks at an answer. `leaks` says whether a secret stands in it.
    pub(crate) fn see(&mut self, answer: &Answer, leaks: bool) {
        self.answers += 1;
        if leaks {
            keep(&mut self.leaks, answer.what.clone());
        }
        if answer.status < 400 {
            return;
        }
        if answer.shape().is_err() {
            keep(&mut self.shapeless, answer.seen());
        }
        if !STATUSES.contains(&answer.status) {
            keep(&mut self.strange, answer.seen());
        }
        if matches!(answer.status, 429 | 503) && answer.retry_after().is_none() {
            keep(&mut self.without_wait, answer.seen());
        }
        if answer.status == 500 {
            keep(&mut self.broken, answer.seen());
        }
    }
}

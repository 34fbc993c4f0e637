//! Rules that every response must keep.

use crate::answer::Answer;

/// The statuses that an error may have.
const STATUSES: [u16; 12] = [400, 401, 402, 403, 404, 405, 409, 413, 415, 429, 500, 503];

/// How many violations of a kind are reported.
const KEPT: usize = 3;

/// Violations of rules that every response must keep.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// How many responses were seen.
    pub(crate) answers: usize,
    /// Errors not in the contract's shape.
    pub(crate) malformed_errors: Vec<String>,
    /// Errors with a status outside of the contract.
    pub(crate) unknown_statuses: Vec<String>,
    /// 429 or 503 without `Retry-After`.
    pub(crate) without_retry_after: Vec<String>,
    /// Responses with status 500.
    pub(crate) server_errors: Vec<String>,
    /// JSON whose Content-Type says something else.
    pub(crate) other_types: Vec<String>,
    /// Responses that contain a secret.
    pub(crate) leaks: Vec<String>,
}

fn keep(list: &mut Vec<String>, seen: String) {
    if list.len() < KEPT && !list.contains(&seen) {
        list.push(seen);
    }
}

impl Watch {
    /// Checks a response for what counts always. `leaks` says whether it contains a secret.
    pub(crate) fn see_any(&mut self, answer: &Answer, leaks: bool) {
        self.answers += 1;
        if leaks {
            keep(&mut self.leaks, answer.what.clone());
        }
    }

    /// Checks the form of a response to a request of which the contract says something.
    pub(crate) fn see(&mut self, answer: &Answer) {
        if answer.is_json() && !answer.says_json() {
            keep(&mut self.other_types, answer.what.clone());
        }
        if answer.status < 400 {
            return;
        }
        if answer.check_error_shape().is_err() {
            keep(&mut self.malformed_errors, answer.summary());
        }
        if !STATUSES.contains(&answer.status) {
            keep(&mut self.unknown_statuses, answer.summary());
        }
        if matches!(answer.status, 429 | 503) && answer.retry_after().is_none() {
            keep(&mut self.without_retry_after, answer.summary());
        }
        if answer.status == 500 {
            keep(&mut self.server_errors, answer.summary());
        }
    }
}

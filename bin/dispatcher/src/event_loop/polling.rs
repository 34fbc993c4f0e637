//! When the backend is polled, and what its answer changes.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Dispatcher, Done, MAX_WAITING, MIN_GAP, Polled};
use crate::backend::MAX_BATCH;
use crate::event_stream::Listener;

impl Dispatcher {
    /// When to poll next; not while a poll is under way, nor when what it brought would only wait.
    pub(super) fn poll_at(&self, now: Instant, once: bool) -> Option<Instant> {
        let held = self.board.outage_probes() > 0 && !self.board.is_empty();
        if self.poll.is_some() || held || self.board.len() >= MAX_WAITING {
            return None;
        }
        // Whoever waits for the end of `--once` is not kept waiting for a regular poll.
        if once && self.board.is_empty() && self.poll_failures == 0 {
            return Some(now);
        }
        let regular = self.orphans_at.map_or(self.pace.next(), |at| at.min(self.pace.next()));
        if !self.more || !self.board.is_hungry(now) {
            return Some(regular);
        }
        Some(self.polled_at.map_or(now, |at| at + MIN_GAP).min(regular))
    }

    pub(super) fn start_poll(&mut self, once: bool) {
        let now = Instant::now();
        self.board.poll_begins();
        self.drained = self.board.is_empty();
        self.woken = false;
        self.polled_at = Some(now);
        if self.orphans_at.is_some_and(|at| at <= now) {
            self.orphans_at = None;
        }
        if self.pace.next() <= now {
            // What was announced long ago was delivered by others.
            self.announced.clear();
        }
        let backend = Arc::clone(&self.backend);
        let (known, listening) = (self.board.len(), self.listening);
        let listen = !once && self.listener.is_none();
        let poll = async move {
            let answer = backend.poll(known, listening).await;
            let events = if listen { backend.events().await } else { None };
            let (batches, leases) = (backend.batches().await, backend.leases().await);
            Done::Polled(Polled { answer, batches, leases, listener: events.map(Listener::start) })
        };
        self.poll = Some(self.tasks.spawn(poll));
    }

    pub(super) fn stop_polling(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
    }

    pub(super) fn polled(&mut self, polled: Polled) {
        let now = Instant::now();
        self.poll = None;
        self.batches = polled.batches;
        let at_a_time = if polled.batches { 2 * MAX_BATCH } else { self.concurrency };
        self.board.allow_telling(at_a_time);
        if polled.listener.is_some() {
            self.listener = polled.listener;
        }
        match polled.answer {
            Ok(batch) => {
                self.metrics.polls.add(1);
                if !polled.leases {
                    self.orphans_at = None;
                }
                if self.poll_failures > 0 {
                    tracing::info!(failures = self.poll_failures, "the backend answers again");
                    self.poll_failures = 0;
                    self.causes.is_over("poll");
                }
                if batch.malformed > 0 && self.causes.is_news("malformed", "", now) {
                    let count = batch.malformed;
                    tracing::warn!(count, "deliveries without id, user or session are left out");
                }
                batch.deliveries.iter().for_each(|delivery| self.announced.came(delivery));
                let new = self.board.merge(batch.deliveries, now);
                self.metrics.received.add(new);
                self.more = new > 0 || self.woken;
                self.drained &= new == 0;
                self.pace.polled(new > 0 || !self.board.is_empty(), self.listening, now);
                self.tick(new, false);
            }
            Err(error) => {
                self.metrics.polls_failed.add(1);
                self.more = false;
                self.drained = false;
                self.last_error = error.to_string();
                if self.causes.is_news("poll", &self.last_error, now) {
                    let hint = if error.is_auth() {
                        "check INTERNAL_API_TOKEN on both sides"
                    } else {
                        "check BACKEND_URL and the backend; polling goes on"
                    };
                    tracing::error!(%error, hint, "the backend cannot be polled");
                }
                self.poll_failures = self.poll_failures.saturating_add(1);
                self.pace.failed(error.retry_after(), now);
            }
        }
    }
}

//! Polls the backend and adds what it returns to the scheduler.

use std::sync::Arc;

use mc_client::dispatch::Batch;
use mc_client::error::McError;
use tokio::time::Instant;

use super::{Dispatcher, MAX_WAITING, MIN_POLL_GAP, PollResult, TaskResult};
use crate::backend::MAX_BATCH;
use crate::event_stream::Listener;

impl Dispatcher {
    /// When to poll next; `None` while a poll is in flight, or while its answer could only wait.
    pub(super) fn poll_at(&self, now: Instant, once: bool) -> Option<Instant> {
        let paused = self.scheduler.outage_probes() > 0 && !self.scheduler.is_empty();
        if self.poll.is_some() || paused || self.scheduler.len() >= MAX_WAITING {
            return None;
        }
        // `--once` ends after one empty poll, and need not wait for a scheduled one.
        if once && self.scheduler.is_empty() && self.poll_failures == 0 {
            return Some(now);
        }
        let next = self.schedule.next();
        let scheduled = self.orphaned_leases_end.map_or(next, |at| at.min(next));
        if !self.may_have_more || !self.scheduler.has_idle_workers(now) {
            return Some(scheduled);
        }
        Some(self.polled_at.map_or(now, |at| at + MIN_POLL_GAP).min(scheduled))
    }

    /// Starts a poll, and opens the event stream where there is one and it is not open yet.
    pub(super) fn start_poll(&mut self, once: bool) {
        let now = Instant::now();
        self.scheduler.poll_started();
        self.drained = self.scheduler.is_empty();
        self.notified = false;
        self.polled_at = Some(now);
        if self.orphaned_leases_end.is_some_and(|at| at <= now) {
            self.orphaned_leases_end = None;
        }
        if self.schedule.next() <= now {
            // What was announced long ago, another dispatcher has delivered.
            self.announced.clear();
        }
        let backend = Arc::clone(&self.backend);
        let (known, streaming) = (self.scheduler.len(), self.streaming);
        let opens_stream = !once && self.listener.is_none();
        let poll = async move {
            let answer = backend.poll(known, streaming).await;
            let events = if opens_stream { backend.events().await } else { None };
            let (batches, leases) = (backend.batches().await, backend.leases().await);
            let listener = events.map(Listener::start);
            TaskResult::Polled(PollResult { answer, batches, leases, listener })
        };
        self.poll = Some(self.tasks.spawn(poll));
    }

    /// Aborts the poll in flight.
    pub(super) fn stop_polling(&mut self) {
        if let Some(poll) = self.poll.take() {
            poll.abort();
        }
    }

    /// A poll was answered, or failed.
    pub(super) fn handle_poll_result(&mut self, result: PollResult) {
        let now = Instant::now();
        self.metrics.upkeep();
        self.poll = None;
        self.batches = result.batches;
        self.scheduler.set_max_acks(if result.batches { 2 * MAX_BATCH } else { self.concurrency });
        if result.listener.is_some() {
            self.listener = result.listener;
        }
        if !result.leases && result.answer.is_ok() {
            self.orphaned_leases_end = None;
        }
        match result.answer {
            Ok(batch) => self.poll_succeeded(batch, now),
            Err(error) => self.poll_failed(&error, now),
        }
    }

    fn poll_succeeded(&mut self, batch: Batch, now: Instant) {
        self.metrics.polls.increment(1);
        if self.poll_failures > 0 {
            tracing::info!(failures = self.poll_failures, "backend available again");
            self.poll_failures = 0;
            self.log_dedup.reset("poll");
        }
        if batch.malformed > 0 && self.log_dedup.should_log("malformed", "", now) {
            let count = batch.malformed;
            tracing::warn!(count, "skipping notifications without id, user or session");
        }
        batch.deliveries.iter().for_each(|delivery| self.announced.remove(delivery));
        let new = self.scheduler.merge(batch.deliveries, now);
        self.metrics.received.increment(new as u64);
        self.may_have_more = new > 0 || self.notified;
        self.drained &= new == 0;
        let busy = new > 0 || !self.scheduler.is_empty();
        self.schedule.succeeded(busy, self.streaming, now);
        self.log_summary(new, false);
    }

    fn poll_failed(&mut self, error: &McError, now: Instant) {
        self.metrics.poll_failures.increment(1);
        self.may_have_more = false;
        self.drained = false;
        self.last_error = error.to_string();
        if self.log_dedup.should_log("poll", &self.last_error, now) {
            let address = self.backend.variable;
            let hint = if error.is_auth() {
                format!(
                    "check INTERNAL_API_TOKEN on both sides, and that it is your backend which answers at {address}"
                )
            } else if error.is_in_between() {
                format!("check what stands before {address}")
            } else {
                format!("check {address} and the backend")
            };
            tracing::error!(%error, hint, "poll failed; retrying");
        }
        self.poll_failures = self.poll_failures.saturating_add(1);
        self.schedule.failed(error.retry_after(), now);
    }
}

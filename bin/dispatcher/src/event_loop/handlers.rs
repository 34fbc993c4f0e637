//! Handles events of the backend's stream and results of jobs, with their logs and metrics.

use tokio::time::Instant;

use super::{Counts, Dispatcher};
use crate::event_stream::BackendEvent;
use crate::scheduler::{Event, Job, Outcome};

impl Dispatcher {
    /// Something happened on the backend's event stream.
    pub(super) async fn handle_backend_event(&mut self, event: BackendEvent) {
        let now = Instant::now();
        match event {
            BackendEvent::Connected => {
                if self.log_dedup.should_log("connected", "", now) {
                    tracing::info!("event stream open");
                } else {
                    tracing::debug!("event stream open again");
                }
                self.set_streaming(true);
                self.poll_soon();
            }
            BackendEvent::Notification { id, session } => {
                self.metrics.wakes.increment(1);
                if let (Some(id), Some(session)) = (id, session) {
                    self.announced.insert(id, session);
                }
                self.poll_soon();
            }
            BackendEvent::Disconnected(cause) => {
                if self.log_dedup.should_log("events", &cause, now) {
                    tracing::info!(cause, "event stream broken; reconnecting");
                }
                self.stream_lost(now).await;
            }
            BackendEvent::Failed(error) => {
                if self.log_dedup.should_log("events", &error.to_string(), now) {
                    tracing::warn!(%error, "event stream unavailable; falling back to polling");
                }
                self.stream_lost(now).await;
            }
        }
    }

    /// There may be new notifications.
    fn poll_soon(&mut self) {
        self.notified = true;
        self.may_have_more = true;
    }

    fn set_streaming(&mut self, streaming: bool) {
        self.streaming = streaming;
        self.metrics.set_listening(streaming);
    }

    async fn stream_lost(&mut self, now: Instant) {
        if self.streaming {
            self.backend.expire_capabilities().await;
            self.schedule.stream_lost(now);
        }
        self.set_streaming(false);
    }

    /// A job is done.
    pub(super) fn handle_job_result(&mut self, job: &Job, outcome: Outcome) {
        let now = Instant::now();
        let events = self.scheduler.finish(job, outcome, now);
        let is_done = |event: &Event| {
            matches!(event, Event::Delivered | Event::DeadLetter { .. } | Event::AckRejected(_))
        };
        if self.announced.has_any_of(&job.delivery.session_key) && events.iter().any(is_done) {
            // The backend held the session's next notification back until now.
            self.poll_soon();
        }
        for event in events {
            self.handle_event(job, event, now);
        }
    }

    /// Counts and logs what a job changed.
    fn handle_event(&mut self, job: &Job, event: Event, now: Instant) {
        let notification = job.delivery.notification_id.as_str();
        let session = job.delivery.session_key.as_str();
        match event {
            Event::Delivered => {
                self.metrics.delivered.increment(1);
                self.counts.delivered += 1;
                if let Some(created) = job.delivery.created_at {
                    self.metrics.delivered_at_age(chrono::Utc::now() - created);
                }
                tracing::debug!(notification, session, "delivered and acknowledged");
            }
            Event::ForwardFailed(error) => {
                self.metrics.forward_failures.increment(1);
                self.counts.failed += 1;
                let attempt = job.attempts.saturating_add(1);
                tracing::warn!(notification, session, attempt, error, "forward failed; will retry");
            }
            Event::SessionBusy => {
                self.metrics.session_busy.increment(1);
                tracing::debug!(notification, session, "session busy; will retry");
            }
            Event::DeadLetter { error, reported } => {
                self.metrics.dead.increment(1);
                self.counts.dead += 1;
                let message = if reported {
                    "delivery given up; now a dead letter"
                } else {
                    "delivery given up; the backend keeps no dead letter, skipped until restart"
                };
                tracing::error!(notification, session, error, "{message}");
            }
            Event::AckFailed(error) => {
                self.metrics.ack_failures.increment(1);
                if self.log_dedup.should_log("ack", &error, now) {
                    let message = "acknowledgement failed; will retry";
                    tracing::warn!(notification, session, error, "{message}");
                } else {
                    tracing::debug!(notification, session, error, "acknowledgement failed again");
                }
            }
            Event::AckRejected(error) => {
                self.metrics.ack_failures.increment(1);
                let message =
                    "delivered, but the backend rejects the acknowledgement; skipped until restart";
                tracing::error!(notification, session, error, "{message}");
            }
            Event::OutageBegan(error) => {
                self.metrics.outage_forwards.increment(1);
                self.metrics.set_daemon_down(true);
                tracing::error!(error, "daemon unavailable; deliveries paused");
                self.last_error = error;
            }
            Event::OutageContinues => self.metrics.outage_forwards.increment(1),
            Event::OutageEnded => {
                self.metrics.set_daemon_down(false);
                tracing::info!("daemon available again; deliveries resumed");
            }
        }
    }

    /// Logs one line with what happened since the last one; at `debug` when nothing did.
    pub(super) fn log_summary(&mut self, new: usize, last: bool) {
        let counts = std::mem::take(&mut self.counts);
        let Counts { delivered, failed, dead } = counts;
        let (waiting, in_flight) = (self.scheduler.len(), self.scheduler.in_flight());
        if new > 0 || counts != Counts::default() || last {
            tracing::info!(new, delivered, failed, dead, waiting, in_flight, "poll summary");
        } else {
            tracing::debug!(waiting, in_flight, "poll summary");
        }
    }
}

//! What comes in and what came of the work: taken in, counted, and said.

use tokio::time::Instant;

use super::{Dispatcher, Told};
use crate::event_stream::Heard;
use crate::scheduler::{Event, Job, Outcome};

impl Dispatcher {
    pub(super) async fn heard(&mut self, heard: Heard) {
        let now = Instant::now();
        match heard {
            Heard::Open => {
                if self.causes.is_news("listening", "", now) {
                    tracing::info!("listening to the backend's events");
                } else {
                    tracing::debug!("listening to the backend's events again");
                }
                self.set_listening(true);
                self.wake();
            }
            Heard::Something { id, session } => {
                self.metrics.wakes.add(1);
                if let (Some(id), Some(session)) = (id, session) {
                    self.announced.add(id, session);
                }
                self.wake();
            }
            Heard::Broken(cause) => {
                if self.causes.is_news("events", &cause, now) {
                    tracing::info!(cause, "the stream of events broke; it is opened again");
                }
                self.lost_events(now).await;
            }
            Heard::Failed(error) => {
                if self.causes.is_news("events", &error.to_string(), now) {
                    tracing::warn!(%error, "no events from the backend; polling goes on");
                }
                self.lost_events(now).await;
            }
        }
    }

    /// There may be something new.
    fn wake(&mut self) {
        self.woken = true;
        self.more = true;
    }

    fn set_listening(&mut self, listening: bool) {
        self.listening = listening;
        self.metrics.listening.set(usize::from(listening));
    }

    async fn lost_events(&mut self, now: Instant) {
        if self.listening {
            self.backend.may_have_changed().await;
            self.pace.hurry(now);
        }
        self.set_listening(false);
    }

    pub(super) fn worked(&mut self, job: &Job, outcome: Outcome) {
        let notification = job.delivery.notification_id.as_str();
        let session = job.delivery.session_key.as_str();
        let now = Instant::now();
        let events = self.board.finish(job, outcome, now);
        let is_done = |event: &Event| {
            matches!(event, Event::Delivered | Event::Dead { .. } | Event::NeverTold(_))
        };
        if self.announced.waits(session) && events.iter().any(is_done) {
            // The backend held it back until now.
            self.wake();
        }
        for event in events {
            match event {
                Event::Delivered => {
                    self.metrics.delivered.add(1);
                    if let Some(created) = job.delivery.created_at {
                        self.metrics.age.add(chrono::Utc::now() - created);
                    }
                    tracing::debug!(notification, session, "delivered");
                }
                Event::Failed(error) => {
                    self.metrics.failed.add(1);
                    let attempt = job.attempts.saturating_add(1);
                    tracing::warn!(notification, session, attempt, error, "trying again later");
                }
                Event::Busy => {
                    self.metrics.busy.add(1);
                    tracing::debug!(notification, session, "the session is busy");
                }
                Event::Dead { error, reported: true } => {
                    self.metrics.dead.add(1);
                    tracing::error!(notification, session, error, "given up: now a dead letter");
                }
                Event::Dead { error, reported: false } => {
                    self.metrics.dead.add(1);
                    tracing::error!(
                        notification,
                        session,
                        error,
                        "given up: skipped until restart"
                    );
                }
                Event::NotTold(error) => {
                    self.metrics.not_told.add(1);
                    if self.causes.is_news("tell", &error, now) {
                        let what = "the backend could not be told; it is tried again";
                        tracing::warn!(notification, session, error, "{what}");
                    } else {
                        tracing::debug!(notification, session, error, "the backend was not told");
                    }
                }
                Event::NeverTold(error) => {
                    self.metrics.not_told.add(1);
                    tracing::error!(
                        notification,
                        session,
                        error,
                        "delivered, but the backend refuses the acknowledgement: skipped until restart"
                    );
                }
                Event::OutageBegan(error) => {
                    self.metrics.outages.add(1);
                    self.metrics.daemon_down.set(1);
                    tracing::error!(error, "the daemon does not take messages: everything waits");
                    self.last_error = error;
                }
                Event::OutageGoesOn => self.metrics.outages.add(1),
                Event::OutageOver => {
                    self.metrics.daemon_down.set(0);
                    tracing::info!("the daemon takes messages again");
                }
            }
        }
    }

    /// One line with what happened since the last one; at `debug` when nothing did.
    pub(super) fn tick(&mut self, new: usize, last: bool) {
        let told = Told {
            delivered: self.metrics.delivered.get(),
            failed: self.metrics.failed.get(),
            dead: self.metrics.dead.get(),
        };
        let delivered = told.delivered - self.told.delivered;
        let failed = told.failed - self.told.failed;
        let dead = told.dead - self.told.dead;
        let (waiting, in_flight) = (self.board.len(), self.board.in_flight());
        if new > 0 || told != self.told || last {
            tracing::info!(new, delivered, failed, dead, waiting, in_flight, "tick");
        } else {
            tracing::debug!(waiting, in_flight, "tick");
        }
        self.told = told;
    }
}

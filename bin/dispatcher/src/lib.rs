//! The dispatcher: polls the backend for undelivered notifications, forwards each to the daemon as a
//! message to its session, and acknowledges it.
//!
//! `scheduler` decides what to do next, without network and without a clock of its own; `event_loop`
//! does the input and output. After a crash at any point a notification is forwarded twice at worst,
//! and the idempotency key of its run makes that harmless.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod backend;
mod classify;
mod daemon;
mod error;
mod event_loop;
mod event_stream;
mod hooks;
mod http;
mod log_dedup;
mod metrics;
mod orphans;
mod poll_schedule;
mod run;
mod scheduler;
mod settings;

pub use error::DispatchError;
pub use run::run;
pub use settings::Settings;

//! The dispatcher: polls the backend for notifications, forwards each to the daemon as a message
//! to its session, and acknowledges it.
//!
//! What to do next is decided by `scheduler`, which knows no network and no clock of its own; the
//! loop in [`run`] does the input and output around it. A crash at any point leads to a second
//! forward at worst, which the run's keys make invisible.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod backend;
mod classify;
mod daemon;
mod error;
mod event_loop;
mod event_stream;
mod http;
mod log_dedup;
mod metrics;
mod poll_schedule;
mod run;
mod scheduler;
mod settings;

pub use error::DispatchError;
pub use run::run;
pub use settings::Settings;

//! The heartbeat: records in the backend that an agent woke, and when something is pending has the
//! daemon run the agent's checklist. The daemon holds the workspace, so HEARTBEAT.md is read there;
//! with an empty one the daemon answers without a model call.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config_file;
mod daemon;
mod run;
mod schedule;
mod settings;
mod slot;
mod slots;

pub use run::{HeartbeatError, Plan, Wake, run};
pub use schedule::{NOTHING_TO_RUN, ScheduleError, ScheduleSettings};
pub use settings::{Selection, Settings};
pub use slot::{Clock, Slot};
pub use slots::SlotsArguments;

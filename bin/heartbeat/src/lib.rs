//! The heartbeat: tells the backend that an agent woke, and when something waits has the daemon
//! run the agent's checklist. The daemon holds the workspace, so HEARTBEAT.md is read there, and
//! an empty one is answered there without asking a model.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod config_file;
mod daemon;
mod run;
mod schedule;
mod settings;
mod slot;

pub use run::{HeartbeatError, Plan, Wake, run};
pub use schedule::ScheduleSettings;
pub use settings::{Settings, Who};
pub use slot::Slot;

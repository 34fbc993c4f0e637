//! The crate as programs use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clocks;
mod cron;
mod newest;
mod slots;
mod suggestions;
mod systems;

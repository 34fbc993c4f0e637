//! The dispatcher between a backend and a daemon that keep what they were sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod batches;
mod delivery;
mod events;
mod failures;
mod fake;
mod hooks;
mod odd_backends;
mod orphans;
mod process;

//! The backend over HTTP: real listener, real SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod auth;
mod backend;
mod board;
mod demo;
mod dispatch;
mod errors;
mod harness;
mod heartbeat;
mod idempotency;
mod lists;
mod notifications;
mod page;
mod paging;
mod queue;
mod repeats;
mod restart;
mod standup;
mod tenancy;
mod wake;

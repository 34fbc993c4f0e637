//! The backend over HTTP: real listener, real SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod backend;
mod board;
mod dispatch;
mod idempotency;
mod lists;
mod wake;

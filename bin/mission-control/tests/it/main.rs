//! The backend over HTTP: real listener, real SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod auth;
mod board;
mod budgets;
mod conformance;
mod demo;
mod errors;
mod events;
mod faults;
mod harness;
mod heartbeat;
mod leases;
mod login;
mod notifications;
mod page;
mod paging;
mod queue;
mod repeats;
mod restart;
mod runs;
mod standup;
mod tenancy;
mod tool_requests;
mod tools;

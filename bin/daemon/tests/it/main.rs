//! The daemon over HTTP: a real listener, a scripted model, a backend that can be made to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod backends;
mod booking;
mod check;
mod costs;
mod doors;
mod errors;
mod external_tools;
mod harness;
mod hostile_tools;
mod journaled;
mod leaving;
mod limits;
mod long_runs;
mod mcp_servers;
mod metrics;
mod models;
mod operations;
mod policy;
mod protocols;
mod providers;
mod refusals;
mod rejected_journals;
mod resuming;
mod rules;
mod send;
mod stopping;
mod streaming;
mod tool_names;
mod tools;
mod two_addresses;
mod typed;
mod unclear_calls;
mod validation;
mod webhooks;
mod workspace;

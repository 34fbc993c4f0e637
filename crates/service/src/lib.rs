//! What every program needs: layered settings, logging, traces, shutdown signals, the HTTP client and
//! server, health probes, completions and manual pages, and progress on the terminal.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent_token;
pub mod backend_address;
pub mod bearer;
pub mod cli;
pub mod cores;
pub mod exit;
pub mod forwarded;
pub mod health;
pub mod http;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod otel;
pub mod progress;
pub mod proxies;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

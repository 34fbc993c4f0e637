//! What every program needs: layered settings, logging, the shutdown signal, the HTTP client, what
//! it says of its command line, and what it waits for.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod agent_token;
pub mod bearer;
pub mod cli;
pub mod exit;
pub mod health;
pub mod http;
pub mod limits;
pub mod listen;
pub mod metrics;
pub mod names;
pub mod otel;
pub mod progress;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod trace;

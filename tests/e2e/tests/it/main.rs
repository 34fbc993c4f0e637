//! End-to-end tests: backend, daemon and dispatcher as real processes on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod architecture;
mod axum_example;
mod beside;
mod browser;
mod canaries;
mod chaos;
mod chat;
mod circles;
mod cli;
mod containers;
mod demo;
mod documentation;
mod example;
mod express_example;
mod fastapi;
mod features;
mod files;
mod frameworks;
mod handing_on;
mod health;
mod heartbeat;
mod journal;
mod kills;
mod listeners;
mod mcp;
mod mistakes;
mod neighbours;
mod original;
mod otel;
mod packaging;
mod peers;
mod poison;
mod prometheus;
mod protocols;
mod proxies;
mod real_model;
mod round;
mod schemathesis;
mod security;
mod skips;
mod streams;
mod tokens;
mod typed;
mod wording;

//! The reference backend: the Mission Control contract on SQLite or PostgreSQL, a page for people,
//! and a small demo application that agents can work with.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
mod anyone;
pub mod app;
pub mod audit;
pub mod auth;
mod board;
pub mod config;
pub mod contract;
pub mod deltas;
mod demo;
mod erasing;
pub mod error;
mod extract;
mod headers;
mod login;
mod mentions;
mod metrics;
pub mod person_export;
mod places;
mod router;
mod routes;
mod serve;
pub mod settings;
pub mod store;
mod unseen;

pub use crate::config::Config;
pub use crate::login::password::BoardPassword;
pub use crate::login::proxy::ProxyLogin;
pub use crate::serve::{RunError, run};

//! One client for all LLM providers. Knows no agents and no Mission Control.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod error;
pub mod event;
pub mod model;
pub mod request;

//! The Mission Control contract as types, and the HTTP client for it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod types;

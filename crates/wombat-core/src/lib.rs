//! Files in, prompt out: the workspace of Markdown that configures the agents. No network.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod session;

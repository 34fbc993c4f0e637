//! The client against scripted servers on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anthropic;
mod offline;
mod openai;
mod policy;
mod recordings;
mod server;

//! The client against a listener that speaks HTTP byte by byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod server;
mod streams;

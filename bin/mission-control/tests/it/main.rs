//! The backend over HTTP: real listener, real SQLite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

include!("modules.rs");

//! The same on PostgreSQL, each test on a server of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

include!("../it/modules.rs");

//! The crate as programs use it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod clocks;
mod newest;
mod suggestions;
mod systems;

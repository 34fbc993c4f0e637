//! End to end: backend, daemon and dispatcher as real processes on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod architecture;
mod journal;
mod real_model;
mod round;

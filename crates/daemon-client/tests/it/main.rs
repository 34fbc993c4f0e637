//! The client against a listener that speaks HTTP byte by byte.

#![allow(missing_docs, reason = "tests")]

mod calls;
mod server;
mod streams;

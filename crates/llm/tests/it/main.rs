//! The client against scripted servers on free ports.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod answer_forms;
mod anthropic;
mod chat;
mod errors;
mod gemini;
mod llama_cpp_python;
mod media;
mod offline;
mod openai;
mod peers;
mod policy;
mod property;
mod recorded;
mod recordings;
mod responses;
mod secrets;
mod server;
mod servers;
mod strict;
mod tool_forms;

//! The providers that have a server: one attempt each, as pure translation between the crate's types
//! and the wire formats. Retries, fallback and deadlines are up to `client` and `retry_policy`.

mod answer;
mod anthropic;
mod body;
mod chat;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gemini;
mod network;
mod quirks;
mod responses;
mod schema;
mod target;
mod tool_form;
mod wire;

pub(crate) use answer::{Answer, Piece};
pub(crate) use failure::Failure;
pub(crate) use network::{LiveStream, Network};

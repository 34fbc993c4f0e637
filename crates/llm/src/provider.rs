//! The providers that have a server: one attempt each, as pure translation between the crate's types
//! and the wire formats. Retries, fallback and deadlines are up to `client` and `retry_policy`.

mod answer;
mod answer_form;
mod anthropic;
mod body;
mod call_ids;
mod chat;
mod failure;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod gemini;
mod history;
mod media;
mod network;
mod quirks;
mod responses;
mod schema;
mod target;
mod thought_filter;
mod tool_form;
mod turn_parts;
mod wire;

pub(crate) use answer::{Answer, Piece};
pub(crate) use failure::Failure;
pub(crate) use network::{LiveStream, Mode, Network};

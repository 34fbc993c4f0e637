//! Anthropic's Messages, which llama.cpp and others speak as well.

mod request;
mod response;

pub(super) use request::{body, system_note, tools};
pub(super) use response::{AnthropicReader, parse};

//! Anthropic's Messages, which llama.cpp and others speak as well.

mod messages;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod usage;

pub(super) use request::{body, has_structured_output, tools};
pub(super) use response::{AnthropicReader, parse};

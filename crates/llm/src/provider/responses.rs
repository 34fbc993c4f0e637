//! OpenAI's Responses (`OPENAI_API=responses`). Nothing is stored at OpenAI (`store: false`): each
//! request has the whole conversation, with the encrypted reasoning of the model.

mod request;
mod response;

pub(super) use request::{body, tools};
pub(super) use response::{ResponsesReader, parse};

/// The field of a call's `provider_state` with the reasoning that led to it.
const REASONING: &str = "reasoning";

#[cfg(test)]
mod tests;

//! OpenAI's Responses (`OPENAI_API=responses`). Nothing is kept at OpenAI (`store: false`): the
//! conversation goes along whole, with the sealed thoughts of reasoning models.

mod request;
mod response;

pub(super) use request::{body, tools};
pub(super) use response::{ResponsesReader, whole};

/// Where a call's `provider_state` keeps the thoughts that led to it.
const REASONING: &str = "reasoning";

#[cfg(test)]
mod tests;

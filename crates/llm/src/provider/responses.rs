//! OpenAI's Responses (`OPENAI_API=responses`). Nothing is stored at OpenAI (`store: false`): each
//! request has the whole conversation, with the encrypted reasoning of the model.

mod input;
mod items;
mod request;
mod response;

pub(super) use request::{body, output_limit, tools};
pub(super) use response::{ResponsesReader, parse};

#[cfg(test)]
mod tests;

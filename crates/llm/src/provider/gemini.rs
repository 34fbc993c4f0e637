//! Google's Gemini: `generateContent` and `streamGenerateContent`.

mod contents;
mod request;
mod response;

pub(super) use request::{body, holds_beside_tools, path, tools};
pub(super) use response::{GeminiReader, parse};

/// The fields of a call's `provider_state`: its thought signature, and its id if Gemini sent one.
const SIGNATURE: &str = "thought_signature";
const GIVEN_ID: &str = "id";
/// The field of a part with its thought signature.
const THOUGHT_SIGNATURE: &str = "thoughtSignature";

#[cfg(test)]
mod tests;

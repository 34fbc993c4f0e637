//! Google's Gemini: `generateContent` and `streamGenerateContent`.

mod request;
mod response;

pub(super) use request::{body, path, tools};
pub(super) use response::{GeminiReader, whole};

/// Where a call's `provider_state` keeps its thought signature, and its id where Gemini gave one.
const SIGNATURE: &str = "thought_signature";
const GIVEN_ID: &str = "id";

#[cfg(test)]
mod tests;

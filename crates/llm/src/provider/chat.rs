//! OpenAI's Chat Completions, and what the compatible servers make of it (xAI, Groq, Mistral,
//! OpenRouter, Ollama, and whatever `OPENAI_BASE_URL` names).

mod calls;
mod chunk;
mod ends;
mod request;
mod response;
mod text_delta;
mod thoughts;
mod usage;

pub(super) use request::{body, fitted, holds_to_schema, messages, tools};
pub(super) use response::{ChatReader, parse};
pub(super) use thoughts::keep_text;

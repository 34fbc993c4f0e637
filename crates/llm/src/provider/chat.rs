//! OpenAI's Chat Completions, and what the compatible servers make of it (xAI, Groq, Mistral,
//! OpenRouter, Ollama, and whatever `OPENAI_BASE_URL` names).

mod request;
mod response;
mod text_delta;

pub(super) use request::{body, tools};
pub(super) use response::{ChatReader, parse};

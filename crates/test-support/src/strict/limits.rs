//! How much a model may write in one answer.

use super::Profile;

/// <https://developers.openai.com/api/docs/models>
const OPENAI: &[(&str, u64)] = &[
    ("gpt-4o-2024-05-13", 4_096),
    ("gpt-4o", 16_384),
    ("gpt-4.1", 32_768),
    ("gpt-4-turbo", 4_096),
    ("gpt-4-0", 8_192),
    ("gpt-4", 8_192),
    ("gpt-3.5-turbo", 4_096),
    ("gpt-5-chat", 16_384),
    ("gpt-5-pro", 272_000),
    ("gpt-5", 128_000),
    ("o1-mini", 65_536),
    ("o1", 100_000),
    ("o3", 100_000),
    ("o4-mini", 100_000),
];
/// <https://platform.claude.com/docs/en/about-claude/models/overview>
const ANTHROPIC: &[(&str, u64)] = &[
    ("claude-3-haiku", 4_096),
    ("claude-3-opus", 4_096),
    ("claude-3-5", 8_192),
    ("claude-3-7-sonnet", 128_000),
    ("claude-opus-4-1", 32_000),
    ("claude-opus-4-0", 32_000),
    ("claude-opus-4-2025", 32_000),
    ("claude-opus-4-5", 64_000),
    ("claude-opus-4-6", 128_000),
    ("claude-sonnet-4-0", 64_000),
    ("claude-sonnet-4-2025", 64_000),
    ("claude-sonnet-4-5", 64_000),
    ("claude-haiku-4-5", 64_000),
];
/// <https://ai.google.dev/gemini-api/docs/models>
const GEMINI: &[(&str, u64)] =
    &[("gemini-1.5", 8_192), ("gemini-2.0", 8_192), ("gemini-2.5", 65_536), ("gemini-3", 65_536)];
/// <https://console.groq.com/docs/models>
const GROQ: &[(&str, u64)] = &[
    ("llama-3.3-70b-versatile", 32_768),
    ("llama-3.1-8b-instant", 131_072),
    ("openai/gpt-oss", 65_536),
];

/// The most tokens of an answer that a model's provider accepts as a limit; `None` where it is not
/// known. Of the names that fit, the first counts.
pub fn output_limit(profile: Profile, model: &str) -> Option<u64> {
    let table = match profile {
        Profile::OpenAi | Profile::Responses => OPENAI,
        Profile::Anthropic => ANTHROPIC,
        Profile::Gemini => GEMINI,
        Profile::Groq => GROQ,
        Profile::Xai
        | Profile::Mistral
        | Profile::OpenRouter
        | Profile::Kimi
        | Profile::Ollama
        | Profile::Template => return None,
    };
    table.iter().find(|(name, _)| model.starts_with(name)).map(|(_, limit)| *limit)
}

/// Whether an OpenAI model reasons: it takes no temperature, and the limit under its new name only.
/// <https://developers.openai.com/api/docs/guides/reasoning>
pub(super) fn reasons(model: &str) -> bool {
    let family = ["o1", "o3", "o4-", "gpt-5"].iter().any(|name| model.starts_with(name));
    family && !model.starts_with("gpt-5-chat")
}

/// Whether a Claude model takes no sampling parameters.
/// <https://platform.claude.com/docs/en/about-claude/models/whats-new-claude-4-7>
pub(super) fn samples_itself(model: &str) -> bool {
    ["claude-opus-4-7", "claude-opus-4-8", "claude-opus-5", "claude-sonnet-5", "claude-haiku-5"]
        .iter()
        .any(|name| model.starts_with(name))
}

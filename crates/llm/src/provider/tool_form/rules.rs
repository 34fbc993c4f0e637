//! What each provider takes as tools, from its documentation, or from what it answers otherwise.

use super::names::NameRule;
use crate::catalog;
use crate::model::{ModelRef, Provider};

/// The rules of one provider. They are the key of a list's form, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider) struct Rules {
    /// Names of tools.
    pub(super) tool_names: NameRule,
    /// Names of arguments, at every depth.
    pub(super) argument_names: NameRule,
    /// The most characters of a tool's description.
    pub(super) max_description: Option<usize>,
    /// The most tools of a request.
    pub(super) max_tools: Option<usize>,
    /// Whether an enum may list null.
    pub(super) null_in_enum: bool,
    /// Whether schemas are reduced to Gemini's subset.
    pub(super) plain: bool,
}

/// `^[a-zA-Z0-9_-]{1,64}$`, the rule for a function's name at OpenAI
/// (<https://platform.openai.com/docs/api-reference/chat/create>, `tools[].function.name`), Anthropic
/// (<https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/implement-tool-use>, `name`) and
/// Mistral (<https://github.com/Kochava-Studios/witsy/pull/164>). xAI and Groq document the same
/// parameter as OpenAI; Ollama documents no rule.
const NAME: NameRule = NameRule { letter_first: false, dots: false, dashes: true };

/// Gemini: a letter or an underscore first, at most 64
/// (<https://ai.google.dev/api/caching#FunctionDeclaration>; refused otherwise:
/// <https://github.com/google-gemini/gemini-cli/issues/2966>). It also takes dots and colons, which
/// are not needed.
const NAME_LETTER_FIRST: NameRule = NameRule { letter_first: true, dots: false, dashes: true };

/// Anthropic: `^[a-zA-Z0-9_.-]{1,64}$`
/// (<https://github.com/anthropics/claude-code/issues/79418>). The others document no rule; it is kept
/// for all of them, because many servers behind an OpenAI-style address pass tools on to Anthropic.
const ARGUMENT: NameRule = NameRule { letter_first: false, dots: true, dashes: true };

/// Gemini documents no rule for the names of properties. It writes calls as code (a failed one ends
/// with `MALFORMED_FUNCTION_CALL`), so they are kept to what is a name there.
const ARGUMENT_IDENTIFIER: NameRule = NameRule { letter_first: true, dots: false, dashes: false };

/// OpenAI: 1,024 characters of a function's description
/// (<https://github.com/getsentry/sentry-mcp/issues/106>; Azure:
/// <https://learn.microsoft.com/azure/ai-services/openai/how-to/function-calling>).
const OPENAI_DESCRIPTION: usize = 1_024;

/// OpenAI: 128 functions (<https://github.com/openai/openai-openapi/pull/76>). xAI's reference
/// (<https://docs.x.ai/docs/api-reference>) names the same number.
const OPENAI_TOOLS: usize = 128;

/// Groq: 128 (<https://github.com/HunorLaczko/ha-groq-cloud-api/issues/25>).
const GROQ_TOOLS: usize = 128;

/// Gemini: 512 (<https://github.com/google-gemini/gemini-cli/issues/19083>).
const GEMINI_TOOLS: usize = 512;

impl Rules {
    /// The rules for a model; `plain` where it has rejected a schema in full.
    pub(in crate::provider) fn of(model: &ModelRef, plain: bool) -> Self {
        let open = Self {
            tool_names: NAME,
            argument_names: ARGUMENT,
            max_description: None,
            max_tools: None,
            null_in_enum: true,
            plain,
        };
        let openai = Self {
            max_description: Some(OPENAI_DESCRIPTION),
            max_tools: Some(OPENAI_TOOLS),
            ..open
        };
        let google = Self {
            tool_names: NAME_LETTER_FIRST,
            argument_names: ARGUMENT_IDENTIFIER,
            max_tools: Some(GEMINI_TOOLS),
            plain: true,
            ..open
        };
        // null in an enum is refused (https://github.com/tailcallhq/forgecode/pull/2809).
        let xai = Self { max_tools: Some(OPENAI_TOOLS), null_in_enum: false, ..open };
        match model.provider {
            // Any server may be behind OpenAI's protocol; some insist on a letter
            // (https://github.com/MoonshotAI/kimi-cli/issues/1773).
            Provider::OpenAi if catalog::find(model.provider, &model.name).is_none() => {
                Self { tool_names: NAME_LETTER_FIRST, ..openai }
            }
            Provider::OpenAi => openai,
            Provider::Google => google,
            Provider::Xai => xai,
            Provider::Groq => Self { max_tools: Some(GROQ_TOOLS), ..open },
            // The rules are those of the provider behind it.
            Provider::OpenRouter => match model.name.split_once('/').map(|(vendor, _)| vendor) {
                Some("google") => google,
                Some("anthropic") => open,
                Some("x-ai") => xai,
                // Another one may be chosen by OpenRouter, so all rules hold that cost little.
                Some(_) | None => Self { tool_names: NAME_LETTER_FIRST, ..openai },
            },
            Provider::Anthropic | Provider::Mistral | Provider::Ollama | Provider::Offline => open,
        }
    }
}

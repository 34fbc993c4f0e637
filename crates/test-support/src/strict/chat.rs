//! Chat Completions: parameters and tools.

use serde_json::Value;

use super::limits::{output_limit, reasons};
use super::view::{is_name, list, text, unknown_field};
use super::{Call, Profile, Rule, schema};

use Profile::{Groq, Kimi, Mistral, Ollama, OpenAi, OpenRouter, Template, Xai};

/// All servers of Chat Completions.
pub(super) const ALL: &[Profile] = &Profile::CHAT;
/// Those of companies, which want a key.
const HOSTED: &[Profile] = &[OpenAi, Xai, Groq, Mistral, OpenRouter, Kimi];

pub(super) const SPEC: &str =
    "https://github.com/openai/openai-openapi/blob/manual_spec/openapi.yaml";
const REASONING: &str = "https://developers.openai.com/api/docs/guides/reasoning";
pub(super) const STRUCTURED: &str =
    "https://developers.openai.com/api/docs/guides/structured-outputs";
pub(super) const VALIDATOR: &str = "https://github.com/mistralai/mistral-common/blob/main/src/mistral_common/protocol/instruct/validator.py";

/// The parameters of OpenAI's API, <https://github.com/openai/openai-openapi>.
const OPENAI_FIELDS: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];
/// The parameters of Mistral's, <https://docs.mistral.ai/api/endpoint/chat>.
const MISTRAL_FIELDS: &[&str] = &[
    "model",
    "temperature",
    "top_p",
    "max_tokens",
    "stream",
    "stop",
    "random_seed",
    "metadata",
    "messages",
    "response_format",
    "tools",
    "tool_choice",
    "presence_penalty",
    "frequency_penalty",
    "n",
    "prediction",
    "parallel_tool_calls",
    "prompt_mode",
    "reasoning_effort",
    "guardrails",
    "safe_prompt",
];
/// The parameters of Groq's, <https://console.groq.com/docs/api-reference>.
const GROQ_FIELDS: &[&str] = &[
    "citation_options",
    "compound_custom",
    "disable_tool_validation",
    "documents",
    "exclude_domains",
    "frequency_penalty",
    "function_call",
    "functions",
    "include_domains",
    "include_reasoning",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "reasoning_format",
    "response_format",
    "search_settings",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
];

/// The limit of the answer under either name.
fn limit(call: &Call<'_>) -> Option<&'static str> {
    ["max_completion_tokens", "max_tokens"].into_iter().find(|name| call.body.get(name).is_some())
}

/// The format that the answer is to have.
fn json_schema<'a>(call: &Call<'a>) -> Option<&'a Value> {
    call.body.pointer("/response_format/json_schema")
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("the path is that of chat completions", ALL, SPEC, |call| {
        let right = call.path.ends_with("/chat/completions");
        (!right).then(|| format!("Invalid URL (POST {})", call.path))
    })
    .status(404),
    Rule::new("a key comes as a bearer token", HOSTED, SPEC, |call| {
        let key = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        (call.needs_key && key.trim().is_empty()).then(|| "You didn't provide an API key.".into())
    })
    .status(401),
    Rule::new("the body is JSON", ALL, SPEC, |call| {
        let json = call.header("content-type").starts_with("application/json");
        (!json || !call.body.is_object())
            .then(|| "We could not parse the JSON body of your request.".into())
    }),
    Rule::new("a model is named", ALL, SPEC, |call| {
        call.model().is_empty().then(|| "you must provide a model parameter".into())
    }),
    Rule::new(
        "only parameters of the API",
        &[OpenAi],
        "https://github.com/davidmigloz/langchain_dart/issues/712",
        |call| {
            let name = unknown_field(call.body, OPENAI_FIELDS)?;
            Some(format!("Unrecognized request argument supplied: {name}"))
        },
    ),
    Rule::new(
        "only parameters of Mistral's API",
        &[Mistral],
        "https://docs.mistral.ai/api/endpoint/chat",
        |call| {
            let name = unknown_field(call.body, MISTRAL_FIELDS)?;
            Some(format!("Extra inputs are not permitted: {name}"))
        },
    )
    .status(422),
    Rule::new(
        "only parameters of Groq's API",
        &[Groq],
        "https://console.groq.com/docs/api-reference",
        |call| {
            let name = unknown_field(call.body, GROQ_FIELDS)?;
            Some(format!("property '{name}' is unsupported"))
        },
    ),
    Rule::new(
        "stream options only with a stream",
        &[OpenAi, Xai, Groq, OpenRouter, Kimi],
        SPEC,
        |call| {
            let alone = call.body.get("stream_options").is_some() && call.body["stream"] != true;
            alone.then(|| {
                "The 'stream_options' parameter is only allowed when 'stream' is enabled.".into()
            })
        },
    ),
    Rule::new("the limit of the answer is at least one token", ALL, SPEC, |call| {
        let name = limit(call)?;
        let value = &call.body[name];
        (value.as_u64().unwrap_or_default() == 0)
            .then(|| format!("Invalid '{name}': integer below minimum value: {value}"))
    }),
    Rule::new("the limit of the answer has one name", &[OpenAi, Groq], SPEC, |call| {
        let both = call.body.get("max_tokens").and(call.body.get("max_completion_tokens"));
        both.map(|_| {
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
                .into()
        })
    }),
    Rule::new(
        "reasoning models know the new name of the limit only",
        &[OpenAi],
        "https://github.com/ITSpecialist111/ai_automation_suggester/issues/38",
        |call| {
            let old = call.body.get("max_tokens").is_some() && reasons(call.model());
            old.then(|| "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.".into())
        },
    ),
    Rule::new(
        "the limit of the answer is not above the model's own",
        &[OpenAi],
        "https://github.com/enoch3712/ExtractThinker/issues/346",
        |call| {
            let (most, name) = (output_limit(call.profile, call.model())?, limit(call)?);
            let asked = call.body[name].as_u64()?;
            (asked > most).then(|| format!("{name} is too large: {asked}. This model supports at most {most} completion tokens, whereas you provided {asked}."))
        },
    ),
    Rule::new(
        "the limit of the answer is not above the model's own at Groq",
        &[Groq],
        "https://console.groq.com/docs/models",
        |call| {
            let (most, name) = (output_limit(call.profile, call.model())?, limit(call)?);
            let asked = call.body[name].as_u64()?;
            (asked > most).then(|| format!("`{name}` must be less than or equal to `{most}`, the maximum value for `{name}` is less than the `context_window` for this model"))
        },
    ),
    Rule::new("the temperature is 0 to 2", &[OpenAi, Xai, Groq, OpenRouter], SPEC, |call| {
        let given = call.body.get("temperature").filter(|given| !given.is_null())?;
        let fits = given.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t));
        (!fits).then(|| format!("Invalid 'temperature': {given} is not within 0 to 2"))
    }),
    Rule::new(
        "the temperature is 0 to 1.5 at Mistral",
        &[Mistral],
        "https://docs.mistral.ai/api/endpoint/chat",
        |call| {
            let given = call.body.get("temperature").filter(|given| !given.is_null())?;
            let fits = given.as_f64().is_some_and(|t| (0.0..=1.5).contains(&t));
            (!fits).then(|| format!("Input should be less than or equal to 1.5: {given}"))
        },
    )
    .status(422),
    Rule::new("reasoning models take no temperature", &[OpenAi], REASONING, |call| {
        let given = call.body.get("temperature").filter(|_| reasons(call.model()))?;
        (given.as_f64() != Some(1.0)).then(|| format!("Unsupported value: 'temperature' does not support {given} with this model. Only the default (1) value is supported."))
    }),
    Rule::new(
        "Grok's reasoning models take no penalties and no stop words",
        &[Xai],
        "https://docs.x.ai/docs/guides/reasoning",
        |call| {
            let reasons =
                call.model().starts_with("grok-4") && !call.model().contains("non-reasoning");
            let given = ["presence_penalty", "frequency_penalty", "stop"]
                .into_iter()
                .find(|name| call.body.get(name).is_some())?;
            reasons.then(|| format!("Argument not supported on this model: {given}"))
        },
    ),
    Rule::new(
        "the answer's format is a known one",
        &[OpenAi, Groq, Mistral, OpenRouter, Xai],
        SPEC,
        |call| {
            let given = call.body.get("response_format")?;
            let kind = text(given, "/type");
            (!["text", "json_object", "json_schema"].contains(&kind)).then(|| format!("Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'."))
        },
    ),
    Rule::new(
        "the answer's schema has a name",
        &[OpenAi, Groq, Mistral, OpenRouter],
        SPEC,
        |call| {
            let name = text(json_schema(call)?, "/name");
            (!is_name(name)).then(|| format!("Invalid 'response_format.json_schema.name': string does not match pattern '^[a-zA-Z0-9_-]+$': '{name}'"))
        },
    ),
    Rule::new(
        "a strict answer leaves nothing open",
        &[OpenAi, Groq, OpenRouter],
        STRUCTURED,
        |call| {
            let format = json_schema(call).filter(|format| format["strict"] == true)?;
            schema::not_strict(&format["schema"])
                .map(|why| format!("Invalid schema for response_format: {why}"))
        },
    ),
    Rule::new("the answer's schema is an object", &[OpenAi, OpenRouter], STRUCTURED, |call| {
        let schema = &json_schema(call)?["schema"];
        (schema["type"] != "object").then(|| "Invalid schema for response_format: schema must be a JSON Schema of 'type: \"object\"'".into())
    }),
    Rule::new("a strict answer has at most ten levels", &[OpenAi], STRUCTURED, |call| {
        let format = json_schema(call).filter(|format| format["strict"] == true)?;
        schema::each(&format["schema"], &mut |_, depth| {
            (depth > 10)
                .then(|| "Invalid schema for response_format: 10 levels of nesting exceeded".into())
        })
    }),
    Rule::new(
        "Groq holds few models to a schema",
        &[Groq],
        "https://console.groq.com/docs/structured-outputs",
        |call| {
            let able = ["openai/gpt-oss", "moonshotai/kimi-k2", "meta-llama/llama-4"];
            json_schema(call)?;
            let can = able.iter().any(|name| call.model().starts_with(name));
            (!can).then(|| "This model does not support response format `json_schema`.".into())
        },
    ),
    Rule::new(
        "Groq takes no format for the answer beside tools",
        &[Groq],
        "https://console.groq.com/docs/structured-outputs",
        |call| {
            let format = call.body.get("response_format").filter(|f| f["type"] != "text");
            (format.is_some() && !list(call.body, "/tools").is_empty())
                .then(|| "json mode cannot be combined with tool/function calling".into())
        },
    ),
    // It is no refusal there, but no tool would ever be called.
    Rule::new(
        "a format for the answer keeps tools from being called",
        &[Ollama, Template],
        "https://github.com/ollama/ollama/issues/8095, https://github.com/vllm-project/vllm/issues/39929",
        |call| {
            let format = call.body.get("response_format").filter(|f| f["type"] != "text");
            (format.is_some() && !call.tools().is_empty() && call.body["tool_choice"] != "none")
                .then(|| "response_format suppresses tool calls".into())
        },
    ),
    Rule::new(
        "llama.cpp's grammar does not go with tools",
        &[Template],
        "https://github.com/ggml-org/llama.cpp/blob/master/docs/function-calling.md",
        |call| {
            let both = call.body.get("grammar").is_some() && !call.tools().is_empty();
            both.then(|| "Cannot use custom grammar constraints with tools.".into())
        },
    ),
];

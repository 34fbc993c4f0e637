//! Chat Completions: tools.

use serde_json::Value;

use super::chat::{ALL, STRUCTURED, VALIDATOR};
use super::view::{duplicate, is_name, text};
use super::{Profile, Rule, schema};

use Profile::{Groq, Kimi, Mistral, Ollama, OpenAi, OpenRouter, Xai};

/// Those whose models, or some of them, are OpenAI's own.
const OPENAI: &[Profile] = &[OpenAi, OpenRouter];
const ITEMS: &str = "https://github.com/streamnative/streamnative-mcp-server/issues/26";

pub(super) const RULES: &[Rule] = &[
    Rule::new(
        "there is a tool where tools are sent",
        &[OpenAi, OpenRouter, Xai],
        "https://github.com/rgbkrk/chatlab/pull/138",
        |call| {
            let none = call.body.get("tools").is_some() && call.tools().is_empty();
            none.then(|| "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.".into())
        },
    ),
    Rule::new(
        "at most 128 tools",
        &[OpenAi, OpenRouter, Groq, Xai, Kimi],
        "https://github.com/vishalmysore/Tools4AI/issues/16",
        |call| {
            let n = call.tools().len();
            (call.is_open_ai() && n > 128).then(|| format!("Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length {n} instead."))
        },
    ),
    Rule::new(
        "tool names are letters, digits, _ and -, at most 64",
        ALL,
        "https://github.com/packit/ai-workflows/pull/619",
        |call| {
            call.each_tool(|n, tool| {
                (!is_name(tool.name)).then(|| format!("Invalid 'tools[{n}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$': '{}'", tool.name))
            })
        },
    ),
    Rule::new(
        "names of tools begin with a letter or _",
        &[Kimi],
        "https://github.com/MoonshotAI/kimi-cli/issues/1773",
        |call| {
            call.each_tool(|_, tool| {
                let first = tool.name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
                (!first).then(|| format!("Invalid request: function name is invalid, must start with a letter and can contain letters, numbers, underscores, and dashes: '{}'", tool.name))
            })
        },
    ),
    Rule::new(
        "no two tools of one name",
        &[OpenRouter],
        "https://github.com/tailcallhq/forgecode/issues/892",
        |call| {
            let twice = duplicate(call.tools().iter().map(|tool| tool.name))?;
            Some(format!("tools: Tool names must be unique: '{twice}'"))
        },
    ),
    Rule::new(
        "descriptions of tools have at most 1024 characters",
        OPENAI,
        "https://github.com/getsentry/sentry-mcp/issues/106",
        |call| {
            call.each_tool(|n, tool| {
                let length = tool.description.chars().count();
                (call.is_open_ai() && length > 1_024).then(|| format!("Invalid 'tools[{n}].function.description': string too long. Expected a string with maximum length 1024, but got a string with length {length} instead."))
            })
        },
    ),
    Rule::new(
        "a tool takes an object, without alternatives at its root",
        &[OpenAi, OpenRouter, Xai, Groq],
        "https://github.com/nspady/google-calendar-mcp/issues/39",
        |call| {
            call.each_tool(|_, tool| {
                let words = ["oneOf", "anyOf", "allOf", "enum", "not"];
                let odd = words.iter().any(|word| tool.parameters.get(word).is_some());
                let object = tool.parameters.is_null() || tool.parameters["type"] == "object";
                (odd || !object).then(|| format!("Invalid schema for function '{}': schema must have type 'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level.", tool.name))
            })
        },
    ),
    Rule::new("a list says what it holds", OPENAI, ITEMS, |call| {
        call.each_tool(|_, tool| {
            let bare = |schema: &Value, _| {
                let bare = schema::allows(schema, "array") && schema.get("items").is_none();
                bare.then(|| {
                    format!(
                        "Invalid schema for function '{}': array schema missing items.",
                        tool.name
                    )
                })
            };
            schema::each(tool.parameters, &mut { bare })
        })
    }),
    Rule::new(
        "what tools take is a JSON Schema",
        &[OpenAi, Groq, Mistral, OpenRouter, Kimi, Xai],
        VALIDATOR,
        |call| {
            call.each_tool(|_, tool| {
                let given = Some(tool.parameters).filter(|schema| !schema.is_null())?;
                schema::invalid(given)
                    .map(|why| format!("Invalid schema for function '{}': {why}", tool.name))
            })
        },
    ),
    Rule::new(
        "references in schemas lead somewhere",
        &[OpenAi, Groq, OpenRouter],
        STRUCTURED,
        |call| {
            call.each_tool(|_, tool| {
                schema::dangling(tool.parameters)
                    .map(|why| format!("Invalid schema for function '{}': {why}", tool.name))
            })
        },
    ),
    Rule::new(
        "a choice of tools needs tools",
        &[OpenAi, OpenRouter, Xai, Groq],
        "https://github.com/Wei-Shaw/sub2api/pull/4439",
        |call| {
            let alone = call.body.get("tool_choice").is_some() && call.body.get("tools").is_none();
            alone.then(|| "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.".into())
        },
    ),
    Rule::new(
        "a choice of tools is a known word, or names a tool",
        ALL,
        "https://github.com/brianpetro/obsidian-smart-connections/issues/942",
        |call| {
            let given = call.body.get("tool_choice")?;
            let named = text(given, "/function/name");
            let right = match given.as_str() {
                Some("any") => call.profile == Mistral,
                Some(word) => ["none", "auto", "required"].contains(&word),
                None => call.tools().iter().any(|tool| tool.name == named),
            };
            (!right).then(|| format!("Only allowed string values for 'tool_choice' are none, auto, and required: {given}"))
        },
    ),
    Rule::new(
        "Ollama reads what tools take as an object of properties",
        &[Ollama],
        "https://github.com/ollama/ollama/blob/main/api/types.go",
        |call| {
            call.each_tool(|_, tool| {
                let object = tool.parameters.is_object()
                    && tool.parameters.get("properties").is_none_or(Value::is_object);
                let kind = tool.parameters.get("type").is_none_or(Value::is_string);
                (!object || !kind).then(|| {
                    "json: cannot unmarshal into Go struct field ToolFunctionParameters".into()
                })
            })
        },
    ),
];

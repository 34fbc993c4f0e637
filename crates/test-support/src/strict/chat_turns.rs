//! Chat Completions: messages, calls and their results.

use serde_json::Value;

use super::chat::{ALL, SPEC};
use super::view::{duplicate, is_made_of, is_name, list, text};
use super::{Profile, Rule};

use Profile::{Groq, Kimi, Mistral, Ollama, OpenAi, OpenRouter, Template, Xai};

const PAIRS: &str = "https://github.com/BerriAI/litellm/issues/10083";

/// The tool calls of a message.
pub(super) fn calls(message: &Value) -> &[Value] {
    list(message, "/tool_calls")
}

/// The ids of the results directly behind a message.
fn results_behind(messages: &[Value], n: usize) -> Vec<&str> {
    let behind = messages[n + 1..].iter().take_while(|message| message["role"] == "tool");
    behind.map(|message| text(message, "/tool_call_id")).collect()
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("there is a message", ALL, SPEC, |call| {
        call.messages().is_empty().then(|| {
            "Invalid 'messages': empty array. Expected an array with minimum length 1.".into()
        })
    }),
    Rule::new("roles are known", ALL, SPEC, |call| {
        call.each_message(|n, message| {
            let role = text(message, "/role");
            let known = ["system", "user", "assistant", "tool"].contains(&role)
                || (role == "developer" && call.profile == OpenAi);
            (!known).then(|| format!("Invalid value: '{role}' at messages[{n}].role"))
        })
    }),
    Rule::new("a content is a text or a list of parts", ALL, SPEC, |call| {
        call.each_message(|n, message| {
            let content = message.get("content").unwrap_or(&Value::Null);
            let may_lack = message["role"] == "assistant" && !calls(message).is_empty();
            let fits = content.is_string() || content.is_array() || (content.is_null() && may_lack);
            (!fits).then(|| format!("Invalid value for 'content': expected a string, got {content} at messages[{n}]."))
        })
    }),
    Rule::new(
        "a list of calls is not empty",
        ALL,
        "https://github.com/home-assistant/core/pull/118577",
        |call| {
            call.each_of("assistant", |n, message| {
            let empty = message.get("tool_calls").is_some_and(|c| c.as_array().is_some_and(Vec::is_empty));
            empty.then(|| format!("Invalid 'messages[{n}].tool_calls': empty array. Expected an array with minimum length 1."))
        })
        },
    ),
    Rule::new(
        "at most 128 calls in a turn",
        &[OpenAi],
        "https://github.com/openai/openai-dotnet/issues/317",
        |call| {
            call.each_of("assistant", |n, message| {
                let many = calls(message).len();
                (many > 128).then(|| format!("Invalid 'messages[{n}].tool_calls': array too long. Expected an array with maximum length 128, but got an array with length {many} instead."))
            })
        },
    ),
    Rule::new("a call is a function's", ALL, SPEC, |call| {
        call.each_call(|n, k, one| {
            (one["type"] != "function").then(|| {
                format!("Missing required parameter: 'messages[{n}].tool_calls[{k}].type'.")
            })
        })
    }),
    Rule::new("a call has an id", &[OpenAi, Groq, Xai, OpenRouter, Kimi], SPEC, |call| {
        call.each_call(|n, k, one| {
            text(one, "/id")
                .is_empty()
                .then(|| format!("Invalid 'messages[{n}].tool_calls[{k}].id': empty string."))
        })
    }),
    Rule::new(
        "ids of calls have at most 40 characters",
        &[OpenAi, OpenRouter],
        "https://github.com/vercel/ai/issues/5171",
        |call| {
            call.each_call(|n, k, one| {
                let length = text(one, "/id").chars().count();
                (call.is_open_ai() && length > 40).then(|| format!("Invalid 'messages[{n}].tool_calls[{k}].id': string too long. Expected a string with maximum length 40, but got a string with length {length} instead."))
            })
        },
    ),
    Rule::new(
        "no two calls of a turn have one id",
        &[OpenAi, Groq, Kimi, OpenRouter, Mistral],
        PAIRS,
        |call| {
            call.each_of("assistant", |n, message| {
                let twice = duplicate(calls(message).iter().map(|one| text(one, "/id")))?;
                Some(format!("Duplicate value for 'tool_call_id' of '{twice}' in message[{n}]"))
            })
        },
    ),
    Rule::new(
        "names of calls are letters, digits, _ and -, at most 64",
        &[OpenAi, Groq, Xai, OpenRouter, Kimi, Mistral],
        "https://github.com/mcp-use/mcp-use/issues/90",
        |call| {
            call.each_call(|n, k, one| {
                let name = text(one, "/function/name");
                (!is_name(name)).then(|| format!("Invalid 'messages[{n}].tool_calls[{k}].function.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$': '{name}'"))
            })
        },
    ),
    Rule::new("arguments of calls are a text", ALL, SPEC, |call| {
        call.each_call(|n, k, one| {
            let arguments = one.pointer("/function/arguments").unwrap_or(&Value::Null);
            (!arguments.is_string()).then(|| format!("Invalid type for 'messages[{n}].tool_calls[{k}].function.arguments': expected a string"))
        })
    }),
    Rule::new(
        "arguments of calls are JSON",
        &[Xai, Groq, Mistral, Kimi, Template],
        "https://github.com/spiceai/spiceai/issues/4734",
        |call| {
            call.each_call(|_, _, one| {
                let read = serde_json::from_str::<Value>(text(one, "/function/arguments"));
                let error = read.err()?;
                Some(format!("The arguments to a tool_call with ID '{}' are not a valid JSON string. Parsing error: {error}", text(one, "/id")))
            })
        },
    ),
    Rule::new(
        "arguments of calls are an object",
        &[Ollama, OpenRouter],
        "https://github.com/ollama/ollama/blob/main/openai/openai.go",
        |call| {
            call.each_call(|_, _, one| {
                let read = serde_json::from_str::<Value>(text(one, "/function/arguments"));
                (!read.is_ok_and(|value| value.is_object()))
                    .then(|| "invalid tool call arguments".into())
            })
        },
    ),
    Rule::new("a result is a text", ALL, SPEC, |call| {
        call.each_of("tool", |n, message| {
            let content = &message["content"];
            (!content.is_string() && !content.is_array())
                .then(|| format!("Invalid type for 'messages[{n}].content'"))
        })
    }),
    Rule::new(
        "a result says whose it is",
        &[OpenAi, Groq, Xai, OpenRouter, Kimi, Mistral],
        SPEC,
        |call| {
            call.each_of("tool", |n, message| {
                text(message, "/tool_call_id")
                    .is_empty()
                    .then(|| format!("Missing required parameter: 'messages[{n}].tool_call_id'."))
            })
        },
    ),
    Rule::new(
        "a result comes behind its call",
        &[OpenAi, Groq, Kimi, OpenRouter, Xai],
        "https://github.com/symgraph/GhidrAssist/issues/45",
        |call| {
            call.each_of("tool", |n, message| {
                let before = call.messages()[..n].iter().rev();
                let caller = before.into_iter().find(|message| message["role"] != "tool");
                let id = text(message, "/tool_call_id");
                let known = caller.is_some_and(|caller| calls(caller).iter().any(|one| one["id"] == id));
                (!known).then(|| format!("Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'. (messages[{n}], {id})"))
            })
        },
    ),
    Rule::new(
        "each call is answered directly behind its turn",
        &[OpenAi, Groq, Kimi, OpenRouter, Xai],
        PAIRS,
        |call| {
            call.each_of("assistant", |n, message| {
                let given = results_behind(call.messages(), n);
                let open = calls(message).iter().map(|one| text(one, "/id")).find(|id| !given.contains(id))?;
                Some(format!("An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {open}"))
            })
        },
    ),
    Rule::new(
        "each call is answered once",
        &[OpenAi, Groq, Kimi, OpenRouter, Mistral],
        "https://github.com/mistralai/client-ts/issues/106",
        |call| {
            call.each_of("assistant", |n, message| {
                let given = results_behind(call.messages(), n);
                (given.len() != calls(message).len())
                    .then(|| "Not the same number of function calls and responses".into())
            })
        },
    ),
    Rule::new(
        "calls need tools",
        &[OpenRouter],
        "https://github.com/aws-samples/bedrock-access-gateway/pull/239",
        |call| {
            let used = call
                .messages()
                .iter()
                .any(|message| message["role"] == "tool" || !calls(message).is_empty());
            (used && call.tools().is_empty()).then(|| {
                "Requests which include `tool_use` or `tool_result` blocks must define tools."
                    .into()
            })
        },
    ),
    Rule::new(
        "a message's name has no spaces",
        &[OpenAi],
        "https://github.com/Goldziher/basemind.ai/issues/248",
        |call| {
            call.each_message(|n, message| {
                let name = message.get("name")?.as_str().unwrap_or_default();
                let fits = is_made_of(name, "_-", 64);
                (!fits).then(|| {
                    format!("Invalid 'messages[{n}].name': string does not match pattern.")
                })
            })
        },
    ),
    Rule::new(
        "messages hold known fields only",
        &[OpenAi, Groq],
        "https://github.com/tashfeenahmed/freellmapi/issues/1070",
        |call| {
            call.each_message(|n, message| {
                let known: &[&str] = match (text(message, "/role"), call.profile) {
                    ("assistant", Groq) => {
                        &["role", "content", "name", "tool_calls", "function_call", "reasoning"]
                    }
                    ("assistant", _) => &[
                        "role",
                        "content",
                        "name",
                        "tool_calls",
                        "function_call",
                        "refusal",
                        "audio",
                        "annotations",
                    ],
                    ("tool", _) => &["role", "content", "tool_call_id", "name"],
                    _ => &["role", "content", "name"],
                };
                let field = super::view::unknown_field(message, known)?;
                Some(format!("'messages.{n}' : property '{field}' is unsupported"))
            })
        },
    ),
    Rule::new(
        "Groq takes thoughts back of reasoning models only",
        &[Groq],
        "https://github.com/vercel/ai/pull/8057",
        |call| {
            call.each_of("assistant", |n, message| {
                let able = ["openai/gpt-oss", "qwen/qwen3", "deepseek-r1"]
                    .iter()
                    .any(|m| call.model().starts_with(m));
                (message.get("reasoning").is_some() && !able).then(|| {
                    format!("messages[{n}].reasoning: reasoning is not supported with this model")
                })
            })
        },
    ),
    Rule::new(
        "a content at xAI is never empty",
        &[Xai],
        "https://github.com/AstrBotDevs/AstrBot/issues/6447",
        |call| {
            call.each_message(|_, message| {
                let content = &message["content"];
                let empty = content == "" || content.as_array().is_some_and(Vec::is_empty);
                (empty && calls(message).is_empty()).then(|| "Invalid request content: Each message must have at least one content element.".into())
            })
        },
    ),
    Rule::new(
        "Kimi wants a content where there is no call",
        &[Kimi],
        "https://github.com/MoonshotAI/kimi-code/issues/1985",
        |call| {
            call.each_message(|n, message| {
                let role = text(message, "/role");
                let empty = message["content"].as_str().is_none_or(|text| text.trim().is_empty())
                    && list(message, "/content").is_empty();
                (empty && ["assistant", "user"].contains(&role) && calls(message).is_empty())
                    .then(|| format!("Invalid request: message at position {n} with role '{role}' must not be empty"))
            })
        },
    ),
];

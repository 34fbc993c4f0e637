//! OpenAI's Responses: its input.

use serde_json::Value;

use super::view::{duplicate, is_name, list, text, unknown_field};
use super::{Call, Profile, Rule};

pub(super) const ALL: &[Profile] = &[Profile::Responses];
pub(super) const SPEC: &str =
    "https://github.com/openai/openai-openapi/blob/manual_spec/openapi.yaml";
pub(super) const MIGRATE: &str =
    "https://developers.openai.com/api/docs/guides/migrate-to-responses";
const STATELESS: &str = "https://github.com/earendil-works/pi/issues/5059";

const FIELDS: &[&str] = &[
    "background",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

fn items<'a>(call: &Call<'a>) -> &'a [Value] {
    list(call.body, "/input")
}

/// The first complaint about an item of a type.
fn each<'a>(
    call: &Call<'a>,
    kind: &str,
    complaint: impl Fn(usize, &'a Value) -> Option<String>,
) -> Option<String> {
    let mut all = items(call).iter().enumerate();
    all.find_map(|(n, item)| (kind_of(item) == kind).then(|| complaint(n, item)).flatten())
}

/// A message may come without its type.
fn kind_of(item: &Value) -> &str {
    match text(item, "/type") {
        "" if item.get("role").is_some() => "message",
        kind => kind,
    }
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("the path is that of responses", ALL, SPEC, |call| {
        (!call.path.ends_with("/responses")).then(|| format!("Invalid URL (POST {})", call.path))
    })
    .status(404),
    Rule::new("responses: a key comes as a bearer token", ALL, SPEC, |call| {
        let key = call.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        (call.needs_key && key.trim().is_empty()).then(|| "You didn't provide an API key.".into())
    })
    .status(401),
    Rule::new("responses: only parameters of the API", ALL, MIGRATE, |call| {
        let name = unknown_field(call.body, FIELDS)?;
        Some(match name {
            "response_format" => "Unsupported parameter: 'response_format'. In the Responses API, this parameter has moved to 'text.format'.".into(),
            _ => format!("Unknown parameter: '{name}'."),
        })
    }),
    Rule::new("responses: a model is named", ALL, SPEC, |call| {
        call.model().is_empty().then(|| "Missing required parameter: 'model'.".into())
    }),
    Rule::new("there is an input", ALL, SPEC, |call| {
        let given = call.body["input"].as_str().is_some_and(|text| !text.is_empty())
            || !items(call).is_empty();
        (!given).then(|| "Invalid 'input': empty array.".into())
    }),
    Rule::new("types of items are known", ALL, SPEC, |call| {
        items(call).iter().enumerate().find_map(|(n, item)| {
            let known =
                ["message", "function_call", "function_call_output", "reasoning", "item_reference"];
            let kind = kind_of(item);
            (!known.contains(&kind)).then(|| format!("Invalid value: '{kind}' at input[{n}].type"))
        })
    }),
    Rule::new("responses: roles are known", ALL, SPEC, |call| {
        each(call, "message", |n, item| {
            let role = text(item, "/role");
            (!["user", "assistant", "system", "developer"].contains(&role))
                .then(|| format!("Invalid value: '{role}' at input[{n}].role"))
        })
    }),
    Rule::new("a message's content is a text or a list", ALL, SPEC, |call| {
        each(call, "message", |n, item| {
            let content = &item["content"];
            (!content.is_string() && !content.is_array())
                .then(|| format!("Invalid type for 'input[{n}].content'"))
        })
    }),
    Rule::new(
        "responses: a turn of the model is a list of its texts",
        ALL,
        "https://github.com/ggml-org/llama.cpp/issues/26394",
        |call| {
            each(call, "message", |_, item| {
                let parts = item["content"].as_array().map(Vec::as_slice).unwrap_or_default();
                let is_list =
                    !parts.is_empty() && parts.iter().all(|part| part["type"] == "output_text");
                (text(item, "/role") == "assistant" && !(item["type"] == "message" && is_list))
                    .then(|| "Cannot determine type of 'item'".to_owned())
            })
        },
    ),
    Rule::new(
        "responses: a call's name fits",
        ALL,
        "https://github.com/packit/ai-workflows/pull/619",
        |call| {
            each(call, "function_call", |n, item| {
                let name = text(item, "/name");
                (!is_name(name)).then(|| format!("Invalid 'input[{n}].name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$': '{name}'"))
            })
        },
    ),
    Rule::new(
        "ids of calls have 1 to 64 characters",
        ALL,
        "https://github.com/openclaw/openclaw/pull/875",
        |call| {
            let mut ids = items(call)
                .iter()
                .enumerate()
                .filter(|(_, item)| kind_of(item).starts_with("function_call"));
            ids.find_map(|(n, item)| {
            let length = text(item, "/call_id").chars().count();
            (!(1..=64).contains(&length)).then(|| format!("Invalid 'input[{n}].call_id': string too long. Expected a string with maximum length 64, but got a string with length {length} instead."))
        })
        },
    ),
    Rule::new("responses: arguments are a JSON text", ALL, SPEC, |call| {
        each(call, "function_call", |n, item| {
            let read = serde_json::from_str::<Value>(text(item, "/arguments"));
            read.err()
                .map(|_| format!("Invalid type for 'input[{n}].arguments': expected a JSON string"))
        })
    }),
    Rule::new("an output is a text or a list", ALL, SPEC, |call| {
        each(call, "function_call_output", |n, item| {
            let output = &item["output"];
            (!output.is_string() && !output.is_array())
                .then(|| format!("Missing required parameter: 'input[{n}].output'."))
        })
    }),
    Rule::new(
        "each call has its output",
        ALL,
        "https://github.com/bytedance/trae-agent/issues/245",
        |call| {
            each(call, "function_call", |n, item| {
                let mut later = items(call)[n..]
                    .iter()
                    .filter(|other| kind_of(other) == "function_call_output");
                let found = later.any(|other| other["call_id"] == item["call_id"]);
                (!found).then(|| {
                    format!("No tool output found for function call {}.", text(item, "/call_id"))
                })
            })
        },
    ),
    Rule::new(
        "each output has its call",
        ALL,
        "https://github.com/microsoft/vscode/issues/320060",
        |call| {
            each(call, "function_call_output", |n, item| {
                let mut earlier =
                    items(call)[..n].iter().filter(|other| kind_of(other) == "function_call");
                let found = earlier.any(|other| other["call_id"] == item["call_id"]);
                (!found).then(|| {
                    format!(
                        "No tool call found for function call output with call_id {}.",
                        text(item, "/call_id")
                    )
                })
            })
        },
    ),
    Rule::new("each call has one output", ALL, SPEC, |call| {
        let outputs = items(call).iter().filter(|item| kind_of(item) == "function_call_output");
        let calls = items(call).iter().filter(|item| kind_of(item) == "function_call");
        let twice = duplicate(outputs.map(|item| text(item, "/call_id")))
            .or_else(|| duplicate(calls.map(|item| text(item, "/call_id"))))?;
        Some(format!("Duplicate item found with call_id {twice}."))
    }),
    Rule::new(
        "no item comes twice",
        ALL,
        "https://github.com/microsoft/agent-framework-go/pull/784",
        |call| {
            let ids = items(call).iter().map(|item| text(item, "/id")).filter(|id| !id.is_empty());
            duplicate(ids).map(|id| format!("Duplicate item found with id {id}. Remove duplicate items from your input and try again."))
        },
    ),
    Rule::new("reasoning without a store is encrypted", ALL, STATELESS, |call| {
        let unstored = call.body["store"] == false;
        each(call, "reasoning", |_, item| {
            let open = text(item, "/encrypted_content").is_empty();
            (unstored && open).then(|| format!("Item with id '{}' not found. Items are not persisted when `store` is set to false.", text(item, "/id")))
        })
    }),
    Rule::new(
        "reasoning has a summary",
        ALL,
        "https://github.com/microsoft/agent-framework-go/pull/784",
        |call| {
            each(call, "reasoning", |n, item| {
                (!item["summary"].is_array())
                    .then(|| format!("Missing required parameter: 'input[{n}].summary'."))
            })
        },
    ),
    Rule::new(
        "reasoning is followed by what it led to",
        ALL,
        "https://github.com/openai/openai-agents-python/issues/1611",
        |call| {
            each(call, "reasoning", |n, item| {
                let next = items(call).get(n + 1);
                let fits = next.is_some_and(|next| match kind_of(next) {
                    "function_call" | "reasoning" => true,
                    "message" => next["role"] == "assistant",
                    _ => false,
                });
                (!fits).then(|| format!("Item '{}' of type 'reasoning' was provided without its required following item.", text(item, "/id")))
            })
        },
    ),
    Rule::new("reasoning comes back unchanged", ALL, STATELESS, |call| {
        let sent: Vec<&Value> = call.sent.iter().flat_map(|turn| list(turn, "/output")).collect();
        each(call, "reasoning", |n, item| {
            let known =
                sent.iter().any(|own| own["encrypted_content"] == item["encrypted_content"]);
            (!known).then(|| format!("The encrypted content at input[{n}] could not be verified."))
        })
    }),
    Rule::new(
        "a call comes back with the reasoning that led to it",
        ALL,
        "https://developers.openai.com/api/docs/guides/reasoning",
        |call| {
            each(call, "function_call", |_, item| {
                let own = call.sent.iter().find(|turn| {
                    list(turn, "/output").iter().any(|own| {
                        own["type"] == "function_call" && own["call_id"] == item["call_id"]
                    })
                })?;
                let thought = list(own, "/output").iter().find(|own| own["type"] == "reasoning")?;
                let back = items(call)
                    .iter()
                    .any(|other| other["encrypted_content"] == thought["encrypted_content"]);
                (!back).then(|| format!("Item '{}' of type 'function_call' was provided without its required 'reasoning' item: '{}'.", text(item, "/id"), text(thought, "/id")))
            })
        },
    ),
];

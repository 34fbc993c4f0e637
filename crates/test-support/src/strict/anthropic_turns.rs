//! Anthropic's Messages: turns, tool use and thoughts.

use serde_json::Value;

use super::anthropic::{ALL, SPEC};
use super::view::{duplicate, is_made_of, is_name, list, text};
use super::{Call, Rule};

const PAIRS: &str = "https://github.com/anthropics/claude-code/issues/8210";
const THINKING: &str = "https://platform.claude.com/docs/en/build-with-claude/extended-thinking";

/// The blocks of a kind in a message, with their places.
fn of<'a>(message: &'a Value, kind: &'a str) -> impl Iterator<Item = (usize, &'a Value)> {
    list(message, "/content").iter().enumerate().filter(move |(_, block)| block["type"] == kind)
}

/// The first complaint about a block of a kind.
fn each<'a>(
    call: &Call<'a>,
    kind: &'static str,
    complaint: impl Fn(usize, usize, &'a Value) -> Option<String>,
) -> Option<String> {
    call.each_message(|n, message| of(message, kind).find_map(|(k, block)| complaint(n, k, block)))
}

fn is_thought(block: &Value) -> bool {
    ["thinking", "redacted_thinking"].iter().any(|kind| block["type"] == *kind)
}

/// Where the current turn begins: behind the last message in which a user wrote.
fn current(messages: &[Value]) -> usize {
    let wrote =
        |message: &Value| message["role"] == "user" && of(message, "tool_result").next().is_none();
    messages.iter().rposition(wrote).map_or(0, |n| n + 1)
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("anthropic: there is a message", ALL, SPEC, |call| {
        call.messages().is_empty().then(|| "messages: at least one message is required".into())
    }),
    Rule::new("roles are user and assistant", ALL, SPEC, |call| {
        call.each_message(|n, message| {
            let role = text(message, "/role");
            (!["user", "assistant"].contains(&role)).then(|| format!("messages.{n}: Unexpected role \"{role}\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role."))
        })
    }),
    Rule::new(
        "the first message is the user's",
        ALL,
        "https://github.com/lobehub/lobehub/issues/1601",
        |call| {
            let first = call.messages().first()?;
            (first["role"] != "user")
                .then(|| "messages: first message must use the \"user\" role".into())
        },
    ),
    Rule::new(
        "the last message is the user's",
        ALL,
        "https://github.com/smallmain/vscode-unify-chat-provider/issues/249",
        |call| {
            let last = call.messages().last()?;
            (last["role"] != "user").then(|| "This model does not support assistant message prefill. The conversation must end with a user message.".into())
        },
    ),
    Rule::new(
        "a message has a content",
        ALL,
        "https://github.com/anthropics/claude-code/issues/6774",
        |call| {
            call.each_message(|n, message| {
            let empty = message["content"].as_str().is_none_or(str::is_empty) && list(message, "/content").is_empty();
            empty.then(|| format!("messages.{n}: all messages must have non-empty content except for the optional final assistant message"))
        })
        },
    ),
    Rule::new(
        "texts are more than white space",
        ALL,
        "https://github.com/home-assistant/core/issues/175637",
        |call| {
            let blank = each(call, "text", |_, _, block| {
                text(block, "/text").trim().is_empty().then(String::new)
            });
            blank.map(|_| "messages: text content blocks must contain non-whitespace text".into())
        },
    ),
    Rule::new("blocks are of known kinds, and on their side", ALL, SPEC, |call| {
        call.each_message(|n, message| {
            let known: &[&str] = match text(message, "/role") {
                "assistant" => &["text", "tool_use", "thinking", "redacted_thinking"],
                _ => &["text", "tool_result", "image", "document", "search_result"],
            };
            let odd = list(message, "/content").iter().find(|block| !known.contains(&text(block, "/type")))?;
            Some(format!("messages.{n}.content: Input tag '{}' found using 'type' does not match any of the expected tags", text(odd, "/type")))
        })
    }),
    Rule::new(
        "ids of tool uses fit",
        ALL,
        "https://github.com/RooCodeInc/Roo-Code/pull/10649",
        |call| {
            each(call, "tool_use", |n, k, block| {
                let id = text(block, "/id");
                (!is_made_of(id, "_-", 128)).then(|| format!("messages.{n}.content.{k}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"))
            })
        },
    ),
    Rule::new(
        "ids of tool results fit",
        ALL,
        "https://github.com/HKUDS/nanobot/pull/4356",
        |call| {
            each(call, "tool_result", |n, k, block| {
                let id = text(block, "/tool_use_id");
                (!is_made_of(id, "_-", 128)).then(|| format!("messages.{n}.content.{k}.tool_result.tool_use_id: String should match pattern '^[a-zA-Z0-9_-]+$'"))
            })
        },
    ),
    Rule::new(
        "ids of tool uses are unique",
        ALL,
        "https://github.com/anthropics/claude-code/issues/20901",
        |call| {
            let all = call.messages().iter().flat_map(|message| of(message, "tool_use"));
            duplicate(all.map(|(_, block)| text(block, "/id")))
                .map(|_| "messages: `tool_use` ids must be unique".into())
        },
    ),
    Rule::new(
        "names of tool uses fit",
        ALL,
        "https://github.com/home-assistant/core/issues/147760",
        |call| {
            each(call, "tool_use", |n, k, block| {
                (!is_name(text(block, "/name"))).then(|| format!("messages.{n}.content.{k}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'"))
            })
        },
    ),
    Rule::new(
        "inputs of tool uses are objects",
        ALL,
        "https://github.com/anthropics/anthropic-sdk-typescript/issues/648",
        |call| {
            each(call, "tool_use", |n, k, block| {
                (!block["input"].is_object()).then(|| format!("messages.{n}.content.{k}.tool_use.input: Input should be a valid dictionary"))
            })
        },
    ),
    Rule::new("each tool use has its result in the next message", ALL, PAIRS, |call| {
        each(call, "tool_use", |n, _, block| {
            let id = text(block, "/id");
            let next = call.messages().get(n + 1);
            let found = next.is_some_and(|next| {
                of(next, "tool_result").any(|(_, result)| result["tool_use_id"] == id)
            });
            (!found).then(|| format!("messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {id}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."))
        })
    }),
    Rule::new(
        "each result has its tool use in the message before",
        ALL,
        "https://github.com/anthropics/claude-code/issues/18947",
        |call| {
            each(call, "tool_result", |n, k, block| {
                let id = text(block, "/tool_use_id");
                let before = n.checked_sub(1).and_then(|n| call.messages().get(n));
                let found = before
                    .is_some_and(|before| of(before, "tool_use").any(|(_, call)| call["id"] == id));
                (!found).then(|| format!("messages.{n}.content.{k}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."))
            })
        },
    ),
    Rule::new(
        "each tool use has one result",
        ALL,
        "https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls",
        |call| {
            call.each_message(|n, message| {
            let id = duplicate(of(message, "tool_result").map(|(_, block)| text(block, "/tool_use_id")))?;
            Some(format!("messages.{n}.content: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"))
        })
        },
    ),
    Rule::new(
        "results come before other blocks",
        ALL,
        "https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls",
        |call| {
            call.each_message(|n, message| {
            let blocks = list(message, "/content");
            let first = blocks.iter().position(|block| block["type"] != "tool_result")?;
            let late = blocks[first..].iter().any(|block| block["type"] == "tool_result");
            late.then(|| format!("messages.{n}: tool_result blocks must come first in the content of a message"))
        })
        },
    ),
    Rule::new("a result's content is a text or blocks", ALL, SPEC, |call| {
        each(call, "tool_result", |n, k, block| {
            let content = block.get("content")?;
            (!content.is_string() && !content.is_array()).then(|| {
                format!(
                    "messages.{n}.content.{k}.tool_result.content: Input should be a valid list"
                )
            })
        })
    }),
    Rule::new(
        "tool use needs tools",
        ALL,
        "https://github.com/aws-samples/bedrock-access-gateway/pull/239",
        |call| {
            let used = call.messages().iter().any(|message| {
                of(message, "tool_use").chain(of(message, "tool_result")).next().is_some()
            });
            (used && call.tools().is_empty()).then(|| {
                "Requests which include `tool_use` or `tool_result` blocks must define tools".into()
            })
        },
    ),
    Rule::new(
        "thoughts come back as they were sent",
        ALL,
        "https://github.com/lbjlaq/Antigravity-Manager/issues/498",
        |call| {
            let sent: Vec<&Value> = call
                .sent
                .iter()
                .flat_map(|turn| list(turn, "/content"))
                .filter(|block| is_thought(block))
                .collect();
            call.each_message(|n, message| {
                let mut blocks = list(message, "/content").iter().enumerate();
                blocks.find_map(|(k, block)| {
                    (is_thought(block) && !sent.contains(&block)).then(|| {
                        format!("messages.{n}.content.{k}: Invalid `signature` in `thinking` block")
                    })
                })
            })
        },
    ),
    Rule::new(
        "thoughts of the current turn come back before its tool uses",
        ALL,
        "https://github.com/anomalyco/opencode/issues/3077",
        |call| {
            let begins = current(call.messages());
            each(call, "tool_use", |n, k, block| {
                let own = call
                    .sent
                    .iter()
                    .find(|turn| of(turn, "tool_use").any(|(_, sent)| sent["id"] == block["id"]))?;
                let missing = list(own, "/content")
                    .iter()
                    .filter(|block| is_thought(block))
                    .any(|thought| !list(&call.messages()[n], "/content")[..k].contains(thought));
                (n >= begins && missing).then(|| format!("messages.{n}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`. When `thinking` is enabled, a final `assistant` message must start with a thinking block."))
            })
        },
    ),
    Rule::new("a thought is not the last block of a turn", ALL, THINKING, |call| {
        call.each_of("assistant", |n, message| {
            let last = list(message, "/content").last()?;
            is_thought(last).then(|| {
                format!(
                    "messages.{n}: The final block in an assistant message cannot be `thinking`."
                )
            })
        })
    }),
];

//! Chat Completions: the order of turns and the thoughts that must come back, by server.

use serde_json::Value;

use super::chat_turns::calls;
use super::view::{is_made_of, is_name, list, text};
use super::{Call, Profile, Rule};

use Profile::{Kimi, Mistral, Ollama, OpenRouter, Template};

const VALIDATOR: &str = "https://github.com/mistralai/mistral-common/blob/main/src/mistral_common/protocol/instruct/validator.py";
const ALTERNATE: &str = "https://github.com/ggml-org/llama.cpp/issues/19851";

/// Whether a server knows an assistant's turn as its own: it has a call that the server sent.
fn sent_turn<'a>(call: &Call<'a>, turn: &Value) -> Option<&'a Value> {
    let id = text(calls(turn).first()?, "/id");
    call.sent.iter().find(|sent| calls(sent).iter().any(|one| one["id"] == id))
}

/// The complaint about a field of a turn that the server sent and that does not come back unchanged.
fn changed(call: &Call<'_>, field: &str, complaint: impl Fn(usize) -> String) -> Option<String> {
    call.each_of("assistant", |n, turn| {
        let sent = sent_turn(call, turn)?.get(field).filter(|value| !value.is_null())?;
        (turn.get(field) != Some(sent)).then(|| complaint(n))
    })
}

/// The roles of a conversation as a template counts them: without calls and their results.
fn spoken<'a>(call: &Call<'a>) -> impl Iterator<Item = &'a str> {
    let begins =
        usize::from(call.messages().first().is_some_and(|first| first["role"] == "system"));
    let rest = call.messages()[begins..].iter();
    rest.filter(|turn| turn["role"] != "tool" && calls(turn).is_empty())
        .map(|turn| text(turn, "/role"))
}

pub(super) const RULES: &[Rule] = &[
    Rule::new("no user or system behind a tool's result", &[Mistral], "https://github.com/datapizza-labs/datapizza-ai/issues/98", |call| {
        order(call, "tool", &["assistant", "tool"])
    }),
    Rule::new("no tool's result behind a user", &[Mistral], "https://github.com/charmbracelet/crush/issues/279", |call| {
        order(call, "user", &["assistant", "system", "user"])
    }),
    Rule::new("no system behind an assistant", &[Mistral], VALIDATOR, |call| {
        order(call, "assistant", &["assistant", "user", "tool"])
    }),
    Rule::new("no tool's result behind a system", &[Mistral], VALIDATOR, |call| {
        order(call, "system", &["user", "assistant", "system"])
    }),
    Rule::new("Mistral does not begin with an assistant or a result", &[Mistral], VALIDATOR, |call| {
        let first = text(call.messages().first()?, "/role");
        let alone = call.messages().len() == 1 || first == "tool";
        (alone && !["user", "system"].contains(&first)).then(|| "Conversation must start with a user message or system message".into())
    }),
    Rule::new(
        "the last message is a user's or a result",
        &[Mistral],
        "https://github.com/0xPlaygrounds/rig/pull/1130",
        |call| {
            let last = call.messages().last()?;
            let role = text(last, "/role");
            let fits = ["user", "tool"].contains(&role) || last["prefix"] == true || call.messages().len() == 1;
            (!fits).then(|| format!("Expected last role User or Tool (or Assistant with prefix True) for serving but got {role}"))
        },
    ),
    Rule::new(
        "an assistant's turn has a content or calls",
        &[Mistral],
        "https://github.com/zed-industries/zed/pull/47579",
        |call| {
            call.each_of("assistant", |_, turn| {
                let empty = turn["content"].as_str().is_none_or(str::is_empty) && list(turn, "/content").is_empty();
                (empty && calls(turn).is_empty()).then(|| "Assistant message must have either content or tool_calls, but not none.".into())
            })
        },
    ),
    Rule::new(
        "ids of calls are nine letters and digits",
        &[Mistral],
        "https://github.com/anomalyco/opencode/issues/1680",
        |call| {
            call.each_call(|_, _, one| nine(text(one, "/id")))
        },
    ),
    Rule::new(
        "ids of results are nine letters and digits",
        &[Mistral],
        "https://github.com/nearai/ironclaw/issues/1241",
        |call| call.each_of("tool", |_, result| nine(text(result, "/tool_call_id"))),
    ),
    Rule::new("names of results fit", &[Mistral], VALIDATOR, |call| {
        call.each_of("tool", |_, result| {
            let name = result.get("name").filter(|name| !name.is_null())?.as_str().unwrap_or_default();
            (!is_name(name)).then(|| format!("Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64."))
        })
    }),
    Rule::new("a system prompt has a content", &[Mistral], VALIDATOR, |call| {
        call.each_of("system", |_, turn| turn["content"].is_null().then(|| "System prompt must have content".into()))
    }),
    Rule::new(
        "messages hold fields of Mistral's API only",
        &[Mistral],
        "https://docs.mistral.ai/api/endpoint/chat",
        |call| {
            call.each_message(|n, message| {
                let known: &[&str] = match text(message, "/role") {
                    "assistant" => &["role", "content", "tool_calls", "prefix"],
                    "tool" => &["role", "content", "tool_call_id", "name"],
                    _ => &["role", "content"],
                };
                let field = super::view::unknown_field(message, known)?;
                Some(format!("Extra inputs are not permitted: messages.{n}.{field}"))
            })
        },
    )
    .status(422),
    Rule::new("one system message, and it is the first", &[Template, Ollama], "https://github.com/ggml-org/llama.cpp/blob/master/models/templates", |call| {
        let late = call.messages().iter().skip(1).any(|turn| turn["role"] == "system");
        late.then(|| "Jinja Exception: System message must be at the beginning.".into())
    })
    .status(500),
    Rule::new("users and assistants take turns", &[Template], ALTERNATE, |call| {
        let out_of_turn = spoken(call).enumerate().any(|(n, role)| (role == "user") != (n % 2 == 0));
        out_of_turn.then(|| "Jinja Exception: After the optional system message, conversation roles must alternate user/assistant/user/assistant/...".into())
    })
    .status(500),
    Rule::new("a result has calls before it in a template", &[Template], ALTERNATE, |call| {
        call.each_of("tool", |n, _| {
            let before = call.messages()[..n].iter().rev().find(|turn| turn["role"] != "tool");
            before.is_none_or(|turn| calls(turn).is_empty()).then(|| "Jinja Exception: tool message without a tool call".into())
        })
    })
    .status(500),
    Rule::new(
        "thoughts of turns with calls come back",
        &[Kimi],
        "https://github.com/QuantumNous/new-api/issues/3121",
        |call| {
            changed(call, "reasoning_content", |n| format!("thinking is enabled but reasoning_content is missing in assistant tool call message at index {n}"))
        },
    ),
    Rule::new(
        "reasoning details come back unchanged",
        &[OpenRouter],
        "https://openrouter.ai/docs/use-cases/reasoning-tokens",
        |call| {
            changed(call, "reasoning_details", |n| format!("messages.{n}: the sequence of reasoning_details must match what the model sent"))
        },
    ),
    Rule::new(
        "ids of calls fit Anthropic's models behind OpenRouter",
        &[OpenRouter],
        "https://github.com/tailcallhq/forgecode/issues/1142",
        |call| {
            let claude = call.model().starts_with("anthropic/");
            call.each_call(|n, k, one| {
                let fits = is_made_of(text(one, "/id"), "_-", 64);
                (claude && !fits).then(|| format!("messages.{n}.content.{k}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"))
            })
        },
    ),
];

/// The complaint about a message that may not come behind one of a role.
fn order(call: &Call<'_>, before: &str, may_follow: &[&str]) -> Option<String> {
    let mut pairs = call.messages().iter().zip(call.messages().iter().skip(1));
    let (_, next) = pairs.find(|(first, next)| {
        first["role"] == before && !may_follow.contains(&text(next, "/role"))
    })?;
    Some(format!("Unexpected role '{}' after role '{before}'", text(next, "/role")))
}

fn nine(id: &str) -> Option<String> {
    let fits = id.len() == 9 && is_made_of(id, "", 9);
    (!fits).then(|| format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9."))
}

//! Reads recorded bytes as simply as can be, without any code of the crate: what the client must
//! have understood.

use serde_json::{Value, json};

/// What an answer says. `finish` has the names of `FinishReason::as_str`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) calls: Vec<(String, Value)>,
    pub(super) finish: &'static str,
    /// Prompt, answer, read from the cache, written to the cache, reasoning.
    pub(super) usage: [u64; 5],
}

/// The events of an SSE body, and where each ends.
pub(super) fn events(body: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let (mut data, mut at) = (Vec::new(), 0);
    for line in body.split_inclusive('\n') {
        at += line.len();
        let line = line.trim_end_matches(['\r', '\n']);
        if let Some(text) = line.strip_prefix("data:") {
            data.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else if line.is_empty() && !data.is_empty() {
            found.push((at, std::mem::take(&mut data).join("\n")));
        }
    }
    if !data.is_empty() {
        found.push((at, data.join("\n")));
    }
    found
}

/// Whether the events of a chat stream have a reason to stop and usage.
pub(super) fn has_reason_and_usage(events: &[(usize, String)]) -> bool {
    let parts: Vec<Value> =
        events.iter().filter_map(|(_, data)| serde_json::from_str(data).ok()).collect();
    let has_reason = parts.iter().any(|part| {
        part["choices"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| !text(&c["finish_reason"]).is_empty())
    });
    let has_usage = |part: &Value| {
        [&part["usage"], &part["x_groq"]["usage"]]
            .iter()
            .any(|usage| number(usage, "/prompt_tokens") + number(usage, "/completion_tokens") > 0)
    };
    has_reason && parts.iter().any(has_usage)
}

/// Whether the events of an Anthropic stream have a reason to stop and usage.
pub(super) fn has_stop_reason_and_usage(events: &[(usize, String)]) -> bool {
    let parts = events.iter().filter_map(|(_, data)| serde_json::from_str::<Value>(data).ok());
    let ends = parts.filter(|part| part["type"] == "message_delta");
    let mut ends = ends.filter(|part| !text(&part["delta"]["stop_reason"]).is_empty());
    ends.any(|part| number(&part, "/usage/output_tokens") > 0)
}

/// What a recorded success says; `None` when it holds an error or nothing that is an answer.
pub(super) fn said(wire: &str, stream: bool, body: &str) -> Option<Said> {
    let parts: Vec<Value> = if stream {
        events(body).iter().filter_map(|(_, data)| serde_json::from_str(data).ok()).collect()
    } else {
        vec![serde_json::from_str(body).ok()?]
    };
    let failed = |part: &Value| {
        part.get("error").is_some_and(|error| !error.is_null())
            || part["type"] == "error"
            || part["type"] == "response.failed"
            || part["status"] == "failed"
    };
    if parts.iter().any(failed) {
        return None;
    }
    let mut said = match wire {
        "chat" => chat(&parts, if stream { "delta" } else { "message" }),
        "responses" => responses(&parts, stream)?,
        "anthropic" => anthropic(&parts, stream),
        "gemini" => gemini(&parts),
        other => panic!("{other}"),
    };
    if said.finish == "other" {
        // Without a known reason to stop it is no success.
        return None;
    }
    if !said.calls.is_empty() && said.finish == "stop" {
        said.finish = "tool_calls";
    }
    Some(said)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn number(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_default()
}

/// Arguments as the client gives them: JSON, or the text where that is none.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

fn chat(parts: &[Value], inner: &str) -> Said {
    let mut said = Said { finish: "other", ..Said::default() };
    let mut calls: Vec<(u64, String, String)> = Vec::new();
    let (mut content, mut refusal) = (String::new(), String::new());
    for part in parts {
        for usage in [&part["usage"], &part["x_groq"]["usage"]] {
            if usage.is_object() {
                said.usage = [
                    number(usage, "/prompt_tokens"),
                    number(usage, "/completion_tokens"),
                    number(usage, "/prompt_tokens_details/cached_tokens"),
                    number(usage, "/prompt_tokens_details/cache_write_tokens"),
                    number(usage, "/completion_tokens_details/reasoning_tokens"),
                ];
            }
        }
        for choice in part["choices"].as_array().into_iter().flatten() {
            if number(choice, "/index") != 0 {
                continue;
            }
            let message = &choice[inner];
            match &message["content"] {
                Value::Array(blocks) => {
                    for block in blocks.iter().filter(|block| block["type"] == "text") {
                        content.push_str(text(&block["text"]));
                    }
                }
                other => content.push_str(text(other)),
            }
            refusal.push_str(text(&message["refusal"]));
            for (place, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate()
            {
                let index = call["index"].as_u64().unwrap_or(place as u64);
                let name = text(&call["function"]["name"]);
                let written = match &call["function"]["arguments"] {
                    Value::String(text) => text.clone(),
                    Value::Null => String::new(),
                    other => other.to_string(),
                };
                match calls.iter_mut().find(|known| known.0 == index) {
                    Some(known) => {
                        known.1.push_str(name);
                        known.2.push_str(&written);
                    }
                    None => calls.push((index, name.to_owned(), written)),
                }
            }
            let old = &message["function_call"];
            if old.is_object() {
                if calls.is_empty() {
                    calls.push((0, String::new(), String::new()));
                }
                calls[0].1.push_str(text(&old["name"]));
                calls[0].2.push_str(text(&old["arguments"]));
            }
            said.finish = match text(&choice["finish_reason"]) {
                "" => said.finish,
                "stop" | "eos" => "stop",
                "length" => "length",
                "tool_calls" | "function_call" => "tool_calls",
                "content_filter" => "content_filter",
                _ => "other",
            };
        }
    }
    said.text = if content.is_empty() { refusal } else { without_thought(&content) };
    said.calls = calls.into_iter().map(|(_, name, text)| (name, arguments(&text))).collect();
    said
}

/// The text without the thought that it begins with, as some models write it.
fn without_thought(text: &str) -> String {
    let thought = text.trim_start().strip_prefix("<think>");
    let reply = thought.map(|thought| thought.split_once("</think>").unwrap_or((thought, "")).1);
    reply.map_or(text, str::trim_start).to_owned()
}

fn responses(parts: &[Value], stream: bool) -> Option<Said> {
    let ended =
        |part: &&Value| matches!(text(&part["type"]), "response.completed" | "response.incomplete");
    let last = if stream { &parts.iter().find(ended)?["response"] } else { &parts[0] };
    let mut said = Said { finish: "other", ..Said::default() };
    let mut items: Vec<Value> = last["output"].as_array().cloned().unwrap_or_default();
    if stream {
        // The items as they were told one by one; the last event repeats them, or not.
        let done = parts.iter().filter(|part| part["type"] == "response.output_item.done");
        items = done.map(|part| part["item"].clone()).collect();
    }
    for item in &items {
        if item["type"] == "function_call" {
            said.calls.push((text(&item["name"]).into(), arguments(text(&item["arguments"]))));
        }
        if item["type"] == "message" {
            for block in item["content"].as_array().into_iter().flatten() {
                said.text.push_str(text(&block["text"]));
                said.text.push_str(text(&block["refusal"]));
            }
        }
    }
    said.finish = match (text(&last["status"]), text(&last["incomplete_details"]["reason"])) {
        ("completed" | "complete", _) => "stop",
        (_, "max_output_tokens") => "length",
        (_, "content_filter") => "content_filter",
        _ => "other",
    };
    let usage = &last["usage"];
    said.usage = [
        number(usage, "/input_tokens"),
        number(usage, "/output_tokens"),
        number(usage, "/input_tokens_details/cached_tokens"),
        0,
        number(usage, "/output_tokens_details/reasoning_tokens"),
    ];
    Some(said)
}

fn anthropic(parts: &[Value], stream: bool) -> Said {
    let mut said = Said { finish: "other", ..Said::default() };
    let mut usage = json!({});
    let mut merge = |more: &Value| {
        for (key, value) in more.as_object().into_iter().flatten() {
            if value.is_number() {
                usage[key] = value.clone();
            }
        }
    };
    let mut stop = "";
    if stream {
        let mut open: Option<(String, String)> = None;
        for part in parts {
            match text(&part["type"]) {
                "message_start" => merge(&part["message"]["usage"]),
                "message_delta" => {
                    merge(&part["usage"]);
                    stop = text(&part["delta"]["stop_reason"]);
                }
                "content_block_start" => {
                    let block = &part["content_block"];
                    if block["type"] == "tool_use" {
                        let given = block["input"].as_object().filter(|input| !input.is_empty());
                        let input = given.map(|input| json!(input).to_string());
                        open = Some((text(&block["name"]).to_owned(), input.unwrap_or_default()));
                    }
                    if block["type"] == "text" {
                        said.text.push_str(text(&block["text"]));
                    }
                }
                "content_block_delta" => {
                    let delta = &part["delta"];
                    match text(&delta["type"]) {
                        "text_delta" => said.text.push_str(text(&delta["text"])),
                        "input_json_delta" => {
                            if let Some((_, input)) = &mut open {
                                input.push_str(text(&delta["partial_json"]));
                            }
                        }
                        _ => {}
                    }
                }
                "content_block_stop" => {
                    if let Some((name, input)) = open.take() {
                        said.calls.push((name, arguments(&input)));
                    }
                }
                _ => {}
            }
        }
    } else {
        let message = &parts[0];
        merge(&message["usage"]);
        stop = text(&message["stop_reason"]);
        for block in message["content"].as_array().into_iter().flatten() {
            match text(&block["type"]) {
                "text" => said.text.push_str(text(&block["text"])),
                "tool_use" => {
                    said.calls.push((text(&block["name"]).into(), block["input"].clone()))
                }
                _ => {}
            }
        }
    }
    said.finish = match stop {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "other",
    };
    let read = number(&usage, "/cache_read_input_tokens");
    let written = number(&usage, "/cache_creation_input_tokens");
    let prompt = number(&usage, "/input_tokens") + read + written;
    said.usage = [prompt, number(&usage, "/output_tokens"), read, written, 0];
    said
}

fn gemini(parts: &[Value]) -> Said {
    let mut said = Said { finish: "other", ..Said::default() };
    for part in parts {
        if part["promptFeedback"]["blockReason"].is_string() {
            said.finish = "content_filter";
        }
        let candidate = &part["candidates"][0];
        for piece in candidate["content"]["parts"].as_array().into_iter().flatten() {
            if piece["thought"] != true {
                said.text.push_str(text(&piece["text"]));
            }
            if let Some(call) = piece.get("functionCall") {
                let given = call.get("args").filter(|args| !args.is_null());
                said.calls.push((text(&call["name"]).into(), given.cloned().unwrap_or(json!({}))));
            }
        }
        said.finish = match text(&candidate["finishReason"]) {
            "" => said.finish,
            "STOP" => "stop",
            "MAX_TOKENS" => "length",
            "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII"
            | "IMAGE_SAFETY" => "content_filter",
            _ => "other",
        };
        let usage = &part["usageMetadata"];
        if usage.is_object() {
            let thought = number(usage, "/thoughtsTokenCount");
            said.usage = [
                number(usage, "/promptTokenCount") + number(usage, "/toolUsePromptTokenCount"),
                number(usage, "/candidatesTokenCount") + thought,
                number(usage, "/cachedContentTokenCount"),
                0,
                thought,
            ];
        }
    }
    said
}

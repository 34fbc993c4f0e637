//! Answers in every style in which servers send them, and conversations in the form that they take.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::messages::messages;
use super::{AnthropicReader, parse};
use crate::event::FinishReason;
use crate::model::Provider;
use crate::provider::answer::Answer;
use crate::provider::failure::Failure;
use crate::provider::wire::{Delta, Reader as _};
use crate::request::{AssistantMessage, Message, ToolCall};

/// Reads a stream to its end; the texts told must be the message's.
fn read(events: &[Value]) -> Result<Answer, Failure> {
    let mut reader = AnthropicReader::new(Provider::Anthropic);
    let mut told = String::new();
    for event in events {
        match reader.event(event)? {
            Delta::Text(text) => told.push_str(&text),
            Delta::Nothing => {}
            Delta::End => break,
        }
    }
    if !reader.is_complete() {
        return Err(Failure::cut_off());
    }
    let answer = reader.answer()?;
    assert_eq!(told, answer.message.text);
    Ok(answer)
}

fn whole(content: &Value, stop: &str) -> Result<Answer, Failure> {
    let usage = json!({ "input_tokens": 9, "output_tokens": 4 });
    let body =
        json!({ "type": "message", "content": content, "stop_reason": stop, "usage": usage });
    parse(Provider::Anthropic, &body)
}

/// How a server streams.
#[derive(Debug, Clone, Copy)]
struct Style {
    /// Whole blocks at their start, without deltas.
    whole_blocks: bool,
    /// The input at the start of a call, and again in deltas.
    doubled_input: bool,
    /// No index in starts and deltas.
    no_index: bool,
    /// No `content_block_stop`.
    no_stop: bool,
    /// Deltas of all blocks in turn, after all starts.
    interleaved: bool,
    /// No `message_stop`.
    no_end: bool,
    /// All blocks in `message_start`.
    at_once: bool,
}

fn style() -> impl Strategy<Value = Style> {
    any::<[bool; 7]>().prop_map(|[a, b, c, d, e, f, g]| Style {
        whole_blocks: a,
        doubled_input: b,
        no_index: c,
        no_stop: d,
        // Without an index nothing tells whose delta it is.
        interleaved: e && !c,
        no_end: f,
        at_once: g,
    })
}

/// The pieces of a text.
fn cut(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(3).map(|piece| piece.iter().collect()).collect()
}

fn start_and_deltas(block: &Value, style: Style) -> (Value, Vec<Value>) {
    let mut start = block.clone();
    if style.whole_blocks {
        return (start, Vec::new());
    }
    let pieces = |kind: &str, field: &str, text: &str| -> Vec<Value> {
        cut(text).into_iter().map(|piece| json!({ "type": kind, field: piece })).collect()
    };
    let str_of = |field: &str| block[field].as_str().unwrap_or_default();
    let deltas = match str_of("type") {
        "text" => {
            start["text"] = json!("");
            pieces("text_delta", "text", str_of("text"))
        }
        "thinking" => {
            start["thinking"] = json!("");
            start["signature"] = json!("");
            let mut all = pieces("thinking_delta", "thinking", str_of("thinking"));
            all.push(json!({ "type": "signature_delta", "signature": block["signature"] }));
            all
        }
        "tool_use" => {
            if !style.doubled_input {
                start["input"] = json!({});
            }
            pieces("input_json_delta", "partial_json", &block["input"].to_string())
        }
        _ => Vec::new(),
    };
    (start, deltas)
}

fn stream(blocks: &[Value], stop: &str, style: Style) -> Vec<Value> {
    let first = if style.at_once { json!(blocks) } else { json!([]) };
    let mut events = vec![json!({ "type": "message_start", "message": {
        "content": first, "usage": { "input_tokens": 9, "output_tokens": 1 } } })];
    let mut deltas_of = Vec::new();
    let streamed = if style.at_once { &[] } else { blocks };
    for (index, block) in streamed.iter().enumerate() {
        let (start, deltas) = start_and_deltas(block, style);
        let place = |mut event: Value| {
            if !style.no_index {
                event["index"] = json!(index);
            }
            event
        };
        events.push(place(json!({ "type": "content_block_start", "content_block": start })));
        let deltas = deltas.into_iter();
        let deltas: Vec<Value> = deltas
            .map(|delta| place(json!({ "type": "content_block_delta", "delta": delta })))
            .collect();
        if style.interleaved && block["type"] != "text" {
            deltas_of.push(deltas);
        } else {
            events.extend(deltas);
        }
        if !style.no_stop {
            events.push(place(json!({ "type": "content_block_stop" })));
        }
    }
    for turn in 0..deltas_of.iter().map(Vec::len).max().unwrap_or_default() {
        events.extend(deltas_of.iter().filter_map(|deltas| deltas.get(turn).cloned()));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop },
        "usage": { "input_tokens": 0, "output_tokens": 4 } }));
    if !style.no_end {
        events.push(json!({ "type": "message_stop" }));
    }
    events
}

fn blocks() -> impl Strategy<Value = Vec<Value>> {
    let block = prop_oneof![
        "[a-zäß ]{1,12}".prop_map(|text| json!({ "type": "text", "text": text })),
        ("[a-z ]{0,9}", "[A-Z]{4}").prop_map(|(thinking, signature)| {
            json!({ "type": "thinking", "thinking": thinking, "signature": signature })
        }),
        Just(json!({ "type": "redacted_thinking", "data": "sealed" })),
        ("[a-z]{1,5}", any::<Option<u8>>()).prop_map(|(name, argument)| {
            let input = argument.map_or(json!({}), |n| json!({ "place": "Ort", "n": n }));
            json!({ "type": "tool_use", "id": "toolu_1", "name": name, "input": input })
        }),
        Just(json!({ "type": "server_tool_use", "id": "srvtoolu_1", "name": "web", "input": {} })),
    ];
    prop::collection::vec(block, 0..6).prop_map(|mut blocks| {
        for (n, block) in blocks.iter_mut().enumerate() {
            if block["type"] == "tool_use" {
                block["id"] = json!(format!("toolu_{n}"));
            }
        }
        blocks
    })
}

proptest! {
    #[test]
    fn an_answer_reads_the_same_in_every_style(blocks in blocks(), style in style()) {
        let read = read(&stream(&blocks, "end_turn", style)).unwrap();
        prop_assert_eq!(&read, &whole(&json!(blocks), "end_turn").unwrap());
        prop_assert_eq!(read.usage.total_tokens, 13);
        // What goes back is what came, in its order, up to the last text or call.
        let back = messages(Provider::Anthropic, &[Message::Assistant(read.message)], true);
        let mut expected = blocks.clone();
        expected.retain(|block| block["type"] != "server_tool_use");
        let has_thoughts =
            expected.iter().any(|block| block["type"].as_str().unwrap().ends_with("thinking"));
        if has_thoughts && has_no_neighbours(&expected) {
            expected.retain(|block| block["text"].as_str().is_none_or(|t| !t.trim().is_empty()));
            let is_end = |block: &Value| block["type"] == "text" || block["type"] == "tool_use";
            expected.truncate(expected.iter().rposition(is_end).map_or(0, |last| last + 1));
            let sent = back.get(1).map_or(json!([]), |turn| {
                if turn["role"] == "assistant" { turn["content"].clone() } else { json!([]) }
            });
            prop_assert_eq!(sent, json!(expected));
        }
    }
}

/// Two texts in a row are sent back as one.
fn has_no_neighbours(blocks: &[Value]) -> bool {
    blocks.windows(2).all(|pair| pair[0]["type"] != "text" || pair[1]["type"] != "text")
}

#[test]
fn only_known_ends_are_good() {
    let content = json!([{ "type": "text", "text": "Half a" }]);
    for (word, end) in [
        ("end_turn", FinishReason::Stop),
        ("stop_sequence", FinishReason::Stop),
        ("max_tokens", FinishReason::Length),
        ("model_context_window_exceeded", FinishReason::Length),
        ("refusal", FinishReason::ContentFilter),
    ] {
        assert_eq!(whole(&content, word).unwrap().finish_reason, end, "{word}");
    }
    for word in ["pause_turn", "error", "abort", "network_error", "END_TURN", "compaction"] {
        let failure = whole(&content, word).unwrap_err();
        assert!(failure.retryable && failure.code.as_deref() == Some(word), "{word}: {failure:?}");
    }
    assert!(whole(&content, "").unwrap_err().retryable);
}

#[test]
fn a_stream_without_its_last_event_needs_a_reason_and_usage() {
    let text = json!({ "type": "content_block_delta", "index": 0,
        "delta": { "type": "text_delta", "text": "Hi" } });
    let reason = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } });
    let counted = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
        "usage": { "input_tokens": 1, "output_tokens": 1 } });
    assert!(read(&[text.clone(), reason]).is_err());
    assert!(read(std::slice::from_ref(&text)).is_err());
    assert_eq!(read(&[text.clone(), counted]).unwrap().message.text, "Hi");
    // Its end alone says nothing.
    assert!(read(&[text, json!({ "type": "message_stop" })]).is_err());
}

#[test]
fn thinking_without_a_signature_goes_back_as_it_came() {
    for thought in [
        json!({ "type": "thinking", "thinking": "hm" }),
        json!({ "type": "thinking", "thinking": "hm", "signature": "" }),
        json!({ "type": "thinking", "thinking": "", "signature": "sig" }),
    ] {
        let call = json!({ "type": "tool_use", "id": "c", "name": "f", "input": {} });
        let answer = whole(&json!([thought, call]), "tool_use").unwrap();
        let stored = serde_json::to_string(&Message::Assistant(answer.message)).unwrap();
        let turn: Message = serde_json::from_str(&stored).unwrap();
        let sent = messages(Provider::Anthropic, &[Message::user("Go"), turn.clone()], true);
        assert_eq!(sent[1]["content"], json!([thought, call]));
        // Another provider that speaks the protocol would not know them.
        let sent = messages(Provider::Google, &[Message::user("Go"), turn], true);
        assert_eq!(sent[1]["content"], json!([call]));
    }
}

fn call(id: &str, name: &str) -> ToolCall {
    ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: json!("no object"),
        provider_state: None,
    }
}

fn calls(text: &str, calls: Vec<ToolCall>) -> Message {
    Message::Assistant(AssistantMessage { text: text.into(), tool_calls: calls, thoughts: None })
}

fn result(id: &str, name: &str, content: &str) -> Message {
    Message::tool(id, name, content)
}

/// Checks the protocol's rules for the order of turns and blocks.
fn assert_accepted(turns: &[Value]) {
    let role = |turn: &Value| turn["role"].as_str().unwrap().to_owned();
    assert_eq!(role(&turns[0]), "user");
    assert_eq!(role(turns.last().unwrap()), "user");
    let mut ids = std::collections::HashSet::new();
    let mut open: Vec<String> = Vec::new();
    for turn in turns.windows(2) {
        assert_ne!(role(&turn[0]), role(&turn[1]), "{turns:?}");
    }
    for turn in turns {
        let blocks = turn["content"].as_array().unwrap();
        assert!(!blocks.is_empty());
        let of = |kind: &'static str| blocks.iter().filter(move |block| block["type"] == kind);
        for block in of("text") {
            assert!(!block["text"].as_str().unwrap().trim().is_empty());
        }
        let results: Vec<String> =
            of("tool_result").map(|block| block["tool_use_id"].as_str().unwrap().into()).collect();
        assert_eq!(results, open, "{turns:?}");
        let leading = blocks.iter().take_while(|block| block["type"] == "tool_result").count();
        assert_eq!(leading, results.len(), "results come first");
        open = of("tool_use").map(|block| block["id"].as_str().unwrap().into()).collect();
        for id in &open {
            assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{id}");
            assert!(ids.insert(id.clone()), "{id} is used twice");
        }
        assert!(of("tool_use").all(|block| block["input"].is_object()));
    }
    assert!(open.is_empty());
}

fn message() -> impl Strategy<Value = Message> {
    let text = || prop_oneof![Just(String::new()), Just(" \n".to_owned()), "[a-z ]{1,6}"];
    let id = || prop_oneof![Just(String::new()), "[ab]", "call[:.]1"];
    let call = (id(), "[fg]").prop_map(|(id, name)| call(&id, &name));
    prop_oneof![
        text().prop_map(Message::system),
        text().prop_map(Message::user),
        (text(), prop::collection::vec(call, 0..3)).prop_map(|(text, list)| calls(&text, list)),
        (id(), "[fg]", text()).prop_map(|(id, name, content)| result(&id, &name, &content)),
    ]
}

proptest! {
    #[test]
    fn any_conversation_is_brought_into_an_accepted_form(
        conversation in prop::collection::vec(message(), 0..9),
        has_tools: bool,
    ) {
        let turns = messages(Provider::Anthropic, &conversation, has_tools);
        assert_accepted(&turns);
        let text = json!(turns).to_string();
        prop_assert!(has_tools || !text.contains("tool_use") && !text.contains("tool_result"));
    }
}

#[test]
fn turns_alternate_and_instructions_keep_their_place() {
    let turns = messages(
        Provider::Anthropic,
        &[
            Message::assistant("Before. "),
            Message::system("A summary."),
            Message::user("Hello"),
            calls("", vec![call("call:1", "f")]),
            result("call:1", "f", "7"),
            Message::user("And?"),
            Message::assistant("No."),
        ],
        true,
    );
    let text = |text: &str| json!({ "type": "text", "text": text });
    assert_eq!(
        turns,
        [
            json!({ "role": "user", "content": [text("(The conversation began earlier.)")] }),
            json!({ "role": "assistant", "content": [text("Before.")] }),
            json!({ "role": "user", "content": [
                text("[System message]\nA summary.\n[End of system message]"), text("Hello"),
            ]}),
            json!({ "role": "assistant", "content": [
                { "type": "tool_use", "id": "call_1", "name": "f", "input": {} },
            ]}),
            json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "call_1", "content": "7" }, text("And?"),
            ]}),
            json!({ "role": "assistant", "content": [text("No.")] }),
            json!({ "role": "user", "content": [text("(Please go on.)")] }),
        ]
    );
}

#[test]
fn there_is_a_limit_of_blocks_and_a_bad_end_stays_one() {
    let block = |n| json!({ "type": "tool_use", "id": format!("c{n}"), "name": "f", "input": {} });
    let blocks: Vec<Value> = (0..20_000).map(block).collect();
    assert!(whole(&json!(blocks[..256]), "tool_use").is_ok());
    assert!(whole(&json!(blocks), "tool_use").is_err());
    let start = |n| json!({ "type": "content_block_start", "index": n, "content_block": block(n) });
    let starts: Vec<Value> = (0..300).map(start).collect();
    let mut reader = AnthropicReader::new(Provider::Anthropic);
    assert!(starts.iter().any(|event| reader.event(event).is_err()));
    let end = |reason: &str| {
        json!({ "type": "message_delta", "delta": { "stop_reason": reason },
            "usage": { "output_tokens": 4 } })
    };
    let stop = json!({ "type": "message_stop" });
    let failure = read(&[end("pause_turn"), end("end_turn"), stop]).unwrap_err();
    assert_eq!(failure.code.as_deref(), Some("pause_turn"));
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::model::Provider;
use crate::provider::chat::ChatReader;
use crate::provider::wire::Reader as _;

fn is_usual(event: &Value) -> bool {
    Chunk::parse(&event.to_string()).is_some()
}

#[test]
fn what_most_servers_send_is_usual() {
    let delta = |delta: Value| {
        json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "service_tier": "default", "system_fingerprint": null, "usage": null,
            "choices": [{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }] })
    };
    let counts = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10,
        "prompt_tokens_details": { "cached_tokens": 0, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": 0, "audio_tokens": 0 } });
    let mut end = delta(json!({}));
    end["choices"][0]["finish_reason"] = json!("stop");
    end["choices"][0]["native_finish_reason"] = json!("end_turn");
    end["usage"] = counts.clone();
    for event in [
        delta(json!({ "role": "assistant", "content": "", "refusal": null })),
        delta(json!({ "content": "a\n\u{e9}", "reasoning": null, "reasoning_details": [] })),
        delta(json!({ "content": null, "reasoning_content": "Hm." })),
        delta(json!({ "content": null, "tool_calls": [{ "index": 0, "id": "c", "type": "function",
            "function": { "name": "f", "arguments": "" } }] })),
        delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"a\":" } }] })),
        json!({ "choices": [], "usage": counts }),
        end,
    ] {
        assert!(is_usual(&event), "{event}");
    }
}

#[test]
fn anything_else_is_left_to_the_other_reader() {
    let plain = json!({ "id": "c", "object": "chat.completion.chunk", "usage": null, "choices": [
        { "index": 0, "delta": { "content": "a" }, "logprobs": null, "finish_reason": null }] });
    assert!(is_usual(&plain));
    for (path, value) in [
        ("/usage", json!({ "prompt_tokens": 1.5 })),
        ("/object", json!("error")),
        ("/choices/0/index", json!(1)),
        ("/choices/0/delta/content", json!([{ "type": "text", "text": "a" }])),
        ("/choices", json!([plain["choices"][0], plain["choices"][0]])),
    ] {
        let mut event = plain.clone();
        *event.pointer_mut(path).unwrap() = value.clone();
        assert!(!is_usual(&event), "{path} {value}");
    }
    for (place, name) in [
        ("", "error"),
        ("", "x_groq"),
        ("", "base_resp"),
        ("/choices/0", "error"),
        ("/choices/0", "usage"),
        ("/choices/0", "message"),
        ("/choices/0/delta", "function_call"),
        ("/choices/0/delta", "refusal"),
        ("/choices/0/delta", "reasoning"),
        ("/choices/0/delta", "reasoning_details"),
        ("/choices/0/delta", "thinking_blocks"),
        ("/choices/0/delta", "extra_content"),
    ] {
        let mut event = plain.clone();
        event.pointer_mut(place).unwrap()[name] = json!([1]);
        assert!(!is_usual(&event), "{place} {name}");
    }
}

/// A value that may stand anywhere, if rarely.
fn odd() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        Value::Null,
        json!(0),
        json!(1),
        json!(-1),
        json!(2.0),
        json!(true),
        json!(""),
        json!("error"),
        json!("a\"\n"),
        json!([]),
        json!(["a"]),
        json!([{ "type": "text", "text": "t" }]),
        json!({}),
        json!({ "message": "m" }),
    ])
}

/// An object of any of these fields.
fn fields(of: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> + use<> {
    let each = of.into_iter().map(|(name, value)| {
        let value = prop_oneof![9 => value, 1 => odd()];
        prop::option::weighted(0.5, value).prop_map(move |value| value.map(|value| (name, value)))
    });
    let each: Vec<_> = each.collect();
    each.prop_map(|fields| {
        Value::Object(
            fields.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect(),
        )
    })
}

fn words(of: &'static [&'static str]) -> BoxedStrategy<Value> {
    prop::sample::select(of).prop_map(|word| json!(word)).boxed()
}

fn list(of: impl Strategy<Value = Value> + 'static) -> BoxedStrategy<Value> {
    prop::collection::vec(of, 0..3).prop_map(Value::Array).boxed()
}

fn usage() -> BoxedStrategy<Value> {
    let count = || (0_u64..50).prop_map(|count| json!(count)).boxed();
    let details = || {
        let names = ["cached_tokens", "cache_write_tokens", "reasoning_tokens"];
        fields(names.map(|name| (name, count())).to_vec()).boxed()
    };
    let names = [
        "prompt_tokens",
        "input_tokens",
        "completion_tokens",
        "output_tokens",
        "total_tokens",
        "prompt_cache_hit_tokens",
        "cached_tokens",
    ];
    let mut of = names.map(|name| (name, count())).to_vec();
    of.push(("prompt_tokens_details", details()));
    of.push(("completion_tokens_details", details()));
    fields(of).boxed()
}

fn event() -> impl Strategy<Value = Value> {
    let text = || words(&["", "a", "b \u{e9}\n", "\"", "<think>"]);
    let rare = || prop_oneof![9 => Just(Value::Null), 1 => odd()].boxed();
    let function = fields(vec![
        ("name", words(&["", "f", "g", "fg"])),
        ("arguments", words(&["", "{", "{}", "{\"a\":1}", "}", " ", "no"])),
    ]);
    let call = fields(vec![
        ("index", (0_u64..3).prop_map(|index| json!(index)).boxed()),
        ("id", words(&["", "x", "y"])),
        ("function", function.boxed()),
        ("extra_content", rare()),
    ]);
    let delta = fields(vec![
        ("role", words(&["assistant"])),
        ("content", text()),
        ("refusal", rare()),
        ("reasoning_content", text()),
        ("reasoning", text()),
        ("reasoning_details", rare()),
        ("thinking_blocks", rare()),
        ("tool_calls", list(call)),
        ("function_call", rare()),
        ("extra_content", rare()),
    ]);
    let choice = fields(vec![
        ("index", Just(json!(0)).boxed()),
        ("delta", delta.boxed()),
        ("finish_reason", words(&["", "stop", "length", "tool_calls", "abort"])),
        ("native_finish_reason", words(&["STOP", "error"])),
        ("usage", rare()),
        ("error", rare()),
        ("message", rare()),
        ("detail", rare()),
        ("object", rare()),
        ("base_resp", rare()),
    ]);
    fields(vec![
        ("object", words(&["chat.completion.chunk"])),
        (
            "choices",
            prop_oneof![3 => choice.prop_map(|one| json!([one])), 1 => list(odd())].boxed(),
        ),
        ("usage", usage()),
        ("x_groq", rare()),
        ("error", rare()),
        ("base_resp", rare()),
        ("message", rare()),
    ])
}

proptest! {
    #[test]
    fn both_readers_read_the_same(events in prop::collection::vec(event(), 1..6)) {
        let mut reader = ChatReader::new(Provider::OpenRouter);
        let mut quick = ChatReader::new(Provider::OpenRouter);
        for event in &events {
            let expected = reader.event(event);
            let read = match quick.usual_event(&event.to_string()) {
                Some(read) => read,
                None => quick.event(event),
            };
            prop_assert_eq!(format!("{read:?}"), format!("{expected:?}"), "{}", event);
            let state = |reader: &ChatReader| format!("{reader:?}").replace("was_text: true", "was_text: false");
            prop_assert_eq!(state(&quick), state(&reader), "{}", event);
        }
        for reader in [&mut reader, &mut quick] {
            reader.done();
        }
    }
}

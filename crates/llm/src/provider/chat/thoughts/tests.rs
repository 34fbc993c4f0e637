use super::*;

fn read(deltas: &[Value]) -> Value {
    let mut reader = ThoughtReader::default();
    let mut text = String::new();
    for delta in deltas {
        reader.delta(delta, text.len());
        text += str_at(delta, "/content");
        for chunk in items(delta, "/content") {
            text += str_at(chunk, "/text");
        }
    }
    reader.take(Provider::OpenRouter, &text).map_or(Value::Null, |thoughts| thoughts.content)
}

#[test]
fn pieces_of_text_are_joined() {
    for name in ["reasoning_content", "reasoning"] {
        let deltas =
            [json!({ name: "I " }), json!({ name: null }), json!({ name: "plan" }), json!({})];
        assert_eq!(read(&deltas), json!({ name: "I plan" }));
        // A server that says it thought nothing wants to hear that again.
        assert_eq!(read(&[json!({ name: "" })]), json!({ name: "" }));
    }
    assert_eq!(read(&[json!({ "reasoning_content": null, "content": "Hi" })]), Value::Null);
}

#[test]
fn pieces_of_blocks_are_joined_by_type_up_to_the_signature() {
    let text =
        |text: &str| json!({ "type": "reasoning.text", "text": text, "index": 0, "format": "f" });
    let signed =
        json!({ "type": "reasoning.text", "signature": "c2ln", "index": 0, "format": "f" });
    let sealed =
        |id: &str| json!({ "type": "reasoning.encrypted", "data": "e", "id": id, "index": 0 });
    let delta = |block: &Value| json!({ "reasoning_details": [block] });
    let deltas = [
        delta(&text("I ")),
        delta(&text("plan")),
        delta(&signed),
        delta(&text("More")),
        delta(&sealed("a")),
        delta(&sealed("b")),
        json!({ "reasoning_details": [] }),
        json!({ "reasoning_details": null }),
    ];
    assert_eq!(
        read(&deltas),
        json!({ "reasoning_details": [
            { "type": "reasoning.text", "text": "I plan", "signature": "c2ln", "index": 0, "format": "f" },
            text("More"),
            sealed("a"),
            sealed("b"),
        ] })
    );
    let summaries = ["On", "e"].map(|summary| {
        json!({ "reasoning_details": [{ "type": "reasoning.summary", "summary": summary, "index": 0 }] })
    });
    let one = json!([{ "type": "reasoning.summary", "summary": "One", "index": 0 }]);
    assert_eq!(read(&summaries)["reasoning_details"], one);
    let other_index = json!({ "type": "reasoning.text", "text": "x", "index": 1, "format": "f" });
    let two = read(&[delta(&text("a")), delta(&other_index)]);
    assert_eq!(two["reasoning_details"].as_array().unwrap().len(), 2);
}

#[test]
fn chunks_of_mistral_keep_their_place() {
    let thinking = |text: &str| json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": text }] }] });
    let deltas = [
        thinking("I "),
        thinking("plan"),
        json!({ "content": [{ "type": "text", "text": "Hel" }] }),
        json!({ "content": "lo" }),
        thinking("And"),
        json!({ "content": "." }),
    ];
    assert_eq!(
        read(&deltas),
        json!({ "content": [
            { "type": "thinking", "thinking": [{ "type": "text", "text": "I plan" }] },
            { "type": "text", "text": "Hello" },
            { "type": "thinking", "thinking": [{ "type": "text", "text": "And" }] },
            { "type": "text", "text": "." },
        ] })
    );
}

#[test]
fn what_a_whole_message_has_is_kept_as_it_is() {
    let message = json!({
        "role": "assistant", "content": "Hi", "refusal": null,
        "reasoning": "x", "reasoning_content": "",
        "reasoning_details": [
            { "type": "reasoning.text", "text": "a" }, { "type": "reasoning.text", "text": "b" },
        ],
        "extra_content": { "google": { "thought_signature": "c2ln" } },
    });
    let kept = whole(Provider::OpenRouter, &message).unwrap();
    assert_eq!(
        kept.content,
        json!({
            "reasoning": "x", "reasoning_content": "",
            "reasoning_details": message["reasoning_details"],
            "extra_content": message["extra_content"],
        })
    );
    let none = json!({ "content": "Hi", "reasoning": null, "reasoning_details": [] });
    assert_eq!(whole(Provider::OpenRouter, &none), None);
}

#[test]
fn no_server_gets_a_field_that_it_refuses() {
    for (provider, is_own, model, field, expected) in [
        (Provider::OpenAi, true, "gpt-5", "reasoning_content", false),
        (Provider::OpenAi, false, "kimi-k2-thinking", "reasoning_content", true),
        (Provider::Groq, true, "openai/gpt-oss-120b", "reasoning", true),
        (Provider::Groq, true, "openai/gpt-oss-120b", "reasoning_content", false),
        (Provider::Groq, true, "llama-3.3-70b-versatile", "reasoning", false),
        (Provider::Mistral, true, "magistral-medium-latest", "content", true),
        (Provider::Mistral, true, "magistral-medium-latest", "reasoning_content", false),
        (Provider::OpenRouter, true, "anthropic/claude-sonnet-4.5", "reasoning_details", true),
        (Provider::Ollama, true, "qwen3", "reasoning", true),
    ] {
        assert_eq!(accepts(provider, is_own, model, field), expected, "{provider} {model} {field}");
    }
}

//! What a model thought, as a text for people.

use serde_json::Value;

/// The fields that hold words of a thought, by the name of the protocol's own object.
const WORDS: [&str; 3] = ["thinking", "reasoning_content", "reasoning"];

/// The words in a turn's thoughts; empty where the provider gives only what it can read itself. Signatures and
/// encrypted parts are no words.
pub fn thought_text(content: &Value) -> String {
    let mut words = Vec::new();
    collect(content, &mut words);
    words.dedup();
    words.join("\n")
}

fn collect<'c>(value: &'c Value, words: &mut Vec<&'c str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, words)),
        Value::Object(fields) => {
            let kind = fields.get("type").and_then(Value::as_str).unwrap_or_default();
            let is_thought = fields.get("thought") == Some(&Value::Bool(true))
                || matches!(kind, "summary_text" | "reasoning_text" | "reasoning.text");
            for (name, field) in fields {
                match field {
                    Value::String(text) if text.is_empty() => {}
                    Value::String(text)
                        if WORDS.contains(&name.as_str())
                            || (is_thought && name == "text")
                            || (kind == "reasoning.summary" && name == "summary") =>
                    {
                        words.push(text);
                    }
                    Value::Array(_) if kind == "thinking" => thinking(field, words),
                    field => collect(field, words),
                }
            }
        }
        _ => {}
    }
}

/// Mistral's thoughts are lists of texts.
fn thinking<'c>(parts: &'c Value, words: &mut Vec<&'c str>) {
    let parts = parts.as_array().into_iter().flatten();
    words.extend(parts.filter_map(|part| part["text"].as_str()).filter(|text| !text.is_empty()));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_words_of_each_protocol_are_found_and_nothing_else() {
        for (content, words) in [
            (json!({ "reasoning_content": "a" }), "a"),
            (
                json!({ "reasoning": "a", "reasoning_details":
                [{ "type": "reasoning.text", "text": "a", "signature": "s" },
                 { "type": "reasoning.encrypted", "data": "e" }] }),
                "a",
            ),
            (
                json!([{ "own": { "type": "thinking", "thinking": "a", "signature": "s" } },
                { "text": { "bytes": 3 } }, "call"]),
                "a",
            ),
            (json!([{ "own": { "thought": true, "text": "a", "thoughtSignature": "s" } }]), "a"),
            (
                json!([{ "own": { "type": "reasoning", "encrypted_content": "e",
                "summary": [{ "type": "summary_text", "text": "a" }, { "type": "summary_text", "text": "b" }] } }]),
                "a\nb",
            ),
            (
                json!({ "content": [{ "type": "thinking", "thinking": [{ "type": "text", "text": "a" }] },
                { "type": "text", "text": "said" }] }),
                "a",
            ),
            (json!([{ "own": { "type": "redacted_thinking", "data": "e" } }]), ""),
        ] {
            assert_eq!(thought_text(&content), words, "{content}");
        }
    }
}

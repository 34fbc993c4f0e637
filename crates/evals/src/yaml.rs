//! Writes YAML that people read: blocks, long texts in lines, everything doubtful in quotes.

use serde::Serialize;
use serde_json::Value;

/// A list or an object of no more than so many characters stands in one line.
const INLINE: usize = 90;

/// A value as YAML.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn to_yaml(value: &impl Serialize) -> Result<String, String> {
    let value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    let mut out = String::new();
    write(&value, 0, Place::Top, &mut out);
    Ok(out)
}

/// What stands before a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    AfterKey,
    AfterDash,
}

fn write(value: &Value, indent: usize, place: Place, out: &mut String) {
    let flow = (place != Place::Top).then(|| flow(value)).flatten();
    if let Some(flow) = flow {
        if place == Place::AfterKey {
            out.push(' ');
        }
        *out += &flow;
        out.push('\n');
        return;
    }
    match value {
        Value::Object(fields) => {
            for (at, (name, field)) in fields.iter().enumerate() {
                match (place, at) {
                    (Place::AfterKey, 0) => {
                        out.push('\n');
                        *out += &" ".repeat(indent);
                    }
                    (_, 0) => {}
                    _ => *out += &" ".repeat(indent),
                }
                *out += &scalar(name);
                out.push(':');
                write(field, indent + 2, Place::AfterKey, out);
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if place == Place::AfterKey && at == 0 {
                    out.push('\n');
                }
                if place != Place::AfterDash || at > 0 {
                    *out += &" ".repeat(indent);
                }
                *out += "- ";
                write(item, indent + 2, Place::AfterDash, out);
            }
        }
        Value::String(text) => {
            // In lines, which keep all that is in the text.
            if place == Place::AfterKey {
                out.push(' ');
            }
            let body = text.strip_suffix('\n');
            *out += if body.is_some() { "|\n" } else { "|-\n" };
            for line in body.unwrap_or(text).split('\n') {
                if !line.is_empty() {
                    *out += &" ".repeat(indent);
                    *out += line;
                }
                out.push('\n');
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            *out += &value.to_string();
            out.push('\n');
        }
    }
}

/// A value in one line; `None` where it is better written in several.
fn flow(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::String(text) if is_block(text) => None,
        Value::String(text) => Some(scalar(text)),
        Value::Array(items) if items.is_empty() => Some("[]".to_owned()),
        Value::Object(fields) if fields.is_empty() => Some("{}".to_owned()),
        Value::Array(_) | Value::Object(_) => {
            let has_block = has_block(value);
            let text = inline(value);
            (!has_block && text.chars().count() <= INLINE).then_some(text)
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields =
                fields.iter().map(|(name, field)| format!("{}: {}", scalar(name), inline(field)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => scalar(text),
        other => other.to_string(),
    }
}

fn has_block(value: &Value) -> bool {
    match value {
        Value::String(text) => is_block(text),
        Value::Array(items) => items.iter().any(has_block),
        Value::Object(fields) => fields.values().any(has_block),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a text is written in lines: where these show it as it is.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    body.contains('\n')
        && !body.ends_with('\n')
        && !body.starts_with([' ', '\n'])
        && body.chars().all(|c| c == '\n' || is_plain_char(c))
        && body
            .split('\n')
            .all(|line| !line.ends_with(' ') && !line.trim_start().is_empty() || line.is_empty())
}

/// Whether a character stands for itself in any YAML.
fn is_plain_char(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// A text in one line: as it is where nobody can take it for anything else, else in quotes.
fn scalar(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ' ');
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    let is_reserved = reserved.contains(&text.to_ascii_lowercase().as_str());
    if begins && !is_reserved && text.chars().all(is_word) && !text.ends_with(' ') {
        return text.to_owned();
    }
    // JSON's quotes are YAML's; what YAML has for line breaks besides is escaped.
    let quoted = Value::String(text.to_owned()).to_string();
    let mut out = String::with_capacity(quoted.len());
    for c in quoted.chars() {
        match c {
            c if is_plain_char(c) => out.push(c),
            c => out += &format!("\\u{:04x}", u32::from(c)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let text = "a: b\n- c\n\n  indented\n#x";
        let long = "x".repeat(200);
        for value in [
            json!({ "a": [], "b": {}, "c": null, "d": [1, 2.5, true, "yes", "1", "~", ""] }),
            json!({ "text": text, "ended": "one\ntwo\n", "two": "one\n\n", "blank": "a\n \nb", "tab": "a\n\tb" }),
            json!([{ "a": { "b": [{ "c": long }, long] } }, [[1, [long]]]]),
            json!({ "odd key: ": 1, "$any": true, "quotes": "\"'\\", "nul": "\u{0}\u{85}\u{2028}", "cr": "a\r\nb" }),
            json!({ "-": "- a", "x": "# no comment", "y": " lead", "z": "trail ", "0x10": "0x10", "d": "2026-01-01" }),
            json!({ "nested": [{ "content": text, "more": [text, text] }] }),
            json!({ "emoji": "😀 ü", "colon": "a:b", "at": "@x", "star": "*x", "amp": "&x", "pct": "%x", "bang": "!x" }),
            json!({ "lines": "  first is indented\nsecond", "end": "x\n\n\ny", "no": "null" }),
        ] {
            let yaml = to_yaml(&value).unwrap();
            let read: Value =
                serde_saphyr::from_str(&yaml).unwrap_or_else(|error| panic!("{yaml}\n{error}"));
            assert_eq!(read, value, "{yaml}");
        }
    }

    #[test]
    fn short_things_stand_in_a_line() {
        let yaml = to_yaml(&json!({ "a": { "b": [1, 2] }, "t": "one\ntwo" })).unwrap();
        assert_eq!(yaml, "a: {b: [1, 2]}\nt: |-\n  one\n  two\n");
    }
}

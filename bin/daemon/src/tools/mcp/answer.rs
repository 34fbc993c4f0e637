//! Converts the result of an MCP tool into a reply.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use crate::run::attachments::{name_for, plain_name};
use crate::tools::reply::{ToolFile, ToolReply};

/// How many values of structured content are looked for in the text, and in how much of it.
const MAX_COMPARED: usize = 256;
const MAX_COMPARED_BYTES: usize = 256 * 1024;

/// The most files of one result.
const MAX_FILES: usize = 8;

/// Joins the parts of a result. Its pictures, sounds and other files come beside the text, where a note says
/// so. Structured content follows where it says more than the text. `clean` leaves out the server's secrets.
pub(super) fn of_result(result: CallToolResult, clean: impl Fn(&str) -> String) -> ToolReply {
    let mut files = Vec::new();
    let parts: Vec<String> = result.content.iter().map(|block| part(block, &mut files)).collect();
    let mut text = parts.join("\n\n");
    // Servers repeat structured content as text for clients that do not know it: all of it, or a summary.
    if let Some(structured) = result.structured_content.filter(|value| !says(&text, value)) {
        if text.trim().is_empty() {
            text.clear();
        } else {
            text.push_str("\n\n");
        }
        text.push_str(&structured.to_string());
    }
    text = clean(&text);
    if result.is_error == Some(true) {
        let said = if text.is_empty() { "the tool failed".to_owned() } else { text };
        return ToolReply::Rejected(json!({ "error": said }));
    }
    if !files.is_empty() {
        return ToolReply::Files { text, files };
    }
    if text.is_empty() {
        ToolReply::Data(json!({ "ok": true }).to_string())
    } else {
        ToolReply::Data(text)
    }
}

/// Whether a text holds all values of structured content. Where there are too many to look for, it does
/// not: what is said twice does no harm.
fn says(text: &str, structured: &Value) -> bool {
    if text.trim().is_empty() {
        return false;
    }
    // `{"result": …}` is what the Python SDK puts around values that are no objects.
    let inner = structured.as_object().filter(|fields| fields.len() == 1);
    let inner = inner.and_then(|fields| fields.get("result"));
    if let Ok(read) = serde_json::from_str::<Value>(text)
        && (read == *structured || inner == Some(&read))
    {
        return true;
    }
    let mut values = Vec::new();
    text.len() <= MAX_COMPARED_BYTES
        && leaves(structured, &mut values)
        && values.iter().all(|value| holds(text, value))
}

/// Whether a text holds a value as a word or number of its own, not as a part of another.
fn holds(text: &str, value: &str) -> bool {
    // What begins or ends with a mark needs nothing else to end it.
    let first = value.chars().next().filter(|c| c.is_alphanumeric() || *c == '-');
    let last = value.chars().next_back().filter(|c| c.is_alphanumeric());
    let is_signed =
        |before: &str| first.is_some_and(|c| c.is_ascii_digit()) && before.ends_with('-');
    value.is_empty()
        || text.match_indices(value).any(|(at, _)| {
            let (before, after) = (&text[..at], &text[at + value.len()..]);
            let begins = first.is_none() || !goes_on(before.chars().rev()) && !is_signed(before);
            begins && (last.is_none() || !goes_on(after.chars()))
        })
}

/// Whether the characters beside a word belong to it, as in `22.5`, `10:15` and `2026-11-29`.
fn goes_on(mut beside: impl Iterator<Item = char>) -> bool {
    match beside.next() {
        Some('.' | ',' | '-' | ':' | '/') => beside.next().is_some_and(|c| c.is_ascii_digit()),
        next => next.is_some_and(char::is_alphanumeric),
    }
}

/// The texts of all values within a value, unless there are too many.
fn leaves(value: &Value, out: &mut Vec<String>) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => {
            out.push(text.trim().to_owned());
            out.len() <= MAX_COMPARED
        }
        Value::Bool(_) | Value::Number(_) => {
            out.push(value.to_string());
            out.len() <= MAX_COMPARED
        }
        Value::Array(items) => items.iter().all(|item| leaves(item, out)),
        Value::Object(fields) => fields.values().all(|field| leaves(field, out)),
    }
}

fn part(block: &ContentBlock, files: &mut Vec<ToolFile>) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => file("image", None, &image.mime_type, &image.data, files),
        ContentBlock::Audio(audio) => file("audio", None, &audio.mime_type, &audio.data, files),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[{uri}]\n{text}"),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("binary");
                let name = uri.rsplit('/').next().and_then(plain_name);
                format!("[{uri}] {}", file("resource", name, kind, blob, files))
            }
            _ => "[a resource of an unknown kind; left out]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => {
            json!({ "resource": link.uri, "name": link.name }).to_string()
        }
        _ => "[content of an unknown kind; left out]".to_owned(),
    }
}

/// Adds a file, and gives the note in its place.
fn file(
    what: &str,
    name: Option<&str>,
    declared: &str,
    base64: &str,
    files: &mut Vec<ToolFile>,
) -> String {
    let bytes = STANDARD.decode(base64).ok().filter(|_| files.len() < MAX_FILES);
    let Some(bytes) = bytes else {
        // `length` counts characters of base64.
        let size = base64.len() / 4 * 3;
        return format!("[{what}, {declared}, about {size} bytes; left out]");
    };
    let media_type = media_type::of(Some(declared), name.unwrap_or_default(), &bytes);
    let name = name.map_or_else(|| name_for(&media_type, files.len() + 1), str::to_owned);
    let note = format!("[{what} {name}, {media_type}, {} bytes]", bytes.len());
    files.push(ToolFile { name, media_type, bytes: bytes.into() });
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(result: Value) -> ToolReply {
        of_result(serde_json::from_value(result).unwrap(), str::to_owned)
    }

    #[test]
    fn texts_are_joined_and_the_rest_is_named() {
        let reply = read(json!({ "content": [
            { "type": "text", "text": "one" },
            { "type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png" },
            { "type": "image", "data": "?", "mimeType": "image/png" },
            { "type": "resource", "resource": { "uri": "a://b", "text": "two" } },
            { "type": "resource", "resource": { "uri": "a://x/d.pdf", "blob": "JVBERi0xLjc=", "mimeType": "application/pdf" } },
            { "type": "resource_link", "uri": "a://c", "name": "c" },
        ] }));
        let ToolReply::Files { text, files } = reply else { panic!("{reply:?}") };
        assert_eq!(
            text,
            "one\n\n[image image-1.png, image/png, 8 bytes]\n\n[image, image/png, about 0 bytes; left out]\n\n\
             [a://b]\ntwo\n\n[a://x/d.pdf] [resource d.pdf, application/pdf, 8 bytes]\n\n\
             {\"resource\":\"a://c\",\"name\":\"c\"}"
        );
        let named: Vec<_> = files.iter().map(|file| (&*file.name, &*file.media_type)).collect();
        assert_eq!(named, [("image-1.png", "image/png"), ("d.pdf", "application/pdf")]);
    }

    #[test]
    fn structured_content_is_told_where_it_says_more_than_the_text() {
        let of = |text: &str, structured: Value| {
            let content = json!([{ "type": "text", "text": text }]);
            match read(json!({ "content": content, "structuredContent": structured })) {
                ToolReply::Data(text) => text,
                reply => panic!("{reply:?}"),
            }
        };
        // As much: the same, in another layout, of another SDK, in words.
        for (text, structured) in [
            (r#"{"a": 1, "b": ["x"]}"#, json!({ "b": ["x"], "a": 1 })),
            ("{\n  \"a\": 1.5\n}", json!({ "a": 1.5 })),
            ("Paris", json!({ "result": "Paris" })),
            ("[1, 2]", json!({ "result": [1, 2] })),
            ("1\n\n2", json!({ "result": [1, 2] })),
            ("22.5 degrees, cloudy", json!({ "temperature": 22.5, "sky": "cloudy", "rain": null })),
            ("nothing", json!({})),
        ] {
            assert_eq!(of(text, structured), text);
        }
        // More.
        assert_eq!(
            of("2 rows", json!({ "rows": [{ "id": 7 }] })),
            "2 rows\n\n{\"rows\":[{\"id\":7}]}"
        );
        // A part of another number, time or word is no value.
        for (text, structured) in [
            ("Done at 10:15", json!({ "ids": [1, 5, 0] })),
            ("Done at 10:15", json!({ "ids": [10] })),
            ("17 rows", json!({ "id": 7 })),
            ("22.5 degrees", json!({ "n": 22 })),
            ("22.5 degrees", json!({ "n": 5 })),
            ("on 2026-11-29", json!({ "n": 11 })),
            ("-7 degrees", json!({ "n": 7 })),
            ("unlocked", json!({ "state": "locked" })),
            ("7a", json!({ "n": 7 })),
        ] {
            assert_eq!(of(text, structured.clone()), format!("{text}\n\n{structured}"));
        }
        for (text, structured) in [
            ("17 or 7.", json!({ "n": 7 })),
            ("id=7, at -7: \"x\"", json!({ "id": 7, "n": -7, "name": "x" })),
            ("(ready)", json!({ "is": "(ready" })),
            ("Äpfel: 3", json!({ "what": "Äpfel", "n": 3 })),
        ] {
            assert_eq!(of(text, structured), text);
        }
        assert_eq!(of("ok", json!({ "done": true })), "ok\n\n{\"done\":true}");
        assert_eq!(of(" \n", json!({ "n": 1 })), r#"{"n":1}"#);
        let many = json!({ "n": (0..300).collect::<Vec<_>>() });
        let text = many["n"].to_string();
        assert!(of(&text, many).contains(r#"{"n":[0,1,2,"#));
        let reply = read(json!({ "content": [{ "type": "text", "text": "no" }], "isError": true,
            "structuredContent": { "code": 7 } }));
        assert!(
            matches!(reply, ToolReply::Rejected(body) if body == json!({ "error": "no\n\n{\"code\":7}" }))
        );
    }

    #[test]
    fn structured_content_stands_in_for_missing_text_and_errors_are_errors() {
        let reply = read(json!({ "content": [], "structuredContent": { "n": 1 } }));
        assert!(matches!(reply, ToolReply::Data(text) if text == r#"{"n":1}"#));
        let reply = read(json!({ "content": [{ "type": "text", "text": "no" }], "isError": true }));
        assert!(matches!(reply, ToolReply::Rejected(body) if body == json!({ "error": "no" })));
        let reply = read(json!({ "content": [] }));
        assert!(matches!(reply, ToolReply::Data(text) if text == r#"{"ok":true}"#));
    }
}

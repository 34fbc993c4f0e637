//! Converts the result of an MCP tool into a reply.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::json;

use crate::tools::reply::ToolReply;

/// Joins the parts of a result; parts that a model cannot read are replaced by a note. `clean` leaves out
/// the server's secrets.
pub(super) fn of_result(result: CallToolResult, clean: impl Fn(&str) -> String) -> ToolReply {
    let parts: Vec<String> = result.content.iter().map(part).collect();
    let mut text = parts.join("\n\n");
    // Servers repeat structured content as text for clients that do not know it.
    if let Some(structured) = result.structured_content.filter(|_| text.trim().is_empty()) {
        text = structured.to_string();
    }
    text = clean(&text);
    if result.is_error == Some(true) {
        let said = if text.is_empty() { "the tool failed".to_owned() } else { text };
        return ToolReply::Rejected(json!({ "error": said }));
    }
    if text.is_empty() {
        ToolReply::Data(json!({ "ok": true }).to_string())
    } else {
        ToolReply::Data(text)
    }
}

fn part(block: &ContentBlock) -> String {
    match block {
        ContentBlock::Text(text) => text.text.clone(),
        ContentBlock::Image(image) => unreadable("image", &image.mime_type, image.data.len()),
        ContentBlock::Audio(audio) => unreadable("audio", &audio.mime_type, audio.data.len()),
        ContentBlock::Resource(resource) => match &resource.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => format!("[{uri}]\n{text}"),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("binary");
                format!("[{uri}] {}", unreadable("resource", kind, blob.len()))
            }
            _ => "[a resource of an unknown kind; left out]".to_owned(),
        },
        ContentBlock::ResourceLink(link) => {
            json!({ "resource": link.uri, "name": link.name }).to_string()
        }
        _ => "[content of an unknown kind; left out]".to_owned(),
    }
}

/// A note in place of binary data. `length` counts characters of base64.
fn unreadable(what: &str, kind: &str, length: usize) -> String {
    format!("[{what}, {kind}, about {} bytes; left out]", length / 4 * 3)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn read(result: Value) -> ToolReply {
        of_result(serde_json::from_value(result).unwrap(), str::to_owned)
    }

    #[test]
    fn texts_are_joined_and_the_rest_is_named() {
        let reply = read(json!({ "content": [
            { "type": "text", "text": "one" },
            { "type": "image", "data": "AAAAAAAA", "mimeType": "image/png" },
            { "type": "resource", "resource": { "uri": "a://b", "text": "two" } },
            { "type": "resource_link", "uri": "a://c", "name": "c" },
        ] }));
        let ToolReply::Data(text) = reply else { panic!("{reply:?}") };
        assert_eq!(
            text,
            "one\n\n[image, image/png, about 6 bytes; left out]\n\n[a://b]\ntwo\n\n{\"resource\":\"a://c\",\"name\":\"c\"}"
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

//! `save_file`: a file that the agent writes. It is stored in the backend and attached to the run's reply.

use bytes::Bytes;
use futures::FutureExt as _;
use mc_client::files::{MAX_NAME_BYTES, name_problem};
use serde_json::{Value, json};

use super::context::ToolContext;
use super::enabled::EnabledTool;
use super::reply::ToolReply;

/// The largest file, bytes.
const MAX_BYTES: usize = 1024 * 1024;

const JSON: &str = "application/json";

/// What an agent may write: text that is a file of its own, and that nothing runs.
const MEDIA_TYPES: [&str; 5] = ["text/csv", "text/markdown", JSON, "image/svg+xml", "text/plain"];

pub(super) const TOOL: EnabledTool = EnabledTool {
    name: "save_file",
    description: "Write a file for the user: a table as CSV, a document as Markdown, data as JSON, a drawing as \
                  SVG, or plain text. It is attached to your reply, so do not repeat its content there.",
    parameters,
    needs: &["files"],
    approves: true,
    // Equal bytes under the same name are the same file, so that a repeated call needs no key.
    call: |context, arguments, _| save(context, arguments).boxed(),
};

fn parameters() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": { "type": "string", "minLength": 1, "maxLength": MAX_NAME_BYTES, "description": "The file's name with its ending, such as prices.csv; no path." },
            "media_type": { "type": "string", "enum": MEDIA_TYPES },
            "content": { "type": "string", "minLength": 1, "description": "The whole file, 1 MiB at most." }
        },
        "required": ["name", "media_type", "content"],
        "additionalProperties": false
    })
}

async fn save(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let text = |name: &str| arguments[name].as_str().unwrap_or_default();
    let (name, media_type, content) = (text("name"), text("media_type"), text("content"));
    if let Err(why) = check(name, media_type, content) {
        return ToolReply::NotMade(format!("the file was not saved: {why}"));
    }
    let bytes = Bytes::copy_from_slice(content.as_bytes());
    match context.client.put_file(name, media_type, bytes).await {
        Ok(file) => ToolReply::Saved(file),
        Err(error) => ToolReply::failed(&error),
    }
}

fn check(name: &str, media_type: &str, content: &str) -> Result<(), String> {
    if let Some(why) = name_problem(name) {
        return Err(format!("its name {why}"));
    }
    if content.len() > MAX_BYTES {
        return Err(format!("it has {} bytes; {MAX_BYTES} is the most", content.len()));
    }
    if media_type == JSON
        && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(content)
    {
        return Err(format!("its content is not JSON: {error}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_not_saved() {
        let long = "x".repeat(MAX_BYTES + 1);
        for (name, media_type, content, told) in [
            ("a/b.csv", "text/csv", "a", "its name must hold no /"),
            ("..\\b.csv", "text/csv", "a", "its name"),
            ("a.json", JSON, "{", "not JSON"),
            ("a.txt", "text/plain", &long, "the most"),
        ] {
            let why = check(name, media_type, content).unwrap_err();
            assert!(why.contains(told), "{why}");
        }
        assert_eq!(check("a.json", JSON, "{\"a\": [1]}"), Ok(()));
        assert_eq!(check("a.txt", "text/plain", &long[1..]), Ok(()));
    }
}

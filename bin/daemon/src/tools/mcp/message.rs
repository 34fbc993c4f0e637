//! Messages of MCP servers, before they are read: bounded in bytes and values, and without what would
//! cost the whole message. A tool definition or a content block that cannot be read costs itself.

use std::borrow::Cow;

use memchr::memmem;
use rmcp::model::ContentBlock;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The largest message.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// The most JSON values in a message: read, each takes many times its text.
const MAX_VALUES: usize = 200_000;

/// The most tools of one server.
pub(super) const MAX_TOOLS: usize = 1_000;

/// The most content blocks of a result.
const MAX_BLOCKS: usize = 1_000;

/// Our code of an error that stands for a message that was not read.
pub(super) const NOT_READ: i32 = -32_099;

/// Where a tool's problem is kept; all else that servers put beside it is left out.
const PROBLEM: &str = "wombat/problem";

/// How much of a name is shown.
const MAX_SHOWN: usize = 80;

/// What is wrong with a definition or block.
type Problem = String;

/// That a message is too long.
pub(super) fn too_long() -> String {
    format!("a message of the server is longer than {} MiB", MAX_MESSAGE_BYTES / 1024 / 1024)
}

/// The message as it can be read.
///
/// # Errors
/// Why it is not read at all.
pub(super) fn readable(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if text.len() > MAX_MESSAGE_BYTES {
        return Err(too_long());
    }
    if count_values(text) > MAX_VALUES {
        return Err(format!("a message of the server has more than {MAX_VALUES} values"));
    }
    let may_hold = |word: &[u8]| memmem::find(text, word).is_some();
    if !may_hold(b"\"tools\"") && !may_hold(b"\"content\"") {
        return Ok(Cow::Borrowed(text));
    }
    // What is no JSON is for the protocol's own reader to tell.
    let Ok(mut message) = serde_json::from_slice::<Value>(text) else {
        return Ok(Cow::Borrowed(text));
    };
    let Some(result) = message.get_mut("result").and_then(Value::as_object_mut) else {
        return Ok(Cow::Borrowed(text));
    };
    let (tools, content) = (result.contains_key("tools"), result.contains_key("content"));
    match (tools, content) {
        (true, _) => repair_list(result),
        (false, true) => repair_result(result),
        // Something else has such a field.
        (false, false) => return Ok(Cow::Borrowed(text)),
    }
    Ok(Cow::Owned(message.to_string().into_bytes()))
}

/// The id of a message whose beginning this is.
pub(super) fn id_of(text: &[u8]) -> Option<Value> {
    #[derive(Deserialize)]
    struct Head {
        id: Option<Value>,
    }
    if let Ok(head) = serde_json::from_slice::<Head>(text) {
        return head.id;
    }
    let at = memmem::find(text, b"\"id\"")?;
    let rest = text[at + 4..].trim_ascii_start().strip_prefix(b":")?;
    serde_json::Deserializer::from_slice(rest).into_iter::<Value>().next()?.ok()
}

/// An error in place of a message that is not read.
pub(super) fn refusal(id: &Value, why: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": NOT_READ, "message": why } })
}

/// At most the number of values in a JSON text, names of fields included.
fn count_values(text: &[u8]) -> usize {
    let (mut count, mut in_string, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b':' | b'[' | b'{' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// Leaves of each tool what is used, and stands in for those that cannot be read.
fn repair_list(result: &mut Map<String, Value>) {
    let Some(Value::Array(tools)) = result.remove("tools") else {
        let problem = stand_in("", "tools must be a list".to_owned());
        *result = [("tools".to_owned(), json!([problem]))].into_iter().collect();
        return;
    };
    // One more than the most, so that the reader notices.
    let tools = tools.into_iter().take(MAX_TOOLS + 1).enumerate();
    let mut kept = Map::new();
    let read = tools.map(|(at, tool)| read_tool(at, tool)).collect();
    kept.insert("tools".to_owned(), Value::Array(read));
    for (field, is_right) in [
        ("nextCursor", Value::is_string as fn(&Value) -> bool),
        ("resultType", Value::is_string),
        ("ttlMs", Value::is_u64),
        ("cacheScope", |scope| matches!(scope.as_str(), Some("public" | "private"))),
    ] {
        if let Some(value) = result.remove(field).filter(is_right) {
            kept.insert(field.to_owned(), value);
        }
    }
    *result = kept;
}

/// A definition with the fields that are used. `at` counts from 0.
fn read_tool(at: usize, tool: Value) -> Value {
    let Value::Object(mut tool) = tool else {
        return stand_in("", format!("tool {}: is not an object", at + 1));
    };
    let name = match tool.remove("name") {
        Some(Value::String(name)) => name,
        name => {
            return stand_in("", format!("tool {}: name {}", at + 1, must_be("a string", name)));
        }
    };
    let problem =
        |field: &str, why: String| stand_in(&name, format!("{}: {field} {why}", shown(&name)));
    let description = match tool.remove("description") {
        None | Some(Value::Null) => Value::Null,
        Some(Value::String(text)) => Value::String(text),
        other => return problem("description", must_be("a string", other)),
    };
    match tool.remove("inputSchema") {
        Some(schema @ Value::Object(_)) => {
            let mut read = json!({ "name": name, "inputSchema": schema });
            if !description.is_null() {
                read["description"] = description;
            }
            let hints = hints(tool.get("annotations"));
            if !hints.is_empty() {
                read["annotations"] = Value::Object(hints);
            }
            read
        }
        other => problem("inputSchema", must_be("an object", other)),
    }
}

/// What a server says of repeating a call.
fn hints(annotations: Option<&Value>) -> Map<String, Value> {
    let told = |name: &str| Some((name.to_owned(), annotations?.get(name)?.as_bool()?.into()));
    ["readOnlyHint", "idempotentHint"].into_iter().filter_map(told).collect()
}

/// A definition that only carries a problem.
fn stand_in(name: &str, problem: Problem) -> Value {
    json!({ "name": name, "inputSchema": { "type": "object" }, "_meta": { PROBLEM: problem } })
}

/// The problem that a definition carries.
pub(super) fn problem_of(tool: &rmcp::model::Tool) -> Option<&str> {
    tool.meta.as_ref()?.0.get(PROBLEM)?.as_str()
}

/// Replaces blocks that cannot be read by a text that says so, and leaves out fields of a wrong type.
fn repair_result(result: &mut Map<String, Value>) {
    let content = match result.remove("content") {
        Some(Value::Array(blocks)) => blocks,
        Some(Value::Null) | None => Vec::new(),
        other => vec![note(&format!("content {}", must_be("a list", other)))],
    };
    let left_out = content.len().saturating_sub(MAX_BLOCKS);
    let blocks = content.into_iter().take(MAX_BLOCKS).enumerate();
    let mut blocks: Vec<Value> = blocks.map(|(at, block)| read_block(at, block)).collect();
    if left_out > 0 {
        blocks.push(note(&format!("{left_out} more content blocks")));
    }
    result.insert("content".to_owned(), Value::Array(blocks));
    // What says neither yes nor no is no success.
    if let Some(flag) = result.get_mut("isError")
        && !flag.is_boolean()
        && !flag.is_null()
    {
        *flag = Value::Bool(true);
    }
    result.retain(|field, value| match field.as_str() {
        "_meta" => value.is_object(),
        "resultType" => value.is_string(),
        _ => true,
    });
}

fn read_block(at: usize, mut block: Value) -> Value {
    if let Some(fields) = block.as_object_mut() {
        // Neither is used, and either could cost the block.
        fields.remove("annotations");
        fields.remove("_meta");
    }
    match ContentBlock::deserialize(&block) {
        Ok(_) => block,
        Err(_) => note(&format!("content.{at}{}", problem_of_block(&block))),
    }
}

/// What is wrong with a block that cannot be read, beginning with its field.
fn problem_of_block(block: &Value) -> String {
    let Value::Object(fields) = block else { return " must be an object".to_owned() };
    let texts: &[&str] = match fields.get("type") {
        Some(Value::String(kind)) => match kind.as_str() {
            "text" => &["text"],
            "image" | "audio" => &["data", "mimeType"],
            "resource_link" => &["uri", "name"],
            "resource" => {
                let Some(resource) = fields.get("resource").and_then(Value::as_object) else {
                    return format!(
                        ".resource {}",
                        must_be("an object", fields.get("resource").cloned())
                    );
                };
                let content = if resource.contains_key("blob") { "blob" } else { "text" };
                return [content, "uri"]
                    .into_iter()
                    .find(|field| !resource.get(*field).is_some_and(Value::is_string))
                    .map_or(".resource cannot be read".to_owned(), |field| {
                        let why = must_be("a string", resource.get(field).cloned());
                        format!(".resource.{field} {why}")
                    });
            }
            other => return format!(".type {} is not known", shown(other)),
        },
        other => return format!(".type {}", must_be("a string", other.cloned())),
    };
    let wrong = texts.iter().find(|field| !fields.get(**field).is_some_and(Value::is_string));
    match wrong {
        Some(field) => format!(".{field} {}", must_be("a string", fields.get(*field).cloned())),
        None => " cannot be read".to_owned(),
    }
}

fn note(what: &str) -> Value {
    json!({ "type": "text", "text": format!("[left out: {what}]") })
}

fn must_be(what: &str, found: Option<Value>) -> String {
    if found.is_none() { format!("is missing; must be {what}") } else { format!("must be {what}") }
}

/// The beginning of a name, in quotes.
fn shown(name: &str) -> String {
    let end = name.floor_char_boundary(MAX_SHOWN);
    format!("{:?}", &name[..end])
}

#[cfg(test)]
mod tests;

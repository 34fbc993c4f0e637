//! `read_result`: reads on in a result that was too long for the model. The run keeps the whole of it
//! (`agent/kept_results.rs`); here is what is read of it.

use std::sync::LazyLock;

use llm::request::ToolSpec;
use serde_json::{Value, json};
use tool_search::{Entry, Index};

use super::cutting::{self, Step, at, cut_lists, find_largest, told};
use super::json_path::JsonPath;
use super::own_call::{ReadRequest, Reading};
use super::reply::ToolReply;
use super::set::ToolSet;
use super::specs::{Builtin, READ_RESULT};

/// How many parts of a result are looked through by words.
const MAX_PARTS: usize = 20_000;

/// How many of them are told at most.
const MAX_TOLD: usize = 20;

/// How much of a part is looked at, bytes.
const MAX_LOOKED_AT: usize = 4_000;

/// About how long a part of a plain text is, bytes.
const PART: usize = 600;

/// The tool as models see it.
static SPEC: LazyLock<ToolSpec> = LazyLock::new(|| Builtin::ReadResult.spec(&[]));

/// The tool, which models get once there is a result to read.
pub(super) fn spec() -> &'static ToolSpec {
    &SPEC
}

/// What a call wants. Exactly one way of reading is wanted at a time.
pub(super) fn wanted(arguments: &Value) -> ToolReply {
    let text = |name: &str| arguments[name].as_str().map(str::to_owned);
    let offset = arguments["offset"].as_u64().and_then(|offset| usize::try_from(offset).ok());
    let how = match (offset, text("jsonpath"), text("query")) {
        (Some(offset), None, None) => Reading::From(offset),
        (None, Some(path), None) => Reading::Path(path),
        (None, None, Some(query)) => Reading::Words(query),
        (None, None, None) => Reading::From(0),
        _ => return ToolReply::NotMade("give one of offset, jsonpath and query".to_owned()),
    };
    let id = text("id").unwrap_or_default();
    ToolReply::OfRun(super::own_call::OwnCall::Result(ReadRequest { id, how }))
}

/// Reads on in a text, at most about `most` characters of it. The error is for the model.
pub fn read(text: &str, how: &Reading, most: usize) -> Result<String, String> {
    match how {
        Reading::From(offset) => from(text, *offset, most),
        Reading::Path(path) => by_path(text, path, most),
        Reading::Words(query) => Ok(by_words(text, query, most)),
    }
}

fn from(text: &str, offset: usize, most: usize) -> Result<String, String> {
    let total = text.chars().count();
    if offset >= total {
        return Err(format!(
            "offset {offset} is behind the end; the result has {total} characters"
        ));
    }
    let place = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let end = offset.saturating_add(most).min(total);
    let rest =
        if end < total { format!("offset {end} reads on") } else { "that is its end".to_owned() };
    let shown = &text[place(offset)..place(end)];
    Ok(format!("{shown}\n[characters {offset} to {end} of {total}; {rest}]"))
}

fn by_path(text: &str, path: &str, most: usize) -> Result<String, String> {
    let wrong = |why: String| format!("jsonpath {path:?}: {why}");
    let read = JsonPath::parse(path).map_err(wrong)?;
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Err("this result is no JSON; read it by offset or query".to_owned());
    };
    let found: Vec<Value> = read.find(&value).map_err(wrong)?.into_iter().cloned().collect();
    let count = found.len();
    let mut found = Value::Array(found);
    let cuts = cut_lists(&mut found, most);
    let mut told = found.to_string();
    if told.chars().count() > most {
        let cutting::Cut { shown, part, .. } = cutting::cut(&told, most);
        return Ok(format!("{shown}\n[{count} found; {part}; name more of the path]"));
    }
    if !cuts.is_empty() {
        told += &format!("\n[{count} found; shown: {}; name more of the path]", cuts.join("; "));
    }
    Ok(told)
}

fn by_words(text: &str, query: &str, most: usize) -> String {
    let parsed = text.trim_start().starts_with(['{', '[']);
    let parsed = parsed.then(|| serde_json::from_str::<Value>(text).ok()).flatten();
    let parts = match &parsed {
        Some(value) => parts_of(value),
        None => parts_of_text(text),
    };
    let looked_at: Vec<_> =
        parts.iter().map(|(_, text)| &text[..text.floor_char_boundary(MAX_LOOKED_AT)]).collect();
    let index = Index::build(looked_at.iter().map(|text| Entry::of_text(text)));
    let found = index.search(query, MAX_TOLD, |_| true);
    let (mut told, mut left) = (Vec::new(), most);
    for place in found {
        let (at, text) = &parts[place];
        let size = text.chars().count();
        if size > left && !told.is_empty() {
            break;
        }
        let text = if size > left { cutting::cut(text, left).shown } else { text.clone() };
        left = left.saturating_sub(size);
        let value = serde_json::from_str(&text).ok().filter(|_| parsed.is_some());
        told.push(json!({ "at": at, "value": value.unwrap_or(Value::String(text)) }));
    }
    let note = match told.is_empty() {
        true => format!("none of its {} parts has these words", parts.len()),
        false => format!("the {} that fit best of its {} parts", told.len(), parts.len()),
    };
    format!("{}\n[{note}]", Value::Array(told))
}

/// The elements of the largest list of a result with the way to each; else its fields.
fn parts_of(value: &Value) -> Vec<(Value, String)> {
    let mut largest = None;
    find_largest(value, &mut Vec::new(), &[], &mut largest);
    let part = |path: &[Step], step: Step, value: &Value| {
        let path: Vec<Step> = path.iter().cloned().chain([step]).collect();
        (Value::String(told(&path)), value.to_string())
    };
    if let Some((_, path)) = largest
        && let Some(Value::Array(items)) = at(value, &path)
    {
        let items = items.iter().enumerate().take(MAX_PARTS);
        return items.map(|(at, item)| part(&path, Step::Index(at), item)).collect();
    }
    let fields = value.as_object().into_iter().flatten().take(MAX_PARTS);
    fields.map(|(key, value)| part(&[], Step::Key(key.clone()), value)).collect()
}

/// Some lines at a time, with the character at which they begin.
fn parts_of_text(text: &str) -> Vec<(Value, String)> {
    let (mut parts, mut part, mut begin, mut count) = (Vec::new(), String::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        part.push_str(line);
        count += line.chars().count();
        if part.len() >= PART {
            parts.push((json!({ "offset": begin }), std::mem::take(&mut part)));
            begin = count;
        }
        if parts.len() >= MAX_PARTS {
            return parts;
        }
    }
    if !part.is_empty() {
        parts.push((json!({ "offset": begin }), part));
    }
    parts
}

impl ToolSet {
    /// Whether the role's model can read on in a result.
    pub fn reads_results(&self) -> bool {
        self.has(READ_RESULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted_of(arguments: Value) -> Option<Reading> {
        match wanted(&arguments) {
            ToolReply::OfRun(super::super::own_call::OwnCall::Result(read)) => Some(read.how),
            _ => None,
        }
    }

    #[test]
    fn one_way_of_reading_is_wanted() {
        assert_eq!(wanted_of(json!({ "id": "a" })), Some(Reading::From(0)));
        assert_eq!(wanted_of(json!({ "id": "a", "offset": 7 })), Some(Reading::From(7)));
        assert_eq!(wanted_of(json!({ "id": "a", "query": "x" })), Some(Reading::Words("x".into())));
        assert_eq!(wanted_of(json!({ "id": "a", "query": "x", "offset": 7 })), None);
    }

    #[test]
    fn a_text_is_read_to_its_end() {
        let text = "äöü".repeat(50);
        let first = read(&text, &Reading::From(0), 100).unwrap();
        assert!(first.ends_with("\n[characters 0 to 100 of 150; offset 100 reads on]"), "{first}");
        let rest = read(&text, &Reading::From(100), 100).unwrap();
        assert!(
            rest.starts_with("öü")
                && rest.ends_with("[characters 100 to 150 of 150; that is its end]"),
            "{rest}"
        );
        assert!(read(&text, &Reading::From(150), 100).unwrap_err().contains("150 characters"));
        assert!(read(&text, &Reading::Path("$.a".into()), 100).unwrap_err().contains("no JSON"));
    }

    #[test]
    fn json_is_read_by_path_and_by_words() {
        let items: Vec<Value> =
            (0..500).map(|id| json!({ "id": id, "name": format!("school {id}") })).collect();
        let text = json!({ "items": items }).to_string();
        let path = |path: &str| read(&text, &Reading::Path(path.into()), 200);
        assert_eq!(path("$.items[?@.id == 321].name").unwrap(), "[\"school 321\"]");
        let many = path("$.items[*].name").unwrap();
        assert!(
            many.contains("\n[500 found; shown: the first ") && many.contains(" of 500 elements"),
            "{many}"
        );
        assert!(path("$.items[").is_err());
        let found = read(&text, &Reading::Words("school 321".into()), 60).unwrap();
        assert!(
            found.starts_with(r#"[{"at":"$.items[321]","value":{"id":321,"name":"school 321"}}"#),
            "{found}"
        );
        assert!(
            read(&text, &Reading::Words("zebra".into()), 60)
                .unwrap()
                .contains("none of its 500 parts")
        );
        let lines: String = (0..500).map(|n| format!("line {n} says nothing\n")).collect();
        let found =
            read(&(lines + "here is the needle"), &Reading::Words("needle".into()), 5_000).unwrap();
        assert!(found.contains("here is the needle") && found.contains("\"offset\":"), "{found}");
    }
}

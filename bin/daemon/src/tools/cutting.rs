//! Results that are too long for a model: what it gets of one. Lists are cut between elements, and it is told how many
//! there are.

use serde_json::{Map, Value, json};

/// How many lists of a result are cut.
const MAX_CUTS: usize = 12;

/// How deep the shape of a result is told.
const SHAPE_DEPTH: usize = 3;

/// How many keys of an object its shape names.
const SHAPE_KEYS: usize = 30;

/// The longest shape, bytes.
const MAX_SHAPE: usize = 800;

/// What a model gets of a long result.
#[derive(Debug, PartialEq)]
pub(super) struct Cut {
    /// The beginning.
    pub(super) shown: String,
    /// What that is of the whole: `the first 12 of 340 elements`.
    pub(super) part: String,
    /// Kinds, counts and keys, of JSON.
    pub(super) shape: Option<String>,
}

/// The beginning of a text, in about `most` characters.
pub(super) fn cut(text: &str, most: usize) -> Cut {
    let is_json = text.trim_start().starts_with(['{', '[']);
    if let Some(mut value) = is_json.then(|| serde_json::from_str::<Value>(text).ok()).flatten() {
        let shape = Some(shape_text(&value));
        let cuts = cut_lists(&mut value, most);
        let shown = value.to_string();
        if !cuts.is_empty() && shown.chars().count() <= most {
            return Cut { shown, part: cuts.join("; "), shape };
        }
        return Cut { shape, ..cut_text(text, most) };
    }
    cut_text(text, most)
}

fn cut_text(text: &str, most: usize) -> Cut {
    let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
    let total = text.chars().count();
    let part = format!("the first {} of {total} characters", most.min(total));
    Cut { shown: text[..end].to_owned(), part, shape: None }
}

/// Takes elements from the ends of the largest lists until the rest is so long at most, as far as that can be; says
/// what is left of each.
pub(super) fn cut_lists(value: &mut Value, most: usize) -> Vec<String> {
    let (mut cuts, mut done) = (Vec::new(), Vec::new());
    while cuts.len() < MAX_CUTS {
        let excess = size(value).saturating_sub(most);
        if excess == 0 {
            break;
        }
        let mut largest = None;
        find_largest(value, &mut Vec::new(), &done, &mut largest);
        let Some((_, path)) = largest else { break };
        let Some(Value::Array(items)) = at_mut(value, &path) else { break };
        let (total, mut freed) = (items.len(), 0);
        // One is left, which may be cut itself.
        while items.len() > 1 && freed < excess {
            freed += items.pop().map_or(0, |item| size(&item) + 1);
        }
        if items.len() < total {
            let place = told(&path);
            let place = if place == "$" { String::new() } else { format!("{place}: ") };
            cuts.push(format!("{place}the first {} of {total} elements", items.len()));
        }
        done.push(path);
        if done.len() > 4 * MAX_CUTS {
            break;
        }
    }
    cuts
}

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A way as a JSONPath.
pub(super) fn told(path: &[Step]) -> String {
    let mut text = "$".to_owned();
    for step in path {
        match step {
            Step::Index(at) => text += &format!("[{at}]"),
            Step::Key(key) if key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                text += &format!(".{key}");
            }
            Step::Key(key) => text += &format!("[{}]", Value::String(key.clone())),
        }
    }
    text
}

/// The largest list, by its size, and the way to it.
pub(super) fn find_largest(
    value: &Value,
    path: &mut Vec<Step>,
    done: &[Vec<Step>],
    largest: &mut Option<(usize, Vec<Step>)>,
) {
    match value {
        Value::Array(items) => {
            let size = size(value);
            // An outer one is looked at before those in it, which are never larger.
            if largest.as_ref().is_some_and(|(most, _)| *most >= size) {
                return;
            }
            if !items.is_empty() && !done.contains(path) {
                *largest = Some((size, path.clone()));
                return;
            }
            for (at, item) in items.iter().enumerate() {
                path.push(Step::Index(at));
                find_largest(item, path, done, largest);
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                path.push(Step::Key(key.clone()));
                find_largest(item, path, done, largest);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value at the end of a way.
pub(super) fn at<'v>(value: &'v Value, path: &[Step]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(at) => value.get(at),
    })
}

fn at_mut<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(at) => value.get_mut(at),
    })
}

/// About how many characters a value has as text.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(flag) => 5 - usize::from(*flag),
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => text_size(text),
        Value::Array(items) => {
            2 + items.iter().map(size).sum::<usize>() + items.len().saturating_sub(1)
        }
        Value::Object(fields) => {
            let own = fields.iter().map(|(key, value)| text_size(key) + 1 + size(value));
            2 + own.sum::<usize>() + fields.len().saturating_sub(1)
        }
    }
}

fn text_size(text: &str) -> usize {
    let of = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if u32::from(c) < 0x20 => 6,
        _ => 1,
    };
    2 + text.chars().map(of).sum::<usize>()
}

fn shape_text(value: &Value) -> String {
    let mut text = String::new();
    for depth in (1..=SHAPE_DEPTH).rev() {
        text = shape(value, depth).to_string();
        if text.len() <= MAX_SHAPE {
            return text;
        }
    }
    text.truncate(text.floor_char_boundary(MAX_SHAPE));
    text + "…"
}

/// Kinds, counts and keys of a value.
fn shape(value: &Value, depth: usize) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(items) if depth == 0 => json!(format!("list of {}", items.len())),
        Value::Array(items) => {
            let first = items.first().map(|first| shape(first, depth - 1));
            json!({ "list of": items.len(), "first": first })
        }
        Value::Object(fields) if depth == 0 => json!(format!("object with {} keys", fields.len())),
        Value::Object(fields) => {
            let shapes = fields.iter().take(SHAPE_KEYS);
            let mut shapes: Map<String, Value> =
                shapes.map(|(key, value)| (key.clone(), shape(value, depth - 1))).collect();
            if fields.len() > SHAPE_KEYS {
                shapes.insert(
                    "…".to_owned(),
                    json!(format!("{} keys more", fields.len() - SHAPE_KEYS)),
                );
            }
            Value::Object(shapes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_between_elements_and_counted() {
        let all: Vec<Value> =
            (0..340).map(|id| json!({ "id": id, "name": format!("n\"{id}") })).collect();
        let Cut { shown, part, shape } = cut(&Value::from(all.clone()).to_string(), 500);
        let kept: Vec<Value> = serde_json::from_str(&shown).unwrap();
        assert_eq!(kept, all[..kept.len()]);
        assert!(kept.len() > 10 && shown.chars().count() <= 500);
        assert_eq!(part, format!("the first {} of 340 elements", kept.len()));
        assert_eq!(shape.unwrap(), r#"{"list of":340,"first":{"id":"number","name":"text"}}"#);
        let Cut { shown, part, .. } =
            cut(&json!({ "total": 340, "items": all, "next": "/2" }).to_string(), 500);
        let kept: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((&kept["total"], &kept["next"]), (&json!(340), &json!("/2")));
        assert!(
            part.starts_with("$.items: the first ") && part.ends_with(" of 340 elements"),
            "{part}"
        );
    }

    #[test]
    fn a_list_in_one_large_element_is_cut_and_what_is_no_json_at_a_character() {
        let inner: Vec<u32> = (0..900).collect();
        let Cut { shown, part, .. } = cut(&json!([{ "pages": [inner] }]).to_string(), 300);
        assert!(serde_json::from_str::<Value>(&shown).is_ok(), "{shown}");
        assert!(part.starts_with("$[0].pages[0]: the first "), "{part}");
        let long = json!({ "text": "é".repeat(1_000) }).to_string();
        let Cut { shown, part, shape } = cut(&long, 100);
        assert_eq!(
            (shown.chars().count(), part.as_str()),
            (100, "the first 100 of 1011 characters")
        );
        assert_eq!(shape.as_deref(), Some(r#"{"text":"text"}"#));
        assert_eq!(
            cut("ééé", 2),
            Cut { shown: "éé".into(), part: "the first 2 of 3 characters".into(), shape: None }
        );
        for value in [json!("a\"\n\u{1}é"), json!({ "a": [1, -2.5, null, true, false, {}] })] {
            assert_eq!(size(&value), value.to_string().chars().count(), "{value}");
        }
    }
}

//! Results that are too long for a model: what it gets of one. Lists are cut between elements, and it is told how many
//! there are.

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Number, Value, json};
use wombat_core::redact::{border_before, in_quotes};

use super::specs::READ_RESULT;

/// How many lists of a result are cut.
const MAX_CUTS: usize = 12;

/// How deep the shape of a result is told.
const SHAPE_DEPTH: usize = 3;

/// How many keys of an object its shape names.
const SHAPE_KEYS: usize = 30;

/// The longest shape, bytes.
const MAX_SHAPE: usize = 800;

/// The longest path of a list that was cut, characters, and of another place.
const MAX_CUT_PATH: usize = 100;
const MAX_PATH: usize = 500;

/// What a model gets of a long result.
#[derive(Debug, PartialEq)]
pub struct Cut {
    /// The beginning.
    pub shown: String,
    /// What that is of the whole: `the first 12 of 340 elements`.
    pub part: String,
    /// Kinds, counts and keys, of JSON.
    pub shape: Option<String>,
}

impl Cut {
    /// The beginning for the model, with what it is of the whole, and how to read on where that is kept under an id.
    pub fn told(&self, id: Option<&str>) -> String {
        let Self { shown, part, shape } = self;
        let shape = shape.as_ref().map(|shape| format!("; its shape: {shape}")).unwrap_or_default();
        let rest = match id {
            Some(id) => format!("{READ_RESULT} with the id {id:?} reads all of it"),
            None => "the rest is not kept".to_owned(),
        };
        format!("{shown}\n[cut: {part}{shape}; {rest}]")
    }
}

/// A text as JSON, where it is an object or a list: also one in which numbers were replaced.
pub(super) fn parsed(text: &str) -> Option<Value> {
    if !text.trim_start().starts_with(['{', '[']) {
        return None;
    }
    let read = |text: &str| serde_json::from_str(text).ok();
    read(text).or_else(|| match in_quotes(text) {
        Cow::Owned(quoted) => read(&quoted),
        Cow::Borrowed(_) => None,
    })
}

/// The beginning of a text, in about `most` characters.
pub fn cut(text: &str, most: usize) -> Cut {
    if let Some(mut value) = parsed(text) {
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

/// The first characters of a text.
pub fn cut_text(text: &str, most: usize) -> Cut {
    let end = text.char_indices().nth(most).map_or(text.len(), |(end, _)| end);
    let shown = &text[..border_before(text, end)];
    let (count, total) = (shown.chars().count(), text.chars().count());
    let part = format!("the first {count} of {total} characters");
    Cut { shown: shown.to_owned(), part, shape: None }
}

/// Takes elements from the ends of the largest lists until the rest is so long at most, as far as that can be; says
/// what is left of each. Each round looks once at all that is there.
pub(super) fn cut_lists(value: &mut Value, most: usize) -> Vec<String> {
    let mut cuts = Vec::new();
    while cuts.len() < MAX_CUTS {
        let (size, largest) = Largest::of(value);
        let excess = size.saturating_sub(most);
        let Some(path) = largest.filter(|_| excess > 0) else { break };
        let Some(Value::Array(items)) = at_mut(value, &path) else { break };
        let (total, mut freed) = (items.len(), 0);
        // One is left, which may be cut itself.
        while items.len() > 1 && freed < excess {
            freed += items.pop().map_or(0, |item| self::size(&item) + 1);
        }
        let left = items.len();
        let place = shortened(told(value, &path), MAX_CUT_PATH);
        let place = if place == "$" { String::new() } else { format!("{place}: ") };
        cuts.push(format!("{place}the first {left} of {total} elements"));
    }
    cuts
}

/// The largest list that can be cut: one element of it always stays.
#[derive(Default)]
struct Largest {
    size: usize,
    /// The way to it: at each value the place of the next one.
    path: Option<Vec<usize>>,
    /// The way to the value that is looked at.
    here: Vec<usize>,
}

impl Largest {
    /// The size of a value, and the way to its largest list.
    fn of(value: &Value) -> (usize, Option<Vec<usize>>) {
        let mut search = Self::default();
        (search.look(value), search.path)
    }

    fn look(&mut self, value: &Value) -> usize {
        match value {
            Value::Array(items) => {
                let size = self.inside(items.iter()) + 1 + items.len().max(1);
                // What is around another list is never smaller.
                if items.len() > 1 && size >= self.size {
                    self.size = size;
                    let path = self.path.get_or_insert_with(Vec::new);
                    path.clear();
                    path.extend_from_slice(&self.here);
                }
                size
            }
            Value::Object(fields) => {
                let names: usize = fields.keys().map(|name| text_size(name) + 1).sum();
                self.inside(fields.values()) + names + 1 + fields.len().max(1)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => size(value),
        }
    }

    fn inside<'v>(&mut self, values: impl Iterator<Item = &'v Value>) -> usize {
        let mut size = 0;
        for (at, value) in values.enumerate() {
            self.here.push(at);
            size += self.look(value);
            self.here.pop();
        }
        size
    }
}

/// A way as a JSONPath, of which only the beginning is told where it is long: no call could have it.
pub(super) fn path_of(value: &Value, path: &[usize]) -> String {
    shortened(told(value, path), MAX_PATH)
}

fn shortened(path: String, most: usize) -> String {
    match path.char_indices().nth(most) {
        None => path,
        Some((end, _)) => path[..border_before(&path, end)].to_owned() + "…",
    }
}

/// A way as a JSONPath.
fn told(value: &Value, path: &[usize]) -> String {
    let (mut text, mut value) = ("$".to_owned(), value);
    for at in path {
        let next = match value {
            Value::Object(fields) => fields.iter().nth(*at).map(|(name, value)| {
                text += &name_step(name);
                value
            }),
            _ => {
                text += &format!("[{at}]");
                value.get(*at)
            }
        };
        let Some(next) = next else { break };
        value = next;
    }
    text
}

/// A name in a JSONPath.
fn name_step(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match name.chars().all(is_plain) && !name.is_empty() {
        true => format!(".{name}"),
        false => format!("[{}]", Value::String(name.to_owned())),
    }
}

fn at_mut<'v>(value: &'v mut Value, path: &[usize]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, at| match value {
        Value::Array(items) => items.get_mut(*at),
        Value::Object(fields) => fields.values_mut().nth(*at),
        _ => None,
    })
}

/// [`size`] where that is so large at most.
pub(super) fn size_within(value: &Value, most: usize) -> Option<usize> {
    let mut left = most;
    take(value, &mut left).then(|| most - left)
}

/// Takes the size of a value from what is left; whether that is enough.
fn take(value: &Value, left: &mut usize) -> bool {
    let mut take_own = |own: usize| match left.checked_sub(own) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        Value::Array(items) => {
            take_own(1 + items.len().max(1)) && items.iter().all(|item| take(item, left))
        }
        Value::Object(fields) => {
            take_own(1 + fields.len().max(1))
                && fields.iter().all(|(name, value)| {
                    let own = text_size(name) + 1;
                    let is_enough = *left >= own;
                    *left = left.saturating_sub(own);
                    is_enough && take(value, left)
                })
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => take_own(size(value)),
    }
}

/// About how many characters a value has as text.
pub(super) fn size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(flag) => 5 - usize::from(*flag),
        Value::Number(number) => number_size(number),
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

fn number_size(number: &Number) -> usize {
    struct Count(usize);
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut count = Count(0);
    // Counting never fails.
    let _counted = fmt::Write::write_fmt(&mut count, format_args!("{number}"));
    count.0
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
            let size_of = size(&value);
            assert_eq!(size_of, value.to_string().chars().count(), "{value}");
            assert_eq!(Largest::of(&value).0, size_of, "{value}");
            assert_eq!(size_within(&value, size_of), Some(size_of), "{value}");
            assert_eq!(size_within(&value, size_of - 1), None, "{value}");
        }
    }

    #[test]
    fn lists_that_give_nothing_free_cost_nothing() {
        let list: Value = (0..500).collect();
        let mut deep = (0..90).fold(list, |value, _| json!([value]));
        let cuts = cut_lists(&mut deep, 400);
        assert!(cuts.len() == 1 && cuts[0].ends_with(" of 500 elements"), "{cuts:?}");
        let one = (0..100).fold(json!(1), |value, _| json!([value]));
        let mut wide: Value = (0..1_000).map(|n| (format!("k{n}"), one.clone())).collect();
        assert_eq!(cut_lists(&mut wide, 1_000), [""; 0]);
        let mut small: Value = (0..1_000).map(|n| (format!("k{n}"), json!([1, 2]))).collect();
        assert_eq!(cut_lists(&mut small, 1_000).len(), MAX_CUTS);
    }

    #[test]
    fn what_is_told_of_cuts_is_short_however_long_names_are() {
        let lists: Value =
            (0..10).map(|n| (format!("l{n}"), json!(vec!["x".repeat(90); 9]))).collect();
        let text = json!({ "k".repeat(2_000): lists }).to_string();
        let cut = cut(&text, 8_000);
        assert!(cut.part.starts_with("$.kkk") && cut.part.matches("…: the first ").count() > 1);
        let told = cut.told(Some("0123456789ab")).chars().count();
        assert!(told < 8_000 + 13 * 150 + MAX_SHAPE, "{told}");
    }

    #[test]
    fn numbers_that_were_replaced_leave_a_list_that_is_cut_between_elements() {
        let items: Vec<_> = (0..500).map(|_| r#"{"card":[[card:0a1b2c3d]]}"#).collect();
        let Cut { shown, part, .. } = cut(&format!("[{}]", items.join(",")), 300);
        assert!(shown.starts_with(r#"[{"card":"[[card:0a1b2c3d]]"},"#), "{shown}");
        assert!(part.ends_with(" of 500 elements"), "{part}");
        let Cut { shown, part, .. } = cut("mail [[email:0a1b2c3d]] it", 12);
        assert_eq!((&*shown, &*part), ("mail ", "the first 5 of 26 characters"));
    }
}

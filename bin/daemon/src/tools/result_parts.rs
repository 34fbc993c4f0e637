//! The parts of a kept result that are looked through by words: all of it, within bounds.

use std::borrow::Cow;

use serde_json::{Value, json};
use wombat_core::redact::border_before;

use super::cutting::{path_of, size_within};

/// How many parts there are at most.
const MAX_PARTS: usize = 20_000;

/// How long a part of JSON may be, characters: a longer one is several.
const MAX_PART: usize = 4_000;

/// About how long a part of a text is, bytes.
const PIECE: usize = 600;

/// A part of a value or text.
#[derive(Debug)]
pub(super) struct Part<'v> {
    at: At,
    /// The names of fields that lead to it and to no part before it.
    pub(super) names: Vec<&'v str>,
    pub(super) text: Cow<'v, str>,
    /// Whether the text is JSON.
    pub(super) is_json: bool,
}

/// Where a part is. A path is made of it only where that is told: names may be long, and parts many.
#[derive(Debug)]
enum At {
    /// At each value the place of the next one.
    Path(Vec<usize>),
    /// The same, and the character of the text there at which the part begins.
    Within(Vec<usize>, usize),
    /// The character of a text.
    Character(usize),
}

/// The parts of a result.
#[derive(Debug)]
pub(super) struct Parts<'v> {
    root: Option<&'v Value>,
    pub(super) all: Vec<Part<'v>>,
    /// Whether nothing is left out.
    pub(super) is_all: bool,
    /// The way to the value that is looked at.
    here: Vec<usize>,
    /// The names of fields since the last part.
    names: Vec<&'v str>,
}

impl<'v> Parts<'v> {
    fn new(root: Option<&'v Value>) -> Self {
        let (all, here, names) = (Vec::new(), Vec::new(), Vec::new());
        Self { root, all, is_all: true, here, names }
    }

    /// The elements of lists; what is around them by fields; of what is longer than a part, what is in it.
    pub(super) fn of_json(value: &'v Value) -> Self {
        let mut parts = Self::new(Some(value));
        parts.inside(value, false);
        parts
    }

    /// Lines, some at a time; parts of long ones.
    pub(super) fn of_text(text: &'v str) -> Self {
        let mut parts = Self::new(None);
        for (at, piece) in pieces(text) {
            if !parts.push(At::Character(at), piece.into(), false) {
                break;
            }
        }
        parts
    }

    /// Where a part is: a JSONPath, the place in a text there, or the one in a text.
    pub(super) fn place(&self, part: &Part<'_>) -> Value {
        let path = |way: &[usize]| self.root.map(|root| path_of(root, way)).unwrap_or_default();
        match &part.at {
            At::Path(way) => Value::String(path(way)),
            At::Within(way, at) => json!({ "path": path(way), "character": at }),
            At::Character(at) => json!({ "offset": at }),
        }
    }

    /// Whether there was room.
    fn push(&mut self, at: At, text: Cow<'v, str>, is_json: bool) -> bool {
        self.is_all &= self.all.len() < MAX_PARTS;
        if self.is_all {
            let names = std::mem::take(&mut self.names);
            self.all.push(Part { at, names, text, is_json });
        }
        self.is_all
    }

    fn add(&mut self, (at, value): (usize, &'v Value), is_element: bool) {
        self.here.push(at);
        let is_list = value.as_array().is_some_and(|items| !items.is_empty()) && !is_element;
        if !is_list && size_within(value, MAX_PART).is_some() {
            self.push(At::Path(self.here.clone()), value.to_string().into(), true);
        } else {
            self.inside(value, is_element);
        }
        self.here.pop();
    }

    fn inside(&mut self, value: &'v Value, is_element: bool) {
        match value {
            Value::Array(items) => {
                for item in items.iter().enumerate() {
                    if !self.is_all {
                        return;
                    }
                    self.add(item, true);
                }
            }
            Value::Object(fields) => {
                for (at, (name, field)) in fields.iter().enumerate() {
                    if !self.is_all {
                        return;
                    }
                    self.names.push(name);
                    self.add((at, field), is_element);
                }
            }
            Value::String(text) => {
                for (at, piece) in pieces(text) {
                    if !self.push(At::Within(self.here.clone(), at), piece.into(), false) {
                        return;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// The pieces of a text, with the character at which each begins. They end with a line, or else with a word.
fn pieces(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let (mut begin, mut count) = (0, 0);
    std::iter::from_fn(move || {
        if begin >= text.len() {
            return None;
        }
        let piece = &text[begin..end_of_piece(text, begin)];
        let at = count;
        begin += piece.len();
        count += piece.chars().count();
        Some((at, piece))
    })
}

fn end_of_piece(text: &str, begin: usize) -> usize {
    if text.len() - begin <= PIECE {
        return text.len();
    }
    let least = text.ceil_char_boundary(begin + PIECE);
    let most = text.ceil_char_boundary(least + PIECE);
    let rest = &text[least..most];
    let end = rest.find('\n').map(|at| at + 1);
    let end = end.or_else(|| rest.find(|c: char| !c.is_alphanumeric()));
    let end = end.map_or(most, |end| least + end);
    // What was replaced stays whole.
    Some(border_before(text, end)).filter(|end| *end > begin).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_left_out_and_no_word_is_cut() {
        for text in [
            "one two ".repeat(2_000),
            "x".repeat(5_000),
            "a line\n".repeat(900),
            "é[[email:12345678]]".repeat(300),
            String::new(),
        ] {
            let parts = Parts::of_text(&text);
            assert!(parts.is_all);
            let joined: String = parts.all.iter().map(|part| &*part.text).collect();
            assert_eq!(joined, text);
            for part in &parts.all {
                let at = parts.place(part)["offset"].as_u64().unwrap() as usize;
                let rest: String = text.chars().skip(at).collect();
                assert!(rest.starts_with(&*part.text));
                assert!(part.text.matches("[[").count() == part.text.matches("]]").count());
            }
        }
    }

    #[test]
    fn all_of_a_value_is_looked_at() {
        let value = json!({
            "total": 2, "data": { "items": [{ "id": 1 }, { "id": 2, "log": "word ".repeat(1_000) }] },
            "a b": ["x"], "none": [],
        });
        let parts = Parts::of_json(&value);
        let places: Vec<String> =
            parts.all.iter().map(|part| parts.place(part).to_string()).collect();
        for at in [
            "\"$.total\"",
            "\"$.data.items[0]\"",
            "\"$.data.items[1].id\"",
            r#"{"path":"$.data.items[1].log","character":0}"#,
            r#""$[\"a b\"][0]""#,
            "\"$.none\"",
        ] {
            assert!(places.iter().any(|place| place == at), "{at}: {places:?}");
        }
        let names = |at: usize| parts.all[at].names.as_slice();
        assert_eq!((names(0), names(1)), (&["total"][..], &["data", "items"][..]));
        let log = parts.all.iter().filter(|part| !part.is_json).map(|part| &*part.text);
        assert_eq!(log.collect::<String>(), "word ".repeat(1_000));
        let many: Value = (0..MAX_PARTS + 1).collect();
        let parts = Parts::of_json(&many);
        assert_eq!((parts.all.len(), parts.is_all), (MAX_PARTS, false));
    }

    #[test]
    fn a_long_name_is_not_in_each_part() {
        let key = "k".repeat(1_000_000);
        let many: Value = (0..MAX_PARTS).collect();
        let deep = (0..100).fold(many, |value, _| json!([value]));
        let value = json!({ &*key: deep });
        let parts = Parts::of_json(&value);
        assert_eq!((parts.all.len(), parts.is_all), (MAX_PARTS, true));
        let held = parts.all.iter().map(|part| {
            let At::Path(way) = &part.at else { panic!("{:?}", part.at) };
            8 * way.capacity() + part.text.len() + part.names.len()
        });
        assert!(held.sum::<usize>() < 40_000_000);
        // What is told of a place is short.
        let place = parts.place(&parts.all[7]).to_string();
        assert!(place.len() < 700 && place.starts_with("\"$.kkkk"), "{place}");
    }
}

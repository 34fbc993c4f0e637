//! The parts of a kept result that are looked through by words: all of it, within bounds.

use serde_json::{Value, json};
use wombat_core::redact::border_before;

use super::cutting::{name_step, size_within};

/// How many parts there are at most.
const MAX_PARTS: usize = 20_000;

/// How long a part of JSON may be, characters: a longer one is several.
const MAX_PART: usize = 4_000;

/// About how long a part of a text is, bytes.
const PIECE: usize = 600;

/// A part.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it is: a JSONPath, or the character of a text at which it begins.
    pub(super) at: Value,
    pub(super) text: String,
    /// Whether the text is JSON.
    pub(super) is_json: bool,
}

/// The parts of a result.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) all: Vec<Part>,
    /// Whether nothing is left out.
    pub(super) is_all: bool,
}

impl Parts {
    /// The elements of lists; what is around them by fields; of what is longer than a part, what is in it.
    pub(super) fn of_json(value: &Value) -> Self {
        let mut parts = Self { all: Vec::new(), is_all: true };
        parts.inside(value, "$", false);
        parts
    }

    /// Lines, some at a time; parts of long ones.
    pub(super) fn of_text(text: &str) -> Self {
        let mut parts = Self { all: Vec::new(), is_all: true };
        for (at, piece) in pieces(text) {
            let at = json!({ "offset": at });
            if !parts.push(Part { at, text: piece.to_owned(), is_json: false }) {
                break;
            }
        }
        parts
    }

    /// Whether there was room.
    fn push(&mut self, part: Part) -> bool {
        self.is_all &= self.all.len() < MAX_PARTS;
        if self.is_all {
            self.all.push(part);
        }
        self.is_all
    }

    fn add(&mut self, value: &Value, path: &str, is_element: bool) {
        let is_list = value.is_array() && !is_element;
        if !is_list && size_within(value, MAX_PART).is_some() {
            let at = Value::String(path.to_owned());
            self.push(Part { at, text: value.to_string(), is_json: true });
        } else {
            self.inside(value, path, is_element);
        }
    }

    fn inside(&mut self, value: &Value, path: &str, is_element: bool) {
        match value {
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    if !self.is_all {
                        return;
                    }
                    self.add(item, &format!("{path}[{at}]"), true);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    if !self.is_all {
                        return;
                    }
                    self.add(field, &format!("{path}{}", name_step(name)), is_element);
                }
            }
            Value::String(text) => {
                for (at, piece) in pieces(text) {
                    let at = json!({ "path": path, "character": at });
                    if !self.push(Part { at, text: piece.to_owned(), is_json: false }) {
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
            let joined: String = parts.all.iter().map(|part| part.text.as_str()).collect();
            assert_eq!(joined, text);
            for part in &parts.all {
                let at = part.at["offset"].as_u64().unwrap() as usize;
                let rest: String = text.chars().skip(at).collect();
                assert!(rest.starts_with(&part.text));
                assert!(part.text.matches("[[").count() == part.text.matches("]]").count());
            }
        }
    }

    #[test]
    fn all_of_a_value_is_looked_at() {
        let value = json!({
            "total": 2, "data": { "items": [{ "id": 1 }, { "id": 2, "log": "word ".repeat(1_000) }] },
            "a b": ["x"],
        });
        let parts = Parts::of_json(&value);
        let places: Vec<String> = parts.all.iter().map(|part| part.at.to_string()).collect();
        for at in [
            "\"$.total\"",
            "\"$.data.items[0]\"",
            "\"$.data.items[1].id\"",
            r#"{"path":"$.data.items[1].log","character":0}"#,
            r#""$[\"a b\"][0]""#,
        ] {
            assert!(places.iter().any(|place| place == at), "{at}: {places:?}");
        }
        let log = parts.all.iter().filter(|part| !part.is_json).map(|part| part.text.as_str());
        assert_eq!(log.collect::<String>(), "word ".repeat(1_000));
        let many: Value = (0..MAX_PARTS + 1).collect();
        let parts = Parts::of_json(&many);
        assert_eq!((parts.all.len(), parts.is_all), (MAX_PARTS, false));
    }
}

//! Patterns that cannot be checked: left out, each with a line that says so.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::limits::{NAMED, SCHEMAS};
use super::{MAX_PATTERN_SIZE, options};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 4_096;

/// Classes of sizes: a pattern counts as the smallest one into which it compiles.
const CLASSES: [usize; 5] = [2 * 1024, 8 * 1024, 32 * 1024, 128 * 1024, MAX_PATTERN_SIZE];

/// How many patterns are told of that are not checked.
const MAX_TOLD: usize = 10;

/// The sizes of the patterns that are checked.
pub(super) type Sizes = HashMap<String, usize>;

/// What is left of a schema, and of what.
pub(super) struct Usable {
    /// The schema without the patterns that cannot be checked.
    pub(super) schema: Value,
    /// A line for each of these.
    pub(super) unchecked: Vec<String>,
    pub(super) sizes: Sizes,
}

/// Leaves out the patterns that cannot be checked. `left` is what all patterns together may take.
pub(super) fn without_unusable(schema: &Value, left: &mut usize) -> Usable {
    let mut patterns = Patterns { left, unchecked: Vec::new(), untold: 0, sizes: Sizes::new() };
    let mut schema = schema.clone();
    patterns.clean(&mut schema, &mut String::new());
    if patterns.untold > 0 {
        patterns.unchecked.push(format!("{} more patterns are not checked", patterns.untold));
    }
    Usable { schema, unchecked: patterns.unchecked, sizes: patterns.sizes }
}

struct Patterns<'a> {
    left: &'a mut usize,
    unchecked: Vec<String>,
    untold: usize,
    sizes: Sizes,
}

impl Patterns<'_> {
    fn clean(&mut self, schema: &mut Value, place: &mut String) {
        let Value::Object(fields) = schema else { return };
        if let Some(Value::String(pattern)) = fields.get("pattern")
            && let Err(why) = self.usable(pattern)
        {
            self.report(place, "pattern", pattern, why);
            fields.remove("pattern");
        }
        self.clean_names(fields, place);
        for (word, value) in fields.iter_mut() {
            let length = place.len();
            *place += "/";
            *place += word;
            match value {
                Value::Array(items) if SCHEMAS.contains(&word.as_str()) => {
                    items.iter_mut().for_each(|item| self.clean(item, place));
                }
                Value::Object(_) if SCHEMAS.contains(&word.as_str()) => self.clean(value, place),
                Value::Object(named) if NAMED.contains(&word.as_str()) => {
                    for (name, part) in named {
                        let length = place.len();
                        *place += "/";
                        *place += name;
                        self.clean(part, place);
                        place.truncate(length);
                    }
                }
                _ => {}
            }
            place.truncate(length);
        }
    }

    /// Leaves out names of `patternProperties`. What they would have allowed must not be refused
    /// instead.
    fn clean_names(&mut self, fields: &mut Map<String, Value>, place: &str) {
        let Some(Value::Object(named)) = fields.get("patternProperties") else { return };
        let mut bad = Vec::new();
        for pattern in named.keys() {
            if let Err(why) = self.usable(pattern) {
                self.report(place, "patternProperties", pattern, why);
                bad.push(pattern.clone());
            }
        }
        if bad.is_empty() {
            return;
        }
        if let Some(Value::Object(named)) = fields.get_mut("patternProperties") {
            named.retain(|pattern, _| !bad.contains(pattern));
        }
        fields.remove("additionalProperties");
        fields.remove("unevaluatedProperties");
    }

    fn usable(&mut self, pattern: &str) -> Result<(), &'static str> {
        if self.sizes.contains_key(pattern) {
            return Ok(());
        }
        if pattern.len() > MAX_LENGTH {
            return Err("it is longer than 4096 bytes");
        }
        let schema = serde_json::json!({ "pattern": pattern });
        let fits = |size: &&usize| **size <= *self.left && options(**size).build(&schema).is_ok();
        match CLASSES.iter().find(fits) {
            Some(size) => {
                *self.left -= size;
                self.sizes.insert(pattern.to_owned(), *size);
                Ok(())
            }
            None if *self.left < MAX_PATTERN_SIZE => {
                Err("it is too large, or the patterns are together")
            }
            None => {
                Err("it does not compile, needs look-around or a back-reference, or is too large")
            }
        }
    }

    fn report(&mut self, place: &str, word: &str, pattern: &str, why: &str) {
        if self.unchecked.len() >= MAX_TOLD {
            self.untold += 1;
            return;
        }
        let shown = &pattern[..pattern.floor_char_boundary(80)];
        self.unchecked.push(format!(
            "the {word} {shown:?} at {:?} is not checked: {why}",
            super::bounded(place)
        ));
    }
}

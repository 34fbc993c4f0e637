//! Patterns that cannot be checked: left out, each with a line that says so.

use serde_json::{Map, Value};

use super::limits::{NAMED, SCHEMAS};
use super::{MAX_PATTERN_SIZE, options};

/// The longest pattern, in bytes.
const MAX_LENGTH: usize = 4_096;

/// The sum of the sizes of a schema's patterns, by the class that each is in.
const MAX_SUM: usize = 8 * 1024 * 1024;

/// Classes of sizes: a pattern counts as the smallest one into which it compiles.
const CLASSES: [usize; 3] = [32 * 1024, 256 * 1024, MAX_PATTERN_SIZE];

/// The schema without the patterns that cannot be checked, and a line for each.
pub(super) fn without_unusable(schema: &Value) -> (Value, Vec<String>) {
    let mut patterns = Patterns { left: MAX_SUM, unchecked: Vec::new() };
    let mut kept = schema.clone();
    patterns.clean(&mut kept, &mut String::new());
    (kept, patterns.unchecked)
}

struct Patterns {
    left: usize,
    unchecked: Vec<String>,
}

impl Patterns {
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
        if pattern.len() > MAX_LENGTH {
            return Err("it is longer than 4096 bytes");
        }
        let schema = serde_json::json!({ "pattern": pattern });
        let compiles = |size: &&usize| options(**size).build(&schema).is_ok();
        match CLASSES.iter().find(compiles) {
            Some(size) if *size <= self.left => {
                self.left -= size;
                Ok(())
            }
            Some(_) => Err("the schema's patterns are too large together"),
            None => Err("it does not compile, needs look-around, or is too large"),
        }
    }

    fn report(&mut self, place: &str, word: &str, pattern: &str, why: &str) {
        let shown = &pattern[..pattern.floor_char_boundary(80)];
        self.unchecked
            .push(format!("{word} {shown:?} at {:?} is not checked: {why}", super::bounded(place)));
    }
}

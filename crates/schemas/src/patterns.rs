//! Patterns that cannot be checked: left out, each with a line that says so.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::limits::{NAMED, VALUES};
use super::{Budget, MAX_PATTERN_SIZE, options};

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

/// Leaves out the patterns that cannot be checked.
pub(super) fn without_unusable(schema: &Value, budget: &mut Budget) -> Usable {
    let mut patterns = Patterns { budget, unchecked: Vec::new(), untold: 0, sizes: Sizes::new() };
    let mut schema = schema.clone();
    patterns.clean(&mut schema, &mut String::new());
    if patterns.untold > 0 {
        patterns.unchecked.push(format!("{} more patterns are not checked", patterns.untold));
    }
    Usable { schema, unchecked: patterns.unchecked, sizes: patterns.sizes }
}

struct Patterns<'a> {
    budget: &'a mut Budget,
    unchecked: Vec<String>,
    untold: usize,
    sizes: Sizes,
}

impl Patterns<'_> {
    fn clean(&mut self, schema: &mut Value, place: &mut String) {
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Array(items) => {
                return items.iter_mut().for_each(|item| self.clean(item, place));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
        };
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
                Value::Object(named) if NAMED.contains(&word.as_str()) => {
                    for (name, part) in named {
                        let length = place.len();
                        *place += "/";
                        *place += name;
                        self.clean(part, place);
                        place.truncate(length);
                    }
                }
                _ if VALUES.contains(&word.as_str()) => {}
                // Also under other words: a reference makes a schema of anything.
                _ => self.clean(value, place),
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
        if has_double_quantifier(pattern) {
            return Err("it does not compile: a quantifier follows another one");
        }
        if self.budget.refused.iter().any(|refused| refused == pattern) {
            return Err("it could not be used elsewhere");
        }
        // Each that is refused takes time to try.
        if self.budget.bad_patterns == 0 {
            return Err("too many other patterns do not compile or are too large");
        }
        let schema = serde_json::json!({ "pattern": pattern });
        let fits =
            |size: usize| size <= self.budget.pattern_bytes && options(size).build(&schema).is_ok();
        // Most fit into the smallest one; what does not fit into the largest one is not tried in between.
        let [smallest, between @ .., largest] = CLASSES;
        let size = if fits(smallest) {
            Some(smallest)
        } else if fits(largest) {
            Some(between.into_iter().find(|size| fits(*size)).unwrap_or(largest))
        } else {
            between.into_iter().find(|size| largest > self.budget.pattern_bytes && fits(*size))
        };
        match size {
            Some(size) => {
                self.budget.pattern_bytes -= size;
                self.sizes.insert(pattern.to_owned(), size);
                Ok(())
            }
            None => {
                self.budget.bad_patterns -= 1;
                self.budget.refused.push(pattern.to_owned());
                Err(match self.budget.pattern_bytes < MAX_PATTERN_SIZE {
                    true => "it is too large, or the patterns are together",
                    false => {
                        "it does not compile, needs look-around or a back-reference, or is too large"
                    }
                })
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

/// Whether a quantifier is quantified, as in `a++`: no pattern of ECMA-262, in which it is an error
/// (https://tc39.es/ecma262/#prod-Term), and something else in other dialects.
fn has_double_quantifier(pattern: &str) -> bool {
    let (mut escaped, mut in_class, mut after) = (false, false, false);
    for c in pattern.chars() {
        if escaped {
            (escaped, after) = (false, false);
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => (in_class, after) = (false, false),
            '+' | '*' if after && !in_class => return true,
            '+' | '*' | '?' | '}' if !in_class => after = true,
            _ => after = false,
        }
    }
    false
}

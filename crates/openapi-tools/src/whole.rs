//! Whole numbers: some models write `7.0` where the schema says integer. For JSON Schema it is one
//! (2020-12, core, 4.2.3); many servers refuse it.

use std::borrow::Cow;
use std::cell::Cell;

use serde_json::{Map, Number, Value};

use crate::pointer::target;

/// The deepest value that is walked, and the most schemas that one value may have to fit.
const MAX_DEPTH: usize = 64;
const MAX_SCHEMAS: usize = 500;

/// The most schemas that are looked at for one number, each as often as it is referred to.
const MAX_STEPS: usize = 5_000;

/// What a schema says of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Unsaid,
    Number,
    Integer,
}

/// A value with `7` for each `7.0` that its schema wants as an integer.
pub fn whole_numbers<'a>(schema: &Value, value: &'a Value) -> Cow<'a, Value> {
    if !has_whole_float(value) {
        return Cow::Borrowed(value);
    }
    let mut value = value.clone();
    Walk { root: schema, left: Cell::new(0) }.fix(&[schema], &mut value, 0);
    Cow::Owned(value)
}

fn has_whole_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => integer(number).is_some(),
        Value::Array(items) => items.iter().any(has_whole_float),
        Value::Object(fields) => fields.values().any(has_whole_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A whole number that is written as a fraction.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the value is whole and within the range of the type"
)]
fn integer(number: &Number) -> Option<Number> {
    if !number.is_f64() {
        return None;
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0)?;
    match value {
        0.0.. if value < 18_446_744_073_709_551_616.0 => Some((value as u64).into()),
        ..=0.0 if value >= -9_223_372_036_854_775_808.0 => Some((value as i64).into()),
        _ => None,
    }
}

struct Walk<'r> {
    root: &'r Value,
    /// How many more schemas are looked at for the number at hand.
    left: Cell<usize>,
}

impl<'r> Walk<'r> {
    fn fix<'s>(&self, schemas: &[&'s Value], value: &mut Value, depth: usize)
    where
        'r: 's,
    {
        if depth > MAX_DEPTH || schemas.is_empty() {
            return;
        }
        match value {
            Value::Number(number) => {
                let Some(whole) = integer(number) else { return };
                self.left.set(MAX_STEPS);
                // Where not everything is known, what is written is meant.
                if self.any(schemas, number, 0) == Kind::Integer && self.left.get() > 0 {
                    *number = whole;
                }
            }
            Value::Array(items) => {
                let all = self.applicable(schemas);
                for (at, item) in items.iter_mut().enumerate() {
                    let below: Vec<&Value> =
                        all.iter().filter_map(|s| item_schema(s, at)).collect();
                    self.fix(&below, item, depth + 1);
                }
            }
            Value::Object(fields) => {
                let all = self.applicable(schemas);
                for (name, value) in fields {
                    self.fix(&below(&all, name), value, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }

    /// What several schemas say of which one has to fit.
    fn any(&self, schemas: &[&Value], number: &Number, depth: usize) -> Kind {
        let said = schemas.iter().map(|schema| self.kind(schema, number, depth));
        // Where a fraction is allowed as well, what is written is meant.
        let said: Vec<_> = said.filter(|kind| *kind != Kind::Unsaid).collect();
        said.into_iter().min().unwrap_or(Kind::Unsaid)
    }

    fn kind(&self, schema: &Value, number: &Number, depth: usize) -> Kind {
        self.left.set(self.left.get().saturating_sub(1));
        if depth > MAX_DEPTH || self.left.get() == 0 {
            return Kind::Unsaid;
        }
        let mut said = own_kind(schema, number);
        if let Some(target) = self.target(schema) {
            said = said.max(self.kind(target, number, depth + 1));
        }
        for part in list(schema, "allOf") {
            said = said.max(self.kind(part, number, depth + 1));
        }
        for word in ["anyOf", "oneOf"] {
            let parts: Vec<&Value> = list(schema, word).collect();
            said = said.max(self.any(&parts, number, depth + 1));
        }
        said
    }

    fn target(&self, schema: &Value) -> Option<&'r Value> {
        target(self.root, schema.get("$ref")?.as_str()?).ok()
    }

    /// The schemas, and all that they refer to or combine, each once.
    fn applicable<'s>(&self, schemas: &[&'s Value]) -> Vec<&'s Value>
    where
        'r: 's,
    {
        let mut all: Vec<&Value> = Vec::new();
        let mut next = schemas.to_vec();
        while let Some(schema) = next.pop() {
            let is_known = all.iter().any(|known| std::ptr::eq(*known, schema));
            if !schema.is_object() || is_known || all.len() >= MAX_SCHEMAS {
                continue;
            }
            all.push(schema);
            next.extend(self.target(schema));
            for word in ["allOf", "anyOf", "oneOf"] {
                next.extend(list(schema, word));
            }
            next.extend(["then", "else"].iter().filter_map(|word| schema.get(word)));
            let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
            next.extend(dependent.into_iter().flat_map(Map::values));
        }
        all
    }
}

fn own_kind(schema: &Value, number: &Number) -> Kind {
    let values = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut values = values.chain(schema.get("const"));
    let is_equal = |value: &Value| value.is_i64() || value.is_u64();
    if values.any(|value| is_equal(value) && value.as_f64() == number.as_f64()) {
        return Kind::Integer;
    }
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.as_slice(),
        Some(kind) => std::slice::from_ref(kind),
        None => &[],
    };
    match kinds {
        kinds if kinds.iter().any(|kind| kind == "number") => Kind::Number,
        kinds if kinds.iter().any(|kind| kind == "integer") => Kind::Integer,
        _ => Kind::Unsaid,
    }
}

fn list<'s>(schema: &'s Value, word: &str) -> impl Iterator<Item = &'s Value> + use<'s> {
    schema.get(word).and_then(Value::as_array).into_iter().flatten()
}

fn item_schema(schema: &Value, at: usize) -> Option<&Value> {
    let tuple = schema.get("prefixItems").and_then(Value::as_array);
    tuple.and_then(|tuple| tuple.get(at)).or_else(|| schema.get("items"))
}

/// The schemas of a property: the declared ones, or those of properties that have no name.
fn below<'s>(schemas: &[&'s Value], name: &str) -> Vec<&'s Value> {
    let declared = schemas.iter().filter_map(|schema| schema.get("properties")?.get(name));
    let declared: Vec<&Value> = declared.collect();
    if !declared.is_empty() {
        return declared;
    }
    let others = schemas.iter().flat_map(|schema| {
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        patterns.into_iter().flat_map(Map::values).chain(schema.get("additionalProperties"))
    });
    others.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_doubles_with_each_reference_ends() {
        let part = |n: usize, word: &str| {
            let next = json!({ "$ref": format!("#/$defs/n{}", n + 1) });
            json!({ word: [next, next], "$ref": next["$ref"] })
        };
        for word in ["allOf", "anyOf", "oneOf"] {
            let mut parts: Map<String, Value> =
                (0..60).map(|n| (format!("n{n}"), part(n, word))).collect();
            parts.insert("n60".to_owned(), json!({ "type": "integer" }));
            let schema = json!({ "$ref": "#/$defs/n0", "$defs": parts });
            // Nobody knows by then.
            assert_eq!(*whole_numbers(&schema, &json!(7.0)), json!(7.0));
            parts = (0..3).map(|n| (format!("n{n}"), part(n, word))).collect();
            parts.insert("n3".to_owned(), json!({ "type": "integer" }));
            let schema = json!({ "$ref": "#/$defs/n0", "$defs": parts });
            assert_eq!(*whole_numbers(&schema, &json!(7.0)), json!(7));
        }
    }
}

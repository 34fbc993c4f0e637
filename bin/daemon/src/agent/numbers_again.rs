//! Numbers among restored arguments: models write placeholders as texts.

use std::cell::Cell;

use serde_json::{Number, Value};

/// How many references and alternatives of a schema are followed for all arguments of a call, and how deep.
const MAX_PARTS: u32 = 20_000;
const MAX_DEPTH: usize = 16;

/// What a schema wants.
pub(super) struct Wanted<'s> {
    /// The whole schema, to which `$ref` refers.
    root: &'s Value,
    /// How many parts may still be followed.
    left: Cell<u32>,
}

impl<'s> Wanted<'s> {
    /// What this schema wants.
    pub(super) fn of(root: &'s Value) -> Self {
        Self { root, left: Cell::new(MAX_PARTS) }
    }

    /// Whether one more part may be followed; schemas may refer to themselves many times.
    fn may_follow(&self, depth: usize) -> Option<usize> {
        self.left.set(self.left.get().checked_sub(1)?);
        depth.checked_sub(1)
    }

    /// Makes numbers of the values of placeholders that stood where the schema wants a number.
    pub(super) fn again(&self, before: &Value, now: &mut Value, schema: &'s Value) {
        match (before, now) {
            (Value::Object(before), Value::Object(fields)) => {
                for (name, value) in fields {
                    let part = self.part(schema, MAX_DEPTH, &|schema| {
                        schema["properties"].get(name).or_else(|| {
                            schema.get("additionalProperties").filter(|any| any.is_object())
                        })
                    });
                    if let (Some(before), Some(part)) = (before.get(name), part) {
                        self.again(before, value, part);
                    }
                }
            }
            (Value::Array(before), Value::Array(items)) => {
                for (at, (before, value)) in before.iter().zip(items).enumerate() {
                    let part = self.part(schema, MAX_DEPTH, &|schema| {
                        schema["prefixItems"].get(at).or_else(|| schema.get("items"))
                    });
                    if let Some(part) = part {
                        self.again(before, value, part);
                    }
                }
            }
            (Value::String(before), now) => {
                let text = now.as_str().filter(|text| text != before && self.number(schema));
                if let Some(Ok(number)) = text.map(str::parse::<Number>) {
                    *now = Value::Number(number);
                }
            }
            _ => {}
        }
    }

    /// What a schema says of a part, itself or in what it refers to.
    fn part(
        &self,
        schema: &'s Value,
        depth: usize,
        of: &impl Fn(&'s Value) -> Option<&'s Value>,
    ) -> Option<&'s Value> {
        let deeper = self.may_follow(depth)?;
        let found = of(schema);
        let found = found.or_else(|| self.part(self.target(schema)?, deeper, of));
        found.or_else(|| {
            let mut others =
                ["allOf", "anyOf", "oneOf"].iter().filter_map(|name| schema[*name].as_array());
            others.find_map(|all| all.iter().find_map(|one| self.part(one, deeper, of)))
        })
    }

    /// What a schema refers to, within the whole.
    fn target(&self, schema: &'s Value) -> Option<&'s Value> {
        let pointer = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        // JSON pointers in a fragment are percent-encoded, which names of components never need.
        self.root.pointer(pointer)
    }

    /// Whether a schema takes numbers, and no text.
    fn number(&self, schema: &'s Value) -> bool {
        let (mut numbers, mut texts) = (false, false);
        self.types(schema, MAX_DEPTH, &mut |name| match name {
            "integer" | "number" => numbers = true,
            "string" => texts = true,
            _ => {}
        });
        numbers && !texts
    }

    fn types(&self, schema: &'s Value, depth: usize, found: &mut impl FnMut(&'s str)) {
        let Some(deeper) = self.may_follow(depth) else { return };
        match &schema["type"] {
            Value::String(name) => found(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).for_each(&mut *found),
            _ => {}
        }
        if let Some(target) = self.target(schema) {
            self.types(target, deeper, found);
        }
        for name in ["allOf", "anyOf", "oneOf"] {
            for one in schema[name].as_array().into_iter().flatten() {
                self.types(one, deeper, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_come_back_wherever_the_schema_names_them() {
        let schema = json!({
            "$defs": {
                "Order": { "type": "object", "properties": { "id": { "$ref": "#/$defs/Id" }, "note": { "type": "string" } } },
                "Id": { "type": "integer" },
                "Loop": { "$ref": "#/$defs/Loop" },
            },
            "type": "object",
            "properties": {
                "plain": { "type": "integer" },
                "maybe": { "anyOf": [{ "$ref": "#/$defs/Id" }, { "type": "null" }] },
                "either": { "type": ["integer", "string"] },
                "order": { "allOf": [{ "$ref": "#/$defs/Order" }] },
                "orders": { "type": "array", "items": { "$ref": "#/$defs/Order" } },
                "loop": { "$ref": "#/$defs/Loop" },
            },
            "additionalProperties": { "type": "number" },
        });
        let before = |n: &str| json!(format!("[[card:{n}]]"));
        let all = |value: Value, given: bool| {
            let v = |n: &str| if given { value.clone() } else { before(n) };
            json!({
                "plain": v("1"), "maybe": v("2"), "either": v("3"), "loop": v("4"), "more": v("5"),
                "order": { "id": v("6"), "note": v("7") }, "orders": [{ "id": v("8") }],
            })
        };
        let mut now = all(json!("12"), true);
        Wanted::of(&schema).again(&all(Value::Null, false), &mut now, &schema);
        assert_eq!(
            now,
            json!({
                "plain": 12, "maybe": 12, "either": "12", "loop": "12", "more": 12,
                "order": { "id": 12, "note": "12" }, "orders": [{ "id": 12 }],
            })
        );
    }
}

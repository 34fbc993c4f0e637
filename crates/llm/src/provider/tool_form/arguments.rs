//! Arguments of a call under the names that the provider takes, and back.
//!
//! A value is walked along the tool's own schema, so that only keys that name a property are renamed,
//! never data: an object with any keys keeps them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::names::{NameMap, NameRule};

/// The most schemas that one value may have to fit.
const MAX_SCHEMAS: usize = 500;

/// The deepest value that is walked.
const MAX_DEPTH: usize = 64;

/// The arguments of a tool of which some have other names at the provider.
#[derive(Debug)]
pub(super) struct Arguments {
    schema: Value,
    names: NameMap,
}

/// In which direction names are mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToWire,
    ToOriginal,
}

impl Arguments {
    /// `None` when all names fit.
    pub(super) fn of(schema: &Value, names: &BTreeSet<String>, rule: NameRule) -> Option<Self> {
        let names = names.iter().map(String::as_str).collect();
        let names = NameMap::of(&names, rule);
        (!names.is_empty()).then(|| Self { schema: schema.clone(), names })
    }

    /// A property's name at the provider.
    pub(super) fn wire_name(&self, name: &str) -> String {
        self.names.wire(name).unwrap_or(name).to_owned()
    }

    pub(super) fn names(&self) -> &NameMap {
        &self.names
    }

    /// Arguments as the provider knows them.
    pub(super) fn to_wire(&self, value: &Value) -> Value {
        self.map(&[&self.schema], value, Direction::ToWire, 0)
    }

    /// Arguments under their own names. A model may have used these already.
    pub(super) fn to_original(&self, value: &Value) -> Value {
        self.map(&[&self.schema], value, Direction::ToOriginal, 0)
    }

    fn map(&self, schemas: &[&Value], value: &Value, direction: Direction, depth: usize) -> Value {
        let schemas = self.applicable(schemas);
        if schemas.is_empty() || depth > MAX_DEPTH {
            return value.clone();
        }
        match value {
            Value::Object(fields) => self.object(&schemas, fields, direction, depth),
            Value::Array(items) => {
                let of_items: Vec<&Value> = schemas
                    .iter()
                    .flat_map(|schema| [schema.get("items"), schema.get("prefixItems")])
                    .flatten()
                    .flat_map(|items| match items {
                        Value::Array(tuple) => tuple.iter().collect(),
                        one => vec![one],
                    })
                    .collect();
                items.iter().map(|item| self.map(&of_items, item, direction, depth + 1)).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        }
    }

    fn object(
        &self,
        schemas: &[&Value],
        fields: &Map<String, Value>,
        direction: Direction,
        depth: usize,
    ) -> Value {
        let declared = |name: &str| -> Vec<&Value> {
            schemas.iter().filter_map(|schema| schema.get("properties")?.get(name)).collect()
        };
        let mut out = Map::new();
        for (key, value) in fields {
            let mut own = key.as_str();
            let mut below = declared(own);
            if below.is_empty()
                && let Some(original) = self.names.original(key)
                && !fields.contains_key(original)
            {
                let renamed = declared(original);
                if !renamed.is_empty() {
                    (own, below) = (original, renamed);
                }
            }
            let is_declared = !below.is_empty();
            if !is_declared {
                below = schemas.iter().flat_map(|schema| others(schema)).collect();
            }
            let name = match direction {
                Direction::ToWire if is_declared => self.names.wire(own).unwrap_or(own),
                Direction::ToWire | Direction::ToOriginal => own,
            };
            out.insert(name.to_owned(), self.map(&below, value, direction, depth + 1));
        }
        Value::Object(out)
    }

    /// The schemas, and all that they refer to or combine, each once.
    fn applicable<'a>(&'a self, schemas: &[&'a Value]) -> Vec<&'a Value> {
        let mut all: Vec<&Value> = Vec::new();
        let mut next: Vec<&Value> = schemas.to_vec();
        while let Some(schema) = next.pop() {
            if !schema.is_object()
                || all.len() >= MAX_SCHEMAS
                || all.iter().any(|known| std::ptr::eq(*known, schema))
            {
                continue;
            }
            all.push(schema);
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                next.extend(crate::provider::schema::target(&self.schema, reference));
            }
            for word in ["allOf", "anyOf", "oneOf"] {
                next.extend(schema.get(word).and_then(Value::as_array).into_iter().flatten());
            }
            for word in ["if", "then", "else"] {
                next.extend(schema.get(word));
            }
            let dependent = schema.get("dependentSchemas").and_then(Value::as_object);
            next.extend(dependent.into_iter().flat_map(Map::values));
        }
        all
    }
}

/// The schemas of properties that have no name.
fn others(schema: &Value) -> impl Iterator<Item = &Value> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    patterns.into_iter().flat_map(Map::values).chain(schema.get("additionalProperties"))
}

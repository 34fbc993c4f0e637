//! Schemas of OpenAPI 3.0 and 3.1 as self-contained JSON Schema 2020-12.
//!
//! References are inlined; recursive ones, and those of very large schemas, become entries of
//! `$defs`. Keywords that do not restrict what a caller may write are dropped.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::names::fit;
use crate::pointer::target;

/// The most schemas in one operation's arguments.
const MAX_NODES: usize = 20_000;

/// Beyond this many schemas, references are no longer inlined.
const MAX_INLINE_NODES: usize = 400;

/// The depth to which references are inlined.
const MAX_INLINE_DEPTH: usize = 16;

/// The deepest nesting, including inlined references.
const MAX_DEPTH: usize = 192;

/// Keywords that are copied as they are.
const PLAIN: [&str; 17] = [
    "const",
    "default",
    "description",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "uniqueItems",
];

/// Keywords whose value is a schema.
const ONE: [&str; 11] = [
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Keywords whose value is a list of schemas.
const MANY: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];

/// Keywords whose value is an object of schemas.
const NAMED: [&str; 2] = ["patternProperties", "dependentSchemas"];

/// Converts the schemas of one operation.
pub(crate) struct Schemas<'a> {
    root: &'a Value,
    nodes: usize,
    depth: usize,
    /// The references that are being inlined, outermost first.
    inside: Vec<String>,
    /// The name in `$defs` of each reference that is not inlined.
    names: BTreeMap<String, String>,
    /// Those whose definition is still to be converted.
    todo: Vec<String>,
    /// Set while definitions are converted: references in them are not inlined.
    inline: bool,
}

impl<'a> Schemas<'a> {
    /// A converter for one operation of a document.
    pub(crate) fn new(root: &'a Value) -> Self {
        Self {
            root,
            nodes: 0,
            depth: 0,
            inside: Vec::new(),
            names: BTreeMap::new(),
            todo: Vec::new(),
            inline: true,
        }
    }

    /// Converts a schema to JSON Schema; its references are in [`Schemas::definitions`].
    pub(crate) fn convert(&mut self, schema: &Value) -> Result<Value, String> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(format!("its schema has more than {MAX_NODES} parts"));
        }
        if self.depth >= MAX_DEPTH {
            return Err("its schema is nested too deeply".to_owned());
        }
        self.depth += 1;
        let converted = match schema {
            Value::Object(fields) => self.object(fields),
            Value::Bool(_) => Ok(schema.clone()),
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err("a schema is neither an object nor true or false".to_owned())
            }
        };
        self.depth -= 1;
        converted
    }

    /// The definitions that the schemas made so far refer to.
    pub(crate) fn definitions(mut self) -> Result<Map<String, Value>, String> {
        let mut definitions = Map::new();
        self.inline = false;
        while let Some(reference) = self.todo.pop() {
            let schema = self.convert(target(self.root, &reference)?)?;
            if let Some(name) = self.names.get(&reference) {
                definitions.insert(name.clone(), schema);
            }
        }
        Ok(definitions)
    }

    fn object(&mut self, fields: &Map<String, Value>) -> Result<Value, String> {
        let Some(reference) = fields.get("$ref") else {
            return self.plain(fields);
        };
        let reference = reference.as_str().ok_or("a $ref is not a string")?;
        let referred = self.reference(reference)?;
        // OpenAPI 3.1 allows keywords beside a reference; 3.0 does not.
        let mut beside = fields.clone();
        beside.remove("$ref");
        let Value::Object(beside) = self.plain(&beside)? else { return Ok(referred) };
        Ok(match (beside.len(), referred) {
            (0, referred) => referred,
            (1, Value::Object(mut referred)) if beside.contains_key("description") => {
                referred.extend(beside);
                Value::Object(referred)
            }
            (_, referred) => {
                let mut both = beside;
                let parts = both.entry("allOf").or_insert_with(|| json!([]));
                if let Value::Array(parts) = parts {
                    parts.push(referred);
                }
                Value::Object(both)
            }
        })
    }

    fn reference(&mut self, reference: &str) -> Result<Value, String> {
        let schema = target(self.root, reference)?;
        let fits = self.inline
            && self.nodes < MAX_INLINE_NODES
            && self.inside.len() < MAX_INLINE_DEPTH
            && !self.inside.iter().any(|outer| outer == reference);
        if fits {
            self.inside.push(reference.to_owned());
            let converted = self.convert(schema);
            self.inside.pop();
            return converted;
        }
        if let Some(name) = self.names.get(reference) {
            return Ok(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        let base = fit(reference.rsplit('/').next().unwrap_or_default());
        let mut name = base.clone();
        let mut n = 2_u32;
        while self.names.values().any(|taken| *taken == name) {
            name = format!("{base}_{n}");
            n += 1;
        }
        let made = json!({ "$ref": format!("#/$defs/{name}") });
        self.names.insert(reference.to_owned(), name);
        self.todo.push(reference.to_owned());
        Ok(made)
    }

    /// Converts a schema that is not a reference.
    fn plain(&mut self, fields: &Map<String, Value>) -> Result<Value, String> {
        let mut out = Map::new();
        let nullable = fields.get("nullable") == Some(&Value::Bool(true));
        if let Some(kind) = fields.get("type") {
            out.insert("type".to_owned(), kind.clone());
        }
        for (word, value) in fields {
            let word = word.as_str();
            if PLAIN.contains(&word) || word == "enum" {
                out.insert(word.to_owned(), value.clone());
            } else if ONE.contains(&word) {
                out.insert(word.to_owned(), self.convert(value)?);
            } else if MANY.contains(&word) {
                let parts = value.as_array().ok_or_else(|| format!("{word} is not a list"))?;
                let parts: Result<Vec<_>, _> =
                    parts.iter().map(|part| self.convert(part)).collect();
                out.insert(word.to_owned(), Value::Array(parts?));
            } else if NAMED.contains(&word) {
                out.insert(word.to_owned(), self.named(word, value)?);
            }
        }
        self.properties(fields, &mut out)?;
        bounds(fields, &mut out);
        // A discriminator property selects the alternative, so more than one may match.
        if fields.contains_key("discriminator")
            && !out.contains_key("anyOf")
            && let Some(parts) = out.remove("oneOf")
        {
            out.insert("anyOf".to_owned(), parts);
        }
        if nullable { Ok(or_null(out)) } else { Ok(Value::Object(out)) }
    }

    fn named(&mut self, word: &str, value: &Value) -> Result<Value, String> {
        let schemas = value.as_object().ok_or_else(|| format!("{word} is not an object"))?;
        let mut out = Map::new();
        for (name, schema) in schemas {
            out.insert(name.clone(), self.convert(schema)?);
        }
        Ok(Value::Object(out))
    }

    /// Converts the properties that a caller writes, without read-only ones.
    fn properties(
        &mut self,
        fields: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let mut left_out = Vec::new();
        if let Some(properties) = fields.get("properties") {
            let properties = properties.as_object().ok_or("properties is not an object")?;
            let mut kept = Map::new();
            for (name, schema) in properties {
                if schema.get("readOnly") == Some(&Value::Bool(true)) {
                    left_out.push(name);
                } else {
                    kept.insert(name.clone(), self.convert(schema)?);
                }
            }
            out.insert("properties".to_owned(), Value::Object(kept));
        }
        if let Some(Value::Array(required)) = fields.get("required") {
            let is_left_out =
                |name: &Value| left_out.iter().any(|left| name.as_str() == Some(left.as_str()));
            let kept: Vec<Value> = required
                .iter()
                .filter(|name| name.is_string() && !is_left_out(name))
                .cloned()
                .collect();
            out.insert("required".to_owned(), Value::Array(kept));
        }
        Ok(())
    }
}

/// Converts `exclusiveMinimum: true` of 3.0, which is a number in JSON Schema.
fn bounds(fields: &Map<String, Value>, out: &mut Map<String, Value>) {
    for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match fields.get(exclusive) {
            Some(Value::Bool(true)) => {
                if let Some(bound) = out.remove(plain) {
                    out.insert(exclusive.to_owned(), bound);
                }
            }
            Some(Value::Number(bound)) => {
                out.insert(exclusive.to_owned(), Value::Number(bound.clone()));
            }
            Some(_) | None => {}
        }
    }
}

/// Converts `nullable: true` of 3.0.
fn or_null(mut schema: Map<String, Value>) -> Value {
    let null = || Value::String("null".to_owned());
    let parts = ["allOf", "anyOf", "oneOf", "not", "$ref", "const"];
    let combined = parts.iter().any(|word| schema.contains_key(*word));
    let limited = combined || (schema.contains_key("enum") && !schema.contains_key("type"));
    if limited {
        let description = schema.remove("description");
        let mut out = Map::new();
        out.extend(description.map(|text| ("description".to_owned(), text)));
        out.insert("anyOf".to_owned(), json!([schema, { "type": "null" }]));
        return Value::Object(out);
    }
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&null()) => kinds.push(null()),
        Some(kind @ Value::String(_)) => *kind = json!([kind, "null"]),
        // Without a type everything is allowed, including null.
        Some(_) | None => {}
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    Value::Object(schema)
}

//! Schemas of OpenAPI 3.0 and 3.1 as self-contained JSON Schema 2020-12.
//!
//! References are inlined; recursive ones, and those of very large schemas, become entries of
//! `$defs`. Keywords that do not restrict what a caller may write are dropped.

mod composed;
mod scope;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::{Map, Value, json};

use crate::names::fit;
use scope::{Found, Scope};
pub(crate) use words::size;
use words::{bounds, kinds, or_null, word};

/// The most schemas in one operation's arguments.
const MAX_NODES: usize = 20_000;

/// Beyond this many schemas, references are no longer inlined.
const MAX_INLINE_NODES: usize = 400;

/// Beyond this many bytes of texts, they are not, either.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// The most bytes of texts in one operation's arguments, far more than are kept in the end.
const MAX_BYTES: usize = 1024 * 1024;

/// The most bytes of definitions of a schema's own that are copied.
const MAX_COPIED_BYTES: usize = 32 * 1024 * 1024;

/// The depth to which references are inlined.
const MAX_INLINE_DEPTH: usize = 16;

/// The deepest nesting, including inlined references.
const MAX_DEPTH: usize = 192;

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
    /// The bytes of names, texts and values that have been taken over.
    bytes: usize,
    /// The bytes of definitions that have been copied.
    copied: usize,
    depth: usize,
    /// The references that are being inlined, outermost first.
    inside: Vec<String>,
    /// The definitions of the schemas around, outermost first.
    scopes: Vec<Rc<Scope>>,
    /// The name in `$defs` of each reference that is not inlined.
    names: BTreeMap<String, String>,
    /// These names, with how many have the same beginning.
    taken: BTreeMap<String, u32>,
    /// Those whose definition is still to be converted.
    todo: Vec<Found<'a>>,
    /// What is not known of the schemas: a line each.
    unknown: Vec<String>,
    /// Set while definitions are converted: references in them are not inlined.
    inline: bool,
    /// The properties of the value at hand that its server alone writes.
    read_only: BTreeSet<String>,
    /// Set within `not` and `if`, where an alternative that fits too often must not fit more.
    is_condition: bool,
}

impl<'a> Schemas<'a> {
    /// A converter for one operation of a document.
    pub(crate) fn new(root: &'a Value) -> Self {
        Self {
            root,
            nodes: 0,
            bytes: 0,
            copied: 0,
            depth: 0,
            inside: Vec::new(),
            scopes: Vec::new(),
            unknown: Vec::new(),
            names: BTreeMap::new(),
            taken: BTreeMap::new(),
            todo: Vec::new(),
            inline: true,
            read_only: BTreeSet::new(),
            is_condition: false,
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
            // Somebody's way to say nothing.
            Value::Null => Ok(Value::Bool(true)),
            Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err("a schema is neither an object nor true or false".to_owned())
            }
        };
        self.depth -= 1;
        converted
    }

    /// The definitions that the schemas made so far refer to, and what is not known of them.
    pub(crate) fn definitions(mut self) -> Result<(Map<String, Value>, Vec<String>), String> {
        let mut definitions = Map::new();
        self.inline = false;
        while let Some(Found { key, schema, scopes, is_condition }) = self.todo.pop() {
            self.scopes = scopes;
            self.is_condition = is_condition;
            let schema = self.convert(&schema)?;
            if let Some(name) = self.names.get(&key) {
                definitions.insert(name.clone(), schema);
            }
        }
        Ok((definitions, self.unknown))
    }

    /// Converts a schema with what is around the place that it comes from.
    fn convert_found(&mut self, found: &Found<'_>) -> Result<Value, String> {
        let outer = std::mem::replace(&mut self.scopes, found.scopes.clone());
        let converted = self.convert(&found.schema);
        self.scopes = outer;
        converted
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
        // In 3.0 it is ignored there, and meant all the same.
        let is_nullable = beside.remove("nullable") == Some(Value::Bool(true));
        let Value::Object(beside) = self.plain(&beside)? else { return Ok(referred) };
        let both = match (beside.len(), referred) {
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
        };
        Ok(if is_nullable { json!({ "anyOf": [both, { "type": "null" }] }) } else { both })
    }

    fn reference(&mut self, reference: &str) -> Result<Value, String> {
        let Some(found) = self.find(reference)? else { return Ok(Value::Bool(true)) };
        let fits = self.inline
            && self.nodes < MAX_INLINE_NODES
            && self.bytes < MAX_INLINE_BYTES
            && self.inside.len() < MAX_INLINE_DEPTH
            && !self.inside.contains(&found.key);
        if fits {
            self.inside.push(found.key.clone());
            let converted = self.convert_found(&found);
            self.inside.pop();
            return converted;
        }
        if let Some(name) = self.names.get(&found.key) {
            return Ok(json!({ "$ref": format!("#/$defs/{name}") }));
        }
        let base = fit(reference.rsplit('/').next().unwrap_or_default());
        let mut name = base.clone();
        while self.taken.contains_key(&name) {
            let n = self.taken.entry(base.clone()).or_insert(1);
            *n += 1;
            name = format!("{base}_{n}");
        }
        self.taken.insert(name.clone(), 1);
        let made = json!({ "$ref": format!("#/$defs/{name}") });
        self.names.insert(found.key.clone(), name);
        self.todo.push(found);
        Ok(made)
    }

    /// Converts a schema that is not a reference.
    fn plain(&mut self, fields: &Map<String, Value>) -> Result<Value, String> {
        let outer = self.read_only.clone();
        let around = self.scopes.len();
        self.enter(fields)?;
        self.read_only.extend(composed::read_only(self.root, fields));
        let mut out = Map::new();
        if let Some(kind) = fields.get("type").and_then(kinds) {
            out.insert("type".to_owned(), kind);
        }
        for (name, value) in fields {
            self.word(name, value, fields, &mut out)?;
        }
        self.properties(fields, &mut out)?;
        bounds(fields, &mut out);
        composed::open(&mut out);
        self.read_only = outer;
        self.scopes.truncate(around);
        words::agree(&mut out);
        let nullable = fields.get("nullable") == Some(&Value::Bool(true));
        if nullable { Ok(or_null(out)) } else { Ok(Value::Object(out)) }
    }

    fn word(
        &mut self,
        name: &str,
        value: &Value,
        fields: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        match (name, value) {
            // A tuple, in the words of draft 4.
            ("items", Value::Array(tuple)) if !fields.contains_key("prefixItems") => {
                let parts = self.parts("prefixItems", tuple, fields)?;
                out.insert("prefixItems".to_owned(), parts);
                let more = fields
                    .get("additionalItems")
                    .filter(|more| more.is_object() || more.is_boolean());
                if let Some(more) = more {
                    let more = self.of_part(more)?;
                    out.insert("items".to_owned(), more);
                }
            }
            (_, Value::Null) if name != "const" && name != "default" => {}
            ("not" | "if", value) => {
                let outer = std::mem::replace(&mut self.is_condition, true);
                let converted = self.convert(value);
                self.is_condition = outer;
                out.insert(name.to_owned(), converted?);
            }
            ("then" | "else", value) => {
                let converted = self.convert(value)?;
                out.insert(name.to_owned(), converted);
            }
            (_, value) if ONE.contains(&name) => {
                let converted = self.of_part(value)?;
                out.insert(name.to_owned(), converted);
            }
            (_, value) if MANY.contains(&name) => {
                let parts = value.as_array().ok_or_else(|| format!("{name} is not a list"))?;
                let parts = self.parts(name, parts, fields)?;
                // Documents say oneOf where several may fit, `7` both integer and number.
                if name == "oneOf" && !self.is_condition {
                    composed::add_alternatives(out, parts, fields.contains_key("anyOf"));
                } else if name == "allOf" {
                    composed::add_all(out, parts);
                } else if parts != json!([]) {
                    out.insert(name.to_owned(), parts);
                }
            }
            (_, value) if NAMED.contains(&name) => {
                let converted = self.named(name, value)?;
                out.insert(name.to_owned(), converted);
            }
            (_, value) => {
                if let Some(value) = word(name, value) {
                    self.count(size(&value))?;
                    out.insert(name.to_owned(), value);
                }
            }
        }
        Ok(())
    }

    /// Counts bytes that are taken over.
    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            return Err(format!("its schema has more than {} KiB of texts", MAX_BYTES / 1024));
        }
        Ok(())
    }

    /// Converts the schema of a part of the value.
    fn of_part(&mut self, schema: &Value) -> Result<Value, String> {
        let outer = std::mem::take(&mut self.read_only);
        let converted = self.convert(schema);
        self.read_only = outer;
        converted
    }

    /// Converts a list of schemas.
    fn parts(
        &mut self,
        word: &str,
        parts: &[Value],
        fields: &Map<String, Value>,
    ) -> Result<Value, String> {
        let mut converted = Vec::with_capacity(parts.len());
        for part in parts {
            converted.push(match word {
                "prefixItems" => self.of_part(part)?,
                "anyOf" | "oneOf" => {
                    let tag = composed::tag(self.root, fields.get("discriminator"), part);
                    self.count(tag.as_ref().map_or(0, composed::Tag::size))?;
                    composed::tagged(self.convert(part)?, tag)
                }
                _ => self.convert(part)?,
            });
        }
        Ok(Value::Array(converted))
    }

    fn named(&mut self, word: &str, value: &Value) -> Result<Value, String> {
        let schemas = value.as_object().ok_or_else(|| format!("{word} is not an object"))?;
        let mut out = Map::new();
        for (name, schema) in schemas {
            let converted = if word == "patternProperties" {
                self.of_part(schema)?
            } else {
                self.convert(schema)?
            };
            out.insert(name.clone(), converted);
        }
        Ok(Value::Object(out))
    }

    /// Converts the properties that a caller writes, without read-only ones.
    fn properties(
        &mut self,
        fields: &Map<String, Value>,
        out: &mut Map<String, Value>,
    ) -> Result<(), String> {
        if let Some(properties) = fields.get("properties").filter(|value| !value.is_null()) {
            let properties = properties.as_object().ok_or("properties is not an object")?;
            let mut kept = Map::new();
            for (name, schema) in properties {
                if self.read_only.contains(name) {
                    continue;
                }
                self.count(name.len())?;
                let schema = self.of_part(schema)?;
                kept.insert(name.clone(), schema);
            }
            out.insert("properties".to_owned(), Value::Object(kept));
        }
        if let Some(Value::Array(required)) = fields.get("required") {
            let is_kept =
                |name: &&Value| name.as_str().is_some_and(|name| !self.read_only.contains(name));
            let kept: Vec<Value> = required.iter().filter(is_kept).cloned().collect();
            self.count(kept.iter().map(size).sum())?;
            out.insert("required".to_owned(), Value::Array(kept));
        }
        Ok(())
    }
}

//! A schema that every provider can read: JSON Schema 2020-12 with known keywords of the right types,
//! so that one bad keyword does not cost the whole request.
//!
//! What is wrong is corrected where its meaning is clear (OpenAPI 3.0, draft 4), told in the
//! description where it restricts values, and dropped otherwise.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::keywords::{bounds, complete, count, has_type, is_definition, is_of, kind};
use super::pattern::is_portable;
use super::{append_notes, target};

/// The most schemas of one tool; what is beyond becomes a schema that allows anything.
const MAX_NODES: usize = 5_000;

/// The deepest nesting.
const MAX_DEPTH: usize = 24;

/// Cleans the schemas of one tool.
pub(in crate::provider) struct Cleaner<'a> {
    root: &'a Value,
    rename: &'a dyn Fn(&str) -> String,
    /// Whether an enum may list null.
    null_in_enum: bool,
    /// The names of all properties, as they are in the schema.
    names: RefCell<BTreeSet<String>>,
    nodes: Cell<usize>,
    /// The references that are being inlined, outermost first.
    inside: RefCell<Vec<String>>,
}

/// What is too deep: its type, and what is said of it.
fn leaf(words: &Map<String, Value>) -> Value {
    let mut out = Map::new();
    out.extend(words.get("type").and_then(kind).map(|kind| ("type".to_owned(), kind)));
    let said = words.get("description").filter(|said| said.is_string());
    out.extend(said.map(|said| ("description".to_owned(), said.clone())));
    if out.get("type").is_some_and(|kind| has_type(kind, "array")) {
        out.insert("items".to_owned(), json!({}));
    }
    Value::Object(out)
}

impl<'a> Cleaner<'a> {
    /// A cleaner that renames properties at every depth.
    pub(in crate::provider) fn new(
        root: &'a Value,
        null_in_enum: bool,
        rename: &'a dyn Fn(&str) -> String,
    ) -> Self {
        Self {
            root,
            rename,
            null_in_enum,
            names: RefCell::default(),
            nodes: Cell::new(0),
            inside: RefCell::default(),
        }
    }

    /// Cleans the schema as a whole.
    ///
    /// # Errors
    /// Why it cannot be a tool's.
    pub(in crate::provider) fn root(&self) -> Result<Value, String> {
        match self.root {
            Value::Null => return Ok(json!({ "type": "object", "properties": {} })),
            Value::Object(_) => {}
            _ => return Err("its schema is not an object".to_owned()),
        }
        let cleaned = self.schema(self.root, 0);
        let kind = cleaned.get("type");
        let takes_objects = match kind {
            None => true,
            Some(Value::Array(kinds)) => kinds.contains(&json!("object")),
            Some(kind) => kind == "object",
        };
        match kind {
            Some(kind) if !takes_objects => {
                Err(format!("its schema is of type {kind}, not object"))
            }
            Some(_) | None => Ok(cleaned),
        }
    }

    /// Cleans the schema, of whatever type it is.
    pub(in crate::provider) fn any(&self) -> Value {
        self.schema(self.root, 0)
    }

    /// The names of all properties that were seen.
    pub(in crate::provider) fn names(self) -> BTreeSet<String> {
        self.names.into_inner()
    }

    fn schema(&self, schema: &Value, depth: usize) -> Value {
        self.nodes.set(self.nodes.get() + 1);
        match schema {
            Value::Object(words) if depth < MAX_DEPTH && self.nodes.get() <= MAX_NODES => {
                self.object(words, depth)
            }
            Value::Bool(false) => json!({ "not": {} }),
            Value::Object(words) => leaf(words),
            _ => json!({}),
        }
    }

    fn object(&self, words: &Map<String, Value>, depth: usize) -> Value {
        if let Some(reference) = words.get("$ref").and_then(Value::as_str)
            && (!is_definition(reference) || target(self.root, reference).is_none())
        {
            return self.inlined(words, reference, depth);
        }
        let mut out = Map::new();
        let mut notes = Vec::new();
        for (word, value) in words {
            if let Some(value) = self.word(word, value, words, depth, &mut notes) {
                out.insert(word.clone(), value);
            }
        }
        bounds(words, &mut out);
        self.list(words, depth, &mut out, &mut notes);
        complete(words, &mut out);
        append_notes(&mut out, &notes);
        Value::Object(out)
    }

    /// A keyword's value; `None` where it is dropped.
    fn word(
        &self,
        word: &str,
        value: &Value,
        words: &Map<String, Value>,
        depth: usize,
        notes: &mut Vec<String>,
    ) -> Option<Value> {
        match word {
            "type" => kind(value),
            "properties" | "dependentSchemas" => self.properties(value, depth),
            "$defs" | "definitions" => self.named(value, depth, |_| true, notes),
            "patternProperties" => self.named(value, depth, is_portable, notes),
            "required" => self.required(value),
            "dependentRequired" => self.dependent(value),
            "anyOf" | "oneOf" | "allOf" => {
                let parts: Vec<_> =
                    value.as_array()?.iter().map(|part| self.schema(part, depth + 1)).collect();
                (!parts.is_empty()).then_some(Value::Array(parts))
            }
            "additionalProperties" | "unevaluatedProperties" | "unevaluatedItems" => match value {
                Value::Bool(_) => Some(value.clone()),
                Value::Object(_) => Some(self.schema(value, depth + 1)),
                _ => None,
            },
            "not" | "if" | "then" | "else" | "contains" | "propertyNames" => {
                matches!(value, Value::Object(_) | Value::Bool(_))
                    .then(|| self.schema(value, depth + 1))
            }
            "enum" => self.values(value, words, notes),
            "const" => {
                if value.is_null() && !self.null_in_enum {
                    notes.push("always null".to_owned());
                    return None;
                }
                Some(value.clone())
            }
            "pattern" => {
                let pattern = value.as_str()?;
                if is_portable(pattern) {
                    return Some(value.clone());
                }
                notes.push(format!("pattern: {value}"));
                None
            }
            "title" | "description" | "format" | "$ref" | "contentEncoding"
            | "contentMediaType" => value.is_string().then(|| value.clone()),
            "minimum" | "maximum" => value.is_number().then(|| value.clone()),
            "multipleOf" => value.as_f64().filter(|n| *n > 0.0).map(|_| value.clone()),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties"
            | "maxProperties" | "minContains" | "maxContains" => count(value),
            "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => {
                value.is_boolean().then(|| value.clone())
            }
            "examples" => value.is_array().then(|| value.clone()),
            "default" => Some(value.clone()),
            // Lists and exclusive bounds follow; other keywords restrict nothing that is known.
            _ => None,
        }
    }

    fn name(&self, name: &str) -> String {
        self.names.borrow_mut().insert(name.to_owned());
        (self.rename)(name)
    }

    fn properties(&self, value: &Value, depth: usize) -> Option<Value> {
        // A property that allows nothing is none.
        let kept = value.as_object()?.iter().filter(|(_, schema)| **schema != Value::Bool(false));
        let kept = kept.map(|(name, schema)| (self.name(name), self.schema(schema, depth + 1)));
        Some(Value::Object(kept.collect()))
    }

    fn named(
        &self,
        value: &Value,
        depth: usize,
        fits: impl Fn(&str) -> bool,
        notes: &mut Vec<String>,
    ) -> Option<Value> {
        let mut out = Map::new();
        for (name, schema) in value.as_object()? {
            if fits(name) {
                out.insert(name.clone(), self.schema(schema, depth + 1));
            } else {
                notes.push(format!("properties like {name:?}: {schema}"));
            }
        }
        (!out.is_empty()).then_some(Value::Object(out))
    }

    /// The names of a `required`, each once.
    fn required(&self, value: &Value) -> Option<Value> {
        let mut names = Vec::new();
        for name in value.as_array()?.iter().filter_map(Value::as_str) {
            let name = json!(self.name(name));
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(Value::Array(names))
    }

    fn dependent(&self, value: &Value) -> Option<Value> {
        let fields = value.as_object()?.iter();
        let fields =
            fields.filter_map(|(name, needs)| Some((self.name(name), self.required(needs)?)));
        Some(Value::Object(fields.collect()))
    }

    /// The values of an enum, each once, and only those of the schema's type: others never fit.
    fn values(
        &self,
        value: &Value,
        words: &Map<String, Value>,
        notes: &mut Vec<String>,
    ) -> Option<Value> {
        let given = value.as_array()?;
        let mut kept: Vec<Value> = Vec::new();
        for one in given {
            let fits = words.get("type").and_then(kind).is_none_or(|kind| is_of(one, &kind));
            let may_be_null = words.get("nullable") == Some(&Value::Bool(true));
            let allowed =
                if one.is_null() { self.null_in_enum && (fits || may_be_null) } else { fits };
            if allowed && !kept.contains(one) {
                kept.push(one.clone());
            }
        }
        if given.contains(&Value::Null) && !self.null_in_enum {
            notes.push("or null".to_owned());
        }
        (!kept.is_empty()).then_some(Value::Array(kept))
    }

    /// The items of a list. A tuple becomes a list of any of its parts: few providers read tuples, and
    /// OpenAI and Gemini refuse a list without `items`.
    fn list(
        &self,
        words: &Map<String, Value>,
        depth: usize,
        out: &mut Map<String, Value>,
        notes: &mut Vec<String>,
    ) {
        let of = |name: &str| words.get(name).and_then(Value::as_array);
        let tuple = of("prefixItems").or_else(|| of("items"));
        let mut parts: Vec<Value> = Vec::new();
        for part in tuple.into_iter().flatten() {
            let part = self.schema(part, depth + 1);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if let Some(more) = words.get("items").filter(|items| items.is_object()) {
            parts.push(self.schema(more, depth + 1));
        }
        if tuple.is_some_and(|tuple| tuple.len() > 1) {
            notes.push("items in this order".to_owned());
        }
        let items = match parts.len() {
            0 if words.contains_key("items") => Some(json!({})),
            0 => out.get("type").filter(|kind| has_type(kind, "array")).map(|_| json!({})),
            1 => parts.pop(),
            _ => Some(json!({ "anyOf": parts })),
        };
        if let Some(items) = items {
            out.insert("items".to_owned(), items);
        }
    }

    /// A schema whose reference leads elsewhere than to a definition: names on the way may change.
    fn inlined(&self, words: &Map<String, Value>, reference: &str, depth: usize) -> Value {
        let mut beside = words.clone();
        beside.remove("$ref");
        let found = target(self.root, reference);
        let is_open = self.inside.borrow().iter().any(|outer| outer == reference);
        let (Some(found), false) = (found, is_open) else {
            return self.object(&beside, depth);
        };
        self.inside.borrow_mut().push(reference.to_owned());
        let mut out = self.schema(found, depth + 1);
        self.inside.borrow_mut().pop();
        if let (Some(out), Value::Object(beside)) =
            (out.as_object_mut(), self.object(&beside, depth))
        {
            out.extend(beside);
        }
        out
    }
}

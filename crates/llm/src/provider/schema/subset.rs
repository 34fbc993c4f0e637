//! Gemini's subset of OpenAPI schemas.

use std::cell::{Cell, RefCell};

use serde_json::{Map, Value, json};

use super::types::{by_type, is_always, kind_of, kinds, types};
use super::{MAX_DEPTH, MAX_NODES, append_notes, describe, list_at, merge, object_at, resolve};

/// The deepest nesting of what is not recursive, and of anything. Gemini refuses schemas that are nested too
/// deeply, and does not say how deeply.
const MAX_LEVELS: usize = 24;
const MAX_CALLS: usize = 30;

/// How often a recursive schema is written within itself.
const MAX_REPEATS: usize = 3;

/// The keywords of Gemini's subset of OpenAPI schemas.
const SUBSET: [&str; 11] = [
    "title",
    "required",
    "nullable",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minLength",
    "maxLength",
    "minProperties",
    "maxProperties",
];

/// Keywords that do not restrict values, and are dropped.
const IGNORED: [&str; 11] = [
    "$schema",
    "$id",
    "$defs",
    "$comment",
    "$anchor",
    "definitions",
    "default",
    "examples",
    "example",
    "deprecated",
    "readOnly",
];

/// Converts a schema to the subset.
pub(in crate::provider) fn subset(schema: &Value) -> Value {
    let reducer = Reducer { root: schema, left: Cell::new(MAX_NODES), inside: RefCell::default() };
    Value::Object(reducer.reduced(schema, 0))
}

struct Reducer<'a> {
    root: &'a Value,
    /// How many more schemas may be written.
    left: Cell<usize>,
    /// The references that are followed, outermost first.
    inside: RefCell<Vec<String>>,
}

impl Reducer<'_> {
    fn reduced(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let reference = schema.get("$ref").and_then(Value::as_str);
        let found = resolve(self.root, schema);
        self.left.set(self.left.get().saturating_sub(1));
        if self.is_cut(found, reference, depth) {
            return cut(schema, found, reference);
        }
        self.inside.borrow_mut().extend(reference.map(str::to_owned));
        let mut out = self.whole(found, depth);
        if reference.is_some() {
            self.inside.borrow_mut().pop();
        }
        // What is said beside a reference is said of this very place.
        if let Some(said) = schema.get("description").filter(|_| reference.is_some()) {
            out.insert("description".into(), said.clone());
        }
        out
    }

    /// Whether what a schema consists of is not written any more. Texts and numbers always are.
    fn is_cut(&self, schema: &Value, reference: Option<&str>, depth: usize) -> bool {
        let has = |words: &[&str]| words.iter().any(|word| schema.get(*word).is_some());
        if depth >= MAX_CALLS {
            return has(&["properties", "items", "anyOf", "oneOf", "allOf"]);
        }
        let inside = self.inside.borrow();
        let repeats = inside.iter().filter(|outer| Some(outer.as_str()) == reference).count();
        let is_deep = depth >= MAX_LEVELS
            || self.left.get() == 0
            || repeats >= MAX_REPEATS
            || (repeats > 0 && depth >= MAX_DEPTH);
        let is_whole = has(&["properties", "items"]) || repeats >= MAX_REPEATS;
        is_deep && (is_whole || (self.left.get() == 0 && self.is_composed_of_more(schema)))
    }

    /// Whether an alternative or a part of a schema is more than a text or a number.
    fn is_composed_of_more(&self, schema: &Value) -> bool {
        let parts = ["anyOf", "oneOf", "allOf"].iter().filter_map(|word| schema.get(*word));
        parts.filter_map(Value::as_array).flatten().any(|part| {
            let part = resolve(self.root, part);
            let words = ["properties", "items", "anyOf", "oneOf", "allOf"];
            words.iter().any(|word| part.get(*word).is_some())
        })
    }

    fn whole(&self, schema: &Value, depth: usize) -> Map<String, Value> {
        let mut out = Map::new();
        let Some(given) = schema.as_object() else {
            // `true`: anything, for which an object is the best approximation.
            out.insert("type".into(), json!("object"));
            return out;
        };
        if let Some(split) = by_type(given) {
            return self.whole(&split, depth);
        }
        let mut notes = Vec::new();
        for (word, value) in given {
            self.word(word, value, depth, &mut out, &mut notes);
        }
        types(&mut out);
        // An alternative that is left alone may have brought its own.
        let said = given.get("description").or_else(|| out.get("description")).cloned();
        describe(&mut out, said.as_ref(), &notes);
        alone(&mut out);
        out
    }

    /// Takes one keyword over, or notes what it says.
    fn word(
        &self,
        word: &str,
        value: &Value,
        depth: usize,
        out: &mut Map<String, Value>,
        notes: &mut Vec<String>,
    ) {
        let below = |schema: &Value| Value::Object(self.reduced(schema, depth + 1));
        match word {
            "properties" => {
                let properties = value.as_object().into_iter().flatten();
                let properties = properties.map(|(name, value)| (name.clone(), below(value)));
                let mut properties: Map<String, Value> = properties.collect();
                // An `allOf` before may have some, too.
                merge(&mut properties, out);
                out.insert(word.to_owned(), Value::Object(properties));
            }
            "items" if value.as_object().is_some_and(|words| !words.is_empty()) => {
                out.insert(word.to_owned(), below(value));
            }
            "anyOf" | "oneOf" => self.alternatives(value, depth, out, notes),
            "allOf" => {
                for part in value.as_array().into_iter().flatten() {
                    self.part(part, depth, out);
                }
            }
            "type" => kinds(value, out),
            // Only texts are allowed in an enum, and no empty one
            // (https://github.com/anomalyco/opencode/pull/46676).
            "const" | "enum" => {
                let values = match (word, value) {
                    ("enum", Value::Array(values)) => values.as_slice(),
                    _ => std::slice::from_ref(value),
                };
                let texts: Vec<&Value> = values
                    .iter()
                    .filter(|value| value.as_str().is_some_and(|text| !text.is_empty()))
                    .collect();
                if values.contains(&Value::Null) {
                    out.insert("nullable".into(), json!(true));
                }
                let others = values.iter().any(|value| !value.is_string() && !value.is_null());
                if others || texts.is_empty() {
                    let which = if word == "const" { "always" } else { "one of" };
                    notes.push(format!("{which} {value}"));
                    out.entry("type").or_insert_with(|| json!(kind_of(values)));
                    return;
                }
                if values.iter().any(|value| value == "") {
                    notes.push("or an empty text".to_owned());
                }
                out.insert("enum".into(), json!(texts));
            }
            "description" | "$ref" | "items" => {}
            // Undescribed properties are rejected anyway.
            "additionalProperties" if value.is_boolean() => {}
            word if SUBSET.contains(&word) => {
                out.insert(word.to_owned(), value.clone());
            }
            word if IGNORED.contains(&word) => {}
            // In words that hold for themselves: nothing tells the model what a reference leads to.
            word if value.is_object()
                && self.left.get() > 0
                && depth < MAX_LEVELS
                && has_reference(value) =>
            {
                let told = Value::Object(self.reduced(value, depth + 1));
                notes.push(format!("{word}: {told}"));
            }
            word => notes.push(format!("{word}: {value}")),
        }
    }

    /// Merges a part of an `allOf`.
    fn part(&self, part: &Value, depth: usize, out: &mut Map<String, Value>) {
        let part = self.reduced(part, depth + 1);
        let mut properties = object_at(&Value::Object(out.clone()), "properties");
        merge(&mut properties, &part);
        let mut required = list_at(&Value::Object(out.clone()), "required");
        for name in part.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !required.contains(name) {
                required.push(name.clone());
            }
        }
        for (word, value) in part {
            out.entry(word).or_insert(value);
        }
        if !properties.is_empty() {
            out.insert("properties".into(), Value::Object(properties));
        }
        if !required.is_empty() {
            out.insert("required".into(), Value::Array(required));
        }
    }

    /// Converts alternatives; `null` among them becomes `nullable`, and an empty text is told: no enum may
    /// list it.
    fn alternatives(
        &self,
        value: &Value,
        depth: usize,
        out: &mut Map<String, Value>,
        notes: &mut Vec<String>,
    ) {
        let mut parts: Vec<Map<String, Value>> = Vec::new();
        let mut has_empty = false;
        for part in value.as_array().into_iter().flatten() {
            let found = resolve(self.root, part);
            if is_always(found, &Value::Null) {
                out.insert("nullable".into(), json!(true));
                continue;
            }
            if is_always(found, &json!("")) {
                has_empty = true;
                continue;
            }
            let part = self.reduced(part, depth + 1);
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        if has_empty {
            notes.push("or an empty text".to_owned());
        }
        if parts.is_empty() {
            out.entry("type").or_insert_with(|| json!("string"));
        }
        if parts.len() == 1 {
            for (word, value) in parts.remove(0) {
                out.entry(word).or_insert(value);
            }
        } else if !parts.is_empty() {
            out.insert("anyOf".into(), parts.into_iter().map(Value::Object).collect());
        }
    }
}

fn has_reference(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_reference),
        Value::Object(fields) => fields.contains_key("$ref") || fields.values().any(has_reference),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// A schema without what it consists of.
fn cut(schema: &Value, found: &Value, reference: Option<&str>) -> Map<String, Value> {
    let mut out = Map::new();
    match found.get("type") {
        Some(kind) => kinds(kind, &mut out),
        None if found.get("items").is_some() => kinds(&json!("array"), &mut out),
        None => kinds(&json!("object"), &mut out),
    }
    types(&mut out);
    let name = reference.and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    let note = if name.is_empty() {
        "what is in it is nested too deeply to be told here".to_owned()
    } else {
        format!("of the same form as the {name} above")
    };
    describe(&mut out, schema.get("description").or_else(|| found.get("description")), &[note]);
    out
}

/// `anyOf` must be the only field of its schema
/// (<https://github.com/anomalyco/opencode/issues/14788>): what is beside it goes into its
/// alternatives, or it goes into the description where the schema has a form of its own.
fn alone(out: &mut Map<String, Value>) {
    let Some(Value::Array(mut parts)) = out.remove("anyOf") else { return };
    if ["properties", "items", "enum"].iter().any(|word| out.contains_key(*word)) {
        append_notes(out, &[format!("at least one of {}", Value::Array(parts))]);
        types(out);
        return;
    }
    let description = out.remove("description");
    let nullable = out.remove("nullable");
    for part in parts.iter_mut().filter_map(Value::as_object_mut) {
        if let Some(nullable) = &nullable {
            part.insert("nullable".into(), nullable.clone());
        }
        if let Some(text) = description.as_ref().and_then(Value::as_str) {
            let own = part.get("description").and_then(Value::as_str).map(str::to_owned);
            let both = own.map_or_else(|| text.to_owned(), |own| format!("{text} {own}"));
            part.insert("description".into(), Value::String(both));
        }
    }
    out.clear();
    out.insert("anyOf".into(), Value::Array(parts));
}

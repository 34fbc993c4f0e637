//! Schemas that consist of others.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::pointer::resolve;

/// The most schemas that are looked through for one.
const MAX_SCHEMAS: usize = 500;

/// The properties that only the server writes, of a schema and of all that it consists of.
pub(super) fn read_only(root: &Value, fields: &Map<String, Value>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut look = |fields: &Map<String, Value>| {
        let properties = fields.get("properties").and_then(Value::as_object).into_iter().flatten();
        let hidden = properties.filter(|(_, schema)| is_read_only(root, schema));
        names.extend(hidden.map(|(name, _)| name.clone()));
        false
    };
    look(fields);
    for part in all_of(fields) {
        find(root, part, &mut look);
    }
    names
}

fn is_read_only(root: &Value, schema: &Value) -> bool {
    let says_so = |schema: &Value| schema.get("readOnly") == Some(&Value::Bool(true));
    says_so(schema) || resolve(root, schema).is_ok_and(says_so)
}

fn all_of(fields: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    fields.get("allOf").and_then(Value::as_array).into_iter().flatten()
}

/// Looks at a schema and its `allOf`, until something is found.
fn find(root: &Value, schema: &Value, is_it: &mut dyn FnMut(&Map<String, Value>) -> bool) -> bool {
    let mut left = MAX_SCHEMAS;
    let mut next = vec![schema];
    while let Some(schema) = next.pop() {
        let Ok(Value::Object(fields)) = resolve(root, schema) else { continue };
        if is_it(fields) {
            return true;
        }
        left -= 1;
        if left == 0 {
            return false;
        }
        next.extend(all_of(fields));
    }
    false
}

/// Adds alternatives of which at least one has to fit. `others` says that the schema has some already.
pub(super) fn add_alternatives(out: &mut Map<String, Value>, parts: Value, others: bool) {
    if parts == json!([]) {
        return;
    }
    if others {
        add_all(out, json!([{ "anyOf": parts }]));
    } else {
        out.insert("anyOf".to_owned(), parts);
    }
}

/// Adds schemas that have to fit, too.
pub(super) fn add_all(out: &mut Map<String, Value>, parts: Value) {
    let (Value::Array(parts), known) = (parts, out.remove("allOf")) else { return };
    let mut all = known.and_then(|known| known.as_array().cloned()).unwrap_or_default();
    all.extend(parts);
    if !all.is_empty() {
        out.insert("allOf".to_owned(), Value::Array(all));
    }
}

/// Opens what is closed in a way that nothing could fit: `additionalProperties: false` refuses the
/// properties of the other parts.
pub(super) fn open(out: &mut Map<String, Value>) {
    if let Some(Value::Array(parts)) = out.get_mut("allOf") {
        parts.iter_mut().for_each(open_part);
    }
    let is_composed = ["allOf", "anyOf", "oneOf"].iter().any(|word| out.contains_key(*word));
    if is_composed && out.get("additionalProperties") == Some(&Value::Bool(false)) {
        out.remove("additionalProperties");
        out.entry("unevaluatedProperties").or_insert(Value::Bool(false));
        for word in ["anyOf", "oneOf"] {
            let parts = out.get_mut(word).and_then(Value::as_array_mut);
            parts.into_iter().flatten().for_each(open_part);
        }
    }
}

fn open_part(part: &mut Value) {
    let Value::Object(fields) = part else { return };
    for word in ["additionalProperties", "unevaluatedProperties"] {
        if fields.get(word) == Some(&Value::Bool(false)) {
            fields.remove(word);
        }
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        let parts = fields.get_mut(word).and_then(Value::as_array_mut);
        parts.into_iter().flatten().for_each(open_part);
    }
}

/// What a discriminator says of an alternative.
pub(super) struct Tag {
    property: String,
    values: Vec<String>,
}

impl Tag {
    /// Its bytes.
    pub(super) fn size(&self) -> usize {
        self.property.len() + self.values.iter().map(String::len).sum::<usize>()
    }
}

/// The value of the discriminator by which an alternative is known, where its own schema does not say it
/// (OpenAPI 3.1, Discriminator Object: a mapping, or the name of the schema).
pub(super) fn tag(root: &Value, discriminator: Option<&Value>, part: &Value) -> Option<Tag> {
    let property = discriminator?.get("propertyName")?.as_str()?;
    let reference = part.get("$ref")?.as_str()?;
    let name = reference.rsplit('/').next().unwrap_or_default();
    let is_told = find(root, part, &mut |fields| {
        let own = fields.get("properties").and_then(|all| all.get(property));
        let own = own.and_then(|own| resolve(root, own).ok());
        own.is_some_and(|own| own.get("const").is_some() || own.get("enum").is_some())
    });
    if is_told {
        return None;
    }
    let mapping = discriminator?.get("mapping").and_then(Value::as_object);
    let is_this = |to: &Value| to.as_str().is_some_and(|to| to == reference || to == name);
    let mapped = mapping.into_iter().flatten().filter(|(_, to)| is_this(to));
    let mut values: Vec<String> = mapped.map(|(value, _)| value.clone()).collect();
    if values.is_empty() {
        values.push(name.to_owned());
    }
    Some(Tag { property: property.to_owned(), values })
}

/// An alternative with the value of its discriminator.
pub(super) fn tagged(schema: Value, tag: Option<Tag>) -> Value {
    let (Some(tag), Value::Object(mut fields)) = (tag, schema.clone()) else { return schema };
    if fields.contains_key("$ref") {
        fields = Map::from_iter([("allOf".to_owned(), json!([schema]))]);
    }
    let properties = fields.entry("properties").or_insert_with(|| json!({}));
    let own = properties.get(&tag.property).cloned().filter(Value::is_object);
    let mut own = own.unwrap_or_else(|| json!({ "type": "string" }));
    own["enum"] = json!(tag.values);
    properties[&tag.property] = own;
    let required = fields.entry("required").or_insert_with(|| json!([]));
    if let Value::Array(required) = required
        && !required.iter().any(|name| *name == tag.property)
    {
        required.push(json!(tag.property));
    }
    Value::Object(fields)
}

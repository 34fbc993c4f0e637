//! A tool as it is read for the index.

use serde_json::Value;

/// How deep the arguments of a tool are read.
const MAX_DEPTH: usize = 4;

/// How many arguments of a tool are read, with those inside of others.
const MAX_ARGUMENTS: usize = 200;

/// How much of an argument's description is read, bytes.
const MAX_ARGUMENT_TEXT: usize = 300;

/// A tool, as models see it, and the tags that its source has given it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it does; an operation's ends with its method and path in parentheses.
    pub description: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// The JSON Schema of its arguments.
    pub parameters: &'a Value,
}

impl<'a> Entry<'a> {
    /// A text that is no tool.
    pub fn of_text(text: &'a str) -> Self {
        Self { name: "", description: text, tags: &[], parameters: &Value::Null }
    }
}

/// The description of a tool in its parts.
pub(crate) struct Parts<'a> {
    /// Its first sentence.
    pub(crate) title: &'a str,
    /// What follows.
    pub(crate) rest: &'a str,
    /// The method and path.
    pub(crate) place: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(description: &'a str) -> Self {
        let whole = description.trim();
        let (said, place) = whole
            .strip_suffix(')')
            .and_then(|rest| rest.rsplit_once('('))
            .filter(|(_, place)| is_place(place))
            .unwrap_or((whole, ""));
        let ends = [". ", "! ", "? ", ".\n", "\n"].iter().filter_map(|end| said.find(end));
        let (title, rest) = said.split_at(ends.min().unwrap_or(said.len()));
        Self { title, rest, place }
    }
}

/// Whether a text is `METHOD /path`.
fn is_place(text: &str) -> bool {
    let parts = text.split_once(' ');
    parts.is_some_and(|(method, path)| {
        path.starts_with('/') && method.bytes().all(|byte| byte.is_ascii_uppercase())
    })
}

/// The names and the descriptions of arguments, also of those inside of others.
#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) names: String,
    pub(crate) descriptions: String,
    count: usize,
}

impl Arguments {
    pub(crate) fn of(schema: &Value) -> Self {
        let mut all = Self::default();
        all.read(schema, schema, 0);
        all
    }

    fn read(&mut self, root: &Value, schema: &Value, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        if let Some(meant) = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
            if let Some(meant) = root.pointer(meant) {
                self.read(root, meant, depth + 1);
            }
            return;
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if self.count >= MAX_ARGUMENTS {
                return;
            }
            self.count += 1;
            self.names.push_str(name);
            self.names.push(' ');
            if let Some(text) = schema["description"].as_str() {
                self.descriptions.push_str(&text[..text.floor_char_boundary(MAX_ARGUMENT_TEXT)]);
                self.descriptions.push(' ');
            }
            self.read(root, schema, depth + 1);
        }
        for several in ["oneOf", "anyOf", "allOf"] {
            for one in schema[several].as_array().into_iter().flatten() {
                self.read(root, one, depth + 1);
            }
        }
        if schema["items"].is_object() {
            self.read(root, &schema["items"], depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_description_is_a_title_what_follows_and_a_place() {
        let parts = Parts::of("Create an order. It is sent at once (by post). (POST /orders/{id})");
        assert_eq!(parts.title, "Create an order");
        assert!(parts.rest.ends_with("(by post). "), "{}", parts.rest);
        assert_eq!(parts.place, "POST /orders/{id}");
        let parts = Parts::of("Sums (a lot)");
        assert_eq!((parts.title, parts.place), ("Sums (a lot)", ""));
    }

    #[test]
    fn arguments_are_read_within_bounds() {
        let schema = json!({
            "properties": { "body": { "$ref": "#/$defs/order" }, "id": { "description": "which" } },
            "$defs": { "order": {
                "properties": { "lines": { "items": { "properties": { "amount": {} } } }, "again": { "$ref": "#/$defs/order" } }
            } }
        });
        let all = Arguments::of(&schema);
        for name in ["body", "lines", "amount", "id"] {
            assert!(all.names.contains(name), "{}", all.names);
        }
        assert_eq!(all.descriptions, "which ");
        let wide: serde_json::Map<_, _> = (0..999).map(|n| (format!("a{n}"), json!({}))).collect();
        assert_eq!(Arguments::of(&json!({ "properties": wide })).count, MAX_ARGUMENTS);
    }
}

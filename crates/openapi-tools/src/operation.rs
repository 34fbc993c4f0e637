//! One operation as a tool.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::body::{self, BodySpec};
use crate::parameter::{self, Parameter, Place};
use crate::schema::Schemas;
use crate::template::Template;

/// The most characters of a description for the model, with method and path: what all providers take.
const MAX_DESCRIPTION: usize = 1024;

/// The largest schema of arguments, bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// An operation as a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) template: Template,
    pub(crate) description: String,
    pub(crate) schema: Value,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<BodySpec>,
    pub(crate) takes_idempotency_key: bool,
}

impl Operation {
    /// The tool's name: `[A-Za-z0-9_-]{1,64}`, unique in the document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The method, in upper case.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path with its parameters in braces, and what some documents write behind it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The description, from the document.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Whether the document says that the operation takes the header `Idempotency-Key`, and so can
    /// recognise a repetition.
    pub fn takes_idempotency_key(&self) -> bool {
        self.takes_idempotency_key
    }

    /// What its requests look like beside the schema of the arguments: method, path, where each argument
    /// goes. Equal for two documents that mean the same.
    pub fn form(&self) -> String {
        let mut places: Vec<_> = self
            .parameters
            .iter()
            .map(|p| format!("{:?}", (&p.argument, &p.name, p.place, p.style, p.required)))
            .collect();
        places.sort();
        let body = self.body.as_ref().map(|body| (&body.kind, body.required));
        format!("{} {} {places:?} {body:?}", self.method, self.path)
    }

    /// JSON Schema (2020-12) of the arguments: each parameter by its name, and `body`.
    pub fn parameters(&self) -> &Value {
        &self.schema
    }

    /// Reads an operation. `item` is the path item, `operation` the operation object.
    pub(crate) fn read(
        root: &Value,
        name: &str,
        (method, path): (&str, &str),
        item: &Value,
        operation: &Value,
    ) -> Result<Self, String> {
        let mut schemas = Schemas::new(root);
        let mut template = Template::read(path)?;
        let mut parameters = parameter::read(root, &mut schemas, &mut template, item, operation)?;
        let body = body::read(root, &mut schemas, method, operation)?;
        name_arguments(&mut parameters, body.is_some());
        let schema = arguments(&parameters, body.as_ref(), schemas.definitions()?);
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("its schema is larger than {} KiB", MAX_SCHEMA_BYTES / 1024));
        }
        Ok(Self {
            name: name.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            template,
            description: describe(operation, method, path),
            schema,
            parameters,
            body,
            takes_idempotency_key: parameter::takes_idempotency_key(root, item, operation),
        })
    }
}

/// Parameters with the same name, or named `body`, get names with their location.
fn name_arguments(parameters: &mut [Parameter], has_body: bool) {
    let mut taken: BTreeSet<String> = has_body.then(|| "body".to_owned()).into_iter().collect();
    for parameter in parameters {
        let place = match parameter.place {
            Place::Path => "path",
            Place::Query => "query",
        };
        let mut name = parameter.name.clone();
        while !taken.insert(name.clone()) {
            name = format!("{name}_{place}");
        }
        parameter.argument = name;
    }
}

fn arguments(
    parameters: &[Parameter],
    body: Option<&BodySpec>,
    definitions: Map<String, Value>,
) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in parameters {
        properties.insert(parameter.argument.clone(), parameter.schema.clone());
        if parameter.required {
            required.push(parameter.argument.clone());
        }
    }
    if let Some(body) = body {
        properties.insert("body".to_owned(), body.schema.clone());
        if body.required {
            required.push("body".to_owned());
        }
    }
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false
    });
    if !definitions.is_empty() {
        schema["$defs"] = Value::Object(definitions);
    }
    schema
}

fn describe(operation: &Value, method: &str, path: &str) -> String {
    let text = |name| operation.get(name).and_then(Value::as_str).map(str::trim).unwrap_or("");
    let (summary, description) = (text("summary"), text("description"));
    let mut said = summary.to_owned();
    if !description.is_empty() && description != summary {
        if !said.is_empty() {
            let ends = said.ends_with(['.', '!', '?', ':']);
            said.push_str(if ends { " " } else { ". " });
        }
        said.push_str(description);
    }
    let place = format!("{method} {path}");
    if said.is_empty() {
        return place;
    }
    let place = format!(" ({place})");
    let room = MAX_DESCRIPTION.saturating_sub(place.chars().count());
    format!("{}{place}", cut(&said, room))
}

/// The beginning of a long text, to the end of a sentence if there is one in its second half.
fn cut(text: &str, max: usize) -> Cow<'_, str> {
    let Some((end, _)) = text.char_indices().nth(max) else { return text.into() };
    let room = &text[..end];
    let sentence = [". ", "! ", "? ", ".\n", "\n"].iter().filter_map(|end| room.rfind(end)).max();
    match sentence.filter(|at| *at >= room.len() / 2) {
        Some(at) => room[..=at].trim_end().into(),
        None => {
            let end = text.char_indices().nth(max.saturating_sub(1)).map_or(0, |(end, _)| end);
            format!("{}…", &text[..end]).into()
        }
    }
}

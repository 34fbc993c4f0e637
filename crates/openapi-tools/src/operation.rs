//! One operation as a tool.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::body::{self, BodySpec};
use crate::media_type::essence;
use crate::parameter::{self, Parameter, Place};
use crate::pointer::resolve;
use crate::schema::Schemas;
use crate::template::{Template, path_of};

/// The most characters of a description for the model, with method and path: what all providers take.
const MAX_DESCRIPTION: usize = 1024;

/// The largest schema of arguments, bytes of JSON.
const MAX_SCHEMA_BYTES: usize = 256 * 1024;

/// The most tags of an operation that are read, and the longest one, characters.
const MAX_TAGS: (usize, usize) = (8, 60);

/// The most media types of answers that are asked for.
const MAX_ACCEPTED: usize = 8;

/// An operation as a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    pub(crate) name: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) template: Template,
    pub(crate) description: String,
    pub(crate) tags: Vec<String>,
    pub(crate) schema: Value,
    /// What is not known of its arguments: a line each.
    pub(crate) unknown: Vec<String>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) body: Option<BodySpec>,
    pub(crate) takes_idempotency_key: bool,
    pub(crate) accept: Option<String>,
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

    /// The path alone.
    pub fn endpoint(&self) -> &str {
        path_of(&self.path)
    }

    /// The description, from the document.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Its tags in the document.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether the document says that the operation takes the header `Idempotency-Key`, and so can
    /// recognise a repetition.
    pub fn takes_idempotency_key(&self) -> bool {
        self.takes_idempotency_key
    }

    /// The media types of its answers, where none of them is plain JSON.
    pub fn accept(&self) -> Option<&str> {
        self.accept.as_deref()
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
        let mut body = body::read(root, &mut schemas, method, operation)?;
        name_arguments(&mut parameters, body.is_some());
        let (definitions, unknown) = schemas.definitions()?;
        if let Some(body) = &mut body {
            body.leave_out(&definitions);
        }
        let schema = arguments(&parameters, body.as_ref(), definitions);
        if schema.to_string().len() > MAX_SCHEMA_BYTES {
            return Err(format!("its schema is larger than {} KiB", MAX_SCHEMA_BYTES / 1024));
        }
        Ok(Self {
            name: name.to_owned(),
            method: method.to_owned(),
            path: path.to_owned(),
            template,
            description: describe(operation, method, path),
            tags: tags(operation),
            schema,
            unknown,
            parameters,
            body,
            takes_idempotency_key: parameter::takes_idempotency_key(root, item, operation),
            accept: accept(root, operation),
        })
    }
}

/// The media types of an operation's good answers, unless one of them is plain JSON or nothing is said.
fn accept(root: &Value, operation: &Value) -> Option<String> {
    let responses = operation.get("responses").and_then(Value::as_object)?;
    let good = responses.iter().filter(|(status, _)| status.starts_with('2'));
    let mut kinds: Vec<String> = Vec::new();
    for (_, response) in good {
        let content = resolve(root, response).ok()?.get("content").and_then(Value::as_object)?;
        kinds.extend(content.keys().filter(|kind| kind.is_ascii()).map(|kind| essence(kind)));
    }
    let is_json =
        |kind: &String| matches!(kind.as_str(), "application/json" | "*/*" | "application/*");
    let is_type = |kind: &&String| kind.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if kinds.is_empty() || kinds.iter().any(is_json) {
        return None;
    }
    let kinds: Vec<&str> =
        kinds.iter().filter(is_type).take(MAX_ACCEPTED).map(String::as_str).collect();
    (!kinds.is_empty()).then(|| kinds.join(", "))
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

fn tags(operation: &Value) -> Vec<String> {
    let (most, longest) = MAX_TAGS;
    let tags = operation.get("tags").and_then(Value::as_array).into_iter().flatten();
    let tags = tags.filter_map(Value::as_str).map(str::trim);
    let fits = |tag: &&str| !tag.is_empty() && tag.chars().count() <= longest;
    tags.filter(fits).take(most).map(str::to_owned).collect()
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

//! The body of an operation's request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::files::{is_file, may_be_file, properties};
use crate::media_type::{essence, is_json};
use crate::parameter::Style;
use crate::pointer::resolve;
use crate::schema::Schemas;

/// How a body is encoded.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BodyKind {
    /// As `application/json`, or as another type of JSON.
    Json(Option<String>),
    /// `application/x-www-form-urlencoded`, with the fields that have another style than one pair per
    /// value.
    Form(BTreeMap<String, Style>),
    /// `multipart/form-data` of texts.
    Multipart(Parts),
    /// Text of this type.
    Text(String),
}

/// What the fields of a multipart body have of their own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parts {
    /// The type.
    pub(crate) types: BTreeMap<String, String>,
    /// What the items of a list are joined by, where they are one value.
    pub(crate) joined: BTreeMap<String, &'static str>,
}

/// The body of an operation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BodySpec {
    pub(crate) kind: BodyKind,
    pub(crate) required: bool,
    pub(crate) schema: Value,
    /// The properties that a tool cannot send.
    unsendable: Vec<String>,
}

impl BodySpec {
    /// Takes what a tool cannot send out of the schema, of which parts may be in these definitions.
    pub(crate) fn leave_out(&mut self, definitions: &Map<String, Value>) {
        if !self.unsendable.is_empty() {
            without(&mut self.schema, &self.unsendable, definitions, &mut Vec::new());
        }
    }
}

/// Reads the body of an operation, if it has one.
///
/// # Errors
/// Why the operation cannot become a tool.
pub(crate) fn read(
    root: &Value,
    schemas: &mut Schemas<'_>,
    method: &str,
    operation: &Value,
) -> Result<Option<BodySpec>, String> {
    let Some(body) = operation.get("requestBody").filter(|body| !body.is_null()) else {
        return Ok(None);
    };
    let body = resolve(root, body)?;
    let required = body.get("required") == Some(&Value::Bool(true));
    if method == "GET" {
        // The body of a GET has no meaning (RFC 9110, section 9.3.1).
        let why = "it is a GET that needs a body, which clients and proxies drop";
        return if required { Err(why.to_owned()) } else { Ok(None) };
    }
    let content = body.get("content").and_then(Value::as_object);
    let Some(content) = content.filter(|content| !content.is_empty()) else {
        return if required { Err("its body has no content".to_owned()) } else { Ok(None) };
    };
    let (kind, media) = choose(root, content)?;
    let schema = schemas
        .convert(media.get("schema").unwrap_or(&Value::Bool(true)))
        .map_err(|why| format!("body: {why}"))?;
    let unsendable = unsendable(root, &kind, media, content)?;
    let unsendable = unsendable.into_iter().map(str::to_owned).collect();
    Ok(Some(BodySpec { kind, required, schema, unsendable }))
}

/// The form in which the body is sent.
fn choose<'a>(
    root: &Value,
    content: &'a Map<String, Value>,
) -> Result<(BodyKind, &'a Value), String> {
    let find = |fits: &dyn Fn(&str) -> bool| content.iter().find(|(kind, _)| fits(kind));
    let named = |name: &'static str| find(&move |kind| essence(kind) == name);
    // Of several kinds of patches the one that says only what changes (RFC 7396).
    let json = named("application/json")
        .or_else(|| named("application/merge-patch+json"))
        .or_else(|| find(&is_json))
        .or_else(|| find(&|kind| matches!(essence(kind).as_str(), "*/*" | "application/*")));
    if let Some((kind, media)) = json {
        let own = essence(kind).ends_with("+json").then(|| sent_as(kind));
        return Ok((BodyKind::Json(own), media));
    }
    if let Some((_, media)) = named("application/x-www-form-urlencoded") {
        return Ok((BodyKind::Form(styles(media)?), media));
    }
    if let Some((_, media)) = named("multipart/form-data") {
        if let Some(what) = file_in(root, media) {
            return Err(format!(
                "its body is multipart/form-data with {what}, and a tool cannot send files"
            ));
        }
        return Ok((BodyKind::Multipart(parts(media)?), media));
    }
    if let Some((kind, media)) = find(&|kind| kind.is_ascii() && essence(kind).starts_with("text/"))
        && media.get("schema").is_none_or(|schema| is_text(root, schema))
    {
        return Ok((BodyKind::Text(sent_as(kind)), media));
    }
    let kinds: Vec<&str> = content.keys().map(String::as_str).collect();
    Err(format!("its body can only be {}, which a tool cannot send", kinds.join(" or ")))
}

/// A media type as a header's value.
fn sent_as(kind: &str) -> String {
    let is_plain = kind.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_plain { kind.trim() } else { "application/json" }.to_owned()
}

fn is_text(root: &Value, schema: &Value) -> bool {
    resolve(root, schema).is_ok_and(|schema| {
        let kind = schema.get("type");
        kind.is_none_or(|kind| kind == "string") && schema.get("properties").is_none()
    })
}

/// What of a multipart body is, or may be, a file.
fn file_in(root: &Value, media: &Value) -> Option<String> {
    let nothing = Value::Null;
    let fields = properties(root, media.get("schema").unwrap_or(&nothing));
    if fields.is_empty() {
        return Some("parts that are not described".to_owned());
    }
    let encoding = media.get("encoding").unwrap_or(&nothing);
    let is_text = |name: &str| {
        let kind = encoding.get(name).and_then(|of| of.get("contentType")).and_then(Value::as_str);
        kind.is_none_or(|kind| is_json(kind) || essence(kind).starts_with("text/"))
    };
    fields.iter().find_map(|(name, schema, _)| {
        if is_file(root, schema) || !is_text(name) {
            Some(format!("a file ({name:?})"))
        } else {
            may_be_file(root, schema).then(|| format!("what may be a file ({name:?})"))
        }
    })
}

/// The fields that are files beside what is sent as JSON or a form.
fn unsendable<'a>(
    root: &'a Value,
    kind: &BodyKind,
    media: &'a Value,
    content: &Map<String, Value>,
) -> Result<Vec<&'a str>, String> {
    let is_form = matches!(kind, BodyKind::Form(_));
    // Alone, binary text in JSON is text for the application (pydantic's `bytes`).
    let is_upload = content.keys().any(|kind| essence(kind) == "multipart/form-data");
    let Some(schema) = media.get("schema").filter(|_| is_form || is_upload) else {
        return Ok(Vec::new());
    };
    let fields = properties(root, schema);
    let files = fields.into_iter().filter(|(_, schema, _)| is_file(root, schema));
    let files: Vec<_> = files.collect();
    let is_all = files.len() == properties(root, schema).len();
    match files.iter().find(|(_, _, required)| *required || is_all) {
        Some((name, ..)) => {
            Err(format!("its body needs a file ({name:?}), and a tool cannot send files"))
        }
        None if is_file(root, schema) => {
            Err("its body is a file, and a tool cannot send files".to_owned())
        }
        None => Ok(files.into_iter().map(|(name, ..)| name).collect()),
    }
}

/// Takes properties out of a converted schema. A definition that has them stays as it is for others, and
/// stands without them in the place of its reference. `inside` are the definitions that are gone through.
fn without(
    schema: &mut Value,
    names: &[String],
    definitions: &Map<String, Value>,
    inside: &mut Vec<String>,
) {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let name = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
    if let Some((name, found)) = name.and_then(|name| definitions.get_key_value(name))
        && !inside.contains(name)
    {
        let mut own = found.clone();
        inside.push(name.clone());
        without(&mut own, names, definitions, inside);
        inside.pop();
        if own != *found {
            *schema = own;
        }
        return;
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.retain(|name, _| !names.contains(name));
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        let parts = schema.get_mut(word).and_then(Value::as_array_mut);
        for part in parts.into_iter().flatten() {
            without(part, names, definitions, inside);
        }
    }
}

fn encodings(media: &Value) -> impl Iterator<Item = (&String, &Value)> {
    media.get("encoding").and_then(Value::as_object).into_iter().flatten()
}

/// The types of a multipart body's fields, from `encoding`.
fn types(media: &Value) -> BTreeMap<String, String> {
    let kind = |encoding: &Value| {
        let kinds = encoding.get("contentType")?.as_str()?;
        Some(sent_as(kinds.split(',').next()?))
    };
    encodings(media).filter_map(|(name, of)| Some((name.clone(), kind(of)?))).collect()
}

/// What the fields of a multipart body have of their own, from `encoding`.
fn parts(media: &Value) -> Result<Parts, String> {
    let mut joined = BTreeMap::new();
    for (name, style) in styles(media)? {
        let by = match style {
            Style::Joined("%20") => " ",
            Style::Joined("%7C") => "|",
            Style::Joined(by) => by,
            // Before 3.1 no style holds here, and objects are JSON.
            Style::Deep | Style::Each | Style::Json | Style::Segment { .. } => continue,
        };
        joined.insert(name, by);
    }
    Ok(Parts { types: types(media), joined })
}

fn unsupported(field: &str, style: &str) -> String {
    format!("the field {field:?} of its body has the unsupported style {style:?}")
}

/// The styles of a form's fields, from `encoding`.
fn styles(media: &Value) -> Result<BTreeMap<String, Style>, String> {
    let fields = encodings(media).filter_map(|(name, encoding)| {
        let explode = encoding.get("explode").and_then(Value::as_bool);
        let style = encoding.get("style").and_then(Value::as_str);
        let style = match style {
            Some("deepObject") => Style::Deep,
            Some(other) if !["form", "spaceDelimited", "pipeDelimited"].contains(&other) => {
                return Some(Err(unsupported(name, other)));
            }
            Some("spaceDelimited") if explode != Some(true) => Style::Joined("%20"),
            Some("pipeDelimited") if explode != Some(true) => Style::Joined("%7C"),
            _ if encoding.get("contentType").and_then(Value::as_str).is_some_and(is_json) => {
                Style::Json
            }
            _ if explode == Some(false) => Style::Joined(","),
            Some(_) => Style::Each,
            None if explode.is_some() => Style::Each,
            // As without an encoding.
            None => return None,
        };
        Some(Ok((name.clone(), style)))
    });
    fields.collect()
}

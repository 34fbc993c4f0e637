//! The request of a call.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::body::{BodyKind, Parts};
use crate::encode::encode;
use crate::operation::Operation;
use crate::pairs::Pairs;
use crate::parameter::{Parameter, Place, Style};
use crate::template::Part;
use crate::whole::whole_numbers;

/// The longest path, bytes.
const MAX_PATH: usize = 2048;

/// The longest query or form, bytes.
const MAX_QUERY: usize = 64 * 1024;

/// A request, ready to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method, in upper case.
    pub method: String,
    /// The path, percent-encoded; no argument can add a segment to it.
    pub path: String,
    /// The query without its question mark, percent-encoded; may be empty.
    pub query: String,
    /// The body.
    pub body: Option<Body>,
}

/// A body, ready to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// As `application/json`.
    Json(Value),
    /// As another type of JSON, such as `application/vnd.api+json`.
    JsonAs(String, Value),
    /// As `application/x-www-form-urlencoded`.
    Form(String),
    /// As `multipart/form-data`.
    Multipart(Vec<Field>),
    /// As text of this type.
    Text(String, String),
}

/// A field of a multipart body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type, where it is not plain text.
    pub media_type: Option<String>,
    /// Its text.
    pub value: String,
}

impl Operation {
    /// The request of a call whose arguments match [`Operation::parameters`].
    ///
    /// # Errors
    /// A text for the model, when an argument is not allowed in its location.
    pub fn request(&self, arguments: &Value) -> Result<Request, String> {
        let arguments: &Value = &whole_numbers(&self.schema, arguments);
        let path = self.fill(&self.template.path, arguments, segment)?;
        let mut query = Pairs::default();
        query.text(&self.fill(&self.template.query, arguments, in_query)?);
        for parameter in self.parameters.iter().filter(|p| p.place == Place::Query) {
            if let Some(value) = given(parameter, arguments) {
                query.put(&parameter.name, value, parameter.style)?;
            }
        }
        if path.len() > MAX_PATH {
            return Err(format!("the path would have more than {MAX_PATH} bytes"));
        }
        // Fixed text and values of a segment may together form `.` or `..`.
        if path.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) {
            return Err("a path must not have '.' or '..' segments".to_owned());
        }
        Ok(Request {
            method: self.method.clone(),
            path,
            query: finish(query)?,
            body: self.body_of(arguments)?,
        })
    }

    /// Text with its parameters filled in.
    fn fill(
        &self,
        parts: &[Part],
        arguments: &Value,
        write: impl Fn(&Parameter, &Value) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut text = String::new();
        for part in parts {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Parameter(name) => {
                    let found = |p: &&Parameter| p.place == Place::Path && p.name == *name;
                    let parameter = self.parameters.iter().find(found);
                    let parameter = parameter.ok_or_else(|| format!("{name:?} is missing"))?;
                    let value = given(parameter, arguments)
                        .ok_or_else(|| format!("{:?} is missing", parameter.argument))?;
                    text.push_str(&write(parameter, value)?);
                }
            }
        }
        Ok(text)
    }

    fn body_of(&self, arguments: &Value) -> Result<Option<Body>, String> {
        let (Some(spec), Some(body)) = (&self.body, arguments.get("body")) else {
            return Ok(None);
        };
        match &spec.kind {
            // The schema has decided whether null is allowed here.
            BodyKind::Json(_) if body.is_null() && !spec.required => Ok(None),
            BodyKind::Json(None) => Ok(Some(Body::Json(body.clone()))),
            BodyKind::Json(Some(kind)) => Ok(Some(Body::JsonAs(kind.clone(), body.clone()))),
            _ if body.is_null() => Ok(None),
            BodyKind::Form(styles) => form(body, styles).map(|text| Some(Body::Form(text))),
            BodyKind::Multipart(parts) => {
                multipart(body, parts).map(|fields| Some(Body::Multipart(fields)))
            }
            BodyKind::Text(kind) => match body {
                Value::Array(_) | Value::Object(_) => Err("body: it must be a text".to_owned()),
                text => Ok(Some(Body::Text(kind.clone(), scalar("body", text)?))),
            },
        }
    }
}

fn given<'a>(parameter: &Parameter, arguments: &'a Value) -> Option<&'a Value> {
    arguments.get(&parameter.argument).filter(|value| !value.is_null())
}

fn finish(pairs: Pairs) -> Result<String, String> {
    let text = pairs.finish();
    if text.len() > MAX_QUERY {
        return Err(format!("the arguments are larger than {} KiB", MAX_QUERY / 1024));
    }
    Ok(text)
}

fn fields(body: &Value) -> Result<&serde_json::Map<String, Value>, String> {
    body.as_object().ok_or_else(|| "body: a form is an object of fields".to_owned())
}

fn form(body: &Value, styles: &BTreeMap<String, Style>) -> Result<String, String> {
    let mut pairs = Pairs::default();
    for (name, value) in fields(body)? {
        match (styles.get(name), value) {
            (Some(style), value) => pairs.put(name, value, *style)?,
            // By default an object in a form is JSON (OpenAPI 3.1, Encoding Object).
            (None, Value::Array(items)) => {
                for item in items {
                    pairs.put(
                        name,
                        item,
                        if is_scalar(item) { Style::Each } else { Style::Json },
                    )?;
                }
            }
            (None, Value::Object(_)) => pairs.put(name, value, Style::Json)?,
            (None, value) => pairs.put(name, value, Style::Each)?,
        }
    }
    finish(pairs)
}

fn multipart(body: &Value, own_parts: &Parts) -> Result<Vec<Field>, String> {
    let mut made = Vec::new();
    for (name, value) in fields(body)? {
        let own = own_parts.types.get(name).cloned();
        let is_json = own.as_deref().is_some_and(crate::media_type::is_json);
        let by = own_parts.joined.get(name).filter(|_| !is_json && !is_scalar(value));
        if let Some(by) = by {
            let mut texts = Vec::new();
            flat(name, value, &mut texts)?;
            if !texts.is_empty() {
                made.push(Field { name: name.clone(), media_type: own, value: texts.join(by) });
            }
            continue;
        }
        let items = match value {
            Value::Null => &[],
            Value::Array(items) if !is_json => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for item in items {
            let (media_type, value) = if is_scalar(item) && !is_json {
                (own.clone(), scalar(name, item)?)
            } else {
                let json = own.clone().unwrap_or_else(|| "application/json".to_owned());
                (Some(json), item.to_string())
            };
            made.push(Field { name: name.clone(), media_type, value });
        }
    }
    Ok(made)
}

/// A value as a part of a path.
fn segment(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let name = &parameter.argument;
    let (texts, by, before) = match parameter.style {
        Style::Segment { label, explode } => {
            let by = if label && explode { "." } else { "," };
            (parts(name, value, explode)?, by, if label { "." } else { "" })
        }
        Style::Json => (vec![(None, value.to_string())], "", ""),
        Style::Each | Style::Joined(_) | Style::Deep => (parts(name, value, false)?, ",", ""),
    };
    let text = texts.iter().flat_map(|(key, text)| [key.as_deref().unwrap_or_default(), text]);
    let text: String = text.collect();
    if text.is_empty() {
        return Err(format!("{name:?} must not be empty: it is a part of the path"));
    }
    if text.contains(['/', '\\']) || text.chars().any(char::is_control) {
        return Err(format!(
            "{name:?} is a part of the path and must not contain a slash, backslash or control character"
        ));
    }
    if matches!(text.as_str(), "." | "..") {
        return Err(format!("{name:?} must not be {text:?}: it is a part of the path"));
    }
    let written = texts.iter().map(|(key, text)| match key {
        Some(key) => format!("{}={}", encode(key), encode(text)),
        None => encode(text),
    });
    Ok(format!("{before}{}", written.collect::<Vec<_>>().join(by)))
}

/// A value within a query that is a part of the path.
fn in_query(parameter: &Parameter, value: &Value) -> Result<String, String> {
    let texts = parts(&parameter.argument, value, false)?;
    Ok(texts.iter().map(|(_, text)| encode(text)).collect::<Vec<_>>().join(","))
}

/// The scalars of a value, those of an object with their keys where `explode` is set; `null`s are skipped.
fn parts(
    name: &str,
    value: &Value,
    explode: bool,
) -> Result<Vec<(Option<String>, String)>, String> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) if explode => {
            for (key, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                found.push((Some(key.clone()), scalar(name, value)?));
            }
        }
        _ => {
            let mut texts = Vec::new();
            flat(name, value, &mut texts)?;
            found.extend(texts.into_iter().map(|text| (None, text)));
        }
    }
    Ok(found)
}

/// The scalars of a value; `null`s are skipped.
pub(crate) fn flat(name: &str, value: &Value, out: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Array(items) => {
            for item in items {
                out.push(scalar(name, item)?);
            }
        }
        Value::Object(fields) => {
            for (key, item) in fields {
                out.push(key.clone());
                out.push(scalar(name, item)?);
            }
        }
        one => out.push(scalar(name, one)?),
    }
    Ok(())
}

pub(crate) fn is_scalar(value: &Value) -> bool {
    !value.is_array() && !value.is_object()
}

pub(crate) fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(flag) => Ok(flag.to_string()),
        // As JavaScript writes it: `7` for `7.0`, and no exponent in a large one.
        Value::Number(number) => Ok(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{}", float + 0.0),
            Some(_) | None => number.to_string(),
        }),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("{name:?} is nested too deeply for its location"))
        }
    }
}

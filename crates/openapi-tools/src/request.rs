//! The request of a call.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::body::BodyKind;
use crate::operation::Operation;
use crate::parameter::{Parameter, Place, Style};

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
    /// As `application/x-www-form-urlencoded`.
    Form(String),
}

impl Operation {
    /// The request of a call whose arguments match [`Operation::parameters`].
    ///
    /// # Errors
    /// A text for the model, when an argument is not allowed in its location.
    pub fn request(&self, arguments: &Value) -> Result<Request, String> {
        let mut path = self.path.clone();
        let mut query = Pairs::default();
        for parameter in &self.parameters {
            let value = arguments.get(&parameter.argument).filter(|value| !value.is_null());
            match (parameter.place, value) {
                (Place::Path, Some(value)) => path = fill(&path, parameter, value)?,
                (Place::Path, None) => {
                    return Err(format!("{:?} is missing", parameter.argument));
                }
                (Place::Query, Some(value)) => {
                    query.put(&parameter.name, value, parameter.style)?
                }
                (Place::Query, None) => {}
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
            query: query.finish()?,
            body: self.body_of(arguments)?,
        })
    }

    fn body_of(&self, arguments: &Value) -> Result<Option<Body>, String> {
        let (Some(spec), Some(body)) = (&self.body, arguments.get("body")) else {
            return Ok(None);
        };
        match &spec.kind {
            // The schema has decided whether null is allowed here.
            BodyKind::Json if body.is_null() && !spec.required => Ok(None),
            BodyKind::Json => Ok(Some(Body::Json(body.clone()))),
            BodyKind::Form(_) if body.is_null() => Ok(None),
            BodyKind::Form(styles) => form(body, styles).map(|text| Some(Body::Form(text))),
        }
    }
}

fn form(body: &Value, styles: &BTreeMap<String, Style>) -> Result<String, String> {
    let fields = body.as_object().ok_or("body: a form is an object of fields")?;
    let mut pairs = Pairs::default();
    for (name, value) in fields {
        let style = match styles.get(name) {
            Some(style) => *style,
            // By default an object in a form is JSON (OpenAPI 3.1, Encoding Object).
            None if value.is_object() => Style::Json,
            None => Style::Each,
        };
        pairs.put(name, value, style)?;
    }
    pairs.finish()
}

/// Replaces a name in braces by its value.
fn fill(path: &str, parameter: &Parameter, value: &Value) -> Result<String, String> {
    let name = &parameter.argument;
    let text = match parameter.style {
        Style::Json => value.to_string(),
        Style::Each | Style::Joined(_) | Style::Deep => {
            let mut parts = Vec::new();
            flat(name, value, &mut parts)?;
            parts.join(",")
        }
    };
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
    Ok(path.replace(&format!("{{{}}}", parameter.name), &encode(&text)))
}

/// The scalars of a value; `null`s are skipped.
fn flat(name: &str, value: &Value, out: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Bool(flag) => out.push(flag.to_string()),
        Value::Number(number) => out.push(number.to_string()),
        Value::String(text) => out.push(text.clone()),
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
    }
    Ok(())
}

fn scalar(name: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => {
            Err(format!("{name:?} is nested too deeply for its location"))
        }
    }
}

/// A query or a form.
#[derive(Default)]
struct Pairs(String);

impl Pairs {
    fn put(&mut self, name: &str, value: &Value, style: Style) -> Result<(), String> {
        match (style, value) {
            (_, Value::Null) => {}
            (Style::Json, value) => self.pair(name, &encode(&value.to_string())),
            (Style::Deep, Value::Object(fields)) => {
                for (key, value) in fields {
                    for item in items(value) {
                        self.pair(&format!("{name}[{key}]"), &encode(&scalar(name, item)?));
                    }
                }
            }
            (Style::Each | Style::Deep, Value::Array(list)) => {
                for item in list {
                    self.pair(name, &encode(&scalar(name, item)?));
                }
            }
            (Style::Each, Value::Object(fields)) => {
                for (key, value) in fields {
                    for item in items(value) {
                        self.pair(key, &encode(&scalar(name, item)?));
                    }
                }
            }
            (Style::Joined(by), Value::Array(_) | Value::Object(_)) => {
                let mut parts = Vec::new();
                flat(name, value, &mut parts)?;
                // An empty list has no values.
                if !parts.is_empty() {
                    let parts: Vec<_> = parts.iter().map(|part| encode(part)).collect();
                    self.pair(name, &parts.join(by));
                }
            }
            (Style::Each | Style::Joined(_) | Style::Deep, value) => {
                self.pair(name, &encode(&scalar(name, value)?));
            }
        }
        Ok(())
    }

    /// Adds a pair; `value` is already encoded.
    fn pair(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&encode(name));
        self.0.push('=');
        self.0.push_str(value);
    }

    fn finish(self) -> Result<String, String> {
        if self.0.len() > MAX_QUERY {
            return Err(format!("the arguments are larger than {} KiB", MAX_QUERY / 1024));
        }
        Ok(self.0)
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        other => std::slice::from_ref(other),
    }
}

/// Everything but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

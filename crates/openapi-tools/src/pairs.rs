//! Pairs of names and values: a query or a form.

use serde_json::Value;

use crate::encode::encode;
use crate::parameter::Style;
use crate::request::{flat, is_scalar, scalar};

/// A query or a form.
#[derive(Default)]
pub(crate) struct Pairs(String);

impl Pairs {
    /// Adds a value in its style.
    ///
    /// # Errors
    /// When the style has no place for it.
    pub(crate) fn put(&mut self, name: &str, value: &Value, style: Style) -> Result<(), String> {
        match (style, value) {
            (_, Value::Null) => {}
            (Style::Json, value) => self.pair(name, &encode(&value.to_string())),
            (Style::Deep, value) => self.deep(name, value)?,
            (Style::Each, Value::Array(list)) => {
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
            (Style::Each | Style::Joined(_) | Style::Segment { .. }, value) => {
                self.pair(name, &encode(&scalar(name, value)?));
            }
        }
        Ok(())
    }

    /// Adds `name[key]=value`. OpenAPI leaves open how lists are written; `name[]=value` is what Rack, PHP
    /// and qs read as a list, and `name[0][key]=value` as a list of objects.
    fn deep(&mut self, name: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Null => {}
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.deep(&format!("{name}[{key}]"), value)?;
                }
            }
            Value::Array(list) if list.iter().all(is_scalar) => {
                let name = format!("{}[]", name.strip_suffix("[]").unwrap_or(name));
                for item in list {
                    self.pair(&name, &encode(&scalar(&name, item)?));
                }
            }
            Value::Array(list) => {
                for (at, item) in list.iter().enumerate() {
                    self.deep(&format!("{name}[{at}]"), item)?;
                }
            }
            one => self.pair(name, &encode(&scalar(name, one)?)),
        }
        Ok(())
    }

    /// Adds text that is already encoded.
    pub(crate) fn text(&mut self, text: &str) {
        if !text.is_empty() && !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(text);
    }

    /// Adds a pair; `value` is already encoded.
    fn pair(&mut self, name: &str, value: &str) {
        self.text(&format!("{}={value}", encode(name)));
    }

    pub(crate) fn finish(self) -> String {
        self.0
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        Value::Null => &[],
        other => std::slice::from_ref(other),
    }
}

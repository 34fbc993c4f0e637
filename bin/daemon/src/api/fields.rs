//! Reads a JSON object field by field and collects all problems, so that they are reported at once.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// An object of the request, and the problems found so far.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
    problems: &'a mut BTreeMap<String, String>,
}

impl<'a> Fields<'a> {
    /// The fields of an object; `prefix` (such as `metadata.`) is prepended to their names.
    pub(super) fn new(
        object: &'a Map<String, Value>,
        prefix: &'static str,
        problems: &'a mut BTreeMap<String, String>,
    ) -> Self {
        Self { object, prefix, problems }
    }

    /// Records a problem; only the first one of each field is kept.
    pub(super) fn problem(&mut self, name: &str, why: impl Into<String>) {
        self.problems.entry(format!("{}{name}", self.prefix)).or_insert_with(|| why.into());
    }

    /// A field that is present and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// Optional text.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => {
                self.problem(name, format!("must be a string, such as \"{number}\""));
                None
            }
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                self.problem(name, "must be a string");
                None
            }
        }
    }

    /// Optional text that must not be blank.
    pub(super) fn non_blank_text(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        if text.trim().is_empty() {
            self.problem(name, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// Required text that must not be blank.
    pub(super) fn required_text(&mut self, name: &str) -> String {
        if self.get(name).is_none() {
            self.problem(name, "is required");
        }
        self.non_blank_text(name).unwrap_or_default()
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        if !value.is_boolean() {
            self.problem(name, "must be true or false");
        }
        value.as_bool()
    }

    /// An optional whole number of at least `min`.
    pub(super) fn integer(&mut self, name: &str, min: u64) -> Option<u64> {
        let number = self.get(name)?.as_u64().filter(|number| *number >= min);
        if number.is_none() {
            self.problem(name, format!("must be a whole number of at least {min}"));
        }
        number
    }

    /// An optional number of at least 0.
    pub(super) fn non_negative(&mut self, name: &str) -> Option<f64> {
        let number = self.get(name)?.as_f64().filter(|number| *number >= 0.0);
        if number.is_none() {
            self.problem(name, "must be a number of at least 0");
        }
        number
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str) -> Option<&'a Map<String, Value>> {
        let value = self.get(name)?;
        if !value.is_object() {
            self.problem(name, "must be an object");
        }
        value.as_object()
    }

    /// An array.
    pub(super) fn array(&mut self, name: &str) -> Option<&'a Vec<Value>> {
        let value = self.get(name)?;
        if !value.is_array() {
            self.problem(name, "must be an array");
        }
        value.as_array()
    }
}

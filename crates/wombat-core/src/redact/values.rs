//! Redaction of JSON.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::redactor::Redactor;

impl Redactor {
    /// Masks all texts in a value; with `numbers` also numbers, which become texts then. Tells whether anything was
    /// found.
    pub fn mask_value(&self, value: &mut Value, numbers: bool) -> bool {
        each(value, numbers, &|text| owned(self.mask(text)))
    }

    /// Restores all texts in a value.
    pub fn restore_value(&self, value: &mut Value) -> bool {
        each(value, false, &|text| owned(self.restore(text)))
    }

    /// A tool's answer, with placeholders. What JSON has escaped is found, too.
    pub fn redact_answer<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if memchr::memchr(b'\\', text.as_bytes()).is_some()
            && matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[' | b'"'))
            && let Ok(mut value) = serde_json::from_str::<Value>(text)
            && each(&mut value, true, &|text| owned(self.redact(text)))
        {
            return Cow::Owned(value.to_string());
        }
        self.redact(text)
    }
}

fn owned(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

/// Puts others in the place of texts and names; `None` leaves one as it is.
fn each(value: &mut Value, numbers: bool, change: &dyn Fn(&str) -> Option<String>) -> bool {
    match value {
        Value::String(text) => match change(text) {
            Some(changed) => {
                *text = changed;
                true
            }
            None => false,
        },
        Value::Number(number) if numbers => match change(&number.to_string()) {
            Some(changed) => {
                *value = Value::String(changed);
                true
            }
            None => false,
        },
        Value::Array(items) => {
            items.iter_mut().fold(false, |any, item| each(item, numbers, change) | any)
        }
        Value::Object(fields) => {
            let any =
                fields.values_mut().fold(false, |any, field| each(field, numbers, change) | any);
            names(fields, change) | any
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The same with the names of fields.
fn names(fields: &mut Map<String, Value>, change: &dyn Fn(&str) -> Option<String>) -> bool {
    if fields.keys().all(|name| change(name).is_none()) {
        return false;
    }
    let old = std::mem::take(fields);
    fields.extend(old.into_iter().map(|(name, value)| (change(&name).unwrap_or(name), value)));
    true
}

//! Redaction of JSON.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::redactor::{Literals, Manner, Redactor};

/// Fields whose values anybody may have given any form: there, and below, numbers are looked at, too. Elsewhere they
/// count something.
const FREE: [&str; 7] =
    ["arguments", "requested_arguments", "metadata", "output", "input", "answer", "data"];

/// What puts another text in the place of one, which may be that of a field; `None` leaves it as it is.
type Change<'c> = &'c dyn Fn(Option<&str>, &str) -> Option<String>;

impl Redactor {
    /// Masks all texts in a field, and the numbers that somebody has given. Tells whether anything was found.
    pub fn mask_field(&self, name: &str, value: &mut Value) -> bool {
        let of_field = Manner::default();
        each(value, Some(name), FREE.contains(&name), &|field, text| {
            owned(self.replace(text, &Manner { field, ..of_field }))
        })
    }

    /// Masks all texts in a value; with `numbers` also numbers, which become texts then. Tells whether anything was
    /// found.
    pub fn mask_value(&self, value: &mut Value, numbers: bool) -> bool {
        each(value, None, numbers, &|field, text| {
            owned(self.replace(text, &Manner { field, ..Manner::default() }))
        })
    }

    /// A value from outside, with placeholders in place of values.
    pub fn redact_value(&self, value: &mut Value) -> bool {
        self.redact_value_as(value, self.gives_back())
    }

    /// The same, from which exactly this value comes back, where it is to be `exact`.
    pub fn redact_value_as(&self, value: &mut Value, exact: bool) -> bool {
        let literals = if exact { Literals::Nested } else { Literals::KnownStay };
        self.change_value(value, literals)
    }

    /// A value that was redacted before; see [`Redactor::redact_again`].
    pub fn redact_value_again(&self, value: &mut Value) -> bool {
        self.change_value(value, Literals::AllStay)
    }

    fn change_value(&self, value: &mut Value, literals: Literals) -> bool {
        each(value, None, true, &|field, text| {
            owned(self.replace(text, &Manner { literals, field, is_json: false }))
        })
    }

    /// Restores all texts in a value.
    pub fn restore_value(&self, value: &mut Value) -> bool {
        each(value, None, false, &|_, text| owned(self.restore_argument(text)))
    }

    /// A tool's answer, with placeholders. What JSON has escaped is found, too, and stands for what it means; nothing
    /// else of the answer changes.
    pub fn redact_answer<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let literals = if self.gives_back() { Literals::Nested } else { Literals::KnownStay };
        let is_json = matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[' | b'"'));
        self.replace(text, &Manner { literals, field: None, is_json })
    }
}

fn owned(text: Cow<'_, str>) -> Option<String> {
    match text {
        Cow::Owned(text) => Some(text),
        Cow::Borrowed(_) => None,
    }
}

/// Puts others in the place of texts and names.
fn each(value: &mut Value, field: Option<&str>, numbers: bool, change: Change<'_>) -> bool {
    match value {
        Value::String(text) => match change(field, text) {
            Some(changed) => {
                *text = changed;
                true
            }
            None => false,
        },
        Value::Number(number) if numbers => match change(field, &number.to_string()) {
            Some(changed) => {
                *value = Value::String(changed);
                true
            }
            None => false,
        },
        Value::Array(items) => {
            items.iter_mut().fold(false, |any, item| each(item, field, numbers, change) | any)
        }
        Value::Object(fields) => {
            let any = fields.iter_mut().fold(false, |any, (name, value)| {
                let numbers = numbers || FREE.contains(&name.as_str());
                each(value, Some(name), numbers, change) | any
            });
            names(fields, change) | any
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The same with the names of fields.
fn names(fields: &mut Map<String, Value>, change: Change<'_>) -> bool {
    let changed: Vec<_> = fields.keys().map(|name| change(None, name)).collect();
    if changed.iter().all(Option::is_none) {
        return false;
    }
    let old = std::mem::take(fields);
    let renamed = old.into_iter().zip(changed);
    fields.extend(renamed.map(|((name, value), other)| (other.unwrap_or(name), value)));
    true
}

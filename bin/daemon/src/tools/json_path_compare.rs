//! Comparisons in a JSONPath's filters (`json_path.rs`), whose work counts as the search's own.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::json_path::{Comparison, Search};

/// How many bytes of a text that is compared count as a value that is looked at.
const TEXT_OF_VALUE: usize = 64;

impl Search<'_, '_> {
    pub(super) fn compare(
        &mut self,
        left: Option<&Value>,
        comparison: Comparison,
        right: Option<&Value>,
    ) -> Result<bool, String> {
        let order = match (left, right) {
            (Some(Value::Number(a)), Some(Value::Number(b))) => {
                a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b))
            }
            (Some(Value::String(a)), Some(Value::String(b))) => {
                let (a, b) = (self.text(a)?, self.text(b)?);
                Some(a.cmp(&b))
            }
            _ => None,
        };
        let is_equal = match (order, left, right) {
            (Some(order), ..) => order == Ordering::Equal,
            (None, Some(left), Some(right)) => self.is_equal(left, right)?,
            (None, left, right) => left.is_none() && right.is_none(),
        };
        Ok(match comparison {
            Comparison::Equal => is_equal,
            Comparison::Unequal => !is_equal,
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::More => order == Some(Ordering::Greater),
            Comparison::AtMost => is_equal || order == Some(Ordering::Less),
            Comparison::AtLeast => is_equal || order == Some(Ordering::Greater),
        })
    }

    fn is_equal(&mut self, left: &Value, right: &Value) -> Result<bool, String> {
        self.look(1)?;
        match (left, right) {
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b) {
                    if !self.is_equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Object(a), Value::Object(b)) if a.len() == b.len() => {
                for (name, a) in a {
                    let Some(b) = b.get(name) else { return Ok(false) };
                    if !self.is_equal(a, b)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Value::Array(_), _) | (Value::Object(_), _) => Ok(false),
            (Value::String(a), Value::String(b)) => Ok(self.text(a)? == self.text(b)?),
            (left, right) => Ok(left == right),
        }
    }

    /// A text as the model gets it.
    fn text<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, String> {
        self.look(text.len() / TEXT_OF_VALUE)?;
        Ok(self.given.meant(text))
    }
}

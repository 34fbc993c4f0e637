//! Comparisons in a JSONPath's filters (`json_path.rs`), whose work counts as the search's own.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::{Number, Value};

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
            (Some(Value::Number(a)), Some(Value::Number(b))) => numbers(a, b),
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
            (Value::Number(a), Value::Number(b)) => Ok(numbers(a, b) == Some(Ordering::Equal)),
            (left, right) => Ok(left == right),
        }
    }

    /// A text as the model gets it.
    fn text<'t>(&mut self, text: &'t str) -> Result<Cow<'t, str>, String> {
        self.look(text.len() / TEXT_OF_VALUE)?;
        Ok(self.given.meant(text))
    }
}

/// Whole numbers as such: as floating-point numbers, ids of 64 bits that are near each other would be equal.
fn numbers(a: &Number, b: &Number) -> Option<Ordering> {
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        return Some(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (a.as_u64(), b.as_u64()) {
        return Some(a.cmp(&b));
    }
    a.as_f64()?.partial_cmp(&b.as_f64()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::given::Given;
    use super::super::json_path::JsonPath;

    #[test]
    fn ids_that_are_near_each_other_are_not_equal() {
        let ids =
            [1_u64 << 53, (1 << 53) + 1, 1_234_567_890_123_456_788, 1_234_567_890_123_456_789];
        let items: Vec<_> = ids.into_iter().chain([u64::MAX - 1, u64::MAX]).collect();
        let value =
            json!(items.iter().map(|id| json!({ "id": id, "of": [id] })).collect::<Vec<_>>());
        let found = |filter: &str| {
            let path = JsonPath::parse(&format!("$[?{filter}].id")).unwrap();
            json!(path.find(&value, &Given::AsItIs).unwrap())
        };
        for id in &items {
            assert_eq!(found(&format!("@.id == {id}")), json!([id]));
        }
        assert_eq!(found("@.id < 9007199254740993"), json!([1_u64 << 53]));
        assert_eq!(found("@.id >= 18446744073709551615"), json!([u64::MAX]));
        // Numbers of other kinds are what they mean, also within lists.
        let whole = json!([{ "a": [1], "b": [1.0] }, { "a": [-1], "b": [1] }]);
        let path = JsonPath::parse("$[?@.a == @.b].b").unwrap();
        assert_eq!(json!(path.find(&whole, &Given::AsItIs).unwrap()), json!([[1.0]]));
    }
}

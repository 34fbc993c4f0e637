//! JSON in which every key of an object stands once. Of two equal keys most parsers take the last one:
//! a rule that somebody reads in a file would not be the one in force, and an entry of a log would say
//! one thing to its check and another to a person (RFC 8785, section 3.1; RFC 7493, section 2.3).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON value without duplicate keys, for any format that serde reads.
#[derive(Debug)]
pub struct Strict(pub Value);

/// Text that is not such a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrictError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for StrictError {}

/// Parses a text.
///
/// # Errors
/// When it is no JSON, or a key stands twice.
pub fn parse(text: &[u8]) -> Result<Value, StrictError> {
    serde_json::from_slice::<Strict>(text)
        .map(|strict| strict.0)
        .map_err(|error| StrictError { line: error.line(), reason: error.to_string() })
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number that JSON has no form for"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} stands twice")));
            }
            let Strict(value) = fields.next_value()?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_as_of_any_parser_unless_a_key_stands_twice() {
        for text in
            ["null", "[1, -2, 3.5, true, \"x\", null]", r#"{"a": {"b": []}, "c": {"b": 1}}"#]
        {
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap()
            );
        }
        let error = parse(b"{\"a\": [\n{\"b\": 1,\n\"b\": 2}]}").unwrap_err();
        assert_eq!(error.line, 3);
        assert!(error.reason.contains(r#"the key "b" stands twice"#), "{}", error.reason);
        assert!(json5::from_str::<Strict>("{a: 1, 'a': 2}").is_err());
        assert!(parse(br#"{"a":1,"\u0061":2}"#).unwrap_err().reason.contains("\"a\" stands twice"));
        assert!(parse(b"{} x").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_usual_parser(text in "[\\[\\]{}\":,a0 ]{0,24}") {
            if let Ok(value) = parse(text.as_bytes()) {
                proptest::prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}

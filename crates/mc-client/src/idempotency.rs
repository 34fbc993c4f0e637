//! Run keys and the keys of a run's writes (docs/RUNS.md, "Nothing twice, nothing lost").

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The identity of a run: the same for every repeat of the same request with an idempotency key.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunKey(String);

impl RunKey {
    /// The key of a run with an idempotency key: a hash of user, role and that key.
    pub fn derive(user_id: &str, role: &str, key: &str) -> Self {
        Self(sha256_hex(&["run", user_id, role, key]))
    }

    /// The same within a name space, so that equal keys of two protocols are two runs.
    pub fn derive_in(space: &str, user_id: &str, role: &str, key: &str) -> Self {
        Self(sha256_hex(&["run in", space, user_id, role, key]))
    }

    /// A key for a run without an idempotency key; its own retries are safe all the same.
    pub fn random() -> Self {
        Self(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// Parses a key: 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 64 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of the reply.
    pub fn reply_key(&self) -> String {
        format!("run:{self}:reply")
    }

    /// The key of the user's message, where the daemon stores it.
    pub fn message_key(&self) -> String {
        format!("run:{self}:message")
    }

    /// The key of the plan document.
    pub fn plan_key(&self) -> String {
        format!("run:{self}:plan")
    }

    /// The key of a tool's write: `nth` counts equal calls within the run, from 1.
    pub fn tool_key(&self, tool: &str, arguments: &Value, nth: u32) -> String {
        format!("run:{self}:{tool}:{}:{nth}", hex(&Sha256::digest(canonical_json(arguments))))
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunKey({})", self.0)
    }
}

/// The key of a task's creation by title, so that two concurrent creates make one task.
pub fn task_key(user_id: &str, title: &str) -> String {
    format!("task:{}", sha256_hex(&["task", user_id, title]))
}

/// JSON with sorted keys, without white space, and with one spelling of each number: equal values
/// give equal text, also when another program has written them again in between.
pub fn canonical_json(value: &Value) -> String {
    let mut out = Vec::new();
    write_canonical(value, &mut out);
    // It is JSON, and so UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

/// Appends the canonical JSON of a value.
pub(crate) fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => write(value, out),
        Value::Number(number) => write_number(number, out),
        Value::Array(items) => {
            out.push(b'[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            write_object(fields.iter(), out);
        }
    }
}

/// Appends the canonical JSON of an object with these fields.
pub(crate) fn write_object<'a>(
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    out: &mut Vec<u8>,
) {
    let mut sorted: Vec<_> = fields.collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    out.push(b'{');
    for (i, (name, field)) in sorted.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(name, out);
        out.push(b':');
        write_canonical(field, out);
    }
    out.push(b'}');
}

/// Writes a number. An integer is written exactly: read as a float, two ids could become one. A float
/// that is an integer is written as one, because programs differ in which of the two they write
/// (JavaScript has `1` for `1.0`).
fn write_number(number: &Number, out: &mut Vec<u8>) {
    let float = match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (None, None, Some(float)) => float,
        _ => return write(number, out),
    };
    let text = if float == 0.0 {
        "0".to_owned()
    } else if (1e-6..1e21).contains(&float.abs()) {
        // The shortest digits that are read as the same float, without an exponent.
        float.to_string()
    } else {
        format!("{float:e}")
    };
    out.extend_from_slice(text.as_bytes());
}

/// Writes a scalar; this cannot fail in memory.
fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let _infallible = serde_json::to_writer(out, value);
}

/// The SHA-256 of several texts, which depends on where each one ends, as hexadecimal digits.
pub fn sha256_hex(parts: &[&str]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part.as_bytes());
    }
    hex(&sha.finalize())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 0xf)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_run_key_depends_on_each_part_and_on_nothing_else() {
        let key = RunKey::derive("u", "scout", "k");
        assert_eq!(key, RunKey::derive("u", "scout", "k"));
        assert_eq!(key.as_str().len(), 64);
        for other in [("us", "cout", "k"), ("u", "scoutk", ""), ("v", "scout", "k")] {
            assert_ne!(key, RunKey::derive(other.0, other.1, other.2));
        }
        for space in ["", "u", "mcp", "a2a"] {
            assert_ne!(key, RunKey::derive_in(space, "u", "scout", "k"), "{space}");
        }
        let of = |space: &str| RunKey::derive_in(space, "u", "scout", "k");
        assert_ne!(of("mcp"), of("a2a"));
        assert_ne!(RunKey::random(), RunKey::random());
        assert_eq!(RunKey::parse(key.as_str()), Some(key));
        for text in ["", "../x", &"A".repeat(64), &"0".repeat(65)] {
            assert_eq!(RunKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_tools_key_is_the_same_for_equal_arguments_in_any_order() {
        let key = RunKey::derive("u", "scout", "k");
        let a = key.tool_key("t", &json!({ "b": [1, { "y": 1, "x": 2 }], "a": "ü" }), 1);
        let b = key.tool_key("t", &json!({ "a": "ü", "b": [1, { "x": 2, "y": 1 }] }), 1);
        assert_eq!(a, b);
        assert_ne!(a, key.tool_key("t", &json!({ "a": "ü", "b": [1, { "x": 2, "y": 1 }] }), 2));
        assert_ne!(a, key.tool_key("t", &json!({ "a": "u", "b": [1, { "x": 2, "y": 1 }] }), 1));
    }

    #[test]
    fn a_number_has_one_spelling_and_no_two_integers_the_same() {
        let canonical = |text: &str| canonical_json(&serde_json::from_str(text).unwrap());
        for (text, expected) in [
            ("5.0", "5"),
            ("-5.0", "-5"),
            ("5e2", "500"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("0.10", "0.1"),
            ("1e20", "100000000000000000000"),
            ("100000000000000000000", "100000000000000000000"),
            ("1E+21", "1e21"),
            ("0.0000001", "1e-7"),
            ("9007199254740993", "9007199254740993"),
            ("9007199254740992", "9007199254740992"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("[1.50,{\"a\":2.0}]", "[1.5,{\"a\":2}]"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_float_is_read_again_as_itself(bits in proptest::num::f64::NORMAL) {
            let text = canonical_json(&json!(bits));
            let again: Value = serde_json::from_str(&text).unwrap();
            proptest::prop_assert_eq!(again.as_f64(), Some(bits), "{}", text);
            proptest::prop_assert_eq!(canonical_json(&again), text);
        }

        #[test]
        fn canonical_json_is_json_of_the_same_value(text in "\\PC{0,20}", n in proptest::num::i64::ANY) {
            let value = json!({ "z": text, "a": [n, null, true], "m": { "k\"": text } });
            let again: Value = serde_json::from_str(&canonical_json(&value)).unwrap();
            proptest::prop_assert_eq!(again, value);
        }
    }
}

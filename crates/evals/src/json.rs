//! JSON values as tests compare them: the order of fields does not count, and 1 is 1.0.

use serde_json::{Number, Value};

/// From here on JSON's canonical form (RFC 8785) has an exponent.
const EXPONENT: f64 = 1e21;

/// The canonical text of a value: equal values give equal text.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => *out += &value.to_string(),
        Value::Number(number) => *out += &plain(number),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (at, (name, field)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                *out += &Value::String(name.clone()).to_string();
                out.push(':');
                write(field, out);
            }
            out.push('}');
        }
    }
}

/// A number in its shortest form.
fn plain(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXPONENT => {
            format!("{:.0}", float + 0.0)
        }
        Some(_) | None => number.to_string(),
    }
}

/// Whether two values are the same.
pub(crate) fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || plain(one) == plain(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(name, field)| other.get(name).is_some_and(|theirs| equal(field, theirs)))
        }
        _ => one == other,
    }
}

/// A value without what these JSON pointers (RFC 6901) lead to.
pub(crate) fn without(value: &Value, pointers: &[String]) -> Value {
    let mut rest = value.clone();
    for pointer in pointers {
        remove(&mut rest, pointer);
    }
    rest
}

fn remove(value: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else {
        // The empty pointer leads to the whole (RFC 6901).
        *value = Value::Null;
        return;
    };
    let name = name.replace("~1", "/").replace("~0", "~");
    match value.pointer_mut(parent) {
        Some(Value::Object(fields)) => drop(fields.shift_remove(&name)),
        Some(Value::Array(items)) => {
            if let Some(at) = name.parse::<usize>().ok().filter(|at| *at < items.len()) {
                // The others keep their places.
                items[at] = Value::Null;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_and_the_form_of_numbers_do_not_count() {
        let one = json!({ "a": 1, "b": [1.0, -0.0, 2.5, "x"], "c": null });
        let other = json!({ "c": null, "b": [1, 0, 2.5, "x"], "a": 1.0 });
        assert_eq!(canonical(&one), canonical(&other));
        assert!(equal(&one, &other));
        let large = (json!(1e16), json!(10_000_000_000_000_000_u64));
        assert!(equal(&large.0, &large.1) && canonical(&large.0) == canonical(&large.1));
        for (one, other) in [
            (json!(1), json!("1")),
            (json!([1, 2]), json!([2, 1])),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 })),
            (json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992_u64)),
            (json!(null), json!(false)),
        ] {
            assert_ne!(canonical(&one), canonical(&other), "{one} {other}");
            assert!(!equal(&one, &other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_ignored_is_taken_out() {
        let value = json!({ "a": { "b": 1, "c/d": 2 }, "e": [1, { "f": 2 }] });
        let pointers = ["/a/b", "/a/c~1d", "/e/1/f", "/nothing/there", "/e/9"];
        let pointers = pointers.map(str::to_owned);
        assert_eq!(without(&value, &pointers), json!({ "a": {}, "e": [1, {}] }));
        assert_eq!(without(&value, &[String::new()]), json!(null));
    }
}

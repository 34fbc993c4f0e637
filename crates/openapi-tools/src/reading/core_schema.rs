//! What a scalar of YAML is, by the core schema of YAML 1.2 (YAML 1.2.2, section 10.3.2): `y`, `no`, `on`,
//! `1:30`, `1_000` and dates are text, `010` is ten and `0o10` eight.

use serde_json::{Number, Value};

/// The value of a plain scalar without a tag.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| text.into(), Value::Number),
    }
}

/// The value of a scalar with one of YAML's own tags, such as `int` of `!!int`. Text that does not fit its
/// tag stays text.
pub(super) fn tagged(tag: &str, text: &str) -> Value {
    match tag {
        "null" => Value::Null,
        "bool" | "int" => plain(text),
        "float" => {
            let number = number(text).and_then(|number| Number::from_f64(number.as_f64()?));
            number.map_or_else(|| text.into(), Value::Number)
        }
        _ => text.into(),
    }
}

fn number(text: &str) -> Option<Number> {
    let radix = |digits: &str, radix| u64::from_str_radix(digits, radix).ok().map(Number::from);
    match text.as_bytes() {
        [b'0', b'x', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => return radix(&text[2..], 16),
        [b'0', b'o', b'0'..=b'7', ..] => return radix(&text[2..], 8),
        [b'0'..=b'9' | b'-' | b'+' | b'.', ..] => {}
        _ => return None,
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let has_digits = !whole.is_empty() || fraction.is_some_and(|digits| !digits.is_empty());
    let is_number = has_digits
        && is_digits(whole)
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|text| {
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            !digits.is_empty() && is_digits(digits)
        });
    if !is_number {
        return None;
    }
    let written = text.strip_prefix('+').unwrap_or(text);
    if fraction.is_none() && exponent.is_none() {
        let whole = written.parse::<i64>().map(Number::from);
        if let Ok(number) = whole.or_else(|_| written.parse::<u64>().map(Number::from)) {
            return Some(number);
        }
    }
    // Infinite when it is too large: no JSON has that, and so it stays text.
    Number::from_f64(written.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scalar_is_what_yaml_1_2_says() {
        for (text, value) in [
            ("", json!(null)),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nULL", json!("nULL")),
            ("True", json!(true)),
            ("FALSE", json!(false)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+12", json!(12)),
            ("010", json!(10)),
            ("-007", json!(-7)),
            ("0o10", json!(8)),
            ("0x1F", json!(31)),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
            ("36893488147419103232", json!(36_893_488_147_419_103_232.0)),
            ("1.0", json!(1.0)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-2.5e-3", json!(-0.0025)),
            ("1e3", json!(1000.0)),
        ] {
            assert_eq!(plain(text), value, "{text}");
        }
        let texts = [
            "y",
            "Y",
            "n",
            "yes",
            "No",
            "NO",
            "on",
            "off",
            "tRUE",
            "1:30",
            "12:30:45",
            "1_000",
            "0b11",
            "0O10",
            "0X1F",
            "-0x1",
            "0o8",
            "0o",
            "0x",
            "2026-11-29",
            "2026-11-29T10:00:00Z",
            "1.2.3",
            "1e",
            "e3",
            ".",
            "-",
            "+",
            "--1",
            "+-1",
            ".inf",
            "-.INF",
            ".NaN",
            "inf",
            "nan",
            "1e999",
            "=",
            "1 2",
            "１",
        ];
        for text in texts {
            assert_eq!(plain(text), json!(text), "{text}");
        }
        assert_eq!(tagged("str", "12"), json!("12"));
        assert_eq!(tagged("int", "0x10"), json!(16));
        assert_eq!(tagged("float", "3"), json!(3.0));
        assert_eq!(tagged("null", "x"), json!(null));
        assert_eq!(tagged("timestamp", "2026-11-29"), json!("2026-11-29"));
    }
}

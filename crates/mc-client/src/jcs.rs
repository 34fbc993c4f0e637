//! Canonical JSON as RFC 8785 (JCS) has it: equal values give equal bytes in every language.

use serde_json::{Number, Value};

/// A whole number up to which doubles are exact: 2^53.
const EXACT: u64 = 1 << 53;

/// Why a value has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JcsError {
    /// RFC 8785 knows doubles only (section 3.1, I-JSON).
    #[error("the number {0} is not exact as a double: send it as a text")]
    Inexact(String),
    /// A text that could not be written.
    #[error("a text could not be written as JSON")]
    Text,
}

/// The canonical form of a value.
pub fn canonical(value: &Value) -> Result<String, JcsError> {
    let mut out = String::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut String) -> Result<(), JcsError> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_text(text, out)?,
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write(item, out)?;
            }
            out.push(']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            // By UTF-16 code units (section 3.2.3), which order characters beyond U+FFFF otherwise
            // than bytes do.
            sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push('{');
            for (place, (name, value)) in sorted.into_iter().enumerate() {
                if place > 0 {
                    out.push(',');
                }
                write_text(name, out)?;
                out.push(':');
                write(value, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Writes a text; serde_json escapes what section 3.2.2.2 escapes, in the same way.
fn write_text(text: &str, out: &mut String) -> Result<(), JcsError> {
    let quoted = serde_json::to_string(text).map_err(|_| JcsError::Text)?;
    out.push_str(&quoted);
    Ok(())
}

fn write_number(number: &Number, out: &mut String) -> Result<(), JcsError> {
    let whole = match (number.as_u64(), number.as_i64()) {
        (Some(whole), _) => Some(whole),
        (None, Some(negative)) => Some(negative.unsigned_abs()),
        (None, None) => None,
    };
    let inexact = || JcsError::Inexact(number.to_string());
    match whole {
        // Their digits are those of the double.
        Some(whole) if whole <= EXACT => out.push_str(&number.to_string()),
        Some(_) => return Err(inexact()),
        None => write_double(number.as_f64().ok_or_else(inexact)?, out),
    }
    Ok(())
}

/// Writes a double as ECMAScript does (RFC 8785, section 3.2.2.3; ECMA-262, `Number::toString`).
fn write_double(double: f64, out: &mut String) {
    if double == 0.0 {
        return out.push('0');
    }
    if double < 0.0 {
        out.push('-');
    }
    let (digits, exponent) = shortest(double.abs());
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    // The value is 0.digits × 10^point.
    let point = exponent + 1;
    let zeros = |many: i32| "0".repeat(usize::try_from(many).unwrap_or_default());
    if count <= point && point <= 21 {
        out.push_str(&digits);
        out.push_str(&zeros(point - count));
    } else if 0 < point && point <= 21 {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or_default());
        out.push_str(whole);
        out.push('.');
        out.push_str(rest);
    } else if -6 < point && point <= 0 {
        out.push_str("0.");
        out.push_str(&zeros(-point));
        out.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        out.push_str(first);
        if !rest.is_empty() {
            out.push('.');
            out.push_str(rest);
        }
        out.push('e');
        out.push(if exponent < 0 { '-' } else { '+' });
        out.push_str(&exponent.unsigned_abs().to_string());
    }
}

/// The fewest digits that lead back to a double, of those the nearest to it, and of two equally near
/// ones the even; and the power of ten of the first digit. serde_json finds them; the standard
/// library's text is the odd one where two are equally near.
fn shortest(double: f64) -> (String, i32) {
    let text = Number::from_f64(double).map(|number| number.to_string()).unwrap_or_default();
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (whole, rest) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [whole, rest].concat();
    let leading = all.len() - all.trim_start_matches('0').len();
    let place = |len: usize| i32::try_from(len).unwrap_or(i32::MAX);
    let first = exponent + place(whole.len()) - 1 - place(leading);
    (all.trim_matches('0').to_owned(), first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap()).unwrap()
    }

    /// RFC 8785, section 3.2.2, the example.
    #[test]
    fn the_rfcs_example_is_written_as_the_rfc_has_it() {
        let text = r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#;
        let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
            \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(of(text), expected);
    }

    /// RFC 8785, section 3.2.3, the example.
    #[test]
    fn names_are_in_the_order_of_their_utf_16() {
        let text = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
        let values: Value = serde_json::from_str(&of(text)).unwrap();
        let written = of(text);
        let place = |name: &str| written.find(name).unwrap();
        let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
        assert!(order.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{written}");
        assert_eq!(values["1"], "One");
    }

    /// RFC 8785, appendix B.
    #[test]
    fn numbers_are_those_of_the_rfcs_table() {
        for (bits, expected) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x8000_0000_0000_0001, "-5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0xc340_0000_0000_0000, "-9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5553, "333333333.3333332"),
            (0x41b3_de43_5555_5554, "333333333.33333325"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0x41b3_de43_5555_5556, "333333333.3333334"),
            (0x41b3_de43_5555_5557, "333333333.33333343"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
            (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits))).unwrap(), expected, "{bits:x}");
        }
    }

    #[test]
    fn a_number_that_a_double_cannot_hold_has_no_canonical_form() {
        assert_eq!(
            of("[9007199254740992,-9007199254740992,1.0]"),
            "[9007199254740992,-9007199254740992,1]"
        );
        for text in ["9007199254740993", "18446744073709551615", "-9007199254740993"] {
            let value: Value = serde_json::from_str(text).unwrap();
            assert_eq!(canonical(&value), Err(JcsError::Inexact(text.to_owned())));
        }
    }

    proptest::proptest! {
        #[test]
        fn a_double_is_read_back_as_it_was(bits in proptest::num::u64::ANY) {
            let double = f64::from_bits(bits);
            proptest::prop_assume!(double.is_finite());
            let text = canonical(&json!(double)).unwrap();
            proptest::prop_assert_eq!(text.parse::<f64>().unwrap(), double);
        }
    }
}

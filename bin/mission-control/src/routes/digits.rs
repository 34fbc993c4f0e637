//! Numbers of a JSON text that lose digits when they are read.

/// The first number of a text that is another one once it is read; the text is JSON.
pub(super) fn lost(text: &str) -> Option<&str> {
    let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'-' | b'0'..=b'9' => {
                let length = bytes[at..].iter().take_while(|byte| is_part(**byte)).count();
                let number = &text[at..at + length];
                if !survives(number) {
                    return Some(number);
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

/// Where a text ends that begins with the quotation mark here.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn survives(number: &str) -> bool {
    let read = serde_json::from_str::<serde_json::Number>(number);
    read.is_ok_and(|read| value(&read.to_string()) == value(number))
}

/// The sign, the digits without zeros at either end, and the power of ten of the last of them.
fn value(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (is_negative, mantissa) =
        mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let short = digits.trim_end_matches('0');
    if short.is_empty() {
        return Some((false, String::new(), 0));
    }
    let zeros = i64::try_from(digits.len() - short.len()).ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let power = exponent.checked_add(zeros)?.checked_sub(places)?;
    Some((is_negative, short.to_owned(), power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_lost_where_it_is_another_one_once_read() {
        let kept = r#"{"a":[0,-0,0.1,1.10,1e2,1E+2,-1.5e-7,18446744073709551615,1e20],"\"2":"12345678901234567890123"}"#;
        assert_eq!(lost(kept), None);
        for number in
            ["12345678901234567890123", "0.1000000000000000055", "-9223372036854775809", "1e-400"]
        {
            assert_eq!(lost(&format!("{{\"a\":[1,{number}]}}")), Some(number));
        }
    }
}

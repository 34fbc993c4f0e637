//! Escapes of half a character in JSON: `"[\\ud800-\\udbff]"`, as JavaScript writes them (ECMA-262,
//! QuoteJSONString). They stand for no text, and cost what they stand in, not the document.

/// The JSON with such escapes as the text of an escape: `\\ud800` of six characters. `None` where there are
/// none.
pub(super) fn as_text(json: &str) -> Option<String> {
    let mut out = String::new();
    let mut kept = 0;
    let mut at = 0;
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match (unit(&json[at..]), json.get(at + 6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => at += 12,
            (Some(0xD800..=0xDFFF), _) => {
                out.push_str(&json[kept..at]);
                out.push('\\');
                kept = at;
                at += 6;
            }
            (Some(_), _) => at += 6,
            // The character after a backslash is a part of its escape.
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    out.push_str(&json[kept..]);
    (kept > 0).then_some(out)
}

/// The code unit of an escape at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_the_text_of_its_escape() {
        for (json, text) in [
            (r#"{"a": "\\ud83d"}"#, None),
            (r#"{"a": "\ud83d\ude00 \u00e9 \n"}"#, None),
            (r#"{"a": "[\ud800-\uDBFF]"}"#, Some(r#"{"a": "[\\ud800-\\uDBFF]"}"#)),
            (
                r#"{"a": "\ude00\ud83d\ude00\ud83d"}"#,
                Some(r#"{"a": "\\ude00\ud83d\ude00\\ud83d"}"#),
            ),
            (r#"{"a": "\\\ud800ü"}"#, Some(r#"{"a": "\\\\ud800ü"}"#)),
            (r#""\ud8"#, None),
            (r#""\"#, None),
        ] {
            assert_eq!(as_text(json).as_deref(), text, "{json}");
        }
    }
}

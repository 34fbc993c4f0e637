//! JSON as editors write it: with comments, commas before a closing bracket and a byte order mark.

/// The same text as plain JSON. What JSON does not have becomes spaces, so that every value stays where it
/// was; a text that is no such JSON stays none.
pub(crate) fn plain(text: &str) -> String {
    let mut out: Vec<u8> = text.as_bytes().to_vec();
    let mut at = if text.starts_with('\u{feff}') { blank(&mut out, 0, 3) } else { 0 };
    // The last comma after which nothing has come.
    let mut comma = None;
    while let Some(byte) = out.get(at).copied() {
        match (byte, out.get(at + 1)) {
            (b'"', _) => {
                comma = None;
                at = string_end(&out, at + 1);
                continue;
            }
            (b'/', Some(b'/')) => {
                let end = out[at..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                at = blank(&mut out, at, end.map_or(text.len(), |length| at + length));
                continue;
            }
            (b'/', Some(b'*')) => {
                // One without an end stays, and is an error.
                let Some(end) = find(&out, at + 2, b"*/") else { break };
                at = blank(&mut out, at, end + 2);
                continue;
            }
            (b',', _) => comma = Some(at),
            (b']' | b'}', _) => {
                if let Some(comma) = comma.take().filter(|comma| follows_value(&out[..*comma])) {
                    blank(&mut out, comma, comma + 1);
                }
            }
            (byte, _) if byte.is_ascii_whitespace() => {}
            _ => comma = None,
        }
        at += 1;
    }
    // Only whole characters were replaced.
    String::from_utf8(out).unwrap_or_default()
}

/// Replaces all but the ends of lines by spaces, and returns `to`.
fn blank(out: &mut [u8], from: usize, to: usize) -> usize {
    out[from..to].iter_mut().filter(|byte| !matches!(byte, b'\n' | b'\r')).for_each(|b| *b = b' ');
    to
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let at = bytes.get(from..)?.windows(what.len()).position(|window| window == what)?;
    Some(from + at)
}

/// What is behind the closing quote of a string.
fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether a comma stands behind a value: `[,]` is none of an editor's.
fn follows_value(before: &[u8]) -> bool {
    let last = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    last.is_some_and(|byte| !matches!(byte, b'[' | b'{' | b',' | b':'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(text: &str) -> Option<Value> {
        serde_json::from_str(&plain(text)).ok()
    }

    #[test]
    fn comments_and_trailing_commas_are_taken_out_and_nothing_moves() {
        let text = "\u{feff}// a \"b\n{ /* , } */ \"a\": [1, 2, /* x */ ], // \u{e9}\n \"b\": {\"c\": 1,\n}, }\n// end";
        assert_eq!(read(text), Some(json!({ "a": [1, 2], "b": { "c": 1 } })));
        let plain = plain(text);
        assert_eq!((plain.len(), plain.lines().count()), (text.len(), text.lines().count()));
        assert_eq!(plain.find("\"c\""), text.find("\"c\""));
    }

    #[test]
    fn strings_are_left_alone() {
        for text in [r#"{"a": "// x", "b": "/* , } */"}"#, r#"["a\"//", ",]", "\\"]"#] {
            assert_eq!(plain(text), text);
        }
        assert_eq!(read(r#"["http://h/",]"#), Some(json!(["http://h/"])));
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in
            ["[,]", "[1,,]", "{,}", "[1 /* ]", "{\"a\":,}", "[1]/", "\"a", "\"\\", ",", "//", ""]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn plain_json_stays_as_it_is(text in "[\\[\\]{}\":,a0/*\\\\ \n\u{e9}]{0,24}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                proptest::prop_assert_eq!(read(&text), Some(value));
            }
            proptest::prop_assert_eq!(plain(&text).len(), text.len());
        }
    }
}

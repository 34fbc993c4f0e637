//! Untrusted text in which nothing hides: control characters, zero-width and bidirectional ones, and
//! whatever else leaves no mark of its own, are written as their code points.

use std::collections::HashSet;
use std::fmt::{self, Display, Write as _};

use crate::unseen::{is_unseen, within};

/// Ranges of marks that stand on the character before them.
const COMBINING: [(u32, u32); 6] = [
    (0x0300, 0x036f),
    (0x0483, 0x0489),
    (0x1ab0, 0x1aff),
    (0x1dc0, 0x1dff),
    (0x20d0, 0x20ff),
    (0xfe20, 0xfe2f),
];

/// How many combining marks in a row are shown as such: a pile of them covers other lines.
const MARKS: usize = 2;

/// Whether a character cannot be seen, or hides others.
pub(crate) fn hides(c: char) -> bool {
    is_unseen(c) || within(c, &COMBINING)
}

/// A character as it can be seen, escaped. `marks` counts the combining marks before it.
fn write_char(f: &mut impl fmt::Write, c: char, marks: &mut usize) -> fmt::Result {
    *marks = if within(c, &COMBINING) { *marks + 1 } else { 0 };
    if is_unseen(c) || *marks > MARKS {
        return code_point(f, c);
    }
    match c {
        '&' => f.write_str("&amp;"),
        '<' => f.write_str("&lt;"),
        '>' => f.write_str("&gt;"),
        '"' => f.write_str("&quot;"),
        '\'' => f.write_str("&#39;"),
        c => f.write_char(c),
    }
}

fn code_point(f: &mut impl fmt::Write, c: char) -> fmt::Result {
    write!(f, "<mark>U+{:04X}</mark>", u32::from(c))
}

/// A text in which nothing is markup and nothing hides.
pub(crate) struct Visible<'a>(pub(crate) &'a str);

impl Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut marks = 0;
        // Text written from right to left must not move what stands around it.
        f.write_str("<bdi>")?;
        self.0.chars().try_for_each(|c| write_char(f, c, &mut marks))?;
        f.write_str("</bdi>")
    }
}

/// The same, for an element that keeps white space: lines and tabs stay.
pub(crate) struct VisibleText<'a>(pub(crate) &'a str);

impl Display for VisibleText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut marks = 0;
        self.0.chars().try_for_each(|c| match c {
            '\n' | '\t' => f.write_char(c),
            c => write_char(f, c, &mut marks),
        })
    }
}

/// A name that machines read: letters that only look like those of ASCII are told apart, too.
pub(crate) struct VisibleName<'a>(pub(crate) &'a str);

impl Display for VisibleName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_ascii() {
            true => write_char(f, c, &mut 0),
            false => code_point(f, c),
        })
    }
}

/// The deepest indentation, in levels: deeper values are shown at its depth.
const MAX_INDENT: usize = 24;

/// An object or array that is being written.
struct Open {
    /// The names so far; `None` for an array.
    names: Option<HashSet<String>>,
    /// Whether a name comes next.
    wants_name: bool,
}

/// JSON for a person's eyes.
pub(crate) struct Json {
    /// As HTML, for an element that keeps white space.
    pub(crate) html: String,
    /// Whether an object gives a name twice: which of the values counts depends on who reads it.
    pub(crate) is_ambiguous: bool,
}

/// JSON for a person's eyes, from the text as it was sent: its order, every name also where it
/// comes twice, and its numbers digit by digit. `None` if that takes more than `bound` bytes.
pub(crate) fn json(raw: &str, bound: usize) -> Option<Json> {
    if raw.len() > bound {
        return None;
    }
    let mut out = String::with_capacity(raw.len() * 2);
    let mut is_ambiguous = false;
    let mut open: Vec<Open> = Vec::new();
    let mut rest = raw.trim_ascii();
    while let Some(c) = rest.bytes().next() {
        let end = match c {
            b'"' => {
                let end = string_end(rest);
                is_ambiguous |= string(&mut out, &rest[..end], open.last_mut()).ok()?;
                end
            }
            b'{' | b'[' => {
                out.push(char::from(c));
                let names = (c == b'{').then(HashSet::new);
                open.push(Open { wants_name: names.is_some(), names });
                if !rest[1..].trim_ascii_start().starts_with(['}', ']']) {
                    line(&mut out, open.len());
                }
                1
            }
            b'}' | b']' => {
                open.pop();
                if !out.ends_with(['{', '[']) {
                    line(&mut out, open.len());
                }
                out.push(char::from(c));
                1
            }
            b',' => {
                if let Some(last) = open.last_mut() {
                    last.wants_name = last.names.is_some();
                }
                out.push(',');
                line(&mut out, open.len());
                1
            }
            b':' => {
                out.push_str(": ");
                1
            }
            _ => {
                let end = rest.find(|c: char| ",:{}[]\" \n\r\t".contains(c)).unwrap_or(rest.len());
                write!(out, "{}", Visible(&rest[..end])).ok()?;
                end
            }
        };
        if out.len() > bound {
            return None;
        }
        rest = rest[end..].trim_ascii_start();
    }
    Some(Json { html: out, is_ambiguous })
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(MAX_INDENT)));
}

/// Where the string ends with which the text begins.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return place + 1,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    text.len()
}

/// A string, with its escapes read, so that `\u0061` is the letter that it stands for. Returns
/// whether it is a name that its object has already.
fn string(out: &mut String, token: &str, within: Option<&mut Open>) -> Result<bool, fmt::Error> {
    let Ok(read) = serde_json::from_str::<String>(token) else {
        write!(out, "{}", Visible(token))?;
        return Ok(false);
    };
    let is_repeated = match within {
        Some(Open { names: Some(names), wants_name }) => {
            std::mem::take(wants_name) && !names.insert(read.clone())
        }
        Some(Open { names: None, .. }) | None => false,
    };
    out.push_str("<bdi>&quot;");
    let mut marks = 0;
    for c in read.chars() {
        match c {
            '"' => out.push_str("\\&quot;"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => write_char(out, c, &mut marks)?,
        }
    }
    out.push_str("&quot;</bdi>");
    if is_repeated {
        out.push_str(" <mark>this name is given twice</mark>");
    }
    Ok(is_repeated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without markup, as a person reads it.
    fn read(html: &str) -> String {
        let plain = html.replace("<bdi>", "").replace("</bdi>", "");
        plain.replace("&quot;", "\"").replace("<mark>", "⟨").replace("</mark>", "⟩")
    }

    #[test]
    fn nothing_in_a_text_hides() {
        for (text, shown) in [
            ("pay\u{202e}001", "pay⟨U+202E⟩001"),
            ("a\u{200b}b\u{feff}\u{2066}\u{ad}", "a⟨U+200B⟩b⟨U+FEFF⟩⟨U+2066⟩⟨U+00AD⟩"),
            ("a\r\n\u{0}\u{7f}\u{9b}", "a⟨U+000D⟩⟨U+000A⟩⟨U+0000⟩⟨U+007F⟩⟨U+009B⟩"),
            ("\u{e0041}\u{fe0f}\u{3164}\u{2800}", "⟨U+E0041⟩⟨U+FE0F⟩⟨U+3164⟩⟨U+2800⟩"),
            ("\u{a0}\u{2028}\u{e000}\u{10ffff}", "⟨U+00A0⟩⟨U+2028⟩⟨U+E000⟩⟨U+10FFFF⟩"),
            ("e\u{301}\u{301}\u{301}ü", "e\u{301}\u{301}⟨U+0301⟩ü"),
            ("Grüße, 名前 ✓", "Grüße, 名前 ✓"),
        ] {
            assert_eq!(read(&Visible(text).to_string()), shown);
        }
        // A Cyrillic а looks like the Latin one.
        assert_eq!(read(&VisibleName("p\u{430}y/x").to_string()), "p⟨U+0430⟩y/x");
        assert_eq!(read(&VisibleText("a\n\tb\r\u{202e}").to_string()), "a\n\tb⟨U+000D⟩⟨U+202E⟩");
        assert_eq!(Visible("<b>").to_string(), "<bdi>&lt;b&gt;</bdi>");
    }

    #[test]
    fn json_is_shown_as_it_was_sent() {
        for (raw, shown) in [
            ("{}", "{}"),
            (
                r#"{"z":1, "a" : [ ], "m":{"b":[1,null,true]}}"#,
                "{\n  \"z\": 1,\n  \"a\": [],\n  \"m\": {\n    \"b\": [\n      1,\n      null,\n      true\n    ]\n  }\n}",
            ),
            (
                r#"{"n":12345678901234567890123, "e":1e400, "f":1.10}"#,
                "{\n  \"n\": 12345678901234567890123,\n  \"e\": 1e400,\n  \"f\": 1.10\n}",
            ),
            (
                r#"{"to":"a","t\u006f":"b"}"#,
                "{\n  \"to\": \"a\",\n  \"to\" ⟨this name is given twice⟩: \"b\"\n}",
            ),
            (r#"{"a":"\u202e\u0061\n\"\\n,:}"}"#, "{\n  \"a\": \"⟨U+202E⟩a\\n\\\"\\\\n,:}\"\n}"),
        ] {
            assert_eq!(read(&json(raw, 10_000).unwrap().html), shown, "{raw}");
        }
    }

    #[test]
    fn a_name_given_twice_is_told() {
        for (raw, twice) in [
            (r#"{"a":1,"b":{"a":2}}"#, false),
            (r#"[{"a":1},{"a":1},"a","a"]"#, false),
            (r#"{"a":"a","b":"a"}"#, false),
            (r#"{"a":1,"a":1}"#, true),
            (r#"{"x":[{"a":{},"b":2,"\u0061":3}]}"#, true),
        ] {
            assert_eq!(json(raw, 1_000).unwrap().is_ambiguous, twice, "{raw}");
        }
    }

    #[test]
    fn what_is_too_large_is_not_shown_in_part() {
        assert!(json(&format!("\"{}\"", "x".repeat(100)), 200).is_some());
        for raw in [format!("\"{}\"", "x".repeat(300)), format!("\"{}\"", "<".repeat(100))] {
            assert!(json(&raw, 200).is_none());
        }
        let deep = format!("{}{}", "[".repeat(3_000), "]".repeat(3_000));
        assert!(json(&deep, 32 * 1024).is_none());
    }

    #[test]
    fn text_that_is_no_json_ends_too() {
        for raw in ["", "\"", "\"\\", "}}", ",,", "{\"a\"", "]", "nul", "\u{202e}x\"y"] {
            assert!(json(raw, 1_000).is_some(), "{raw}");
        }
    }
}

//! What servers take for the same path: letter case, percent-encoding, parameters after a semicolon,
//! trailing dots and spaces, an extension.
//!
//! Only for rules that forbid or ask a person: what they hold for must not depend on which of these a
//! server evens out. What is allowed is compared as it is written.

use percent_encoding::percent_decode_str;
use unicode_normalization::UnicodeNormalization as _;

/// The most times that one segment may be encoded in itself: a path's length divided by that of `%25`.
const MAX_ROUNDS: usize = 1024;

/// The longest ending of a pattern's own text that counts as an extension.
const MAX_EXTENSION: usize = 8;

/// Whatever servers may take a segment for, first without anything that one of them ignores; that one is
/// empty where nothing else is left. A server ignores some of these and not others, so that a rule has to
/// hold for each form: `7;:archive` is `7` for one, and what `{id}:archive` stands for to another.
///
/// Always evened out:
/// - percent-encoding, however often (a proxy and a server may both decode);
/// - the case, and compatible forms such as full width and ligatures (Unicode Standard Annex 15);
/// - `+`, which forms decode to a space.
///
/// Left out in some of the forms:
/// - accents and invisible characters, without which file systems and databases compare (Unicode Technical
///   Standard 10);
/// - what follows `;`, a path parameter (RFC 3986, 3.3; the Servlet specification cuts it), or `?` or `#`,
///   where a proxy decodes them; the stream of a file on Windows (`::$DATA`); and a session without a
///   cookie, as ASP.NET writes it into a path (`(S(…))`);
/// - spaces at both ends and trailing dots, on Windows (Naming Files, Paths, and Namespaces).
pub(super) fn forms(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    if is_folded(&lower) {
        return vec![lower];
    }
    let text = &decoded(text);
    let mut forms: Vec<String> = Vec::new();
    for shown_only in [true, false] {
        for cut in [true, false] {
            for trimmed in [true, false] {
                let form = until_stable(text, |text| {
                    let mut form = even(text);
                    if shown_only {
                        form.retain(|c| !is_invisible(c));
                    }
                    let form = if cut { without_parameters(&form) } else { &form };
                    // A space before a dot is at the end once the extension is gone.
                    if trimmed { trim(form).replace(" .", ".") } else { form.to_owned() }
                });
                if !forms.contains(&form) && (forms.is_empty() || !form.is_empty()) {
                    forms.push(form);
                }
            }
        }
    }
    forms
}

/// A text in the form that all its spellings have: decoded, in lower case, in compatible forms, without
/// accents and invisible characters.
pub fn folded_text(text: &str) -> String {
    until_stable(text, |text| even(text).chars().filter(|c| !is_invisible(*c)).collect())
}

fn until_stable(text: &str, once: impl Fn(&str) -> String) -> String {
    let mut now = once(text);
    for _ in 0..MAX_ROUNDS {
        let next = once(&now);
        if next == now {
            break;
        }
        now = next;
    }
    now
}

/// Whether a segment is surely as plain as it can be: most are.
fn is_folded(text: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._~!&'()*,=@".contains(&byte)
    };
    text.bytes().all(plain) && !text.ends_with('.') && !text.starts_with('(')
}

/// A text without any percent-encoding, however often it was encoded.
pub(super) fn decoded(text: &str) -> String {
    until_stable(text, decoded_once)
}

fn decoded_once(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn even(text: &str) -> String {
    let decoded = decoded_once(text);
    let mut folded = String::with_capacity(decoded.len());
    for c in decoded.nfkd() {
        if c == '+' || c.is_whitespace() || c.is_control() {
            folded.push(' ');
        } else {
            // Through upper case, for letters that have two lower ones.
            folded.extend(c.to_uppercase().flat_map(char::to_lowercase));
        }
    }
    folded
}

fn without_parameters(folded: &str) -> &str {
    let mut end = folded.find(';').unwrap_or(folded.len());
    // At the beginning they are text: a channel `#general`.
    if let Some((at, _)) = folded[..end].char_indices().skip(1).find(|(_, c)| "?#".contains(*c)) {
        end = at;
    }
    if let Some(at) = folded[..end].find(":$") {
        end = folded[..at].trim_end_matches(':').len();
    }
    if is_session(trim(&folded[..end])) { "" } else { &folded[..end] }
}

fn trim(folded: &str) -> &str {
    folded.trim_start().trim_end_matches(['.', ' '])
}

/// Whether ASP.NET takes a segment out of the path: `(S(…))`, a session without a cookie.
fn is_session(segment: &str) -> bool {
    let mut chars = segment.chars();
    chars.next() == Some('(')
        && chars.next().is_some_and(char::is_alphabetic)
        && chars.next() == Some('(')
        && segment.ends_with("))")
}

/// Characters that are not shown, and accents, which stand alone after decomposition
/// (Default_Ignorable_Code_Point of Unicode 16, DerivedCoreProperties.txt).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{300}'..='\u{36F}' | '\u{61C}' | '\u{115F}' | '\u{1160}'
        | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}'
        | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The text without its extension, where it has one: `refund.json`, not `v1.2`.
pub(super) fn stem(text: &str) -> Option<&str> {
    let (stem, extension) = text.rsplit_once('.')?;
    let is_extension = extension.len() <= MAX_EXTENSION
        && extension.starts_with(|c: char| c.is_ascii_alphabetic())
        && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_extension && !stem.is_empty()).then_some(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form without anything that a server ignores.
    fn segment(text: &str) -> String {
        forms(text).swap_remove(0)
    }

    #[test]
    fn what_servers_ignore_is_folded_away() {
        for text in [
            "refund",
            "REFUND",
            "Refund",
            "refund.",
            "refund..",
            "refund. .",
            "refund ",
            " refund",
            "refund;x=1",
            "refund;",
            "refund;x=1.json",
            "re%66und",
            "re%2566und",
            "re%252566und",
            "refund%20",
            "refund%3Bx",
            "refund%253bx",
            "refund%3Fx=1",
            "refund#a",
            "refund+",
            "+refund",
            "refund%2B",
            "refund::$DATA",
            "refund::$data",
            "refund:$i30:$INDEX_ALLOCATION",
            "ｒｅｆｕｎｄ",
            "re\u{200b}fund",
            "re\u{ad}fund",
            "réfund",
            "re\u{301}fund",
            "refund\u{a0}",
            "refund\u{3000}",
            "refund%C2%A0",
            "\u{feff}refund",
            "REFUND%20;X=1",
            "refund.%20.",
            "%72%65%66%75%6e%64",
            "refund\u{fe0f}",
        ] {
            assert_eq!(segment(text), "refund", "{text:?}");
        }
        assert_eq!(segment("\u{130}STANBUL"), "istanbul");
        assert_eq!(segment("\u{131}stanbul"), "istanbul");
        assert_eq!(segment("STRASSE"), segment("straße"));
        assert_eq!(segment("#general"), "#general");
        assert_eq!(segment("$value"), "$value");
        for nothing in [
            ".",
            "..",
            "...",
            ". ",
            "..;x",
            ";x",
            "%20",
            "+",
            "\u{200b}",
            ".\u{200b}.",
            "(S(a1))",
            "(a(x)f(y))",
        ] {
            assert_eq!(segment(nothing), "", "{nothing:?}");
        }
        for (text, other) in [("a-b", "ab"), ("a_b", "a-b"), ("refunds", "refund"), ("a.b", "a")] {
            assert_ne!(segment(text), other);
        }
    }

    #[test]
    fn what_one_server_ignores_is_text_to_another() {
        assert_eq!(forms("7;:archive"), ["7", "7;:archive"]);
        assert_eq!(forms("Refund"), ["refund"]);
        let all = forms("Ré. ;x");
        assert_eq!(forms("refund .json")[0], "refund.json");
        assert_eq!(forms("refund  . .json")[0], "refund..json");
        for form in ["re", "re. ", "re. ;x", "re\u{301}", "re\u{301}. ;x"] {
            assert!(all.contains(&form.to_owned()), "{form}: {all:?}");
        }
    }

    #[test]
    fn an_extension_begins_with_a_letter() {
        assert_eq!(stem("refund.json"), Some("refund"));
        for none in ["refund", ".json", "v1.2", "a.", "a.b-c", "jane.doenitzstrasse"] {
            assert_eq!(stem(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn folding_is_stable(text in "([a-cA-C.;+:$ éßİ]|%20|%2e|%25|%3b|\u{200b}|ﬁ|Ａ){0,8}") {
            for form in forms(&text) {
                proptest::prop_assert!(forms(&form).contains(&form), "{} {}", text, form);
            }
            let folded = segment(&text);
            proptest::prop_assert_eq!(forms(&folded), vec![folded]);
        }
    }
}

//! Pages for people, where a program was expected: of proxies, firewalls, login forms.

/// The most characters of a title or an excerpt that are shown.
const MAX_CHARS: usize = 200;

/// How far into a page its title is looked for, bytes.
const MAX_SEARCHED: usize = 64 * 1024;

/// Whether a body is a page for people, by its media type or its beginning.
pub fn is_page(media_type: Option<&str>, body: &[u8]) -> bool {
    let is_html = |media: &str| {
        let media = media.trim_start().as_bytes();
        media.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"text/html"))
            || media
                .get(..21)
                .is_some_and(|start| start.eq_ignore_ascii_case(b"application/xhtml+xml"))
    };
    media_type.is_some_and(is_html) || body.trim_ascii_start().starts_with(b"<")
}

/// What a body that is not the expected one says, in few words: a page's title, or the beginning of a
/// text.
pub fn page(media_type: Option<&str>, body: &[u8]) -> String {
    if !is_page(media_type, body) {
        let text = words(&String::from_utf8_lossy(&body[..body.len().min(MAX_SEARCHED)]));
        return if text.is_empty() { "no text".to_owned() } else { text };
    }
    title(body).unwrap_or_else(|| "an HTML page without a title".to_owned())
}

/// A foreign text as one line without control characters, and not long.
pub fn words(text: &str) -> String {
    line(text, MAX_CHARS)
}

/// The same of at most this many characters.
pub fn line(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || is_direction(c)) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > max_chars * 4 {
            break;
        }
    }
    if let Some((end, _)) = line.char_indices().nth(max_chars) {
        line.truncate(end);
    }
    line
}

/// Characters that turn the direction of a text (Unicode Standard Annex 9, section 2), with which a
/// line can be made to read as another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The title of a page, if it has one.
fn title(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_SEARCHED)]);
    // ASCII only, so that positions stay those of the text.
    let lower = text.to_ascii_lowercase();
    let mut from = 0;
    let inner = loop {
        let tag = from + lower[from..].find("<title")? + "<title".len();
        // Not `<titles>`, and with or without attributes.
        if lower[tag..].starts_with(|c: char| c == '>' || c.is_ascii_whitespace()) {
            break tag + lower[tag..].find('>')? + 1;
        }
        from = tag;
    };
    let end = lower[inner..].find("</title").map_or(text.len(), |at| inner + at);
    let title = words(&unescaped(&text[inner..end]));
    (!title.is_empty()).then_some(title)
}

/// A text with its character references resolved: numbers, and the names that titles use.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let reference = after.split_once(';').and_then(|(name, rest)| Some((of_name(name)?, rest)));
        match reference {
            Some((c, next)) => {
                out.push(c);
                rest = next;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The character of a reference (HTML, "Named character references").
fn of_name(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let hex = number.strip_prefix(['x', 'X']);
        let code = match hex {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ndash" => '\u{2013}',
        "mdash" => '\u{2014}',
        "copy" => '\u{a9}',
        "reg" => '\u{ae}',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_by_its_title_and_a_text_by_its_beginning() {
        for (body, expected) in [
            ("<html><head><title>502 Bad Gateway</title></head>", "502 Bad Gateway"),
            (
                "<HTML><TITLE lang=en>\n Access &amp; D&#101;nied&#x21; &no; \n</TITLE>",
                "Access & Denied! &no;",
            ),
            ("<html><titles>x</titles><title>T</title>", "T"),
            ("<svg><title>cut off", "cut off"),
            ("<title>a\u{202e}b\u{7}c</title>", "a b c"),
            ("<title> </title>", "an HTML page without a title"),
            ("<html>no</html>", "an HTML page without a title"),
            ("<title", "an HTML page without a title"),
            (" Forbidden\n by\tpolicy ", "Forbidden by policy"),
            ("", "no text"),
        ] {
            assert_eq!(page(None, body.as_bytes()), expected, "{body}");
        }
        assert_eq!(
            page(Some("text/HTML; charset=utf-8"), b"plain"),
            "an HTML page without a title"
        );
        assert_eq!(page(None, "x".repeat(9_999).as_bytes()).len(), MAX_CHARS);
        assert_eq!(page(None, "ü ".repeat(9_999).as_bytes()).chars().count(), MAX_CHARS);
        assert!(!is_page(Some("application/json"), b"{}") && !is_page(None, b"\xff"));
    }
}

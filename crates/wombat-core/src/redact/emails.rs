//! E-mail addresses.

use std::ops::Range;

use memchr::memchr3_iter;

use super::spans::{count, ends_with_code};

/// An `@` as links and JSON have it.
const ESCAPED: [&str; 2] = ["%40", "\\u0040"];

/// The most bytes of a name that are looked at: no address has more (RFC 5321: 64).
const MAX_NAME: usize = 320;

/// Puts the addresses of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let mut free = 0;
    for at in memchr3_iter(b'@', b'%', b'\\', text.as_bytes()) {
        let rest = &text[at..];
        let escaped = || ESCAPED.iter().find(|sign| rest.starts_with(**sign));
        let sign = match rest.starts_with('@') {
            true => Some(1),
            false => escaped().map(|sign| sign.len()),
        };
        let Some(sign) = sign else { continue };
        if at < free {
            continue;
        }
        // The host first: what has none is not worth looking at what stands before.
        let host = host_at(&text[at + sign..]);
        let name = if host > 0 { name_before(end_of(&text[free..at])) } else { 0 };
        if name > 0 {
            free = at + sign + host;
            out.push(at - name..free);
        }
    }
}

/// As much of a text's end as can be a name.
fn end_of(text: &str) -> &str {
    let from = text.len().saturating_sub(MAX_NAME);
    let from = (from..=text.len()).find(|from| text.is_char_boundary(*from));
    &text[from.unwrap_or(text.len())..]
}

/// The length of the name that a text ends with.
fn name_before(text: &str) -> usize {
    count(text.len());
    let is_of_name =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'');
    let mut begin = text.trim_end_matches(is_of_name).len();
    while text[..begin].ends_with('\\') {
        // A letter as JSON has it belongs to the name, and the end of a line does not.
        let code = text.as_bytes().get(begin - 1..begin + 5);
        if code.is_some_and(ends_with_code) {
            begin = text[..begin - 1].trim_end_matches(is_of_name).len();
        } else {
            begin += usize::from(text[begin..].starts_with(['n', 'r', 't', 'b', 'f']));
            break;
        }
    }
    let name = text[begin..].trim_start_matches(['.', '\'', '-']);
    // An escaped sign of before is none of its letters.
    let name = name.rsplit_once(ESCAPED[0]).map_or(name, |(_, name)| name);
    name.len()
}

/// The length of the host that a text begins with; 0 where it is none.
fn host_at(text: &str) -> usize {
    let is_of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let end = text.find(|c| !is_of_host(c)).unwrap_or(text.len());
    count(end);
    let mut host = &text[..end];
    if let Some(double) = host.find("..") {
        host = &host[..double];
    }
    loop {
        host = host.trim_end_matches(['.', '-']);
        let Some((name, last)) = host.rsplit_once('.') else { return 0 };
        let is_domain = last.chars().nth(1).is_some() && last.chars().any(char::is_alphabetic);
        if is_domain && !name.is_empty() && !name.starts_with(['.', '-']) {
            return host.len();
        }
        host = name;
    }
}

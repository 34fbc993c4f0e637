//! E-mail addresses.

use std::ops::Range;

use memchr::memchr2_iter;

/// An `@` as addresses in links have it.
const ESCAPED_AT: &str = "%40";

/// Puts the addresses of a text into `out`.
pub(super) fn find(text: &str, out: &mut Vec<Range<usize>>) {
    let mut free = 0;
    for at in memchr2_iter(b'@', b'%', text.as_bytes()) {
        let rest = &text[at..];
        let sign = if rest.starts_with('@') {
            1
        } else if rest.starts_with(ESCAPED_AT) {
            ESCAPED_AT.len()
        } else {
            continue;
        };
        if at < free {
            continue;
        }
        let name = name_before(&text[free..at]);
        let host = host_at(&text[at + sign..]);
        if name > 0 && host > 0 {
            free = at + sign + host;
            out.push(at - name..free);
        }
    }
}

/// The length of the name that a text ends with.
fn name_before(text: &str) -> usize {
    let is_of_name =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-' | '\'');
    let name = text.len() - text.trim_end_matches(is_of_name).len();
    let name = text[text.len() - name..].trim_start_matches(['.', '\'', '-']);
    // An escaped sign of before is none of its letters.
    let name = name.rsplit_once(ESCAPED_AT).map_or(name, |(_, name)| name);
    name.len()
}

/// The length of the host that a text begins with; 0 where it is none.
fn host_at(text: &str) -> usize {
    let is_of_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let end = text.find(|c| !is_of_host(c)).unwrap_or(text.len());
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

//! Endpoints in the text of a skill.

use super::pattern::{EndpointPattern, METHODS};

/// The endpoints in a Markdown text's fenced code blocks: lines that begin with a method and a path.
/// Of a query only the names are kept; anything after the path is ignored.
pub fn endpoints_in_markdown(text: &str) -> Vec<EndpointPattern> {
    let mut found: Vec<EndpointPattern> = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some((mark, len)) = fence_mark(line) {
            match fence {
                None => fence = Some((mark, len)),
                // A fence is closed by a line with at least as many of the same character, and nothing else.
                Some((open, open_len))
                    if mark == open && len >= open_len && line.chars().all(|c| c == mark) =>
                {
                    fence = None;
                }
                Some(_) => {}
            }
        } else if fence.is_some()
            && let Some(endpoint) = endpoint_in_line(line)
        {
            let text = endpoint.to_string();
            match found.iter_mut().find(|known| known.to_string() == text) {
                Some(known) => {
                    *known = known.clone().with_query(endpoint.query().iter().cloned());
                }
                None => found.push(endpoint),
            }
        }
    }
    found
}

fn fence_mark(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let len = line.chars().take_while(|c| *c == mark).count();
    (len >= 3).then_some((mark, len))
}

fn endpoint_in_line(line: &str) -> Option<EndpointPattern> {
    let line = line.trim_start_matches(['$', '-', '*', '>', ' ']);
    let mut words = line.split_whitespace();
    let method = words.next().filter(|word| METHODS.contains(word))?;
    let word = words.next()?;
    let path = without_query(word);
    let query = word[path.len()..].strip_prefix('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default().split('&');
    let names = query.filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    let endpoint = EndpointPattern::parse(&format!("{method} {path}")).ok()?;
    Some(endpoint.with_query(names.map(str::to_owned)))
}

/// A path without its query, which may also be a part of a URI template (`{?page}`, RFC 6570, 3.2.8). A
/// question mark within a parameter belongs to it.
fn without_query(path: &str) -> &str {
    let mut depth = 0_usize;
    for (at, c) in path.char_indices() {
        match c {
            '{' if path[at + 1..].starts_with(['?', '&', '#']) => return &path[..at],
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '?' | '#' if depth == 0 => return &path[..at],
            _ => {}
        }
    }
    path
}

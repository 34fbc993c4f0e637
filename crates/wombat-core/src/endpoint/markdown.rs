//! Endpoints in the text of a skill.

use super::pattern::{EndpointError, EndpointPattern, METHODS};

/// The endpoints in a Markdown text's fenced code blocks: lines that begin with a method and a path.
/// Of a query only the names are kept; anything after the path is ignored.
pub fn endpoints_in_markdown(text: &str) -> Vec<EndpointPattern> {
    let mut found: Vec<EndpointPattern> = Vec::new();
    let lines = fenced_lines(text).into_iter();
    for endpoint in lines.filter_map(|(_, line)| endpoint_in_line(line)?.ok()) {
        let text = endpoint.to_string();
        match found.iter_mut().find(|known| known.to_string() == text) {
            Some(known) => *known = known.clone().with_query(endpoint.query().iter().cloned()),
            None => found.push(endpoint),
        }
    }
    found
}

/// The lines of fenced code blocks that begin with a method and a path and are no endpoints: their numbers,
/// from 1, and what is wrong.
pub(crate) fn broken_endpoints_in_markdown(text: &str) -> Vec<(usize, EndpointError)> {
    let lines = fenced_lines(text).into_iter();
    lines.filter_map(|(at, line)| Some((at, endpoint_in_line(line)?.err()?))).collect()
}

/// The lines within fenced code blocks, with their numbers from 1.
fn fenced_lines(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fence: Option<(char, usize)> = None;
    for (at, line) in text.lines().enumerate() {
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
        } else if fence.is_some() {
            found.push((at + 1, line));
        }
    }
    found
}

fn fence_mark(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let len = line.chars().take_while(|c| *c == mark).count();
    (len >= 3).then_some((mark, len))
}

fn endpoint_in_line(line: &str) -> Option<Result<EndpointPattern, EndpointError>> {
    let line = line.trim_start_matches(['$', '-', '*', '>', ' ']);
    let mut words = line.split_whitespace();
    let method = words.next().filter(|word| METHODS.contains(word))?;
    let word = words.next().filter(|word| word.starts_with('/'))?;
    let path = without_query(word);
    let query = word[path.len()..].strip_prefix('?').unwrap_or_default();
    let query = query.split('#').next().unwrap_or_default().split('&');
    let names = query.filter_map(|pair| pair.split('=').next()).filter(|name| !name.is_empty());
    let endpoint = EndpointPattern::parse(&format!("{method} {path}"));
    Some(endpoint.map(|endpoint| endpoint.with_query(names.map(str::to_owned))))
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

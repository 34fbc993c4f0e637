//! Endpoints in the text of a skill.

use std::collections::BTreeSet;

use super::pattern::{EndpointError, EndpointPattern, METHODS};
use crate::nearest::nearest_within;

/// The most lines that continue a command of a shell.
const MAX_CONTINUED: usize = 20;

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

/// A line that reads like an endpoint, and declares none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NearEndpoint {
    /// The line, from 1.
    pub(crate) line: usize,
    /// What it is instead.
    pub(crate) what: &'static str,
    /// The endpoint as it would be declared, where that can be told.
    pub(crate) meant: Option<EndpointPattern>,
}

/// The lines that somebody may take for declarations: other spellings of a method, whole addresses, `curl`
/// in a code block, and endpoints outside of one.
pub(crate) fn near_endpoints_in_markdown(text: &str) -> Vec<NearEndpoint> {
    let fenced = fenced_lines(text);
    let mut found: Vec<NearEndpoint> = fenced
        .iter()
        .enumerate()
        .filter(|(_, (_, line))| endpoint_in_line(line).is_none())
        .filter_map(|(at, (number, line))| {
            let following = fenced[at + 1..].iter().map(|(_, line)| *line);
            let (what, meant) = near_in_fence(line, following)?;
            Some(NearEndpoint { line: *number, what, meant })
        })
        .collect();
    let inside: BTreeSet<usize> = fenced.iter().map(|(number, _)| *number).collect();
    for (at, line) in text.lines().enumerate().filter(|(at, _)| !inside.contains(&(at + 1))) {
        let meant = endpoints_in_prose(line);
        let what = "an endpoint outside of a code block";
        found.extend(meant.map(|meant| NearEndpoint { line: at + 1, what, meant: Some(meant) }));
    }
    found.sort_by_key(|near| near.line);
    found
}

/// The endpoints that running text mentions: a method in capital letters, and a path.
fn endpoints_in_prose(line: &str) -> impl Iterator<Item = EndpointPattern> {
    let words = line.split(|c: char| c.is_whitespace() || "`\"'()*,".contains(c));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let found = words.windows(2).filter_map(|pair| {
        let path = pair[1].trim_end_matches(['.', ':', ';', '!', '?']);
        let is_path = path.len() > 1 && path.starts_with('/');
        (METHODS.contains(&pair[0]) && is_path)
            .then(|| format!("{} {}", pair[0], without_query(path)))
    });
    let found: Vec<String> = found.collect();
    found.into_iter().filter_map(|text| EndpointPattern::parse(&text).ok())
}

/// What a line of a code block is that declares no endpoint and reads like one.
fn near_in_fence<'a>(
    line: &'a str,
    following: impl Iterator<Item = &'a str>,
) -> Option<(&'static str, Option<EndpointPattern>)> {
    let line = line.trim_start_matches(['$', '-', '*', '>', ' ']);
    let mut words = line.split_whitespace();
    let first = words.next()?;
    if first == "curl" {
        let command = whole_command(line, following);
        return Some(("a curl command", curl_endpoint(&command)));
    }
    let method = first.to_ascii_uppercase();
    let address = words.next()?;
    if !METHODS.contains(&method.as_str()) {
        return other_method(first, address);
    }
    let endpoint = |path: &str| EndpointPattern::parse(&format!("{method} {path}")).ok();
    if address.starts_with('/') {
        return Some(("a method that is not in capital letters", endpoint(without_query(address))));
    }
    if let Some(path) = path_of(address) {
        return Some(("a whole address instead of a path", endpoint(path)));
    }
    // Not every line that begins with such a word is meant as one.
    let is_meant = first == method && (address.contains('/') || words.next().is_none());
    let meant = is_meant.then(|| endpoint(&format!("/{}", without_query(address))))?;
    Some(("a path that does not begin with a slash", meant))
}

/// What a line is whose first word is no method of endpoints: a slip in one, or another word before a path.
fn other_method(first: &str, address: &str) -> Option<(&'static str, Option<EndpointPattern>)> {
    let is_http = ["HEAD", "OPTIONS", "TRACE", "CONNECT"].contains(&first);
    let path = path_of(address).filter(|_| is_http || address.starts_with('/'))?;
    if is_http {
        return Some(("a method that endpoints do not have", None));
    }
    // Programs and their arguments, comments and keys of JSON are no methods.
    let word = first.trim_end_matches(':');
    let is_word = word.len() > 1 && word.chars().all(|c| c.is_ascii_alphabetic());
    let near = nearest_within(word, METHODS, if word.len() > 5 { 2 } else { 1 });
    if !is_word || near.is_none() && word.chars().any(|c| c.is_ascii_lowercase()) {
        return None;
    }
    let meant = near.and_then(|near| EndpointPattern::parse(&format!("{near} {path}")).ok());
    Some(("a word that is no HTTP method, before a path,", meant))
}

/// The path of a path or an address, which may begin with a placeholder such as `{{base_url}}` or `$BASE`.
fn path_of(address: &str) -> Option<&str> {
    let address = address.trim_matches(['"', '\'']);
    let rest = match address.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some(_) => return None,
        None if address.starts_with(['/', '{', '$', '<']) => address,
        None => return None,
    };
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    Some(without_query(path))
}

/// A command of a shell with the lines that continue it.
fn whole_command<'a>(line: &'a str, following: impl Iterator<Item = &'a str>) -> String {
    let mut command = line.to_owned();
    let mut following = following.take(MAX_CONTINUED);
    while command.trim_end().ends_with('\\')
        && let Some(next) = following.next()
    {
        command.truncate(command.trim_end().len() - 1);
        command.extend([" ", next]);
    }
    command
}

/// The endpoint that a `curl` command calls.
fn curl_endpoint(command: &str) -> Option<EndpointPattern> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let named = words.iter().enumerate().find_map(|(at, word)| match *word {
        "-X" | "--request" => words.get(at + 1).copied(),
        word => word.strip_prefix("--request=").or_else(|| word.strip_prefix("-X")),
    });
    let sends =
        |word: &&str| word.starts_with("-d") || word.starts_with("--data") || *word == "--json";
    let implied = if words.iter().any(sends) { "POST" } else { "GET" };
    let method = named.map_or(implied, |method| method.trim_matches(['"', '\'']));
    let path = words.iter().skip(1).find_map(|word| path_of(word))?;
    EndpointPattern::parse(&format!("{} {path}", method.to_ascii_uppercase())).ok()
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

#[cfg(test)]
mod tests;

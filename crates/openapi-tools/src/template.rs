//! The path of an operation: text, parameters in braces, and what some documents write behind it to tell
//! operations apart, a query (`/threads?beta=true`) or a fragment (`/files/{id}#metadata`).

use crate::encode::literal;

/// A part of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text, percent-encoded.
    Text(String),
    /// The name of a parameter.
    Parameter(String),
}

/// A path with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) path: Vec<Part>,
    /// The query that every request has.
    pub(crate) query: Vec<Part>,
}

impl Template {
    /// Reads a path.
    ///
    /// # Errors
    /// Why no request can be made of it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (path, query, _) = split(text);
        Ok(Self { path: parts(path)?, query: parts(query)? })
    }

    /// The names of all parameters, each once.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for part in self.path.iter().chain(&self.query) {
            if let Part::Parameter(name) = part
                && !names.contains(&name.as_str())
            {
                names.push(name);
            }
        }
        names
    }

    /// Whether a parameter is in the query.
    pub(crate) fn has_in_query(&self, name: &str) -> bool {
        self.query.iter().any(|part| matches!(part, Part::Parameter(known) if known == name))
    }

    /// Gives a parameter the name under which it is declared.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        for part in self.path.iter_mut().chain(&mut self.query) {
            if let Part::Parameter(name) = part
                && name == from
            {
                to.clone_into(name);
            }
        }
    }
}

/// What is before the query and the fragment of a path; a question mark within braces belongs to its
/// parameter.
pub(crate) fn path_of(text: &str) -> &str {
    split(text).0
}

/// Path, query and fragment.
fn split(text: &str) -> (&str, &str, &str) {
    let outside = |text: &str, marks: &[char]| {
        let mut depth = 0_usize;
        text.char_indices().find_map(|(at, c)| match c {
            '{' => {
                depth += 1;
                None
            }
            '}' => {
                depth = depth.saturating_sub(1);
                None
            }
            c => (depth == 0 && marks.contains(&c)).then_some(at),
        })
    };
    let (rest, fragment) = match outside(text, &['#']) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, ""),
    };
    match outside(rest, &['?']) {
        Some(at) => (&rest[..at], &rest[at + 1..], fragment),
        None => (rest, "", fragment),
    }
}

fn parts(text: &str) -> Result<Vec<Part>, String> {
    let unmatched = || "the braces in its path do not match".to_owned();
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        if rest[at..].starts_with('}') {
            return Err(unmatched());
        }
        if at > 0 {
            parts.push(Part::Text(literal(&rest[..at])));
        }
        let length = braces(&rest[at..]).ok_or_else(unmatched)?;
        let name = &rest[at + 1..at + length - 1];
        if name.starts_with(['?', '&', '#', ';', '/']) {
            return Err(format!(
                "its path has {{{name}}}, an expression of RFC 6570; OpenAPI has parameters instead"
            ));
        }
        if name.contains('/') {
            return Err(unmatched());
        }
        parts.push(Part::Parameter(name.to_owned()));
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(literal(rest)));
    }
    Ok(parts)
}

/// The length of the parameter at the beginning of a text: `{name}`, or `{name:[0-9]{4}}`.
fn braces(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open = open.saturating_sub(1),
            _ => {}
        }
        if open == 0 {
            return (at > 1).then_some(at + 1);
        }
    }
    None
}

/// The name of a parameter without what routers write beside it: `{id:[0-9]+}`, `{path:path}`, `{proxy+}`,
/// `{*rest}`, `{rest...}`, `{id?}`.
pub(crate) fn plain_name(name: &str) -> &str {
    let name = name.split(':').next().filter(|name| !name.is_empty()).unwrap_or(name);
    let name = name.trim_end_matches("...");
    let plain = name.trim_start_matches(['*', '+']).trim_end_matches(['*', '+', '?']);
    if plain.is_empty() { name } else { plain }
}

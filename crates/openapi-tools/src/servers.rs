//! The path that leads to an operation's own: that of the document's server, joined once with where the
//! application is.

use serde_json::Value;

/// Where the application is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mount<'a> {
    /// The path of the application's address, which every request has before its own.
    pub path: &'a str,
    /// The path of the document below it, which relative servers are relative to (OpenAPI 3.1, Server
    /// Object). Empty for a file.
    pub document: &'a str,
}

impl<'a> From<&'a str> for Mount<'a> {
    fn from(path: &'a str) -> Self {
        Self { path, document: "" }
    }
}

impl<'a> From<&'a String> for Mount<'a> {
    fn from(path: &'a String) -> Self {
        path.as_str().into()
    }
}

/// What leads to an operation's own path.
pub(crate) struct Base {
    /// It, without what leads every request.
    pub(crate) path: String,
    /// Whether the document's server is the root of its host, or is not told.
    pub(crate) is_root: bool,
}

/// The path of an operation's server: the first one of the operation, of its path item, or of the document.
pub(crate) fn base(root: &Value, item: &Value, operation: &Value, mount: Mount<'_>) -> Base {
    let first = |of: &Value| of.get("servers")?.as_array()?.first().cloned();
    let Some(server) = first(operation).or_else(|| first(item)).or_else(|| first(root)) else {
        return Base { path: String::new(), is_root: true };
    };
    let url = filled(server.get("url").and_then(Value::as_str).unwrap_or_default(), &server);
    let url = without_query(&url);
    // The document never chooses the host; only the path of the URL counts.
    let path = match after_scheme(url).or_else(|| url.strip_prefix("//")) {
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]).to_owned(),
        None if url.starts_with('/') => url.to_owned(),
        None => {
            let folder = without_query(mount.document).trim_start_matches('/');
            let folder = folder.rfind('/').map_or("", |at| &folder[..at]);
            format!("/{folder}/{url}")
        }
    };
    let ours = resolved(&path);
    Base { is_root: ours.is_empty(), path: below(&ours, mount) }
}

/// What is behind the scheme of a URL that has one. Its name may be a variable that nobody fills.
fn after_scheme(url: &str) -> Option<&str> {
    url.split_once("://").filter(|(scheme, _)| !scheme.contains('/')).map(|(_, rest)| rest)
}

/// The segments of a path (RFC 3986, 5.2.4).
fn resolved(path: &str) -> Vec<&str> {
    let mut ours: Vec<&str> = Vec::new();
    for segment in segments(path) {
        match segment {
            "." => {}
            ".." => drop(ours.pop()),
            other => ours.push(other),
        }
    }
    ours
}

/// The path of a server below that of the application: what both say is said once.
fn below(ours: &[&str], mount: Mount<'_>) -> String {
    let mounted: Vec<&str> = segments(mount.path).collect();
    // A proxy in front may have added the beginning of the application's path.
    let shared = (1..=mounted.len().min(ours.len()))
        .rev()
        .find(|n| mounted[mounted.len() - n..] == ours[..*n])
        .unwrap_or(0);
    ours[shared..].iter().map(|segment| format!("/{segment}")).collect()
}

/// Paths below their application's own, where all of them repeat that: the document's server is the root of
/// the host.
pub(crate) fn without_mounted(paths: &mut [&mut String], mount: Mount<'_>) {
    let mounted = mount.path.trim_matches('/');
    if mounted.is_empty() || paths.is_empty() {
        return;
    }
    let prefix = format!("/{mounted}/");
    if paths.iter().all(|path| path.starts_with(&prefix)) {
        for path in paths {
            path.drain(..prefix.len() - 1);
        }
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn without_query(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

/// A server's URL with its variables.
fn filled(url: &str, server: &Value) -> String {
    let mut url = url.to_owned();
    let variables = server.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let default = variable.get("default").or_else(|| variable.get("enum")?.get(0));
        url = url
            .replace(&format!("{{{name}}}"), default.and_then(Value::as_str).unwrap_or_default());
    }
    url
}

//! A document: parsed once, its operations named, and the wanted ones made into tools.

use std::collections::HashMap;

use serde_json::Value;

use crate::declared::{FieldPlace, declares};
use crate::error::DocumentError;
use crate::names::{self, Names, of_path};
use crate::operation::Operation;
use crate::pointer::resolve;
use crate::reading::read;
use crate::servers::{self, Mount};
use crate::swagger2::{is_swagger_2, upgrade};
use crate::template::path_of;

/// The most operations that a document may have.
const MAX_OPERATIONS: usize = 10_000;

/// The methods whose operations become tools.
const METHODS: [(&str, &str); 5] =
    [("get", "GET"), ("post", "POST"), ("put", "PUT"), ("patch", "PATCH"), ("delete", "DELETE")];

/// An operation that may become a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// The name of its tool.
    pub name: &'a str,
    /// Its `operationId`, or the name made of its method and path, where that is another one.
    pub id: Option<&'a str>,
    /// The method, in upper case.
    pub method: &'a str,
    /// The path, with its parameters in braces, and what some documents write behind it to tell operations
    /// apart: a query or a fragment.
    pub path: &'a str,
}

impl<'a> Candidate<'a> {
    /// The path alone.
    pub fn endpoint(&self) -> &'a str {
        path_of(self.path)
    }

    /// Whether the path is all that the operation is told by.
    pub fn is_whole(&self) -> bool {
        self.endpoint().len() == self.path.len()
    }
}

/// An operation that cannot become a tool, or of which a part is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `METHOD /path`.
    pub operation: String,
    /// Why not, or what.
    pub reason: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.operation, self.reason)
    }
}

/// The result of importing operations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Import {
    /// The tools, in the document's order.
    pub operations: Vec<Operation>,
    /// The operations that cannot become tools, and what is not known of others.
    pub problems: Vec<Problem>,
}

/// A parsed document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    root: Value,
    entries: Vec<Entry>,
    broken: Vec<Problem>,
    /// The paths of which the operations cannot be read.
    unread: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Entry {
    name: String,
    id: Option<String>,
    method: &'static str,
    verb: &'static str,
    /// The path as in the document.
    template: String,
    /// The path after that of the server.
    path: String,
}

/// Gives each operation its name: a short form of the one that a framework made up, where that is nobody
/// else's; then the whole one stays known as its id, unless another operation has it.
fn name_all(entries: &mut [Entry], reserved: &[&str]) {
    let whole =
        |entry: &Entry| entry.id.clone().unwrap_or_else(|| of_path(entry.method, &entry.template));
    let short = |entry: &Entry| match &entry.id {
        Some(id) => names::short(id, &entry.template),
        None => names::short_of_path(entry.method, &entry.template),
    };
    let wanted: Vec<_> = entries.iter().map(|entry| (whole(entry), short(entry))).collect();
    let mut takers: HashMap<String, usize> = HashMap::new();
    let all = wanted.iter().map(|(whole, short)| short.as_ref().unwrap_or(whole).as_str());
    for name in all.chain(reserved.iter().copied()) {
        *takers.entry(names::fit(name)).or_default() += 1;
    }
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.clone()).collect();
    let is_anothers = |at: usize, whole: &str| {
        let others = ids.iter().enumerate().filter(|(other, _)| *other != at);
        takers.contains_key(&names::fit(whole))
            || others.flat_map(|(_, id)| id).any(|id| id == whole)
    };
    let mut names = Names::reserve(reserved.iter().copied());
    for (at, (entry, (whole, short))) in entries.iter_mut().zip(wanted).enumerate() {
        let short = short.filter(|short| takers.get(&names::fit(short)) == Some(&1));
        entry.name = names.take(short.as_ref().unwrap_or(&whole));
        if short.is_some() && (entry.id.is_some() || !is_anothers(at, &whole)) {
            entry.id = Some(whole);
        }
        entry.id = entry.id.take().filter(|id| *id != entry.name);
    }
}

impl Document {
    /// Parses a document. `reserved` are names that no tool may have; `mounted` is where the application
    /// is: the path of its address leads every request anyway, and is not repeated.
    ///
    /// # Errors
    /// When it cannot be used at all.
    pub fn parse<'m>(
        text: &str,
        reserved: &[&str],
        mounted: impl Into<Mount<'m>>,
    ) -> Result<Self, DocumentError> {
        let mount = mounted.into();
        let mut root = read(text)?;
        if is_swagger_2(&root) {
            root = upgrade(root, text).ok_or(DocumentError::TooLarge)?;
        }
        check_version(&root)?;
        let mut document =
            Self { root: Value::Null, entries: Vec::new(), broken: Vec::new(), unread: Vec::new() };
        let Some(paths) = root.get("paths") else {
            // A document of 3.1 may consist of webhooks or components alone.
            return Ok(Self { root, ..document });
        };
        let paths = paths
            .as_object()
            .ok_or_else(|| DocumentError::Version("paths is not an object".into()))?;
        let mut is_root = true;
        for (template, item) in paths.iter().filter(|(template, _)| !template.starts_with("x-")) {
            let slash = if template.starts_with('/') { "" } else { "/" };
            let item = match resolve(&root, item) {
                Ok(item) => item,
                Err(reason) => {
                    let base = servers::base(&root, &Value::Null, &Value::Null, mount);
                    is_root &= base.is_root;
                    document.unread.push(format!("{}{slash}{template}", base.path));
                    document.broken.push(Problem { operation: template.clone(), reason });
                    continue;
                }
            };
            for (verb, method) in METHODS {
                let Some(operation) = item.get(verb) else { continue };
                let id = operation.get("operationId").and_then(Value::as_str);
                let id = id.map(str::trim).filter(|id| !id.is_empty()).map(str::to_owned);
                if document.entries.len() >= MAX_OPERATIONS {
                    return Err(DocumentError::TooLarge);
                }
                let base = servers::base(&root, item, operation, mount);
                is_root &= base.is_root;
                document.entries.push(Entry {
                    id,
                    name: String::new(),
                    method,
                    verb,
                    template: template.clone(),
                    path: format!("{}{slash}{template}", base.path),
                });
            }
        }
        name_all(&mut document.entries, reserved);
        if is_root {
            let entries = document.entries.iter_mut().map(|entry| &mut entry.path);
            let mut all: Vec<_> = entries.chain(&mut document.unread).collect();
            servers::without_mounted(&mut all, mount);
        }
        Ok(Self { root, ..document })
    }

    /// All operations, including those that cannot become tools.
    pub fn candidates(&self) -> impl Iterator<Item = Candidate<'_>> {
        self.entries.iter().map(Entry::candidate)
    }

    /// Whether the operation of this tool declares a field of its request by exactly this name.
    pub fn declares(&self, tool: &str, place: FieldPlace, field: &str) -> bool {
        let mut entries = self.entries.iter().filter(|entry| entry.name == tool);
        entries.any(|entry| {
            let item = self.root["paths"].get(&entry.template);
            let item = item.and_then(|item| resolve(&self.root, item).ok());
            item.is_some_and(|item| declares(&self.root, item, &item[entry.verb], place, field))
        })
    }

    /// The paths of which the operations are not known.
    pub fn unread_paths(&self) -> impl Iterator<Item = &str> {
        self.unread.iter().map(String::as_str)
    }

    /// Makes tools of the wanted operations.
    pub fn import(&self, wanted: impl Fn(&Candidate<'_>) -> bool) -> Import {
        let mut import = Import { operations: Vec::new(), problems: self.broken.clone() };
        for entry in self.entries.iter().filter(|entry| wanted(&entry.candidate())) {
            let item = self.root["paths"].get(&entry.template);
            let item = item.ok_or_else(String::new).and_then(|item| resolve(&self.root, item));
            let made = item.and_then(|item| {
                let at = (entry.method, entry.path.as_str());
                Operation::read(&self.root, &entry.name, at, item, &item[entry.verb])
            });
            let problem = |reason| {
                let operation = format!("{} {}", entry.method, entry.path);
                Problem { operation, reason }
            };
            match made {
                Ok(operation) => {
                    import.problems.extend(operation.unknown.iter().cloned().map(problem));
                    import.operations.push(operation);
                }
                Err(reason) => import.problems.push(problem(reason)),
            }
        }
        import
    }
}

impl Entry {
    fn candidate(&self) -> Candidate<'_> {
        let id = self.id.as_deref();
        Candidate { name: &self.name, id, method: self.method, path: &self.path }
    }
}

fn check_version(root: &Value) -> Result<(), DocumentError> {
    let refused = |what: &str| Err(DocumentError::Version(what.to_owned()));
    match root.get("openapi") {
        Some(Value::String(version)) if version.starts_with("3.") => Ok(()),
        // YAML without quotes.
        Some(Value::Number(version)) if version.to_string().starts_with("3.") => Ok(()),
        Some(version) => refused(&format!("its version is openapi: {version}")),
        None => match root.get("swagger").or_else(|| root.get("swaggerVersion")) {
            Some(version) => refused(&format!("its version is swagger: {version}")),
            None => refused("openapi: 3.… or swagger: 2.0 is missing"),
        },
    }
}

//! The operations of the backend and the tools that make them: a rule on one holds for the other.

use std::collections::{BTreeSet, HashMap};

use crate::endpoint::{EndpointPattern, FoldedPattern, NormalPath, folded_text};

/// The longest name that a tool can have for all models.
const MAX_TOOL_NAME: usize = 64;

/// An operation: what a tool does when it calls an endpoint.
#[derive(Debug, Clone)]
pub struct Operation {
    /// The name of the tool that makes it, or would make it.
    pub tool: String,
    /// Its name at its source, where that is another one: an `operationId` such as `repos/get`.
    pub id: Option<String>,
    /// Where it is.
    pub endpoint: EndpointPattern,
    /// Whether the endpoint is all that it is told by, so that a rule which allows the operation may allow
    /// the endpoint. Some documents tell operations of one path apart by a query.
    pub is_whole: bool,
    /// Whether the server has a route of its own for it. The backend's tools are called by one route, which
    /// they make no other one.
    pub is_route: bool,
}

impl Operation {
    /// Its names, for rules that forbid or ask a person.
    fn has_name(&self, is_name: &impl Fn(&str) -> bool) -> bool {
        is_name(&self.tool) || self.id.as_deref().is_some_and(is_name)
    }
}

/// Whether a source's name for an operation can mean no other tool: it is none that a tool can have.
pub fn is_unambiguous(id: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    id.len() > MAX_TOOL_NAME || !id.chars().all(is_plain)
}

/// All operations that are known, and which tools have none.
#[derive(Debug, Default)]
pub struct Operations {
    entries: Vec<Entry>,
    /// By the number of their segments, where that is certain.
    by_length: HashMap<Option<usize>, Vec<usize>>,
    /// Endpoints whose last segment is the name of a tool, also of one that is not listed.
    named_by_path: Vec<FoldedPattern>,
    /// Endpoints of operations whose names are not known, each with its source.
    nameless: Vec<(FoldedPattern, String)>,
    /// The names of tools that are no operations.
    others: BTreeSet<String>,
    /// What the names of further tools begin with that are no operations either.
    prefixes: Vec<String>,
    /// The source that could not be read, if there is one.
    unread: Option<String>,
}

#[derive(Debug)]
struct Entry {
    operation: Operation,
    folded: FoldedPattern,
}

impl Operations {
    /// Adds an operation.
    pub fn add(&mut self, operation: Operation) {
        let folded = FoldedPattern::of(&operation.endpoint);
        self.by_length.entry(folded.length()).or_default().push(self.entries.len());
        self.entries.push(Entry { operation, folded });
    }

    /// Adds an endpoint whose last segment is the name of a tool.
    pub fn add_named_by_path(&mut self, endpoint: &EndpointPattern) {
        self.named_by_path.push(FoldedPattern::of(endpoint));
    }

    /// Adds an endpoint of operations whose names could not be read from this source.
    pub fn add_nameless(&mut self, endpoint: &EndpointPattern, source: impl Into<String>) {
        self.nameless.push((FoldedPattern::of(endpoint), source.into()));
    }

    /// Adds a tool that is no operation.
    pub fn add_other(&mut self, tool: impl Into<String>) {
        self.others.insert(tool.into());
    }

    /// Says that all names that begin like this are of no operation.
    pub fn add_prefix(&mut self, prefix: impl Into<String>) {
        self.prefixes.push(prefix.into());
    }

    /// Says that a source of operations could not be read, so that a name may mean an operation of it.
    pub fn set_unread(&mut self, source: impl Into<String>) {
        self.unread = Some(source.into());
    }

    /// All operations.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.entries.iter().map(|entry| &entry.operation)
    }

    /// What servers may take for these operations.
    pub(crate) fn folded(&self) -> impl Iterator<Item = &FoldedPattern> {
        self.entries.iter().map(|entry| &entry.folded)
    }

    /// The names of the tools that are no operations.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.others.iter().map(String::as_str)
    }

    /// The operations that match a call exactly, each with whether a more particular one does, too: of
    /// `GET /items/{id}` and `GET /items/search`, a server takes a call of the second for that alone.
    pub fn of_call<'a>(
        &'a self,
        method: &'a str,
        path: &'a NormalPath,
    ) -> impl Iterator<Item = (&'a Operation, bool)> {
        let exact = self.exact(method, path);
        let found =
            exact.iter().map(|own| (*own, exact.iter().any(|other| is_narrower(other, own))));
        found.collect::<Vec<_>>().into_iter()
    }

    fn exact(&self, method: &str, path: &NormalPath) -> Vec<&Operation> {
        let operations = self.near(path).map(|entry| &entry.operation);
        operations.filter(|operation| operation.endpoint.matches(method, path)).collect()
    }

    /// What a server may take a call for.
    pub(crate) fn reached(&self, method: &str, path: &NormalPath) -> Reached<'_> {
        let exact = self.exact(method, path);
        let routes = exact.iter().filter(|operation| operation.is_route);
        let general: Vec<&Operation> = exact
            .iter()
            .filter(|own| routes.clone().any(|route| is_narrower(route, own)))
            .copied()
            .collect();
        let is_meant = |entry: &&Entry| {
            entry.folded.matches(method, path)
                && !general.iter().any(|general| std::ptr::eq(*general, &entry.operation))
        };
        let operations: Vec<_> =
            self.near(path).filter(is_meant).map(|entry| &entry.operation).collect();
        let is_named = self.named_by_path.iter().any(|endpoint| endpoint.matches(method, path));
        let last = path.readings().filter_map(|segments| segments.last());
        let names: Vec<_> =
            last.filter(|_| is_named).flatten().flat_map(|form| names_in(form)).collect();
        let nameless = self.nameless.iter().find(|(endpoint, _)| endpoint.matches(method, path));
        let is_unknown = operations.is_empty() && names.is_empty();
        let unread = match nameless {
            Some((_, source)) => Some(source.as_str()),
            None => self.unread.as_deref().filter(|_| is_unknown),
        };
        Reached { all: self, operations, names, unread }
    }

    fn near<'a>(&'a self, path: &NormalPath) -> impl Iterator<Item = &'a Entry> + use<'a> {
        let lengths = path.readings().map(|segments| Some(segments.len())).chain([None]);
        let near: Vec<_> = lengths.filter_map(|length| self.by_length.get(&length)).collect();
        let near = near.into_iter();
        near.flatten().filter_map(|at| self.entries.get(*at))
    }

    /// Whether a name in a rule surely means what is known: no operation of a source that could not be
    /// read.
    fn is_located(&self, pattern: &str) -> bool {
        let is_known = || {
            self.others.contains(pattern)
                || self.iter().any(|known| known.has_name(&|name| name == pattern))
        };
        self.prefixes.iter().any(|prefix| pattern.starts_with(prefix)) || is_known()
    }
}

/// Whether an operation is at only some of the places of another one.
fn is_narrower(operation: &Operation, general: &Operation) -> bool {
    let (ours, theirs) = (&operation.endpoint, &general.endpoint);
    theirs.covers(ours) && !ours.covers(theirs)
}

/// The names that the last segment of a path may stand for, as a server reads it and as models see it.
fn names_in(segment: &str) -> Vec<String> {
    let ends = segment.char_indices().filter(|(at, c)| *c == '.' && *at > 0).map(|(at, _)| at);
    let names = ends.chain([segment.len()]).map(|end| &segment[..end]);
    let for_models = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    names.flat_map(|name| [name.to_owned(), name.chars().map(for_models).collect()]).collect()
}

/// What a server may take a call for.
#[derive(Debug)]
pub(crate) struct Reached<'a> {
    all: &'a Operations,
    operations: Vec<&'a Operation>,
    /// Names of tools by the path alone, folded.
    names: Vec<String>,
    /// The source that may know a further name, and cannot be read.
    unread: Option<&'a str>,
}

impl Reached<'_> {
    /// Whether a name in a rule, in which `*` stands for any text, means the call. `glob` compares.
    pub(crate) fn is_named(&self, pattern: &str, glob: &impl Fn(&str, &str) -> bool) -> bool {
        let folded = folded_text(pattern);
        self.operations.iter().any(|known| known.has_name(&|name| glob(pattern, name)))
            || self.names.iter().any(|name| glob(&folded, name))
    }

    /// The source because of which it cannot be said whether a name in a rule means the call.
    pub(crate) fn unread(&self, pattern: &str) -> Option<&str> {
        self.unread.filter(|_| !self.all.is_located(pattern))
    }
}

//! No import circle between modules of different folders (docs/ARCHITECTURE.md).
//!
//! A folder is a room: what is inside may know each other, but between rooms imports go one way, so
//! that a lower room can be read, tested and moved without an upper one. Cargo holds this between
//! packages; this test holds it inside of each, on the tokens of its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A module's path from the crate's root, without `crate`; the root's is empty.
type ModulePath = Vec<String>;

/// The modules of one package, by path, and what each imports of the others.
#[derive(Debug, Default)]
struct Imports {
    of: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
}

impl Imports {
    /// Reads the sources of a package: every file below `src` that is not a test's. Programs'
    /// `main.rs` and `src/bin` belong to other crates, which may only know the library.
    fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut files);
        let modules: BTreeSet<ModulePath> = files.keys().cloned().collect();
        let mut imports = Self::default();
        for (module, file) in &files {
            let text = std::fs::read_to_string(file).unwrap();
            imports.of.insert(module.clone(), imported(&text, module, &modules));
        }
        imports
    }

    /// The folder that a module lives in: its own where it has submodules, else its parent's.
    fn folder(&self, module: &[String]) -> ModulePath {
        let has_children =
            self.of.keys().any(|other| other.len() > module.len() && other.starts_with(module));
        match module.split_last() {
            Some((_, parent)) if !has_children => parent.to_vec(),
            Some(_) | None => module.to_vec(),
        }
    }

    /// Everything that a module reaches by imports.
    fn reach(&self, from: &ModulePath) -> BTreeSet<&ModulePath> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&ModulePath> = self.of[from].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(&self.of[module]);
            }
        }
        reached
    }

    /// Imports that lead from one folder to another and are part of a circle, as lines.
    fn circular(&self) -> Vec<String> {
        let reach: BTreeMap<_, _> = self.of.keys().map(|from| (from, self.reach(from))).collect();
        let mut lines = Vec::new();
        for (from, imports) in &self.of {
            for to in imports {
                if self.folder(from) != self.folder(to) && reach[to].contains(from) {
                    lines.push(format!("{} -> {}", name(from), name(to)));
                }
            }
        }
        lines
    }
}

fn name(module: &[String]) -> String {
    if module.is_empty() { "crate".to_owned() } else { module.join("::") }
}

/// The modules below a folder and their files, without `tests`.
fn collect(dir: &Path, path: &mut ModulePath, files: &mut BTreeMap<ModulePath, PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let file = entry.unwrap().path();
        let stem = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if stem == "tests" || (path.is_empty() && ["main", "bin"].contains(&stem.as_str())) {
            continue;
        }
        if file.is_dir() {
            path.push(stem);
            collect(&file, path, files);
            path.pop();
        } else if file.extension().is_some_and(|extension| extension == "rs") {
            let mut module = path.clone();
            if !["mod", "lib"].contains(&stem.as_str()) {
                module.push(stem);
            }
            files.insert(module, file);
        }
    }
}

/// The modules that a file's text imports or names by path.
fn imported(text: &str, module: &[String], modules: &BTreeSet<ModulePath>) -> BTreeSet<ModulePath> {
    let tokens = TokenStream::from_str(text).unwrap();
    let mut found = Vec::new();
    paths(tokens, module, modules, &mut found);
    let resolve = |path: &ModulePath| {
        (0..=path.len()).rev().map(|len| path[..len].to_vec()).find(|path| modules.contains(path))
    };
    found.iter().filter_map(resolve).filter(|other| other[..] != *module).collect()
}

/// Collects every path of tokens that begins at the crate, at a module around or at a submodule.
fn paths(
    tokens: TokenStream,
    module: &[String],
    modules: &BTreeSet<ModulePath>,
    found: &mut Vec<ModulePath>,
) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    // Whether an attribute said that the next item is a test's.
    let mut of_tests = false;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let text = group.stream().to_string();
                let before = at.checked_sub(1).map(|before| tokens[before].to_string());
                let is_attribute =
                    group.delimiter() == Delimiter::Bracket && before.as_deref() == Some("#");
                of_tests |= is_attribute && text.replace(' ', "") == "cfg(test)";
                // What a thing is visible in, `pub(in …)`, is no import.
                let is_visibility = before.as_deref() == Some("pub");
                if of_tests && !is_attribute {
                    // The body of the test's item ends it, whatever it holds.
                    of_tests = group.delimiter() != Delimiter::Brace;
                } else if !is_attribute && !is_visibility {
                    paths(group.stream(), module, modules, found);
                }
                at += 1;
            }
            TokenTree::Punct(punct) => {
                of_tests &= punct.as_char() != ';';
                at += 1;
            }
            TokenTree::Ident(ident) if !of_tests => {
                let follows = at > 1 && separator(&tokens, at - 2)
                    || at > 0 && is_punct(&tokens[at - 1], '.');
                let inline = ident == "mod"
                    && matches!(tokens.get(at + 2), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace);
                if inline {
                    let mut inner = module.to_vec();
                    inner.push(tokens[at + 1].to_string());
                    if let TokenTree::Group(group) = &tokens[at + 2] {
                        paths(group.stream(), &inner, modules, found);
                    }
                    at += 3;
                } else if let Some(start) = start(&ident.to_string(), module, modules)
                    && !follows
                    && separator(&tokens, at + 1)
                {
                    at = tree(&tokens, at + 3, start, found);
                } else {
                    at += 1;
                }
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => at += 1,
        }
    }
}

/// Where a path that begins with this word begins; `None` for a word that leads out of the crate.
fn start(word: &str, module: &[String], modules: &BTreeSet<ModulePath>) -> Option<ModulePath> {
    let mut child = module.to_vec();
    child.push(word.to_owned());
    match word {
        "crate" => Some(Vec::new()),
        "self" => Some(module.to_vec()),
        "super" => module.split_last().map(|(_, parent)| parent.to_vec()),
        _ if modules.contains(&child) => Some(child),
        _ => None,
    }
}

/// Follows a path and its branches from the token at `at`; the index behind it.
fn tree(
    tokens: &[TokenTree],
    mut at: usize,
    mut path: ModulePath,
    found: &mut Vec<ModulePath>,
) -> usize {
    loop {
        match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => {
                if ident == "super" {
                    path.pop();
                } else if ident != "self" {
                    path.push(ident.to_string());
                }
                at += 1;
                if !separator(tokens, at) {
                    found.push(path);
                    return at;
                }
                at += 2;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for branch in inner.split(|token| is_punct(token, ',')) {
                    if !branch.is_empty() {
                        tree(branch, 0, path.clone(), found);
                    }
                }
                return at + 1;
            }
            // A glob, a turbofish, or the end of a macro's fragment.
            Some(_) | None => {
                found.push(path);
                return at;
            }
        }
    }
}

/// Whether `::` stands at `at`.
fn separator(tokens: &[TokenTree], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| is_punct(token, ':'))
        && tokens.get(at + 1).is_some_and(|token| is_punct(token, ':'))
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

#[test]
fn no_import_circle_leads_from_one_folder_to_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let packages = ["bin", "crates"].map(|dir| std::fs::read_dir(root.join(dir)).unwrap());
    let mut modules = 0;
    for package in packages.into_iter().flatten() {
        let package = package.unwrap().path();
        let imports = Imports::read(&package.join("src"));
        modules += imports.of.len();
        let circular = imports.circular();
        assert!(
            circular.is_empty(),
            "{}: {} imports are part of a circle between folders:\n{}",
            package.display(),
            circular.len(),
            circular.join("\n")
        );
    }
    assert!(modules > 300, "only {modules} modules found");
}

#[test]
fn paths_are_found_however_they_are_written() {
    let module = |path: &str| -> ModulePath {
        path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect()
    };
    let modules: BTreeSet<_> =
        ["", "a", "a::b", "a::c", "d", "d::e"].iter().map(|path| module(path)).collect();
    for (text, expected) in [
        ("use crate::d::e::Thing;", &["d::e"][..]),
        ("use crate::{a::{self, c}, d::e::{One, Two}};", &["a", "a::c", "d::e"]),
        ("use super::c; use super::super::d;", &["a::c", "d"]),
        ("fn f() { let x = crate::d::e::g(1); }", &["d::e"]),
        ("m!(crate::d::Thing { x: super::Y });", &["a", "d"]),
        ("pub(crate) use crate::d::*;", &["d"]),
        ("use other::crate_thing; use std::fmt;", &[]),
        ("#[cfg(test)] mod tests { use crate::d::e; } use crate::d;", &["d"]),
        ("#[cfg(test)] use crate::d::e; use crate::a::c;", &["a::c"]),
        ("mod inner { use super::super::c; use crate::d; }", &["a::c", "d"]),
        ("pub(in crate::d) fn f() {}", &[]),
        ("use crate::Root;", &[""]),
    ] {
        let expected: BTreeSet<_> = expected.iter().map(|path| module(path)).collect();
        assert_eq!(imported(text, &module("a::b"), &modules), expected, "{text}");
    }
    assert_eq!(
        imported("use b::Thing; fn f(x: c::T) {}", &module("a"), &modules),
        BTreeSet::from([module("a::b"), module("a::c")])
    );
}

#[test]
fn a_circle_inside_a_folder_is_allowed_and_one_between_folders_is_not() {
    let module = |path: &str| -> ModulePath { path.split("::").map(str::to_owned).collect() };
    let imports = |edges: &[(&str, &[&str])]| Imports {
        of: edges
            .iter()
            .map(|(from, to)| (module(from), to.iter().map(|to| module(to)).collect()))
            .collect(),
    };
    let inside = imports(&[("a", &["a::b"]), ("a::b", &["a"]), ("c", &["a::b"]), ("c::d", &[])]);
    assert!(inside.circular().is_empty(), "{:?}", inside.circular());
    let between =
        imports(&[("a", &["a::b"]), ("a::b", &["c::d"]), ("c", &["a"]), ("c::d", &["c"])]);
    assert_eq!(between.circular(), ["a::b -> c::d", "c -> a"]);
}

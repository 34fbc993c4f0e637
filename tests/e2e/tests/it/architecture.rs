//! docs/ARCHITECTURE.md, checked: its table of packages against what Cargo knows, and the names of
//! files, types and functions on that page against the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap()
}

/// The folder of each package of the workspace, and the packages of the workspace that it ships
/// with, by their names.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    let shipped = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(name)
            .filter(|name| ours.contains(name))
            .collect()
    };
    let folder = |package: &Value| {
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let folder = manifest.parent().unwrap().strip_prefix(root()).unwrap();
        folder.to_str().unwrap().to_owned()
    };
    packages.iter().map(|package| (folder(package), shipped(package))).collect()
}

/// The texts between backquotes, fenced blocks left out.
fn code_spans(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn the_table_of_packages_is_what_cargo_knows() {
    let page = page();
    let section =
        page.split("## Packages").nth(1).unwrap().split("\nWhy these walls").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let imports = code_spans(cells[3]).into_iter().map(str::to_owned).collect();
        (code_spans(cells[1])[0].to_owned(), imports)
    });
    let documented: BTreeMap<String, BTreeSet<String>> = rows.collect();
    let known = packages();
    for (package, imports) in &known {
        let row = documented.get(package);
        let row = row.unwrap_or_else(|| panic!("{package} has no row in docs/ARCHITECTURE.md"));
        assert_eq!(imports, row, "what {package} imports (left) and what its row says (right)");
    }
    let gone: Vec<_> = documented.keys().filter(|package| !known.contains_key(*package)).collect();
    assert!(gone.is_empty(), "rows without a package: {gone:?}");
}

#[test]
fn crates_import_no_program_and_the_leaves_never_meet() {
    const LEAVES: [&str; 4] = ["llm", "mc-client", "openapi-tools", "wombat-core"];
    for (package, imports) in packages() {
        if package.starts_with("crates/") {
            let program =
                imports.iter().find(|name| name.starts_with("wombat-") && *name != "wombat-core");
            assert_eq!(program, None, "{package} imports a program");
        }
        if LEAVES.iter().any(|leaf| package == format!("crates/{leaf}")) {
            let met = imports.iter().find(|name| LEAVES.contains(&name.as_str()));
            assert_eq!(met, None, "{package} imports another leaf");
        }
    }
}

/// All Rust sources that are shipped.
fn sources() -> Vec<PathBuf> {
    fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    let folders = packages().into_keys().map(|package| root().join(package).join("src"));
    for folder in folders.filter(|folder| folder.is_dir()) {
        collect(&folder, &mut files);
    }
    files
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    match path.split_once('{').and_then(|(head, rest)| Some((head, rest.split_once('}')?))) {
        Some((head, (names, tail))) => {
            names.split(',').map(|name| format!("{head}{name}{tail}")).collect()
        }
        None => vec![path.to_owned()],
    }
}

#[test]
fn every_path_type_and_function_that_the_page_names_exists() {
    let page = page();
    let sources = sources();
    let mut words = BTreeSet::new();
    for file in &sources {
        let text = std::fs::read_to_string(file).unwrap();
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in code {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            words.extend(line.split(|c| !is_word(c)).map(str::to_owned));
        }
    }
    let roots: Vec<PathBuf> = std::iter::once(root())
        .chain(packages().keys().map(|package| root().join(package).join("src")))
        .chain([root().join("bin/mission-control/src/board")])
        .collect();
    let mut missing = Vec::new();
    let mut checked = 0;
    for span in code_spans(&page) {
        let is_path = span.ends_with(".rs")
            || (span.ends_with('/') && !span.starts_with('/'))
            || ["bin/", "crates/", "tests/", "examples/"].iter().any(|dir| span.starts_with(dir));
        let is_name = span.split("::").all(|part| {
            part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let is_telling = span.contains("::")
            || span.contains('_')
            || span.starts_with(|c: char| c.is_ascii_uppercase());
        if is_path {
            checked += 1;
            // A row of a room names the files in it without their folder.
            let is_there = |path: &str| {
                roots.iter().any(|root| root.join(path).exists())
                    || sources.iter().any(|file| {
                        file.ancestors()
                            .take(2)
                            .any(|file| file.ends_with(path.trim_end_matches('/')))
                    })
            };
            missing.extend(expanded(span).into_iter().filter(|path| !is_there(path)));
        } else if is_name && is_telling {
            checked += 1;
            missing
                .extend(span.split("::").filter(|part| !words.contains(*part)).map(str::to_owned));
        }
    }
    assert!(checked > 150, "only {checked} names found on the page");
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md names what does not exist: {missing:?}");
}

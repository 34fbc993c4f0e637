//! Links between the documents, and the book that is built from them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use test_support::lacks;

use super::root;

/// Every Markdown file that a reader may come across.
pub(super) fn documents() -> Vec<PathBuf> {
    let root = root();
    let mut found = Vec::new();
    for dir in ["", "docs", "examples/*", "packaging", "packaging/*", "sdk/*"] {
        let dirs = match dir.strip_suffix("/*") {
            None => vec![root.join(dir)],
            Some(parent) => subfolders(&root.join(parent)),
        };
        for dir in dirs {
            let Ok(entries) = std::fs::read_dir(&dir) else { continue };
            let files = entries.map(|entry| entry.unwrap().path());
            found.extend(files.filter(|path| path.extension().is_some_and(|end| end == "md")));
        }
    }
    found.sort();
    assert!(found.len() > 20, "{found:?}");
    found
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// A document without its code blocks.
fn prose(text: &str) -> String {
    let mut fence: Option<&str> = None;
    let mut kept = String::new();
    for line in text.lines() {
        let mark = line.trim_start();
        let ticks = &mark[..mark.len() - mark.trim_start_matches('`').len()];
        match fence {
            None if ticks.len() >= 3 => fence = Some(ticks),
            Some(open) if mark == open => fence = None,
            None => {
                kept.push_str(line);
                kept.push('\n');
            }
            Some(_) => {}
        }
    }
    assert_eq!(fence, None, "a block of code has no end");
    kept
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in text.split("](").skip(1) {
        found.extend(part.split(')').next().map(str::to_owned));
    }
    found
}

/// The anchors of a document's headings, as GitHub and mdBook generate them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = prose(&std::fs::read_to_string(path).unwrap());
    let headings = text.lines().filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim().to_owned())
    });
    let name = |title: String| {
        let kept = title.to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || ['-', '_'].contains(c)).collect()
    };
    headings.map(name).collect()
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut count = 0;
    for document in documents() {
        let text = prose(&std::fs::read_to_string(&document).unwrap());
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => document.clone(),
                _ => document.parent().unwrap().join(path),
            };
            let is_there =
                target.exists() && (anchor.is_empty() || anchors(&target).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(count > 60, "only {count} links were found");
}

/// Names such as `docs/GUIDE.md` in the text, without a link.
#[test]
fn every_document_that_is_named_exists() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in text.split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c))) {
            let word = word.trim_end_matches('.');
            if word.starts_with("docs/") && word.ends_with(".md") && !root().join(word).exists() {
                broken.push(format!("{}: {word}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

#[test]
fn the_book_has_every_document_and_builds_without_a_complaint() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let chapters: BTreeSet<String> = links(&summary).into_iter().collect();
    let files = std::fs::read_dir(root().join("docs")).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> =
        files.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert_eq!(chapters, files, "docs/SUMMARY.md lists the documents");

    let program = std::env::var("WOMBAT_TEST_MDBOOK").unwrap_or_else(|_| "mdbook".to_owned());
    let out = tempfile::tempdir().unwrap();
    let build = Command::new(program).arg("build").arg(root()).arg("-d").arg(out.path()).output();
    let Ok(build) = build else {
        lacks("mdBook", "cargo");
        return;
    };
    let said = String::from_utf8_lossy(&build.stderr).into_owned();
    assert!(build.status.success(), "{said}");
    assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    let page = std::fs::read_to_string(out.path().join("QUICKSTART.html")).unwrap();
    assert!(page.contains("Quickstart") && page.contains("GUIDE.html"), "{page}");
}

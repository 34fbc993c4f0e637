//! The blocks of code on docs/TOKENS.md, and the typed one on docs/BESIDE.md.

use std::collections::BTreeMap;
use std::path::Path;

/// A block of code.
pub(super) struct Block {
    pub(super) code: String,
}

impl Block {
    /// The lines that a reader counts: no imports, no comments, none that are empty.
    pub(super) fn lines(&self) -> usize {
        let counts = |line: &&str| {
            let line = line.trim();
            let skipped = ["#", "//", "import ", "from ", "use "];
            // A line of nothing but brackets ends what another one began.
            line.chars().any(char::is_alphanumeric)
                && (line.starts_with("#[") || !skipped.iter().any(|start| line.starts_with(start)))
        };
        self.code.lines().filter(counts).count()
    }
}

/// The page.
pub(super) fn text() -> String {
    of_docs("TOKENS.md")
}

fn of_docs(page: &str) -> String {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    std::fs::read_to_string(docs.join(page)).unwrap()
}

/// The page's blocks by the name in the comment before each, `<!-- recipe: NAME -->`.
pub(super) fn blocks() -> BTreeMap<String, Block> {
    blocks_of(&text())
}

/// What docs/BESIDE.md has for an application in TypeScript.
pub(super) fn beside_in_typescript() -> String {
    blocks_of(&of_docs("BESIDE.md")).remove("express-typescript").unwrap().code
}

fn blocks_of(page: &str) -> BTreeMap<String, Block> {
    let mut found = BTreeMap::new();
    for part in page.split("<!-- recipe: ").skip(1) {
        let (name, rest) = part.split_once(" -->\n```").unwrap();
        let (_language, rest) = rest.split_once('\n').unwrap();
        let (code, _) = rest.split_once("```").unwrap();
        let block = Block { code: code.to_owned() };
        assert!(found.insert(name.to_owned(), block).is_none(), "{name} is there twice");
    }
    found
}

/// The code of these blocks, one after the other, as a reader pastes them into one file.
pub(super) fn code(names: &[&str]) -> String {
    let blocks = blocks();
    let code = names.iter().map(|name| match blocks.get(*name) {
        Some(block) => block.code.as_str(),
        None => panic!("docs/TOKENS.md has no recipe {name}"),
    });
    code.collect::<Vec<_>>().join("\n\n")
}

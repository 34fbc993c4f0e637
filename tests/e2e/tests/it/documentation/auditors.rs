//! The page for auditors names sources and tests that exist.

use std::path::Path;

/// The texts between backquotes.
fn spans(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_source_and_every_test_that_the_page_for_auditors_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let page = read("docs/AUDITORS.md");
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in page.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let [threat, _, sources, tests] = cells[..] else { panic!("not four cells: {line}") };
        rows += 1;
        wrong.extend(spans(sources).filter(|path| !root.join(path).is_file()));
        let mut source = String::new();
        for span in spans(tests) {
            if span.contains('/') {
                source = read(span);
            }
            if source.is_empty() || !span.contains('/') && !source.contains(&format!("fn {span}("))
            {
                wrong.push(span);
            }
        }
        assert!(tests.contains('`'), "no test: {threat}");
    }
    assert!(rows > 30 && wrong.is_empty(), "{rows} rows; not found: {wrong:?}");
}

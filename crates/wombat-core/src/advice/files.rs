//! Files that are not read, truncated or empty.

use super::{Advisor, CONFIG, MCP};
use crate::loader::Folder;
use crate::prompt::FILES;
use crate::session::Role;

impl Advisor<'_> {
    /// Files with nearly the right name, which are not read.
    pub(super) fn names(&mut self, folder: &Folder) {
        for name in folder.list("") {
            let is_read = FILES.contains(&name.as_str()) || [CONFIG, MCP].contains(&name.as_str());
            let near = FILES.iter().chain(&[CONFIG, MCP]).find(|known| is_near(&name, known));
            if let (false, Some(known)) = (is_read, near) {
                self.add(&name, None, "is not read", format!("rename it to {known}"));
            }
        }
        for name in folder.list("souls") {
            let file = format!("souls/{name}");
            match name.strip_suffix(".md") {
                None => self.add(&file, None, "is not read", "name it <role>.md"),
                Some(stem) => {
                    if let Err(error) = Role::parse(stem) {
                        self.add(
                            &file,
                            None,
                            format!("its name is not a role: {error}"),
                            "rename it to <role>.md",
                        );
                    }
                }
            }
        }
        for name in folder.list("memory") {
            let day =
                name.strip_suffix(".md").and_then(|day| day.parse::<chrono::NaiveDate>().ok());
            if day.is_none() {
                let file = format!("memory/{name}");
                self.add(&file, None, "is not read", "name it YYYY-MM-DD.md");
            }
        }
    }

    /// Files that are truncated, and empty ones.
    pub(super) fn sizes(&mut self) {
        let souls = self.snapshot.souls.iter().map(|(role, doc)| (format!("souls/{role}.md"), doc));
        let docs = self.snapshot.docs.iter().map(|(name, doc)| (name.clone(), doc));
        for (file, doc) in docs.chain(souls) {
            if doc.truncated {
                let what = format!(
                    "has {} characters; the prompt contains only {}",
                    doc.raw_chars, doc.injected_chars
                );
                self.add(&file, None, what, "shorten it, or raise WOMBAT_MAX_FILE_CHARS");
            } else if doc.text.is_empty() {
                self.add(&file, None, "is empty", "write something in it, or remove it");
            }
        }
    }
}

/// Whether a name is a misspelling of another: other case, or one letter wrong.
fn is_near(name: &str, known: &str) -> bool {
    let (name, known) = (name.to_lowercase(), known.to_lowercase());
    name == known
        || (name.ends_with(".md") == known.ends_with(".md")
            && strsim::damerau_levenshtein(&name, &known) <= 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_a_name_is_near_and_another_name_is_not() {
        for near in ["agents.md", "AGENT.md", "Agents.MD"] {
            assert!(is_near(near, "AGENTS.md"), "{near}");
        }
        for far in ["README.md", "AGENTS.txt", "NOTES.md"] {
            assert!(!FILES.iter().any(|known| is_near(far, known)), "{far}");
        }
    }
}

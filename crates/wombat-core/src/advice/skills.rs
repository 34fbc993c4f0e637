//! Skills that are disabled, misplaced or malformed.

use std::collections::BTreeSet;

use super::{Advisor, CONFIG};
use crate::endpoint::{
    EndpointPattern, broken_endpoints_in_markdown, declares_reserved, endpoints_in_markdown,
    near_endpoints_in_markdown,
};
use crate::loader::{Folder, Read};
use crate::nearest::nearest;
use crate::skills::SkillReport;

/// What paths of the control plane begin with; its endpoints are in no application's document.
const CONTRACT: &str = " /api/mission-control/";

impl Advisor<'_> {
    pub(super) fn skills(&mut self, folder: &Folder) {
        let known: BTreeSet<&str> =
            self.snapshot.reports.iter().map(|skill| skill.location.as_str()).collect();
        let mut found = Vec::new();
        for name in folder.list("skills") {
            let (dir, location) = (format!("skills/{name}"), format!("skills/{name}/SKILL.md"));
            if known.contains(location.as_str()) {
                continue;
            }
            if !folder.is_dir(&dir) {
                found.push((
                    dir,
                    "is not a folder, and so not a skill".to_owned(),
                    format!("move it to skills/{}/SKILL.md", name.trim_end_matches(".md")),
                ));
            } else {
                let other = folder
                    .list(&dir)
                    .into_iter()
                    .find(|file| file.eq_ignore_ascii_case("skill.md"));
                let remedy = match other {
                    Some(other) => format!("rename {other} to SKILL.md"),
                    None => "write one, or remove the folder".to_owned(),
                };
                found.push((dir, "has no SKILL.md".to_owned(), remedy));
            }
        }
        for (file, what, remedy) in found {
            self.add(&file, None, what, remedy);
        }
        for skill in &self.snapshot.reports {
            let is_broken =
                self.snapshot.problems.iter().any(|problem| problem.file == skill.location);
            if !is_broken {
                self.skill(skill, folder);
            }
        }
    }

    fn skill(&mut self, skill: &SkillReport, folder: &Folder) {
        if let Some(reason) = &skill.gate_reason
            && reason != "disable-model-invocation is set"
        {
            let remedy = gate_remedy(reason);
            self.add(&skill.location, None, format!("the skill is disabled: {reason}"), remedy);
        }
        for warning in &skill.warnings {
            let remedy = match warning.contains("beginning of") {
                true => {
                    "begin the file with ---, name: …, description: What it is for, and when to use it., ---"
                }
                false => "correct its front matter",
            };
            self.add(&skill.location, None, warning.clone(), remedy);
        }
        let Read::Text(text) = folder.read(&skill.location) else { return };
        if let Some(line) = open_fence(&text) {
            let what = "a code block is never closed, so the rest of the file is part of it";
            self.add(&skill.location, Some(line), what, "close it with ```");
        }
        // A list in the front matter takes the place of what the text declares.
        if skill.endpoints == endpoints_in_markdown(&text) {
            for (line, error) in broken_endpoints_in_markdown(&text) {
                let what = format!("this line declares no endpoint: {error}");
                self.add(&skill.location, Some(line), what, "see docs/WORKSPACE.md, Patterns");
            }
            self.near_endpoints(skill, &text);
        }
        self.reserved_endpoints(skill, &text);
        if skill.enabled {
            self.unknown_operations(skill, &text);
        }
    }

    /// Lines that read like endpoints. What is declared elsewhere may be shown and mentioned as one likes.
    fn near_endpoints(&mut self, skill: &SkillReport, text: &str) {
        let snapshot = self.snapshot;
        let is_declared = |meant: &EndpointPattern| {
            let all = snapshot.endpoints.iter().map(|declared| &declared.pattern);
            all.chain(&skill.endpoints).any(|known| known.may_meet(meant))
        };
        for near in near_endpoints_in_markdown(text) {
            if near.meant.as_ref().is_some_and(is_declared) {
                continue;
            }
            let remedy = match near.meant {
                Some(meant) => format!("write {meant} on a line of its own in a code block (```)"),
                None => "write METHOD /path; see docs/WORKSPACE.md, Skills".to_owned(),
            };
            let what = format!("{} declares nothing", near.what);
            self.add(&skill.location, Some(near.line), what, remedy);
        }
    }

    /// Endpoints of the contract that are never called for a model.
    fn reserved_endpoints(&mut self, skill: &SkillReport, text: &str) {
        for endpoint in skill.endpoints.iter().filter(|endpoint| declares_reserved(endpoint)) {
            let written = endpoint.to_string();
            let line = text.lines().position(|line| line.contains(&written)).map(|at| at + 1);
            let what = format!("{written} is the contract's own, and is never called for a model");
            self.add(&skill.location, line, what, "remove it; see docs/WORKSPACE.md, Skills");
        }
    }

    /// Endpoints that the backend's OpenAPI document, where there is one, does not have.
    fn unknown_operations(&mut self, skill: &SkillReport, text: &str) {
        let documented = &self.tools.documented;
        if documented.is_empty() {
            return;
        }
        let is_unknown = |endpoint: &&EndpointPattern| is_undocumented(endpoint, documented);
        for endpoint in skill.endpoints.iter().filter(is_unknown) {
            let written = endpoint.to_string();
            let known: Vec<String> = documented.iter().map(|known| known.to_string()).collect();
            let line = text.lines().position(|line| line.contains(&written)).map(|at| at + 1);
            let remedy = match near_operation(endpoint, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => "correct it, or add it to the document".to_owned(),
            };
            let what = format!("the backend's OpenAPI document has no {written}");
            self.add(&skill.location, line, what, remedy);
        }
    }
}

/// The operations that may have been meant: the other methods of the same path, else the nearest one.
fn near_operation(endpoint: &EndpointPattern, known: &[String]) -> Option<String> {
    let written = endpoint.to_string();
    let is_same_path = |known: &&String| {
        let path = known.split_once(' ').map(|(_, path)| path);
        let (Some((method, _)), Some(path)) = (written.split_once(' '), path) else { return false };
        let moved = EndpointPattern::parse(&format!("{method} {path}"));
        moved.is_ok_and(|moved| endpoint.covers(&moved) || moved.covers(endpoint))
    };
    let same: Vec<&str> = known.iter().filter(is_same_path).map(String::as_str).collect();
    match same.as_slice() {
        [] => nearest(&written, known.iter().map(String::as_str)).map(str::to_owned),
        [one] => Some((*one).to_owned()),
        [first @ .., last] => Some(format!("{} or {last}", first.join(", "))),
    }
}

/// Whether an endpoint, not of the contract, is none of those that the OpenAPI document describes.
pub fn is_undocumented(endpoint: &EndpointPattern, documented: &[EndpointPattern]) -> bool {
    let is_contracts = endpoint.to_string().contains(CONTRACT);
    !is_contracts && !documented.iter().any(|known| endpoint.may_meet(known))
}

fn gate_remedy(reason: &str) -> &'static str {
    if reason.contains("environment variable") {
        "set it for the daemon"
    } else if reason.contains("PATH") {
        "install it where the daemon runs"
    } else if reason.contains(CONFIG) {
        "set it there"
    } else {
        "run the daemon there, or change the gate"
    }
}

/// The line of a code block that is never closed.
fn open_fence(text: &str) -> Option<usize> {
    let mut open: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| line.starts_with(mark));
        let Some(mark) = mark else { continue };
        let c = mark.chars().next().unwrap_or('`');
        let length = line.chars().take_while(|other| *other == c).count();
        let fence: String = std::iter::repeat_n(c, length).collect();
        match &open {
            None => open = Some((at + 1, fence)),
            Some((_, begin)) if fence.starts_with(begin.as_str()) && line.trim() == fence => {
                open = None
            }
            Some(_) => {}
        }
    }
    open.map(|(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_the_same_path_come_first() {
        let known = ["GET /loans", "POST /loans", "PUT /loan", "GET /loans/{id}", "GET /books"];
        let known = known.map(str::to_owned);
        let near = |text: &str| near_operation(&EndpointPattern::parse(text).unwrap(), &known);
        assert_eq!(near("PUT /loans").unwrap(), "GET /loans or POST /loans");
        assert_eq!(near("PUT /loans/:loan").unwrap(), "GET /loans/{id}");
        assert_eq!(near("GET /bocks").unwrap(), "GET /books");
        assert_eq!(near("GET /nothing/like/it"), None);
    }

    #[test]
    fn an_open_fence_is_found_by_its_line() {
        assert_eq!(open_fence("a\n```\nb\n```\n"), None);
        assert_eq!(open_fence("a\n````\n```\n````\n"), None);
        assert_eq!(open_fence("```http\nGET /a\n```\n\n```\nx\n"), Some(5));
    }
}

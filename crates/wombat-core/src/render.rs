//! Rendering the system prompt from a snapshot (docs/WORKSPACE.md). What rarely changes comes first,
//! for the providers' prompt caches; the time is not part of it.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Datelike as _, Days, NaiveDate};
use sha2::{Digest, Sha256};
use zones::Zone;

use crate::prompt::{
    FILES, FileReport, Prompt, PromptKey, PromptMode, PromptRequest, estimate_tokens, hex,
};
use crate::session::Role;
use crate::snapshot::{Doc, Snapshot};

/// The most rendered prompts that a snapshot caches.
const MAX_CACHED: usize = 512;

/// The default checklist, for a workspace without one.
const DEFAULT_HEARTBEAT: &str =
    "Look at what is pending and act on it. If nothing needs attention, answer HEARTBEAT_OK.";

impl Snapshot {
    /// The system prompt. Rendered once for a role, mode and day; touches no file.
    pub fn prompt(&self, request: &PromptRequest<'_>) -> Prompt {
        let key = PromptKey {
            role: request.role.clone(),
            mode: request.mode,
            heartbeat: request.heartbeat,
            day: request.now.date_naive(),
        };
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prompt) = cache.0.get(&key) {
            return prompt.clone();
        }
        let prompt = render(self, request);
        if cache.0.len() >= MAX_CACHED {
            cache.0.clear();
        }
        cache.0.insert(key, prompt.clone());
        prompt
    }

    /// The files that can be part of a role's prompt.
    pub fn files(&self, role: &Role, now: &DateTime<Zone>) -> Vec<FileReport> {
        let mut reports: Vec<FileReport> = Vec::new();
        let soul = format!("souls/{role}.md");
        reports.push(report(&soul, self.souls.get(role)));
        for name in FILES {
            reports.push(report(name, self.doc(name)));
        }
        for day in recent_days(now) {
            reports.push(report(&format!("memory/{day}.md"), self.logs.get(&day)));
        }
        reports
    }
}

fn report(name: &str, doc: Option<&Doc>) -> FileReport {
    FileReport {
        name: name.to_owned(),
        exists: doc.is_some(),
        raw_chars: doc.map_or(0, |doc| doc.raw_chars),
        injected_chars: doc.map_or(0, |doc| doc.injected_chars),
        truncated: doc.is_some_and(|doc| doc.truncated),
        estimated_tokens: doc.map_or(0, |doc| estimate_tokens(&doc.text)),
    }
}

/// Yesterday and today, in the zone of `now`.
fn recent_days(now: &DateTime<Zone>) -> Vec<NaiveDate> {
    let today = now.date_naive();
    today.checked_sub_days(Days::new(1)).into_iter().chain([today]).collect()
}

fn render(snapshot: &Snapshot, request: &PromptRequest<'_>) -> Prompt {
    let mut sections = match request.mode {
        PromptMode::Full => full_sections(snapshot, request),
        PromptMode::Minimal => minimal_sections(snapshot),
    };
    if request.heartbeat {
        let checklist = snapshot.heartbeat().unwrap_or(DEFAULT_HEARTBEAT);
        sections.push(format!("## Heartbeat\n\n{checklist}"));
    }
    if sections.is_empty() {
        sections.push(format!(
            "You are {}, an agent that works for the user in their backend. Be helpful, exact and \
             brief. Use your tools to read and write the backend; say plainly what you could not do.",
            request.role
        ));
    }
    let system: Arc<str> = sections.join("\n\n").into();
    let hash = hex(&Sha256::digest(system.as_bytes())).into();
    let estimated_tokens = estimate_tokens(&system);
    Prompt { system, hash, estimated_tokens }
}

fn full_sections(snapshot: &Snapshot, request: &PromptRequest<'_>) -> Vec<String> {
    let doc =
        |name: &str| snapshot.doc(name).map(|doc| doc.text.as_str()).filter(|t| !t.is_empty());
    let soul = snapshot.souls.get(request.role).map(|doc| doc.text.as_str());
    let titled = |title: &str, text: &str| format!("## {title}\n\n{text}");
    let mut sections: Vec<String> = Vec::new();
    sections.extend(soul.or_else(|| doc("SOUL.md")).map(str::to_owned));
    sections.extend(doc("IDENTITY.md").map(str::to_owned));
    sections.extend(doc("AGENTS.md").map(|text| titled("Operating Rules", text)));
    sections.extend(doc("USER.md").map(|text| titled("User", text)));
    sections.extend(doc("TOOLS.md").map(|text| titled("Tool Notes", text)));
    sections.extend(skills_section(snapshot));
    if !snapshot.boot_complete {
        sections.extend(doc("BOOT.md").map(|text| titled("First Run", text)));
    }
    sections.extend(memory_section(snapshot, &request.now));
    sections.retain(|section| !section.is_empty());
    sections
}

fn minimal_sections(snapshot: &Snapshot) -> Vec<String> {
    [("AGENTS.md", "Operating Rules"), ("TOOLS.md", "Tool Notes")]
        .into_iter()
        .filter_map(|(name, title)| {
            let doc = snapshot.doc(name).filter(|doc| !doc.text.is_empty())?;
            Some(format!("## {title}\n\n{}", doc.text))
        })
        .collect()
}

fn skills_section(snapshot: &Snapshot) -> Option<String> {
    if !snapshot.has_visible_skills() {
        return None;
    }
    let mut out = "## Skills\n".to_owned();
    if !snapshot.inline_skills {
        out.push_str("\nRead a skill with the tool `read_skill` before you use it.\n");
    }
    for skill in snapshot.visible_skills() {
        // Writing to a String cannot fail.
        let _infallible = if snapshot.inline_skills {
            write!(out, "\n### {}\n\n{}\n\n{}\n", skill.name, skill.description, skill.body)
        } else {
            writeln!(out, "- **{}**: {}", skill.name, skill.description)
        };
    }
    Some(out.trim_end().to_owned())
}

fn memory_section(snapshot: &Snapshot, now: &DateTime<Zone>) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    parts.extend(snapshot.doc("MEMORY.md").map(|doc| doc.text.clone()));
    for day in recent_days(now) {
        if let Some(doc) = snapshot.logs.get(&day) {
            let (year, month, date) = (day.year(), day.month(), day.day());
            parts.push(format!("### {year:04}-{month:02}-{date:02}\n\n{}", doc.text));
        }
    }
    parts.retain(|part| !part.is_empty());
    (!parts.is_empty()).then(|| format!("## Recent Memory\n\n{}", parts.join("\n\n")))
}

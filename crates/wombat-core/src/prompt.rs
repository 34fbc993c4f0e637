//! The parts of a system prompt: what is asked for, what comes out, and the cache of a snapshot.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use serde::Serialize;

use crate::session::Role;

/// The files of the folder that a prompt can hold, besides souls, memory logs and skills.
pub(crate) const FILES: [&str; 8] = [
    "SOUL.md",
    "IDENTITY.md",
    "AGENTS.md",
    "USER.md",
    "TOOLS.md",
    "HEARTBEAT.md",
    "BOOT.md",
    "MEMORY.md",
];

/// How much of the workspace the prompt holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PromptMode {
    /// All of it.
    #[default]
    Full,
    /// Rules, tool notes, and the checklist of a heartbeat.
    Minimal,
}

impl FromStr for PromptMode {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "full" => Ok(Self::Full),
            "minimal" => Ok(Self::Minimal),
            _ => Err(()),
        }
    }
}

/// What to render.
#[derive(Debug, Clone, Copy)]
pub struct PromptRequest<'a> {
    /// Who answers.
    pub role: &'a Role,
    /// How much.
    pub mode: PromptMode,
    /// Whether the run is a heartbeat.
    pub heartbeat: bool,
    /// The moment, in the person's zone: decides on the memory logs.
    pub now: DateTime<Tz>,
}

/// A rendered system prompt. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text.
    pub system: Arc<str>,
    /// SHA-256 of the text, hexadecimal.
    pub hash: Arc<str>,
    /// About how many tokens it has.
    pub estimated_tokens: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PromptKey {
    pub(crate) role: Role,
    pub(crate) mode: PromptMode,
    pub(crate) heartbeat: bool,
    pub(crate) day: NaiveDate,
}

/// Prompts that were rendered before.
#[derive(Debug, Default)]
pub(crate) struct PromptCache(pub(crate) HashMap<PromptKey, Prompt>);

/// A line of `GET /context`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// The file, within the workspace.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Its characters.
    pub raw_chars: usize,
    /// Those that the prompt holds.
    pub injected_chars: usize,
    /// Whether it was cut.
    pub truncated: bool,
    /// About how many tokens they are.
    pub estimated_tokens: usize,
}

/// About how many tokens a text has: four characters each.
pub fn estimate_tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// What opens the newest user turn: date, time and zone.
pub fn time_context(now: &DateTime<Tz>) -> String {
    format!("## Current Time\n{} ({})", now.format("%A, %Y-%m-%d %H:%M"), now.timezone().name())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

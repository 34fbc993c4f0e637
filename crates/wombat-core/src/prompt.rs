//! The system prompt: request, result and the cache of rendered prompts.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use serde::Serialize;
use zones::Zone;

use crate::session::Role;

/// The files of the folder that a prompt can contain, besides souls, memory logs and skills.
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

/// How much of the workspace the prompt contains.
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
    /// The role that answers.
    pub role: &'a Role,
    /// How much of the workspace.
    pub mode: PromptMode,
    /// Whether the run is a heartbeat.
    pub heartbeat: bool,
    /// The time, in the user's zone: it selects the memory logs.
    pub now: DateTime<Zone>,
}

/// A rendered system prompt. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The text.
    pub system: Arc<str>,
    /// SHA-256 of the text, hexadecimal.
    pub hash: Arc<str>,
    /// Estimated tokens.
    pub estimated_tokens: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct PromptKey {
    pub(crate) role: Role,
    pub(crate) mode: PromptMode,
    pub(crate) heartbeat: bool,
    pub(crate) day: NaiveDate,
}

/// The cache of rendered prompts.
#[derive(Debug, Default)]
pub(crate) struct PromptCache(pub(crate) HashMap<PromptKey, Prompt>);

/// An item of `GET /context`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    /// The file, within the workspace.
    pub name: String,
    /// Whether it exists.
    pub exists: bool,
    /// Its length in characters.
    pub raw_chars: usize,
    /// The characters that the prompt contains.
    pub injected_chars: usize,
    /// Whether it was truncated.
    pub truncated: bool,
    /// Estimated tokens of those.
    pub estimated_tokens: usize,
}

/// The estimated number of tokens of a text: one per four bytes.
pub fn estimate_tokens(text: &str) -> usize {
    text.len().div_ceil(4)
}

/// The time context that opens the newest user turn: date, time and zone.
pub fn time_context(now: &DateTime<Zone>) -> String {
    format!("## Current Time\n{} ({})", now.format("%A, %Y-%m-%d %H:%M"), now.timezone().name())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _infallible = write!(out, "{byte:02x}");
        out
    })
}

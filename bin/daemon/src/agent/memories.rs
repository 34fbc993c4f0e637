//! What a run is reminded of at its beginning: the memories that fit its message, in the newest turn. A run goes on
//! without them where they cannot be read.

use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::memories::Memory;
use mc_client::steps::RecalledMemory;
use mc_client::types::Capabilities;
use tokio::time::timeout;
use wombat_core::agent_config::AgentProfile;
use wombat_core::workspace::PromptMode;

use super::context::RunContext;
use super::driver::RunDriver;
use crate::settings::Memory as Limits;
use crate::tools::memories::{Reader, is_readable, query};

/// How long a run waits for its memories.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many more memories are asked for than fit, since those that are too long are passed over.
const SPARE: u32 = 12;

/// What a run has been reminded of.
#[derive(Debug, Default)]
pub(super) struct Recalled {
    /// The memories, best first.
    pub(super) memories: Vec<RecalledMemory>,
    /// Why there are none, where they could not be read.
    pub(super) warning: Option<String>,
}

impl RunDriver<'_> {
    /// Looks for the memories that fit the message, once for a run.
    pub(super) async fn recall(
        &self,
        client: &AgentClient,
        capabilities: &Capabilities,
        profile: &AgentProfile,
        task_id: &str,
    ) -> Recalled {
        let (limits, access) = (self.app.settings.memory, &profile.memory);
        let (request, is_wanted) = (self.request, limits.max_items > 0 && limits.max_chars > 0);
        let is_full = request.options.prompt_mode == PromptMode::Full;
        if let Some(replay) = self.replay {
            let memories = if access.reads() { replay.memories() } else { Vec::new() };
            return Recalled { memories, warning: None };
        }
        let has_words = !request.message.trim().is_empty();
        if !(is_wanted && is_full && has_words && access.reads() && capabilities.has("memories")) {
            return Recalled::default();
        }
        let wanted = u32::try_from(limits.max_items).unwrap_or(u32::MAX).saturating_add(SPARE);
        let query = query(access, task_id, request.message.trim(), wanted);
        // Another attempt would come after the time that a run waits.
        let client = client.clone().without_retries();
        let found = timeout(TIMEOUT, client.memories(&query)).await;
        let why = match found {
            Ok(Ok(page)) => {
                let mut found = page.items;
                let reader = Reader {
                    user: request.session.user().as_str(),
                    tenant: request.customer.tenant_id.as_deref(),
                    task_id,
                };
                found.retain(|memory| is_readable(memory, access, reader));
                return Recalled { memories: fitting(found, limits), warning: None };
            }
            Ok(Err(error)) => told(&error),
            Err(_) => format!("no answer in {} seconds", TIMEOUT.as_secs()),
        };
        tracing::warn!(cause = why, "a run goes on without memories");
        let warning =
            format!("memories could not be read, and the run went on without them: {why}");
        Recalled { memories: Vec::new(), warning: Some(warning) }
    }
}

/// Why the backend gave none, in words for the caller.
fn told(error: &McError) -> String {
    match error.status() {
        Some(status) => format!("the backend answered {status}"),
        None => "the backend did not answer as it should".to_owned(),
    }
}

/// The memories that fit into the limits: each whole, and the best first.
fn fitting(found: Vec<Memory>, limits: Limits) -> Vec<RecalledMemory> {
    let mut room = limits.max_chars;
    let mut fitting = Vec::new();
    for memory in found {
        let length = memory.text.chars().count();
        if length > room || memory.text.trim().is_empty() {
            continue;
        }
        room -= length;
        let Memory { id, scope, text, .. } = memory;
        fitting.push(RecalledMemory { id, scope, text });
        if fitting.len() == limits.max_items {
            break;
        }
    }
    fitting
}

/// Memories as a list, one after the other.
pub(super) fn listed(memories: &[RecalledMemory]) -> String {
    // Further lines are indented: none of them is another memory.
    let line = |memory: &RecalledMemory| format!("- {}", memory.text.replace(['\n', '\r'], "\n  "));
    memories.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl RunContext<'_> {
    /// Why the run has no memories, where they could not be read when it began.
    pub(super) fn memory_warning(&self) -> Option<String> {
        let own = self.memory_warning.get().cloned();
        own.or_else(|| self.journal.recorded_request().ok()??.memory_warning)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn memory(text: &str) -> Memory {
        let author = json!({ "type": "agent", "id": "a" });
        serde_json::from_value(
            json!({ "id": text, "scope": "user", "text": text, "author": author }),
        )
        .unwrap()
    }

    #[test]
    fn memories_are_whole_and_within_both_limits() {
        let fit = |texts: &[&str], max_items, max_chars| {
            let found = texts.iter().map(|text| memory(text)).collect();
            let fitting = fitting(found, Limits { max_items, max_chars });
            fitting.into_iter().map(|memory| memory.text).collect::<Vec<_>>()
        };
        assert_eq!(fit(&["aaa", "bb", "c"], 8, 6), ["aaa", "bb", "c"]);
        assert_eq!(fit(&["aaa", "bb", "c"], 8, 4), ["aaa", "c"]);
        assert_eq!(fit(&["aaa", "bb", "c"], 2, 100), ["aaa", "bb"]);
        assert_eq!(fit(&["äöü", " ", "c"], 8, 3), ["äöü"]);
    }
}

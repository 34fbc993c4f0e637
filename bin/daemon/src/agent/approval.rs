//! Calls that need a person's word (features `tool_requests` and `run_journal`; docs/RUNS.md, "A
//! person's word"): asked for once, and made with exactly the arguments that the person saw.

use std::time::Duration;

use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{CreateToolRequest, ToolRequest, ToolRequestStatus};
use serde_json::{Map, Value, json};
use wombat_core::untrusted::fence_untrusted;

use super::context::RunContext;
use crate::run::answer::ToolRequestReport;
use crate::run::error::RunError;
use crate::run::state_machine::PlannedCall;
use crate::tools::{AskedFor, ToolOutcome};

/// Characters of the model's own words that go along with a request for approval.
const MAX_REASON_CHARS: usize = 500;

/// What a person has said to a call.
pub(super) enum Verdict {
    Pending(ToolRequestReport),
    Approved(String),
    Refused { id: String, why: String },
}

impl RunContext<'_> {
    /// Whether a person can be asked, and the run taken up after.
    pub(super) fn can_ask(&self) -> bool {
        self.journal.is_enabled() && self.capabilities.has("tool_requests")
    }

    /// Asks for a person's word, or gives it where it has been said.
    pub(super) async fn verdict(
        &self,
        planned: &PlannedCall,
        reason: &str,
    ) -> Result<Verdict, RunError> {
        let call = &planned.call;
        let key = self.run.run_key.tool_key(&call.name, &call.arguments, planned.nth);
        // What the person sees is the call that will be made.
        let asked_for = AskedFor::of(call);
        let arguments = match asked_for.arguments {
            Value::Object(fields) => fields.clone(),
            _ => Map::new(),
        };
        let reason = asked_for.reason.unwrap_or(reason);
        let reason: String = reason.chars().take(MAX_REASON_CHARS).collect();
        let request = CreateToolRequest {
            task_id: self.task_id.clone(),
            run_key: self.run.run_key.as_str().to_owned(),
            session_key: self.run.request.session.to_string(),
            tool: asked_for.tool.to_owned(),
            arguments,
            reason: (!reason.trim().is_empty()).then_some(reason),
            idempotency_key: format!("{key}:approval"),
        };
        let asked = match self.client.request_tool(&request).await {
            Ok(asked) => asked,
            // The same call under the same key; only the words around it were others.
            Err(error) => error
                .conflicting_original::<ToolRequest>()
                .ok_or_else(|| RunError::backend(&error))?,
        };
        let asked = match asked.known_status() {
            // The answer of a repeated create may be as old as the create.
            Some(ToolRequestStatus::Pending) => self
                .client
                .tool_request(&asked.id)
                .await
                .map_err(|error| RunError::backend(&error))?,
            _ => asked,
        };
        Ok(self.read_verdict(&request.tool, &request.arguments, asked))
    }

    fn read_verdict(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
        asked: ToolRequest,
    ) -> Verdict {
        let given = Value::Object(asked.arguments.clone());
        let planned = Value::Object(arguments.clone());
        // What a person has seen is what is done, and nothing else.
        let same = asked.tool == tool && canonical_json(&given) == canonical_json(&planned);
        let refused = |why: &str| Verdict::Refused { id: asked.id.clone(), why: why.to_owned() };
        match asked.known_status() {
            Some(ToolRequestStatus::Pending) => Verdict::Pending(ToolRequestReport {
                id: asked.id,
                tool: tool.to_owned(),
                arguments: planned,
            }),
            Some(ToolRequestStatus::Approved) if same => Verdict::Approved(asked.id),
            Some(ToolRequestStatus::Approved) => {
                tracing::warn!(
                    run_id = self.run.handle.run_id,
                    tool,
                    tool_request_id = asked.id,
                    "a call was approved with other arguments than the run has; it is not made"
                );
                refused("it was approved with other arguments, and was not done")
            }
            Some(ToolRequestStatus::Denied) => match &asked.note {
                Some(note) => refused(&format!("a person denied it, and says: {note}")),
                None => refused("a person denied it"),
            },
            Some(ToolRequestStatus::Cancelled) | None => {
                refused("nobody has approved it in time; it was not done")
            }
        }
    }
}

/// A call that a person did not want. The note is a person's text, and so data.
pub(super) fn refused(tool: &str, why: &str) -> ToolOutcome {
    let told = json!({ "error": why }).to_string();
    ToolOutcome {
        ok: false,
        content: fence_untrusted(tool, &told),
        unclear: false,
        waits: false,
        duration: Duration::ZERO,
    }
}

//! Tool calls that need a person's approval (features `tool_requests` and `run_journal`;
//! docs/RUNS.md, "A person's word"): requested once, and made with exactly the arguments that the
//! person saw.

use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{CreateToolRequest, ToolRequest, ToolRequestStatus};
use serde_json::{Map, Value};

use super::attempts::Attempt;
use super::context::RunContext;
use crate::run::error::RunError;
use crate::tools::RequestedCall;

/// The maximum length of the reason that accompanies a request for approval, characters.
const MAX_REASON_CHARS: usize = 500;

/// What a person has decided about a call.
pub(super) enum Decision {
    /// Nothing yet: the request that waits.
    Pending(daemon_api::ToolRequest),
    /// The call may be made: the id of the request.
    Approved(String),
    /// The call must not be made.
    Denied {
        /// The id of the request.
        id: String,
        /// Why, for the model. May hold a person's note.
        why: String,
    },
}

impl Decision {
    /// The request that waits.
    pub(super) fn pending(&self) -> Option<daemon_api::ToolRequest> {
        match self {
            Self::Pending(request) => Some(request.clone()),
            Self::Approved(_) | Self::Denied { .. } => None,
        }
    }
}

impl RunContext<'_> {
    /// Whether approval can be requested, and the run resumed after.
    pub(super) fn can_request_approval(&self) -> bool {
        self.journal.is_enabled() && self.capabilities.has("tool_requests")
    }

    /// Requests a person's approval of a call, or reads the decision where there is one. What the person
    /// has to know is said before the model's own reason.
    pub(super) async fn decision(
        &self,
        attempt: &Attempt<'_>,
        by_rule: bool,
        reason: &str,
    ) -> Result<Decision, RunError> {
        let call = &attempt.planned.call;
        // What the person sees is the call that will be made.
        let requested = RequestedCall::of(call);
        let arguments = match requested.arguments {
            Value::Object(fields) => fields.clone(),
            _ => Map::new(),
        };
        let warnings = attempt.warnings(by_rule);
        let reason = [warnings.as_str(), requested.reason.unwrap_or(reason)].join(" ");
        let reason: String = reason.trim().chars().take(MAX_REASON_CHARS).collect();
        let request = CreateToolRequest {
            task_id: self.task_id.clone(),
            run_key: self.run.run_key.as_str().to_owned(),
            session_key: self.run.request.session.to_string(),
            tool: requested.tool.to_owned(),
            arguments,
            reason: (!reason.is_empty()).then_some(reason),
            idempotency_key: attempt.approval_key(self.run.run_key),
            ..CreateToolRequest::default()
        };
        let asked = match self.client.request_tool(&request).await {
            Ok(asked) => asked,
            // The same call was requested before under this key, with another reason.
            Err(error) => error
                .conflicting_original::<ToolRequest>()
                .ok_or_else(|| RunError::backend(&error))?,
        };
        let asked = match asked.known_status() {
            // The answer to a repeated create may be outdated; read the current state.
            Some(ToolRequestStatus::Pending) => self
                .client
                .tool_request(&asked.id)
                .await
                .map_err(|error| RunError::backend(&error))?,
            _ => asked,
        };
        Ok(self.read_decision(&request.tool, &request.arguments, asked))
    }

    fn read_decision(
        &self,
        tool: &str,
        arguments: &Map<String, Value>,
        asked: ToolRequest,
    ) -> Decision {
        let given = Value::Object(asked.arguments.clone());
        let planned = Value::Object(arguments.clone());
        // Only the call that the person saw may be made.
        let same = asked.tool == tool && canonical_json(&given) == canonical_json(&planned);
        let denied = |why: &str| Decision::Denied { id: asked.id.clone(), why: why.to_owned() };
        match asked.known_status() {
            Some(ToolRequestStatus::Pending) => Decision::Pending(daemon_api::ToolRequest {
                id: asked.id,
                tool: tool.to_owned(),
                arguments: planned,
            }),
            Some(ToolRequestStatus::Approved) if same => Decision::Approved(asked.id),
            Some(ToolRequestStatus::Approved) => {
                tracing::warn!(
                    run_id = self.run.handle.run_id,
                    tool,
                    tool_request_id = asked.id,
                    "tool call not made: it was approved with other arguments than the run has"
                );
                denied("it was approved with other arguments, and was not done")
            }
            Some(ToolRequestStatus::Denied) => match &asked.note {
                Some(note) => denied(&format!("a person denied it, and says: {note}")),
                None => denied("a person denied it"),
            },
            Some(
                ToolRequestStatus::Cancelled
                | ToolRequestStatus::Answered
                | ToolRequestStatus::Expired,
            )
            | None => denied("nobody has approved it in time; it was not done"),
        }
    }
}

//! Tool calls that need a person's approval (features `tool_requests` and `run_journal`;
//! docs/RUNS.md, "A person's word"): requested once, and made with exactly the arguments that the
//! person saw, or gave instead.

use mc_client::idempotency::canonical_json;
use mc_client::tool_requests::{CreateToolRequest, ToolRequest, ToolRequestStatus};
use serde_json::{Map, Value};

use super::attempts::Attempt;
use super::context::RunContext;
use super::desk::Desk;
use super::requests::told;
use crate::run::error::RunError;
use crate::tools::RequestedCall;

/// The maximum length of the reason that accompanies a request for approval, characters.
const MAX_REASON_CHARS: usize = 500;

/// The largest schema of a tool's arguments that goes with a request, bytes of JSON: a list of requests has
/// to stay readable.
const MAX_PARAMETERS: usize = 64 * 1024;

/// What has been decided about a call.
pub(super) enum Decision {
    /// Nothing yet: the request that waits.
    Pending(Box<daemon_api::ToolRequest>),
    /// The call may be made; with these arguments, where the person gave it others.
    Approved(Word, Option<Map<String, Value>>),
    /// The question was answered.
    Answered(Word, Value),
    /// The call must not be made: why, for the model. May hold a person's note.
    Denied(Word, String),
    /// It is not even asked for: why, for the model, in our own words.
    Refused(String),
}

/// Who decided, for the step of the call.
#[derive(Debug, Clone, Default)]
pub(super) struct Word {
    /// The id of the request.
    pub(super) request_id: Option<String>,
    /// Who decided it, as the backend tells it.
    pub(super) decided_by: Option<Value>,
    /// The standing rule that decided instead of a request.
    pub(super) rule_id: Option<String>,
}

impl Word {
    /// The word on a request.
    pub(super) fn on(asked: &ToolRequest) -> Self {
        let decided_by = asked.decided_by.as_ref();
        Self {
            request_id: Some(asked.id.clone()),
            decided_by: decided_by.and_then(|by| serde_json::to_value(by).ok()),
            rule_id: None,
        }
    }
}

impl Decision {
    /// The request that waits.
    pub(super) fn pending(&self) -> Option<daemon_api::ToolRequest> {
        match self {
            Self::Pending(request) => Some((**request).clone()),
            Self::Approved(..) | Self::Answered(..) | Self::Denied(..) | Self::Refused(_) => None,
        }
    }
}

impl RunContext<'_> {
    /// Whether approval can be requested, and the run resumed after.
    pub(super) fn can_request_approval(&self) -> bool {
        let is_journaled = self.journal.is_enabled() && self.capabilities.has("tool_requests");
        is_journaled || self.run.replay.is_some()
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
        let warnings = attempt.warnings(by_rule);
        let reason = [warnings.as_str(), requested.reason.unwrap_or(reason)].join(" ");
        let reason: String = reason.trim().chars().take(MAX_REASON_CHARS).collect();
        let knows_schemas = self.capabilities.has("decisions");
        let parameters = self.tools.parameters(requested.tool).filter(|_| knows_schemas);
        let parameters = parameters.filter(|schema| schema.to_string().len() <= MAX_PARAMETERS);
        let desk = self.desk()?;
        let request = CreateToolRequest {
            task_id: self.task_id.clone(),
            run_key: desk.run_key.clone(),
            session_key: desk.session_key.clone(),
            asked_by: desk.asked_by.clone(),
            tool: requested.tool.to_owned(),
            arguments: arguments_of(&requested),
            reason: (!reason.is_empty()).then_some(reason),
            idempotency_key: attempt.approval_key(self.run.run_key),
            parameters: parameters.cloned(),
            ..CreateToolRequest::default()
        };
        let asked = self.ask_person(&desk, &request).await?;
        Ok(self.read_decision(&request, asked))
    }

    /// Makes a request, or finds the one that was made under its key; as it stands now.
    pub(super) async fn ask_person(
        &self,
        desk: &Desk,
        request: &CreateToolRequest,
    ) -> Result<ToolRequest, RunError> {
        let asked = match desk.client.request_tool(request).await {
            Ok(asked) => asked,
            // The same call was requested before under this key, with another reason.
            Err(error) => error
                .conflicting_original::<ToolRequest>()
                .ok_or_else(|| RunError::backend(&error))?,
        };
        match asked.known_status() {
            // The answer to a repeated create may be outdated; read the current state.
            Some(ToolRequestStatus::Pending) => {
                let now = desk.client.tool_request(&asked.id).await;
                now.map_err(|error| RunError::backend(&error))
            }
            _ => Ok(asked),
        }
    }

    fn read_decision(&self, request: &CreateToolRequest, asked: ToolRequest) -> Decision {
        let tool = request.tool.as_str();
        let word = Word::on(&asked);
        let denied = |why: &str| Decision::Denied(word.clone(), why.to_owned());
        match asked.known_status() {
            Some(ToolRequestStatus::Pending) => Decision::Pending(Box::new(told(asked))),
            // Only the call that the person saw may be made.
            Some(ToolRequestStatus::Approved) if is_same(request, &asked) => {
                let edited = asked.edited.map(|edited| edited.arguments);
                let is_other = |edited: &Map<String, Value>| !equal(edited, &request.arguments);
                Decision::Approved(word, edited.filter(is_other))
            }
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

/// The arguments of a call; none where the model gave something else.
pub(super) fn arguments_of(requested: &RequestedCall<'_>) -> Map<String, Value> {
    requested.arguments.as_object().cloned().unwrap_or_default()
}

/// Whether a request that was found is the one that is meant.
pub(super) fn is_same(request: &CreateToolRequest, asked: &ToolRequest) -> bool {
    asked.tool == request.tool && equal(&asked.arguments, &request.arguments)
}

fn equal(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let canonical = |fields: &Map<String, Value>| canonical_json(&Value::Object(fields.clone()));
    canonical(one) == canonical(other)
}

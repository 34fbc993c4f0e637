//! Reads `RunAgentInput`, as far as a run needs it.

use std::collections::BTreeMap;

use llm::request::Message;
use serde_json::{Map, Value};

use super::super::error::ApiError;
use super::super::fields::Fields;
use super::super::parts::{self, ConversationFiles};

/// A client's input.
pub(super) struct Input {
    pub(super) thread_id: String,
    pub(super) run_id: String,
    pub(super) message: String,
    pub(super) history: Vec<Message>,
    /// What the application tells: data, not instructions.
    pub(super) context: Option<String>,
    /// The client's state, which is returned with ours added.
    pub(super) state: Map<String, Value>,
    pub(super) resume: Vec<Resume>,
    /// `output` of `forwardedProps`, as in `send`.
    pub(super) output: Option<Value>,
    /// The files of the conversation.
    pub(super) files: ConversationFiles,
    /// Whether the client speaks version 1 of the protocol. Earlier ones do not say which they speak.
    pub(super) is_version_1: bool,
}

/// A client's decision about an interrupt.
pub(super) struct Resume {
    pub(super) interrupt_id: String,
    /// Whether the interrupt, and with it the run, is cancelled.
    pub(super) is_cancelled: bool,
    /// The answer, where the interrupt is a question.
    pub(super) payload: Option<Value>,
}

impl Input {
    /// Reads the input; all problems are reported at once.
    pub(super) fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let mut problems = BTreeMap::new();
        let mut fields = Fields::new(body, "", &mut problems);
        let thread_id = fields.required_text("threadId");
        let run_id = fields.required_text("runId");
        let resume = fields.array("resume").map(|all| read_resume(all, &mut fields));
        let resume = resume.unwrap_or_default();
        if fields.array("messages").is_none() {
            fields.problem("messages", "is required");
        }
        let mut files = ConversationFiles::default();
        let turns =
            fields.array("messages").map(|turns| read_turns(turns, &mut fields, &mut files));
        let context = fields.array("context").and_then(|all| read_context(all, &mut fields));
        let state = body.get("state").and_then(Value::as_object).cloned().unwrap_or_default();
        let output = body.get("forwardedProps").and_then(|props| props.get("output")).cloned();
        let mut history = turns.unwrap_or_default();
        let message = match history.pop() {
            Some(Message::User { content, .. }) => content,
            Some(_) | None if !resume.is_empty() => String::new(),
            Some(_) | None => {
                fields.problem("messages", "the last one must be the user's");
                String::new()
            }
        };
        if !problems.is_empty() {
            return Err(ApiError::fields("invalid_payload", problems));
        }
        let version = body.get("protocolVersion").and_then(Value::as_str);
        let is_version_1 = version.is_some_and(|version| version.split('.').next() != Some("0"));
        Ok(Self {
            thread_id,
            run_id,
            message,
            history,
            context,
            state,
            resume,
            output,
            files,
            is_version_1,
        })
    }
}

fn read_resume(all: &[Value], fields: &mut Fields<'_>) -> Vec<Resume> {
    let mut entries = Vec::with_capacity(all.len());
    for (n, entry) in all.iter().enumerate() {
        let is_cancelled = entry["status"] == "cancelled";
        match entry["interruptId"].as_str() {
            Some(id) if is_cancelled || entry["status"] == "resolved" => {
                let payload = entry.get("payload").filter(|payload| !payload.is_null()).cloned();
                entries.push(Resume { interrupt_id: id.to_owned(), is_cancelled, payload });
            }
            Some(_) => {
                fields.problem(&format!("resume.{n}.status"), "must be resolved or cancelled");
            }
            None => fields.problem(&format!("resume.{n}.interruptId"), "must be a string"),
        }
    }
    entries
}

/// The conversation. Tool results, activities and reasoning are the client's records of earlier runs
/// and are skipped.
fn read_turns(
    turns: &[Value],
    fields: &mut Fields<'_>,
    files: &mut ConversationFiles,
) -> Vec<Message> {
    let newest = turns.iter().rposition(|turn| turn["role"] == "user");
    let mut history = Vec::with_capacity(turns.len());
    for (n, turn) in turns.iter().enumerate() {
        let role = turn["role"].as_str().unwrap_or_default();
        if matches!(role, "tool" | "activity" | "reasoning") {
            continue;
        }
        let read = parts::content(&format!("messages.{n}.content"), &turn["content"]);
        let (content, own) = match read {
            Ok(read) => read,
            // A turn with tool calls only.
            Err(_) if role == "assistant" && turn["content"].is_null() => continue,
            Err((place, why)) => {
                fields.problem(&place, &why);
                continue;
            }
        };
        let content = if newest == Some(n) { content } else { parts::named(content, &own) };
        let has_files = role == "user" && !own.is_empty();
        if role == "user" {
            files.add(own);
        }
        match role {
            "user" if content.trim().is_empty() && !has_files => {
                fields.problem(&format!("messages.{n}.content"), "must not be empty");
            }
            "user" => history.push(Message::user(content)),
            "assistant" if content.is_empty() => {}
            "assistant" => history.push(Message::assistant(content)),
            "system" | "developer" => history.push(Message::system(content)),
            _ => fields.problem(&format!("messages.{n}.role"), "is not a role of the protocol"),
        }
    }
    history
}

/// The application's context, a line for each entry.
fn read_context(all: &[Value], fields: &mut Fields<'_>) -> Option<String> {
    let mut lines = Vec::with_capacity(all.len());
    for (n, entry) in all.iter().enumerate() {
        match (entry["description"].as_str(), entry["value"].as_str()) {
            (Some(description), Some(value)) => lines.push(format!("{description}: {value}")),
            _ => fields.problem(&format!("context.{n}"), "must hold description and value"),
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

//! The events of `POST /api/agents/stream` as the chat reads them (docs/API.md). What this version
//! does not know is passed over, and what is missing is empty: a newer daemon may say more.

use serde::Deserialize;
use serde_json::Value;

/// The status of a run that waits for a person.
pub(super) const AWAITING_APPROVAL: &str = "awaiting_approval";

/// One event.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Event {
    /// The run begins.
    Start {
        /// The task that the answer belongs to.
        #[serde(default)]
        task_id: String,
    },
    /// More text.
    Chunk {
        /// The piece.
        data: String,
    },
    /// A tool is being called.
    ToolCall {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// What it is called with.
        #[serde(default)]
        arguments: Value,
    },
    /// A tool has answered.
    ToolResult {
        /// The call.
        id: String,
        /// The tool.
        name: String,
        /// Whether it did what was asked.
        ok: bool,
        /// How long it took, milliseconds.
        #[serde(default)]
        duration_ms: u64,
    },
    /// The answer is complete.
    Done(Box<Done>),
    /// The run failed. The error stands in the event itself.
    Error,
    /// What this version does not know.
    #[serde(other)]
    Unknown,
}

/// The end of a run that worked.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    /// `ok` or `awaiting_approval`.
    pub(super) status: String,
    /// The answer.
    pub(super) response: Option<String>,
    /// The model that wrote it.
    pub(super) model: Option<String>,
    /// What was used.
    pub(super) usage: Usage,
    /// What that costs, where the price is known.
    pub(super) cost: Option<Cost>,
    /// The prompt is close to what the model reads.
    pub(super) context_warning: Option<String>,
    /// What takes a waiting run up again.
    pub(super) run_key: Option<String>,
    /// The calls that wait.
    pub(super) tool_requests: Vec<ToolRequest>,
}

/// Tokens.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    /// What the model read.
    pub(super) prompt_tokens: u64,
    /// What it wrote.
    pub(super) completion_tokens: u64,
}

/// Money.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Cost {
    /// All of it.
    pub(super) total_cost: f64,
    /// `USD`.
    pub(super) currency: String,
}

/// A call that waits for a person.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct ToolRequest {
    /// The backend's id.
    pub(super) id: String,
    /// The tool.
    pub(super) tool: String,
    /// What it would be called with.
    pub(super) arguments: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Event {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn events_are_read_as_documented_and_unknown_ones_passed_over() {
        assert_eq!(
            read(r#"{"type":"start","run_id":"r","task_id":"t","trace_id":"x"}"#),
            Event::Start { task_id: "t".to_owned() }
        );
        assert_eq!(read(r#"{"type":"thought","data":"hm"}"#), Event::Unknown);
        assert_eq!(read(r#"{"type":"error","error":"e","code":"c","details":{}}"#), Event::Error);
        let Event::Done(done) = read(
            r#"{"type":"done","status":"ok","response":"Hi","model":null,"cost":null,
                "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
        ) else {
            panic!("no done")
        };
        assert_eq!((done.response.as_deref(), done.usage.prompt_tokens), (Some("Hi"), 3));
        assert_eq!((done.cost, done.model, done.tool_requests.len()), (None, None, 0));
    }
}

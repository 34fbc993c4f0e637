//! The events of `POST /api/agents/stream`.

use std::borrow::Cow;

use serde::ser::{Error as _, SerializeMap as _};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::answer::RunAnswer;
use crate::error::ErrorBody;

/// One event of a run. Exactly one `Done` or `Error` ends a stream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StreamEvent<'a> {
    /// The run begins.
    Start {
        /// The run's id.
        #[serde(default)]
        run_id: String,
        /// The task that the reply belongs to.
        #[serde(default)]
        task_id: String,
        /// The trace of the request.
        #[serde(default)]
        trace_id: String,
        /// The run's key, by which it can be joined, resumed and cancelled at any instance.
        #[serde(default)]
        run_key: String,
    },
    /// More text of the reply.
    Chunk {
        /// The piece of text.
        data: String,
        /// The turn of the model that says it: its place in the journal.
        #[serde(default)]
        step: Option<u32>,
    },
    /// Text that was told is void. What this turn says next continues where the valid text ends.
    Restarted {
        /// The turn of the model, as in [`StreamEvent::Chunk`].
        step: u32,
        /// How many characters (Unicode code points) of the turn's text are still valid.
        #[serde(default)]
        from: u64,
        /// Why: `schema` where the text does not fit the schema of the run's output. Readers take other
        /// words, too.
        #[serde(default)]
        reason: Cow<'static, str>,
    },
    /// A tool is called.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// What it is called with.
        #[serde(default)]
        arguments: Value,
    },
    /// A tool call has ended.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool's name.
        name: String,
        /// Whether the call succeeded.
        ok: bool,
        /// How long it took, milliseconds.
        #[serde(default)]
        duration_ms: u64,
        /// Why the call failed, in one line.
        #[serde(default)]
        error: Option<String>,
    },
    /// The run is complete.
    Done(Box<RunAnswer<'a>>),
    /// The run failed.
    Error(ErrorBody),
    /// An event that this version does not know; to be skipped, and never written.
    #[serde(other)]
    Unknown,
}

impl StreamEvent<'_> {
    /// The event's name, as in `type` and in the stream's `event:` line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Chunk { .. } => "chunk",
            Self::Restarted { .. } => "restarted",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
            Self::Done(_) => "done",
            Self::Error(_) => "error",
            Self::Unknown => "unknown",
        }
    }
}

/// Written by hand, because `type` is the last field of `done` and the first of all others.
impl Serialize for StreamEvent<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Done(answer) = self {
            return Done { answer, kind: self.name() }.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.name())?;
        match self {
            Self::Start { run_id, task_id, trace_id, run_key } => {
                map.serialize_entry("run_id", run_id)?;
                map.serialize_entry("task_id", task_id)?;
                map.serialize_entry("trace_id", trace_id)?;
                map.serialize_entry("run_key", run_key)?;
            }
            Self::Chunk { data, step } => {
                map.serialize_entry("data", data)?;
                if let Some(step) = step {
                    map.serialize_entry("step", step)?;
                }
            }
            Self::Restarted { step, from, reason } => {
                map.serialize_entry("step", step)?;
                map.serialize_entry("from", from)?;
                map.serialize_entry("reason", reason)?;
            }
            Self::ToolCall { id, name, arguments } => {
                map.serialize_entry("id", id)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("arguments", arguments)?;
            }
            Self::ToolResult { id, name, ok, duration_ms, error } => {
                map.serialize_entry("id", id)?;
                map.serialize_entry("name", name)?;
                map.serialize_entry("ok", ok)?;
                map.serialize_entry("duration_ms", duration_ms)?;
                if let Some(error) = error {
                    map.serialize_entry("error", error)?;
                }
            }
            Self::Error(body) => {
                map.serialize_entry("error", &body.error)?;
                map.serialize_entry("code", &body.code)?;
                map.serialize_entry("details", &body.details)?;
            }
            Self::Done(_) | Self::Unknown => {
                return Err(S::Error::custom("an unknown event cannot be written"));
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    answer: &'a RunAnswer<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_written_as_documented() {
        for text in [
            r#"{"type":"start","run_id":"r","task_id":"t","trace_id":"x","run_key":"k"}"#,
            r#"{"type":"chunk","data":"Hi"}"#,
            r#"{"type":"chunk","data":"Hi","step":1}"#,
            r#"{"type":"restarted","step":1,"from":0,"reason":"schema"}"#,
            r#"{"type":"tool_call","id":"1","name":"find","arguments":{"b":1,"a":2}}"#,
            r#"{"type":"tool_result","id":"1","name":"find","ok":false,"duration_ms":7}"#,
            r#"{"type":"error","error":"e","code":"c","details":{"x":1}}"#,
        ] {
            let event: StreamEvent<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
            assert!(text.contains(&format!(r#"{{"type":"{}""#, event.name())));
        }
    }

    #[test]
    fn the_last_event_is_the_answer_and_its_type_stands_last() {
        let event: StreamEvent<'_> = serde_json::from_str(
            r#"{"type":"done","status":"ok","response":"Hi","model":null,"cost":null,
                "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
        )
        .unwrap();
        let StreamEvent::Done(answer) = &event else { panic!("{event:?}") };
        assert_eq!((answer.response.as_deref(), answer.usage.prompt_tokens), (Some("Hi"), 3));
        let text = serde_json::to_string(&event).unwrap();
        assert!(text.starts_with(r#"{"status":"ok","run_id":"""#), "{text}");
        assert!(text.ends_with(r#","workspace_digest":"","type":"done"}"#), "{text}");
    }

    #[test]
    fn unknown_events_are_recognised_and_not_written() {
        let event: StreamEvent<'_> =
            serde_json::from_str(r#"{"type":"thought","data":"hm"}"#).unwrap();
        assert_eq!(event, StreamEvent::Unknown);
        assert!(serde_json::to_string(&event).is_err());
    }
}

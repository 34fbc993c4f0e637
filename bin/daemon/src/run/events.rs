//! What a run tells while it goes on. `stream` passes it on; `send` lets it pass.

use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;

/// How many events may wait for a slow reader before the run waits for it.
const EVENT_BUFFER: usize = 64;

/// One event of a run, before its end.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run begins.
    Start {
        /// This run.
        run_id: String,
        /// The task that the reply belongs to.
        task_id: String,
        /// The trace of the request.
        trace_id: String,
    },
    /// More text.
    Chunk {
        /// The piece.
        data: String,
    },
    /// A tool is being called.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// A tool has answered.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Whether it did what was asked.
        ok: bool,
        /// How long it took, milliseconds.
        duration_ms: u64,
    },
}

impl RunEvent {
    /// The event's name, for the `event:` line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Chunk { .. } => "chunk",
            Self::ToolCall { .. } => "tool_call",
            Self::ToolResult { .. } => "tool_result",
        }
    }
}

/// Where a run's events go.
#[derive(Debug, Clone)]
pub struct EventSink(Option<mpsc::Sender<RunEvent>>);

impl EventSink {
    /// Nobody listens.
    pub fn silent() -> Self {
        Self(None)
    }

    /// A bounded channel to one reader; a reader that is slow slows the run, and costs no memory.
    pub fn channel() -> (Self, mpsc::Receiver<RunEvent>) {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        (Self(Some(sender)), receiver)
    }

    /// Whether anybody wants to see the text as it comes.
    pub fn is_live(&self) -> bool {
        self.0.is_some()
    }

    /// Tells an event. The event is only built when somebody listens. A reader that has gone is
    /// not an error here: its run is dropped by whoever holds it.
    pub async fn tell(&self, event: impl FnOnce() -> RunEvent) {
        if let Some(sender) = &self.0 {
            let _reader_gone = sender.send(event()).await;
        }
    }
}

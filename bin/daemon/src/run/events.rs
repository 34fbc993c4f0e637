//! The events of a run while it goes on. Streaming endpoints forward them; `send` ignores them.

use std::sync::Arc;

use daemon_api::StreamEvent;
use serde_json::Value;
use tokio::sync::mpsc;

use super::recording::Recording;

/// How many events are buffered for a slow reader before the run waits for it.
const EVENT_BUFFER: usize = 64;

/// One event of a run, before its end. It is written as a [`StreamEvent`].
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// The run has started.
    Start {
        /// This run.
        run_id: String,
        /// The task that the reply belongs to.
        task_id: String,
        /// The trace of the request.
        trace_id: String,
        /// The run's key.
        run_key: String,
    },
    /// More text.
    Chunk {
        /// The next piece of text.
        data: String,
        /// The turn of the model: its place in the journal. `None` for a reply that was stored before.
        step: Option<u32>,
    },
    /// Text of the newest turn is void.
    Restarted {
        /// The turn, as in [`RunEvent::Chunk`].
        step: u32,
        /// How many characters of its text are still valid.
        from: u64,
        /// Why.
        reason: RestartReason,
    },
    /// A tool call starts.
    ToolCall {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// A tool call has ended.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Whether the call succeeded.
        ok: bool,
        /// How long it took, milliseconds.
        duration_ms: u64,
        /// Why the call failed, in one line.
        error: Option<String>,
    },
}

/// Why text is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartReason {
    /// It does not fit the schema of the run's output.
    Schema,
    /// The turn was asked again, and its answer is another one.
    Resumed,
    /// No use could be made of the answer.
    Rejected,
    /// The reader's last event is not known any more.
    Lost,
}

impl RestartReason {
    /// The reason as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Resumed => "resumed",
            Self::Rejected => "rejected",
            Self::Lost => "lost",
        }
    }

    /// The reason of this name; of one that this version does not know, that words were lost.
    fn named(name: &str) -> Self {
        let all = [Self::Schema, Self::Resumed, Self::Rejected];
        all.into_iter().find(|reason| reason.as_str() == name).unwrap_or(Self::Lost)
    }
}

impl RunEvent {
    /// The turn of the model whose words it is about.
    pub fn turn(&self) -> Option<u32> {
        match self {
            Self::Chunk { step, .. } => *step,
            Self::Restarted { step, .. } => Some(*step),
            Self::Start { .. } | Self::ToolCall { .. } | Self::ToolResult { .. } => None,
        }
    }

    /// An event as another instance wrote it; `None` for one that does not belong into a run's sequence.
    pub fn of_wire(event: StreamEvent<'_>) -> Option<Self> {
        match event {
            StreamEvent::Chunk { data, step } => Some(Self::Chunk { data, step }),
            StreamEvent::Restarted { step, from, reason } => {
                Some(Self::Restarted { step, from, reason: RestartReason::named(&reason) })
            }
            StreamEvent::ToolCall { id, name, arguments } => {
                Some(Self::ToolCall { id, name, arguments })
            }
            StreamEvent::ToolResult { id, name, ok, duration_ms, error } => {
                Some(Self::ToolResult { id, name, ok, duration_ms, error })
            }
            StreamEvent::Start { .. }
            | StreamEvent::Done(_)
            | StreamEvent::Error(_)
            | StreamEvent::Unknown => None,
        }
    }
}

impl From<RunEvent> for StreamEvent<'_> {
    fn from(event: RunEvent) -> Self {
        match event {
            RunEvent::Start { run_id, task_id, trace_id, run_key } => {
                Self::Start { run_id, task_id, trace_id, run_key }
            }
            RunEvent::Chunk { data, step } => Self::Chunk { data, step },
            RunEvent::Restarted { step, from, reason } => {
                Self::Restarted { step, from, reason: reason.as_str().into() }
            }
            RunEvent::ToolCall { id, name, arguments } => Self::ToolCall { id, name, arguments },
            RunEvent::ToolResult { id, name, ok, duration_ms, error } => {
                Self::ToolResult { id, name, ok, duration_ms, error }
            }
        }
    }
}

/// Where a run's events go.
#[derive(Debug, Clone)]
pub struct EventSink(Listener);

#[derive(Debug, Clone)]
enum Listener {
    Nobody,
    Reader(mpsc::Sender<RunEvent>),
    Recording(Arc<Recording>),
}

impl EventSink {
    /// A sink without a listener: events are not even built.
    pub fn disabled() -> Self {
        Self(Listener::Nobody)
    }

    /// A bounded channel to one reader: a slow reader slows the run down (backpressure) instead of
    /// costing memory.
    pub fn channel() -> (Self, mpsc::Receiver<RunEvent>) {
        let (sender, receiver) = mpsc::channel(EVENT_BUFFER);
        (Self(Listener::Reader(sender)), receiver)
    }

    /// What a run that outlives its caller tells: kept in the backend, for any number of readers.
    pub fn recording(recording: Arc<Recording>) -> Self {
        Self(Listener::Recording(recording))
    }

    /// Whether somebody listens, so that the model's text is streamed.
    pub fn is_enabled(&self) -> bool {
        !matches!(self.0, Listener::Nobody)
    }

    /// Where the events are recorded, if they are.
    pub fn recorded(&self) -> Option<&Recording> {
        match &self.0 {
            Listener::Recording(recording) => Some(recording),
            Listener::Nobody | Listener::Reader(_) => None,
        }
    }

    /// Sends an event, which is built only when somebody listens. A reader that is gone is no error
    /// here: the owner of the run drops it.
    pub async fn send(&self, event: impl FnOnce() -> RunEvent) {
        match &self.0 {
            Listener::Nobody => {}
            Listener::Reader(sender) => {
                let _reader_gone = sender.send(event()).await;
            }
            Listener::Recording(recording) => drop(recording.push(event())),
        }
    }
}

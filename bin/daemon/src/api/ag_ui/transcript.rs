//! The messages that a client has by now, for the snapshot that takes text back.

use serde_json::{Value, json};

/// The conversation as the client knows it: what it sent, and what it was told since.
#[derive(Debug, Default)]
pub(super) struct Transcript {
    messages: Vec<Value>,
    /// The text of the message that is open.
    text: String,
    /// The turn of the model that speaks, and where its text begins in the open message.
    turn: (Option<u32>, usize),
}

impl Transcript {
    /// A conversation that begins with the client's own messages.
    pub(super) fn new(messages: Vec<Value>) -> Self {
        Self { messages, ..Self::default() }
    }

    /// More text of the open message, of this turn of the model.
    pub(super) fn text(&mut self, delta: &str, step: Option<u32>) {
        if self.turn.0 != step {
            self.turn = (step, self.text.len());
        }
        self.text.push_str(delta);
    }

    /// The open message has ended.
    pub(super) fn close(&mut self, id: &str) {
        let content = std::mem::take(&mut self.text);
        self.turn = (None, 0);
        self.messages.push(json!({ "id": id, "role": "assistant", "content": content }));
    }

    /// A tool is called: the client keeps the call as a message of its own.
    pub(super) fn call(&mut self, id: &str, name: &str, arguments: &str) {
        let function = json!({ "name": name, "arguments": arguments });
        let call = json!({ "id": id, "type": "function", "function": function });
        self.messages.push(json!({ "id": id, "role": "assistant", "toolCalls": [call] }));
    }

    /// A tool has answered.
    pub(super) fn result(&mut self, message: &str, call: &str, content: &str) {
        self.messages
            .push(json!({ "id": message, "role": "tool", "toolCallId": call, "content": content }));
    }

    /// Takes back what a turn said beyond its first characters. Returns what is left of the open
    /// message; `None` where nothing of the turn was told.
    pub(super) fn take_back(&mut self, step: u32, from: u64) -> Option<String> {
        let (turn, begin) = self.turn;
        let said = self.text.get(begin..)?;
        let from = usize::try_from(from).ok()?;
        let (kept, _) = said.char_indices().nth(from).filter(|_| turn == Some(step))?;
        self.text.truncate(begin + kept);
        self.turn = (None, 0);
        Some(std::mem::take(&mut self.text))
    }

    /// All messages, without the open one.
    pub(super) fn snapshot(&self) -> Value {
        json!({ "type": "MESSAGES_SNAPSHOT", "messages": self.messages })
    }
}

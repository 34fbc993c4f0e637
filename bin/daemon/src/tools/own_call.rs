//! Calls that only the run itself can make: it asks a person, or another role.

use serde_json::{Map, Value};

/// What only the run itself can do.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnCall {
    /// A person is asked, and the run waits for the answer.
    Question(Box<Question>),
    /// Another role is asked, and the run waits for its reply.
    Agent(Box<Errand>),
    /// Another role is notified.
    Mention(Box<Errand>),
    /// A long result of the run is read on.
    Result(ReadRequest),
}

/// What is to be read of which result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRequest {
    /// Its id.
    pub id: String,
    /// What of it.
    pub how: Reading,
}

/// A way of reading a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// From a character on.
    From(usize),
    /// What a JSONPath finds.
    Path(String),
    /// What has these words.
    Words(String),
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// `question`, and `schema` or `options`, as the model gave them.
    pub arguments: Map<String, Value>,
}

/// What a run hands on, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// The role.
    pub role: String,
    /// The message.
    pub message: String,
}

impl Errand {
    /// Arguments that fit the schema of a tool that has both.
    pub(super) fn read(arguments: &Value) -> Self {
        let text = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
        Self { role: text("role").trim_start_matches('@').to_owned(), message: text("message") }
    }
}

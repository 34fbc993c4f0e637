//! What servers tell of themselves without generating anything.

use crate::model::ModelRef;

/// What a server told, or did not tell, about a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFinding {
    /// The model that was asked about.
    pub model: ModelRef,
    /// What it is about.
    pub kind: ServerFindingKind,
    /// What was found and what to do, as the rest of a sentence that begins with the model: no key.
    pub text: String,
}

/// What a [`ServerFinding`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerFindingKind {
    /// The server answers, and takes the key.
    Answers,
    /// The server refuses the key: no call can succeed.
    KeyRefused,
    /// The server answers with an error, which may mean that the key is wrong.
    Refused,
    /// The server is not reached, or is not ready.
    Unavailable,
    /// The server does not have this model.
    ModelUnknown,
    /// The model gets no tools, or not reliably.
    ToolsUnseen,
}

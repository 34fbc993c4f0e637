//! An answer as a provider gives it.

use crate::event::{FinishReason, Usage};
use crate::request::AssistantMessage;

/// An answer, before the client adds model and provider.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) message: AssistantMessage,
    pub(crate) finish_reason: FinishReason,
    pub(crate) usage: Usage,
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// More text; never empty.
    Text(String),
    /// The end, with the whole answer.
    Done(Box<Answer>),
}

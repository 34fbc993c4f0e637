//! A model's answer: [`Completion`] as a whole, [`StreamEvent`] as a stream.

pub use model_turn::{FinishReason, Usage};

use crate::model::Provider;

/// A whole answer.
pub type Completion = model_turn::Completion<Provider>;

/// A piece of an answer. A stream is any number of `Text`, then exactly one `Done`; a failure is
/// the stream's last item, an `Err`. Only a stream that may begin anew has `Again`.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamEvent {
    /// More text.
    Text(String),
    /// The answer broke off, and is asked for again: its text so far is void.
    Again,
    /// The end, with the whole answer (its text is all the deltas together).
    Done(Box<Completion>),
}

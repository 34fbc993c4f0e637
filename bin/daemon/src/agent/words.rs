//! The words of a model as they are told, piece by piece.

use std::borrow::Cow;
use std::sync::Arc;

use llm::event::{Completion, FinishReason};
use wombat_core::redact::{Redactor, StreamRestorer};

/// See the module. Where values come back, what may be the beginning of a placeholder waits for the rest of it.
pub(super) struct Words<'a> {
    restorer: Option<(&'a Redactor, StreamRestorer)>,
    is_first: bool,
}

impl<'a> Words<'a> {
    /// The words of an answer, which `is_json` where it has to fit a schema.
    pub(super) fn new(
        redactor: Option<&'a Arc<Redactor>>,
        is_json: bool,
        going_on: &GoingOn,
    ) -> Self {
        let redactor = redactor.filter(|redactor| redactor.restores());
        let restorer = redactor.map(|redactor| {
            let restorer = StreamRestorer::after(going_on.begun.clone(), is_json);
            (&**redactor, restorer)
        });
        Self { restorer, is_first: true }
    }

    /// Whether there were none before.
    pub(super) fn are_first(&mut self) -> bool {
        std::mem::take(&mut self.is_first)
    }

    /// What is told of a piece.
    pub(super) fn told(&mut self, piece: String) -> String {
        match &mut self.restorer {
            Some((redactor, restorer)) => restorer.push(redactor, &piece),
            None => piece,
        }
    }

    /// What is told at the end.
    pub(super) fn rest(&mut self) -> String {
        self.restorer.as_mut().map(|(_, restorer)| restorer.finish()).unwrap_or_default()
    }
}

/// How an answer follows on one that was cut off at the output limit, maybe within a placeholder.
#[derive(Debug, Default)]
pub(super) struct GoingOn {
    /// The beginning of a placeholder that the answer before ended with, and that was not told.
    begun: String,
    /// Whether this one is gone on with where it is cut off.
    may_go_on: bool,
}

impl GoingOn {
    /// After this text, where it was cut off.
    pub(super) fn of(cut_off: &str, may_go_on: bool) -> Self {
        Self { begun: StreamRestorer::open_end(cut_off).to_owned(), may_go_on }
    }

    /// Whether more of this answer follows in another one.
    pub(super) fn is_gone_on_with(&self, completion: &Completion) -> bool {
        self.may_go_on
            && completion.finish_reason == FinishReason::Length
            && completion.message.tool_calls.is_empty()
            && !completion.message.text.trim().is_empty()
    }

    /// The text of an answer as people get it, where that is another one. Those of answers that go on make the whole.
    pub(super) fn shown(
        &self,
        redactor: Option<&Arc<Redactor>>,
        completion: &Completion,
        is_json: bool,
    ) -> Option<String> {
        let (redactor, text) = (redactor?, &completion.message.text);
        let whole = format!("{}{text}", self.begun);
        let end = match self.is_gone_on_with(completion) {
            true => whole.len() - StreamRestorer::open_end(&whole).len(),
            false => whole.len(),
        };
        match redactor.restore_as(&whole[..end], is_json) {
            Cow::Borrowed(shown) if shown == text => None,
            shown => Some(shown.into_owned()),
        }
    }
}

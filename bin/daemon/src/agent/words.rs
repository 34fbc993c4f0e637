//! The words of a model as they are told, piece by piece.

use std::sync::Arc;

use wombat_core::redact::{Redactor, StreamRestorer};

/// See the module. Where values come back, what may be the beginning of a placeholder waits for the rest of it.
pub(super) struct Words<'a> {
    restorer: Option<(&'a Redactor, StreamRestorer)>,
    is_first: bool,
}

impl<'a> Words<'a> {
    /// The words of an answer, which `is_json` where it has to fit a schema.
    pub(super) fn new(redactor: Option<&'a Arc<Redactor>>, is_json: bool) -> Self {
        let redactor = redactor.filter(|redactor| redactor.restores());
        let restorer = redactor.map(|redactor| (&**redactor, StreamRestorer::new(is_json)));
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

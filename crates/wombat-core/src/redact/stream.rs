//! Restores a text that comes in pieces.

use super::placeholder::open_end;
use super::redactor::Redactor;

/// Restores a text that comes in pieces: what may be the beginning of a placeholder waits for the rest of it.
/// The pieces make the text that [`Redactor::restore`] makes of the whole.
#[derive(Debug, Default)]
pub struct StreamRestorer {
    waiting: String,
}

impl StreamRestorer {
    /// Takes up a piece; returns what can be told by now.
    pub fn push(&mut self, redactor: &Redactor, piece: &str) -> String {
        self.waiting.push_str(piece);
        let open = open_end(&self.waiting);
        let rest = self.waiting.split_off(open);
        let told = redactor.restore(&self.waiting).into_owned();
        self.waiting = rest;
        told
    }

    /// The text is over: returns the rest.
    pub fn finish(&mut self) -> String {
        // What is no whole placeholder stays as it is.
        std::mem::take(&mut self.waiting)
    }
}

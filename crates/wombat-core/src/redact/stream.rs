//! Restores a text that comes in pieces.

use super::placeholder::open_end;
use super::redactor::Redactor;

/// Restores a text that comes in pieces: what may be the beginning of a placeholder waits for the rest of it.
/// The pieces make the text that [`Redactor::restore`] makes of the whole.
#[derive(Debug, Default)]
pub struct StreamRestorer {
    waiting: String,
    is_json: bool,
}

impl StreamRestorer {
    /// A restorer of a text that is JSON, where it `is_json`.
    pub fn new(is_json: bool) -> Self {
        Self { waiting: String::new(), is_json }
    }

    /// The same after a text that ended so; see [`StreamRestorer::open_end`].
    pub fn after(open_end: String, is_json: bool) -> Self {
        Self { waiting: open_end, is_json }
    }

    /// The end of a text that may be the beginning of a placeholder, and waits.
    pub fn open_end(text: &str) -> &str {
        &text[open_end(text)..]
    }

    /// Takes up a piece; returns what can be told by now.
    pub fn push(&mut self, redactor: &Redactor, piece: &str) -> String {
        self.waiting.push_str(piece);
        let open = open_end(&self.waiting);
        let rest = self.waiting.split_off(open);
        let told = redactor.restore_as(&self.waiting, self.is_json).into_owned();
        self.waiting = rest;
        told
    }

    /// The text is over: returns the rest.
    pub fn finish(&mut self) -> String {
        // What is no whole placeholder stays as it is.
        std::mem::take(&mut self.waiting)
    }
}

//! As what a model is given the texts of a kept result.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use wombat_core::redact::Redactor;

/// See the module.
#[derive(Debug, Clone)]
pub enum Given {
    /// As they are kept; placeholders stay.
    AsItIs,
    /// With the values in place of placeholders: other places get these.
    Restored(Arc<Redactor>),
}

impl Given {
    /// Whether it changes any text.
    pub(super) fn changes(&self) -> bool {
        matches!(self, Self::Restored(_))
    }

    /// Whether it may change this one.
    pub(super) fn changes_text(&self, text: &str) -> bool {
        self.changes() && text.contains("[[")
    }

    /// A part of the text.
    pub fn part<'t>(&self, part: &'t str) -> Cow<'t, str> {
        match self {
            Self::AsItIs => Cow::Borrowed(part),
            Self::Restored(redactor) => redactor.reveal(part, false),
        }
    }

    /// A part of the text as a text of JSON, in quotes.
    pub(super) fn quoted(&self, part: &str) -> String {
        let quoted = Value::from(part).to_string();
        match self {
            Self::AsItIs => quoted,
            Self::Restored(redactor) => redactor.reveal(&quoted, true).into_owned(),
        }
    }

    /// A part of the text that is only looked at.
    pub(super) fn looked_at<'t>(&self, part: &'t str) -> Cow<'t, str> {
        match self {
            Self::AsItIs => Cow::Borrowed(part),
            Self::Restored(redactor) => redactor.restore_all(part, false),
        }
    }

    /// A text of the result's JSON, as that means it; it is only looked at.
    pub(super) fn meant<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self {
            Self::AsItIs => Cow::Borrowed(text),
            Self::Restored(_) if !text.contains("[[") => Cow::Borrowed(text),
            Self::Restored(redactor) => {
                // Values stand as they do within quotes.
                let quoted = Value::from(text).to_string();
                let whole = redactor.restore_all(&quoted, false);
                match serde_json::from_str(&whole) {
                    Ok(meant) => Cow::Owned(meant),
                    Err(_) => Cow::Borrowed(text),
                }
            }
        }
    }
}

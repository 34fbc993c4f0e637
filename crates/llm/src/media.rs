//! Images and documents that go with a text.
//!
//! What is written down of them (recordings, journals, logs) is a name, a type, a size and a hash, and
//! never the bytes.

mod look;
mod support;
mod table;
mod tokens;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::look::Look;

pub(crate) use support::Said;
pub use support::{MediaSupport, MediaUse, NotSent};
pub(crate) use table::check;

/// The only document type that models read as a document; others are text, or no model reads them.
const PDF: &str = "application/pdf";

/// An image or a document. Clones share the bytes.
#[derive(Clone)]
pub struct Media(Arc<Item>);

#[derive(Clone)]
struct Item {
    noted: Noted,
    bytes: Option<Bytes>,
    text: Option<Arc<str>>,
    look: Look,
}

/// What is written down of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Noted {
    name: String,
    media_type: String,
    size: u64,
    sha256: String,
}

/// What a model sees in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A PDF.
    Document,
}

impl MediaKind {
    /// The name in answers and in the offline script.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Document => "document",
        }
    }
}

impl Media {
    /// An item with its bytes. Where these show that it is another type than it is said to be, that
    /// type counts: providers refuse an image under a wrong name.
    pub fn new(
        name: impl Into<String>,
        media_type: impl Into<String>,
        bytes: impl Into<Bytes>,
    ) -> Self {
        let bytes = bytes.into();
        let look = Look::at(&bytes);
        let media_type = match look.media_type {
            Some(shown) => shown.to_owned(),
            None => normalised(&media_type.into()),
        };
        let noted = Noted {
            name: name.into(),
            media_type,
            size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(&bytes)),
        };
        Self(Arc::new(Item { noted, bytes: Some(bytes), text: None, look }))
    }

    /// An item of which only this is known: its bytes are gone. Models are told of it.
    pub fn gone(
        name: impl Into<String>,
        media_type: impl Into<String>,
        size: u64,
        sha256: impl Into<String>,
    ) -> Self {
        let media_type = normalised(&media_type.into());
        let noted = Noted { name: name.into(), media_type, size, sha256: sha256.into() };
        Self(Arc::new(Item { noted, bytes: None, text: None, look: Look::default() }))
    }

    /// With a text for models that cannot read the item itself.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Arc<str>>) -> Self {
        Arc::make_mut(&mut self.0).text = Some(text.into());
        self
    }

    /// The file's name.
    pub fn name(&self) -> &str {
        &self.0.noted.name
    }

    /// The type: lower case, without parameters.
    pub fn media_type(&self) -> &str {
        &self.0.noted.media_type
    }

    /// The size, bytes.
    pub fn size(&self) -> u64 {
        self.0.noted.size
    }

    /// The hash of the bytes, 64 hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.0.noted.sha256
    }

    /// The bytes; `None` when they are gone.
    pub fn bytes(&self) -> Option<&Bytes> {
        self.0.bytes.as_ref()
    }

    /// The text for models that cannot read the item itself.
    pub fn text(&self) -> Option<&str> {
        self.0.text.as_deref()
    }

    /// What a model could see in it; `None` for a file of another kind.
    pub fn kind(&self) -> Option<MediaKind> {
        match self.media_type() {
            PDF => Some(MediaKind::Document),
            other if other.starts_with("image/") => Some(MediaKind::Image),
            _ => None,
        }
    }

    /// A short mention: `[image cat.png]`.
    pub fn mark(&self) -> String {
        format!("[{} {}]", self.kind_name(), self.shown_name())
    }

    /// What a model is told of an item that it does not get.
    pub fn line(&self, why: &NotSent) -> String {
        format!(
            "[{} {} ({}, {}) is attached, but you cannot see it: {why}.]",
            self.kind_name(),
            self.shown_name(),
            self.media_type(),
            shown_size(self.size())
        )
    }

    /// What a model is told where the same item came before.
    pub(crate) fn again(&self) -> String {
        format!("[{} {} again, as above]", self.kind_name(), self.shown_name())
    }

    fn kind_name(&self) -> &'static str {
        self.kind().map_or("file", MediaKind::as_str)
    }

    /// The name as it stands in a line of its own: no line can be begun or ended by it.
    pub fn shown_name(&self) -> String {
        let shown = |c: char| if is_shown(c) && !matches!(c, '[' | ']') { c } else { '_' };
        self.name().chars().map(shown).take(MAX_SHOWN_NAME).collect()
    }

    fn look(&self) -> &Look {
        &self.0.look
    }
}

/// The most characters of a name that a model reads.
const MAX_SHOWN_NAME: usize = 80;

/// Whether a character of a name is one that readers see, and see where it stands: none that ends a line, turns
/// the direction of writing, or is a hidden tag.
pub fn is_shown(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let ends = matches!(c, '\u{2028}' | '\u{2029}');
    !(c.is_control() || turns || ends || matches!(c, '\u{e0000}'..='\u{e007f}'))
}

/// The type as it is compared: lower case, without parameters, under its registered name.
fn normalised(media_type: &str) -> String {
    let plain = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if plain == "image/jpg" { "image/jpeg".to_owned() } else { plain }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A size for people: `640 bytes`, `12.3 KB`, `4.0 MB`.
fn shown_size(size: u64) -> String {
    let tenths = |unit: u64| (size.saturating_mul(10) + unit / 2) / unit;
    let in_unit = |unit: u64, name: &str| {
        let tenths = tenths(unit);
        format!("{}.{} {name}", tenths / 10, tenths % 10)
    };
    match size {
        0..1_000 => format!("{size} bytes"),
        1_000..1_000_000 => in_unit(1_000, "KB"),
        _ => in_unit(1_000_000, "MB"),
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.noted.fmt(f)
    }
}

impl PartialEq for Media {
    fn eq(&self, other: &Self) -> bool {
        self.0.noted == other.0.noted
    }
}

impl Serialize for Media {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.noted.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Media {
    /// What was written down has no bytes.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Noted { name, media_type, size, sha256 } = Noted::deserialize(deserializer)?;
        Ok(Self::gone(name, media_type, size, sha256))
    }
}

#[cfg(test)]
mod tests;

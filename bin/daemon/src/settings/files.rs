//! Settings of files that come with messages.

use service::settings::Reader;

/// How many files a message may bring, and how large they may be.
#[derive(Debug, Clone, Copy)]
pub struct Files {
    /// `WOMBAT_MAX_ATTACHMENTS`: how many come with one message.
    pub max_attachments: usize,
    /// `WOMBAT_ATTACHMENTS_MAX_BYTES`: all of one message together.
    pub max_bytes: usize,
    /// `WOMBAT_HISTORY_FILES`: how many files of earlier messages the model gets again.
    pub history: usize,
}

impl Files {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            max_attachments: r.number("WOMBAT_MAX_ATTACHMENTS", 16_usize, 0..=256),
            max_bytes: r.number("WOMBAT_ATTACHMENTS_MAX_BYTES", 20_971_520_usize, 0..=268_435_456),
            history: r.number("WOMBAT_HISTORY_FILES", 8_usize, 0..=256),
        }
    }

    /// How long the base64 of a message's files may be.
    pub fn max_base64(&self) -> usize {
        self.max_bytes.div_ceil(3).saturating_mul(4)
    }
}

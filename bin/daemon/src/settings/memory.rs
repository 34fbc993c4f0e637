//! Settings of what a run is reminded of at its beginning.

use service::settings::Reader;

/// How many memories stand in the newest turn of a run, and how long they may be.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// `WOMBAT_MEMORY_MAX_ITEMS`: how many; with 0 none is looked for.
    pub max_items: usize,
    /// `WOMBAT_MEMORY_MAX_CHARS`: all of them together.
    pub max_chars: usize,
}

impl Memory {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            max_items: r.number("WOMBAT_MEMORY_MAX_ITEMS", 8_usize, 0..=100),
            max_chars: r.number("WOMBAT_MEMORY_MAX_CHARS", 2_000_usize, 0..=100_000),
        }
    }
}

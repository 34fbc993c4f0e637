//! Settings of runs that hand on to other roles.

use service::settings::Reader;

use crate::run::lineage::AskLimits;

/// `WOMBAT_ASK_MAX_DEPTH` and `WOMBAT_ASK_MAX_FANOUT`.
pub(super) fn read(r: &mut Reader<'_>) -> AskLimits {
    AskLimits {
        max_depth: r.number("WOMBAT_ASK_MAX_DEPTH", 3_usize, 0..=32),
        max_fanout: r.number("WOMBAT_ASK_MAX_FANOUT", 8_usize, 0..=1_000),
    }
}

//! Time zones by the newest rules there are. Everything that this workspace does with a zone goes
//! through this crate, so that all programs count the same days.
//!
//! Governments change their clocks at short notice, and the rules are then a new release of the IANA
//! database. One release is built into the programs; the system's is used when it says that it is
//! newer ([`release`]).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod cron;
mod database;
mod differences;
mod local;
mod names;
mod slots;
mod zone;

pub use database::{Database, Release};
pub use differences::Differences;
pub use local::{UnknownLocal, local};
pub use names::UnknownZone;
pub use slots::Slots;
pub use zone::{Zone, ZoneOffset};

use std::sync::LazyLock;

/// The database of this process. It stays as it was at first use, so that a day that is begun by some
/// rules is ended by the same.
static DATABASE: LazyLock<Database> = LazyLock::new(Database::of_process);

/// Finds a zone by its IANA name. Capital and small letters count, as they do on Linux.
///
/// # Errors
/// When there is no such zone; the error suggests others.
pub fn parse_zone(name: &str) -> Result<Zone, UnknownZone> {
    DATABASE.find(name).ok_or_else(|| UnknownZone::new(name, &DATABASE.names()))
}

/// Which release of the IANA database is in use, and where it is from.
pub fn release() -> &'static Release {
    DATABASE.release()
}

/// The zones of which the machine's rules and those that are built in say different times from now on, for two
/// years. `None` where the machine has no rules.
pub fn differences() -> Option<Differences> {
    DATABASE.differences(chrono::Utc::now())
}

/// What `config` prints about the rules: their release, and where it is from.
pub fn note() -> String {
    format!("tzdata: {}", release())
}

/// The zone of this name by the rules that this machine's C library has, which are those of cron and
/// systemd. `None` when the machine has none for it.
pub fn on_this_machine(zone: Zone) -> Option<Zone> {
    DATABASE.on_this_machine(zone)
}

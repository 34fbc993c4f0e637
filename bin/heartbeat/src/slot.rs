//! The cron tick that a heartbeat claims, so that only one machine of a fleet does the work.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};

use wombat_core::cron::Cron;
use zones::{UnknownLocal, Zone};

/// The clock by which cron calls.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The time, in the zone of this process.
    pub now: DateTime<Zone>,
    /// That zone by the rules that the machine has, which may be older.
    pub machine: Zone,
}

impl Clock {
    /// The clock of this process.
    ///
    /// # Errors
    /// When `TZ` names no zone.
    pub fn of_process() -> Result<Self, UnknownLocal> {
        let zone = zones::local()?;
        let machine = zones::on_this_machine(zone).unwrap_or(zone);
        Ok(Self { now: Utc::now().with_timezone(&zone), machine })
    }

    /// The same in UTC, for a slot that needs no zone.
    pub fn in_utc() -> Self {
        Self { now: Utc::now().with_timezone(&Zone::UTC), machine: Zone::UTC }
    }
}

/// Which tick is claimed (`--slot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot {
    /// The latest tick of the role's `heartbeat_cron`; without one, the current minute.
    Auto,
    /// The given tick.
    At(DateTime<Utc>),
}

impl FromStr for Slot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        DateTime::parse_from_rfc3339(text).map(|time| Self::At(time.to_utc())).map_err(|error| {
            format!("must be auto or a time such as 2026-01-31T09:00:00Z: {error}")
        })
    }
}

impl Slot {
    /// The tick in the contract's format; the same on every machine of a fleet.
    pub(crate) fn text(&self, cron: Option<&Cron>, clock: &Clock) -> String {
        let tick = match self {
            Self::At(tick) => *tick,
            Self::Auto => cron
                .and_then(|cron| cron.slot(&clock.now, clock.machine))
                .unwrap_or_else(|| minute(clock.now.to_utc())),
        };
        tick.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

fn minute(now: DateTime<Utc>) -> DateTime<Utc> {
    now.with_second(0).and_then(|now| now.with_nanosecond(0)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_same_text_on_all_machines() {
        let now: DateTime<Utc> = "2026-11-23T21:44:30.5Z".parse().unwrap();
        let zone = zones::parse_zone("Europe/Kyiv").unwrap();
        let now = Clock { now: now.with_timezone(&zone), machine: zone };
        let cron: Cron = "*/15 * * * *".parse().unwrap();
        assert_eq!(Slot::Auto.text(Some(&cron), &now), "2026-11-23T21:30:00Z");
        assert_eq!(Slot::Auto.text(None, &now), "2026-11-23T21:44:00Z");
        let named: Slot = "2026-11-23T23:00:00+02:00".parse().unwrap();
        assert_eq!(named.text(Some(&cron), &now), "2026-11-23T21:00:00Z");
        assert!("soon".parse::<Slot>().is_err());
    }
}

//! The cron tick that a heartbeat claims, so that only one machine of a fleet does the work.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Timelike, Utc};

use zones::cron::Cron;
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
    /// The tick; the same on every machine of a fleet. `line` is the role's cron line, and its zone where it
    /// has one of its own.
    pub(crate) fn tick(&self, line: Option<(&Cron, Option<Zone>)>, clock: &Clock) -> DateTime<Utc> {
        let last = match (self, line) {
            (Self::At(tick), _) => Some(*tick),
            (Self::Auto, None) => None,
            (Self::Auto, Some((cron, Some(zone)))) => {
                cron.last_tick(&clock.now.with_timezone(&zone))
            }
            (Self::Auto, Some((cron, None))) => cron.slot(&clock.now, clock.machine),
        };
        last.unwrap_or_else(|| minute(clock.now.to_utc()))
    }
}

/// A tick in the contract's format.
pub(crate) fn tick_text(tick: DateTime<Utc>) -> String {
    tick.to_rfc3339_opts(SecondsFormat::Secs, true)
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
        let text = |slot: &Slot, line| tick_text(slot.tick(line, &now));
        assert_eq!(text(&Slot::Auto, Some((&cron, None))), "2026-11-23T21:30:00Z");
        assert_eq!(text(&Slot::Auto, None), "2026-11-23T21:44:00Z");
        let named: Slot = "2026-11-23T23:00:00+02:00".parse().unwrap();
        assert_eq!(text(&named, Some((&cron, None))), "2026-11-23T21:00:00Z");
        // Nine in the morning of Tokyo, wherever the machine is.
        let (daily, tokyo) =
            ("0 9 * * *".parse().unwrap(), zones::parse_zone("Asia/Tokyo").unwrap());
        assert_eq!(text(&Slot::Auto, Some((&daily, Some(tokyo)))), "2026-11-23T00:00:00Z");
        assert_eq!(text(&Slot::Auto, Some((&daily, None))), "2026-11-23T07:00:00Z");
        assert!("soon".parse::<Slot>().is_err());
    }
}

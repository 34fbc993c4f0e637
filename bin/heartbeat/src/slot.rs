//! The cron tick that a heartbeat claims, so that only one machine of a fleet does the work.

use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, TimeZone, Timelike, Utc};

use wombat_core::cron::Cron;

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
    pub(crate) fn text<Z: TimeZone>(&self, cron: Option<&Cron>, now: &DateTime<Z>) -> String {
        let tick = match self {
            Self::At(tick) => *tick,
            Self::Auto => cron.and_then(|cron| cron.last_tick(now)).unwrap_or_else(|| minute(now)),
        };
        tick.to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

fn minute<Z: TimeZone>(now: &DateTime<Z>) -> DateTime<Utc> {
    let now = now.to_utc();
    now.with_second(0).and_then(|now| now.with_nanosecond(0)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_the_same_text_on_all_machines() {
        let now = DateTime::parse_from_rfc3339("2026-11-23T23:44:30.5+02:00").unwrap();
        let cron: Cron = "*/15 * * * *".parse().unwrap();
        assert_eq!(Slot::Auto.text(Some(&cron), &now), "2026-11-23T21:30:00Z");
        assert_eq!(Slot::Auto.text(None, &now), "2026-11-23T21:44:00Z");
        let named: Slot = "2026-11-23T23:00:00+02:00".parse().unwrap();
        assert_eq!(named.text(Some(&cron), &now), "2026-11-23T21:00:00Z");
        assert!("soon".parse::<Slot>().is_err());
    }
}

//! Calls beside those of a role's own line: where a crontab's machine is in another zone, and where systemd would
//! leave out a time that the clock does not show.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Timelike as _, Utc};
use zones::Zone;
use zones::cron::Cron;

/// How old a tick may be that such a call finds, in seconds: a busy machine calls late.
pub(super) const LOOKS_BACK: u32 = 300;

/// For how many days the clocks are looked at.
const DAYS: i64 = 2 * 366;

fn end(from: DateTime<Utc>) -> DateTime<Utc> {
    from + TimeDelta::days(DAYS)
}

/// The line that calls each hour at the minutes of the machine's clock at which a line of another zone is
/// due: within two years, so that clocks that change are no matter.
pub(super) fn hourly(cron: &Cron, zone: Zone, machine: Zone, from: DateTime<Utc>) -> String {
    let mut minutes = BTreeSet::new();
    for slot in cron.slots_from(zone, from).take_while(|slot| *slot < end(from)) {
        minutes.insert(slot.with_timezone(&machine).minute());
        if minutes.len() == 60 {
            return "* * * * *".to_owned();
        }
    }
    // One that is due more rarely: at least its own minutes.
    if minutes.is_empty() {
        return "* * * * *".to_owned();
    }
    let minutes: Vec<_> = minutes.iter().map(ToString::to_string).collect();
    format!("{} * * * *", minutes.join(","))
}

/// The times at which gaps end in which a time of the line is left out, as `OnCalendar=` has them.
pub(super) fn gap_ends(cron: &Cron, zone: Zone, from: DateTime<Utc>) -> BTreeSet<String> {
    let slots = cron.slots_from(zone, from).take_while(|slot| *slot < end(from));
    let shown = slots.map(|slot| slot.with_timezone(&zone).time());
    let ends = shown.filter(|time| !cron.has_time(*time));
    ends.map(|time| format!("*-*-* {}", time.format("%H:%M:%S"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> Zone {
        zones::parse_zone(name).unwrap()
    }

    fn from() -> DateTime<Utc> {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn the_machine_looks_at_the_minutes_of_the_other_zone() {
        let line = |cron: &str, of: &str, machine: &str| {
            hourly(&cron.parse().unwrap(), zone(of), zone(machine), from())
        };
        assert_eq!(line("5 9 * * *", "Europe/Berlin", "UTC"), "5 * * * *");
        // 02:05 is due at 03:00 once a year.
        assert_eq!(line("5 2 * * *", "Europe/Berlin", "UTC"), "0,5 * * * *");
        assert_eq!(line("0 9 * * *", "Asia/Kolkata", "UTC"), "30 * * * *");
        // Half an hour apart in one half of the year.
        assert_eq!(line("0 9 * * *", "Australia/Lord_Howe", "UTC"), "0,30 * * * *");
        assert_eq!(line("* * * * *", "Europe/Berlin", "UTC"), "* * * * *");
    }

    #[test]
    fn the_end_of_a_gap_is_one_where_a_time_is_left_out() {
        let ends = |cron: &str, of: &str| -> Vec<String> {
            gap_ends(&cron.parse().unwrap(), zone(of), from()).into_iter().collect()
        };
        assert_eq!(ends("30 2 * * *", "Europe/Berlin"), ["*-*-* 03:00:00"]);
        assert_eq!(ends("15 2 * * *", "Australia/Lord_Howe"), ["*-*-* 02:30:00"]);
        for (cron, of) in [
            ("30 1,3 * * *", "Europe/Berlin"),
            ("*/30 * * * *", "Europe/Berlin"),
            ("30 2 * * *", "UTC"),
        ] {
            assert!(ends(cron, of).is_empty(), "{cron}");
        }
    }
}

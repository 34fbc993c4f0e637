//! The five fields of a crontab line, as cron(5) reads them.

use std::str::FromStr;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike,
    Utc,
};
use zones::Zone;

/// How far back to search: enough for 29 February across the end of a century.
const MAX_DAYS_BACK: u64 = 9 * 366;

/// The longest gap of a clock that is put forward, except for islands that skipped a day.
const MAX_GAP_MINUTES: i64 = 180;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// A cron schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is bit 0.
    weekdays: u64,
    /// Whether the day of the month or of the week is restricted: when both are, one has to match.
    any_day: bool,
    any_weekday: bool,
    /// Whether hours and minutes are fixed. When clocks are put forward or back, cron runs such a line
    /// once a day, and lets the others follow the clock.
    fixed_time: bool,
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("{text:?} does not have five cron fields"));
        };
        let bad = |what: &str| format!("{text:?}: {what} is not a cron field");
        let sunday_twice = field(weekdays, 0, 7, &WEEKDAYS, 0).ok_or_else(|| bad(weekdays))?;
        Ok(Self {
            minutes: field(minutes, 0, 59, &[], 0).ok_or_else(|| bad(minutes))?,
            hours: field(hours, 0, 23, &[], 0).ok_or_else(|| bad(hours))?,
            days: field(days, 1, 31, &[], 0).ok_or_else(|| bad(days))?,
            months: field(months, 1, 12, &MONTHS, 1).ok_or_else(|| bad(months))?,
            weekdays: (sunday_twice | sunday_twice >> 7) & 0x7f,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
            fixed_time: !minutes.starts_with('*') && !hours.starts_with('*'),
        })
    }
}

impl Cron {
    /// The last tick at or before `now`, in the time zone of `now`. `None` for a schedule without
    /// ticks, such as 30 February.
    pub fn last_tick<Z: TimeZone>(&self, now: &DateTime<Z>) -> Option<DateTime<Utc>> {
        self.last_shown(now).map(|(_, moment)| moment)
    }

    /// The moment that stands for the last tick of a machine's cron, the same on all machines of a
    /// fleet. Where this machine's cron has older rules of its zone than `now` (`machine`), it calls at
    /// another moment than others: for a fixed time, what its clock shows then is what counts. Of both
    /// clocks the one that has shown a tick last is the one that has called.
    pub fn slot(&self, now: &DateTime<Zone>, machine: Zone) -> Option<DateTime<Utc>> {
        if !self.fixed_time {
            return self.last_tick(now);
        }
        let (by_newest, by_machine) =
            (self.last_shown(now)?, self.last_shown(&now.with_timezone(&machine))?);
        let (shown, _) = if by_newest.1 > by_machine.1 { by_newest } else { by_machine };
        self.moments(shown, &now.timezone()).min()
    }

    /// The last tick at or before `now`: what the clock shows, and when.
    fn last_shown<Z: TimeZone>(&self, now: &DateTime<Z>) -> Option<(NaiveDateTime, DateTime<Utc>)> {
        let today = now.naive_local().date();
        let of = |day: NaiveDate| self.has_day(day).then(|| self.last_of_day(day, now)).flatten();
        // Clocks that are put back over midnight show the end of a day after the start of the next.
        let near = [today.succ_opt(), Some(today), today.pred_opt()];
        let latest = near.into_iter().flatten().filter_map(of).max_by_key(|(_, moment)| *moment);
        latest.or_else(|| {
            (2..MAX_DAYS_BACK)
                .filter_map(|back| today.checked_sub_days(Days::new(back)))
                .find_map(of)
        })
    }

    /// The same schedule for `OnCalendar=` of systemd.timer(5): one line, or two where one of two days
    /// has to match, because systemd requires both.
    pub fn calendars(&self) -> Vec<String> {
        let all = |bits: u64, from: u32, to: u32| (from..=to).all(|value| has(bits, value));
        let numbers = |bits: u64, from: u32, to: u32| match all(bits, from, to) {
            true => "*".to_owned(),
            false => {
                let values = (from..=to).filter(|value| has(bits, *value));
                values.map(|value| format!("{value:02}")).collect::<Vec<_>>().join(",")
            }
        };
        let (months, time) = (
            numbers(self.months, 1, 12),
            format!("{}:{}:00", numbers(self.hours, 0, 23), numbers(self.minutes, 0, 59)),
        );
        let of_month = format!("*-{months}-{} {time}", numbers(self.days, 1, 31));
        let names = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
        let weekdays: Vec<_> = (0_u32..)
            .zip(names)
            .filter(|(n, _)| has(self.weekdays, *n))
            .map(|(_, name)| name)
            .collect();
        let weekdays = weekdays.join(",");
        let every_weekday = all(self.weekdays, 0, 6);
        match (!self.any_day && !self.any_weekday, every_weekday) {
            (true, true) => vec![format!("*-{months}-* {time}")],
            (true, false) => vec![of_month, format!("{weekdays} *-{months}-* {time}")],
            (false, true) => vec![of_month],
            (false, false) => vec![format!("{weekdays} {of_month}")],
        }
    }

    fn has_day(&self, day: NaiveDate) -> bool {
        let month = has(self.months, day.month());
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().num_days_from_sunday());
        let either = !self.any_day && !self.any_weekday;
        month && if either { of_month || of_week } else { of_month && of_week }
    }

    fn last_of_day<Z: TimeZone>(
        &self,
        day: NaiveDate,
        now: &DateTime<Z>,
    ) -> Option<(NaiveDateTime, DateTime<Utc>)> {
        (0..24 * 60)
            .filter_map(|minute| NaiveTime::from_hms_opt(minute / 60, minute % 60, 0))
            .filter(|time| has(self.hours, time.hour()) && has(self.minutes, time.minute()))
            .map(|time| day.and_time(time))
            .flat_map(|time| self.moments(time, &now.timezone()).map(move |moment| (time, moment)))
            .filter(|(_, moment)| *moment <= now.to_utc())
            .max_by_key(|(_, moment)| *moment)
    }

    /// The moments at which the clock shows this time: one, two when it is put back, none when it is
    /// put forward. A fixed time counts once, at the first; one that is skipped counts right after the
    /// gap. That is when the crons of Debian and Red Hat run it (`cron.c`, "the time has changed");
    /// systemd's timers run a fixed time once as well, and leave out one that is skipped.
    fn moments<Z: TimeZone>(
        &self,
        time: NaiveDateTime,
        zone: &Z,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<Z> {
        let shown = zone.from_local_datetime(&time);
        let moments = if self.fixed_time {
            let after_gap = || {
                (1..=MAX_GAP_MINUTES).find_map(|minutes| {
                    let later = time.checked_add_signed(TimeDelta::minutes(minutes))?;
                    zone.from_local_datetime(&later).earliest()
                })
            };
            [shown.earliest().or_else(after_gap), None]
        } else {
            [shown.clone().earliest(), shown.latest()]
        };
        moments.into_iter().flatten().map(|moment| moment.to_utc())
    }
}

fn has(bits: u64, value: u32) -> bool {
    bits >> value & 1 == 1
}

/// A comma-separated list of values, ranges and steps, as bits.
fn field(text: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Option<u64> {
    let value = |text: &str| -> Option<u32> {
        let lower = text.to_lowercase();
        match names.iter().position(|name| **name == lower) {
            Some(at) => u32::try_from(at).ok().map(|at| at + first_name),
            None => text.parse().ok().filter(|value| (min..=max).contains(value)),
        }
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<u32>().ok().filter(|n| *n > 0)?)),
            None => (part, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (min, max),
            (_, Some((from, to))) => (value(from)?, value(to)?),
            // `5/15` goes on to the end, `5` is itself.
            (_, None) => (value(range)?, if step.is_some() { max } else { value(range)? }),
        };
        if from > to {
            return None;
        }
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        bits |= (from..=to).step_by(step).fold(0, |bits, value| bits | 1_u64 << value);
    }
    Some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(cron: &str, now: &str) -> Option<String> {
        let now = DateTime::parse_from_rfc3339(now).unwrap();
        let tick = cron.parse::<Cron>().unwrap().last_tick(&now)?;
        Some(tick.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    #[test]
    fn the_last_tick_is_found() {
        let now = "2026-11-23T21:44:30Z"; // A Monday.
        for (cron, expected) in [
            ("* * * * *", "2026-11-23T21:44:00Z"),
            ("*/15 * * * *", "2026-11-23T21:30:00Z"),
            ("5/20 * * * *", "2026-11-23T21:25:00Z"),
            ("0 9 * * 1-5", "2026-11-23T09:00:00Z"),
            ("0 22 * * mon-fri", "2026-11-20T22:00:00Z"),
            ("0 0 * * 7", "2026-11-22T00:00:00Z"),
            ("0 0 1 jan,jul *", "2026-07-01T00:00:00Z"),
            ("0 0 29 2 *", "2024-02-29T00:00:00Z"),
            // Both restricted: either will do.
            ("0 0 13 * fri", "2026-11-20T00:00:00Z"),
            ("44 21 * * *", "2026-11-23T21:44:00Z"),
            ("45 21 * * *", "2026-11-22T21:45:00Z"),
        ] {
            assert_eq!(tick(cron, now).as_deref(), Some(expected), "{cron}");
        }
        assert_eq!(tick("0 0 30 2 *", now), None);
    }

    #[test]
    fn ticks_are_counted_in_the_zone_of_the_clock() {
        let expected = Some("2026-11-23T07:00:00Z".to_owned());
        assert_eq!(tick("0 9 * * *", "2026-11-23T23:00:00+02:00"), expected);
    }

    #[test]
    fn clocks_that_change_leave_no_tick_out_and_make_none_twice() {
        let tick = |cron: &str, zone: Zone, now: &str| {
            let now: DateTime<Utc> = now.parse().unwrap();
            let tick = cron.parse::<Cron>().unwrap().last_tick(&now.with_timezone(&zone)).unwrap();
            tick.format("%Y-%m-%dT%H:%MZ").to_string()
        };
        let zone = |name| zones::parse_zone(name).unwrap();
        let berlin = zone("Europe/Berlin");
        for (cron, now, expected) in [
            // Put forward on 29 March 2026 at 01:00 UTC: 02:30 is left out.
            ("30 2 * * *", "2026-03-28T20:00:00Z", "2026-03-28T01:30Z"),
            ("30 2 * * *", "2026-03-29T00:59:59Z", "2026-03-28T01:30Z"),
            ("30 2 * * *", "2026-03-29T01:00:30Z", "2026-03-29T01:00Z"),
            ("30 2 * * *", "2026-03-30T00:29:00Z", "2026-03-29T01:00Z"),
            ("*/30 * * * *", "2026-03-29T01:10:00Z", "2026-03-29T01:00Z"),
            ("0 9 * * *", "2026-03-28T12:00:00Z", "2026-03-28T08:00Z"),
            ("0 9 * * *", "2026-03-29T12:00:00Z", "2026-03-29T07:00Z"),
            // Put back on 25 October 2026 at 01:00 UTC: 02:30 comes twice.
            ("30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T00:30Z"),
            ("30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-25T00:30Z"),
            ("*/15 * * * *", "2026-10-25T00:50:00Z", "2026-10-25T00:45Z"),
            ("*/15 * * * *", "2026-10-25T01:20:00Z", "2026-10-25T01:15Z"),
            ("0 * * * *", "2026-10-25T01:59:00Z", "2026-10-25T01:00Z"),
        ] {
            assert_eq!(tick(cron, berlin, now), expected, "{cron} at {now}");
        }
        // Half an hour, and midnight that does not exist.
        let lord_howe = zone("Australia/Lord_Howe");
        assert_eq!(tick("15 2 * * *", lord_howe, "2026-10-03T16:00:00Z"), "2026-10-03T15:30Z");
        let cairo = zone("Africa/Cairo");
        assert_eq!(tick("0 0 * * *", cairo, "2026-04-24T05:00:00Z"), "2026-04-23T22:00Z");
    }

    #[test]
    fn machines_with_older_rules_claim_the_same_slots() {
        // As if this machine's Vancouver had Los Angeles' rules, or those of Halifax: its cron calls
        // later or earlier than others.
        let zone = |name| zones::parse_zone(name).unwrap();
        let vancouver = zone("America/Vancouver");
        let slot = |cron: &str, machine, now: &str| {
            let now = now.parse::<DateTime<Utc>>().unwrap().with_timezone(&vancouver);
            let slot = cron.parse::<Cron>().unwrap().slot(&now, machine).unwrap();
            slot.format("%Y-%m-%dT%H:%MZ").to_string()
        };
        for (machine, now) in [
            ("America/Vancouver", "2026-12-01T09:30:05Z"),
            ("America/Los_Angeles", "2026-12-01T10:30:05Z"),
            ("America/Halifax", "2026-12-01T06:30:05Z"),
        ] {
            assert_eq!(slot("30 2 * * *", zone(machine), now), "2026-12-01T09:30Z", "{machine}");
        }
        // Who calls without cron has the newest rules' tick.
        let los_angeles = zone("America/Los_Angeles");
        assert_eq!(slot("30 2 * * *", los_angeles, "2026-12-01T09:31:00Z"), "2026-12-01T09:30Z");
        // Two ticks an hour apart, both called late by the older rules.
        for (now, expected) in [
            ("2026-12-01T10:30:05Z", "2026-12-01T09:30Z"),
            ("2026-12-01T11:30:05Z", "2026-12-01T10:30Z"),
        ] {
            assert_eq!(slot("30 2,3 * * *", los_angeles, now), expected, "{now}");
        }
        // What follows the clock is one minute everywhere.
        let halifax = zone("America/Halifax");
        assert_eq!(slot("*/15 * * * *", halifax, "2026-12-01T06:31:00Z"), "2026-12-01T06:30Z");
    }

    #[test]
    fn clocks_that_are_put_back_over_midnight_show_the_end_of_a_day_after_the_start_of_the_next() {
        let zone = zones::parse_zone("America/St_Johns").unwrap();
        // At 00:01 on 31 October 2010 back to 23:01 of the day before.
        let tick = |cron: &str, now: &str| {
            let now = now.parse::<DateTime<Utc>>().unwrap().with_timezone(&zone);
            let tick = cron.parse::<Cron>().unwrap().last_tick(&now).unwrap();
            tick.format("%Y-%m-%dT%H:%MZ").to_string()
        };
        assert_eq!(tick("0 0 * * *", "2010-10-31T03:00:00Z"), "2010-10-31T02:30Z");
        assert_eq!(tick("30 23 * * *", "2010-10-31T03:10:00Z"), "2010-10-31T02:00Z");
        assert_eq!(tick("*/10 * * * *", "2010-10-31T03:10:00Z"), "2010-10-31T03:10Z");
    }

    #[test]
    fn the_same_moments_are_written_for_systemd() {
        for (cron, expected) in [
            ("* * * * *", &["*-*-* *:*:00"][..]),
            ("*/15 9-10 * * *", &["*-*-* 09,10:00,15,30,45:00"]),
            ("0 9 * * mon-fri", &["Mon,Tue,Wed,Thu,Fri *-*-* 09:00:00"]),
            ("0 0 * * 7", &["Sun *-*-* 00:00:00"]),
            ("5/20 0 1 jan,jul *", &["*-01,07-01 00:05,25,45:00"]),
            // Both restricted: either will do.
            ("0 0 13 * fri", &["*-*-13 00:00:00", "Fri *-*-* 00:00:00"]),
            // A step over all values is not a restriction, so both must match.
            ("0 0 */10 * mon", &["Mon *-*-01,11,21,31 00:00:00"]),
            ("0 0 13 * 0-6", &["*-*-* 00:00:00"]),
        ] {
            assert_eq!(cron.parse::<Cron>().unwrap().calendars(), expected, "{cron}");
        }
    }

    #[test]
    fn what_is_no_cron_line_is_refused() {
        for bad in [
            "",
            "* * * *",
            "60 * * * *",
            "* 24 * * *",
            "*/0 * * * *",
            "5-1 * * * *",
            "x * * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "@hourly",
        ] {
            assert!(bad.parse::<Cron>().is_err(), "{bad}");
        }
    }
}

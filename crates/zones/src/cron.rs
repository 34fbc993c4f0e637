//! The five fields of a crontab line, as cron(5) reads them. When they are due is in `slots.rs`.

use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Timelike as _, Utc};

use crate::Zone;
use crate::slots::Slots;

/// How many days are looked through for one that a line names: 29 February falls on a Sunday every 28
/// years, and every 40 across a year such as 2100.
pub(crate) const MAX_DAYS: u64 = 41 * 366;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Words that stand for all five fields.
const WORDS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// A cron schedule. Some day is due.
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
    /// Whether hours and minutes are fixed. When clocks are put forward or back, such a line is due once
    /// a day, and others follow the clock.
    fixed_time: bool,
}

/// The five fields that a text stands for: itself, unless it is a word such as `@daily`.
pub fn five_fields(text: &str) -> &str {
    let text = text.trim();
    WORDS.iter().find(|(word, _)| *word == text).map_or(text, |(_, fields)| fields)
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let line = five_fields(text);
        if line.starts_with('@') {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| *word).collect();
            return Err(format!("{text:?} is none of {}", words.join(", ")));
        }
        let fields: Vec<&str> = line.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!("{text:?} does not have five cron fields"));
        };
        let bad = |what: &str| format!("{text:?}: {what} is not a cron field");
        let sunday_twice = field(weekdays, 0, 7, &WEEKDAYS, 0).ok_or_else(|| bad(weekdays))?;
        let cron = Self {
            minutes: field(minutes, 0, 59, &[], 0).ok_or_else(|| bad(minutes))?,
            hours: field(hours, 0, 23, &[], 0).ok_or_else(|| bad(hours))?,
            days: field(days, 1, 31, &[], 0).ok_or_else(|| bad(days))?,
            months: field(months, 1, 12, &MONTHS, 1).ok_or_else(|| bad(months))?,
            weekdays: (sunday_twice | sunday_twice >> 7) & 0x7f,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
            fixed_time: !minutes.starts_with('*') && !hours.starts_with('*'),
        };
        match cron.is_ever_due() {
            true => Ok(cron),
            false => Err(format!("{text:?} is never due: no month that it names has that day")),
        }
    }
}

impl Cron {
    /// When it is due in a zone, from a moment on, which counts too.
    ///
    /// A line whose minute and hour both begin with something else than `*` is due once where clocks
    /// change: a time that is left out is due as the gap ends, one that comes twice at the first. Other
    /// lines follow the clock: not in the gap, and twice in what comes twice.
    pub fn slots_from(&self, zone: Zone, from: DateTime<Utc>) -> Slots<'_> {
        Slots::new(self, zone, from)
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

    pub(crate) fn is_fixed(&self) -> bool {
        self.fixed_time
    }

    /// The minutes of the hour that it names.
    pub fn minutes(&self) -> impl Iterator<Item = u32> {
        (0..60).filter(|minute| has(self.minutes, *minute))
    }

    /// Whether it names a time of the day.
    pub fn has_time(&self, time: NaiveTime) -> bool {
        has(self.hours, time.hour()) && has(self.minutes, time.minute())
    }

    /// The times that it names, of each day that it names.
    pub(crate) fn times(&self) -> impl Iterator<Item = NaiveTime> {
        let all = (0..24 * 60).filter_map(|at| NaiveTime::from_hms_opt(at / 60, at % 60, 0));
        all.filter(|time| self.has_time(*time))
    }

    pub(crate) fn has_day(&self, day: NaiveDate) -> bool {
        let month = has(self.months, day.month());
        let of_month = has(self.days, day.day());
        let of_week = has(self.weekdays, day.weekday().num_days_from_sunday());
        let either = !self.any_day && !self.any_weekday;
        month && if either { of_month || of_week } else { of_month && of_week }
    }

    fn is_ever_due(&self) -> bool {
        // The calendar repeats itself after 400 years; within them the longest wait is from 2088 on.
        let Some(first) = NaiveDate::from_ymd_opt(2087, 1, 1) else { return false };
        let mut days = (0..MAX_DAYS).filter_map(|days| first.checked_add_days(Days::new(days)));
        days.any(|day| self.has_day(day))
    }
}

fn has(bits: u64, value: u32) -> bool {
    bits >> value & 1 == 1
}

/// A comma-separated list of values, ranges and steps, as bits.
fn field(text: &str, min: u32, max: u32, names: &[&str], first_name: u32) -> Option<u64> {
    let number = |text: &str| -> Option<u32> {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain)
    };
    let value = |text: &str| -> Option<u32> {
        match names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
            Some(at) => u32::try_from(at).ok().map(|at| at + first_name),
            None => number(text).filter(|value| (min..=max).contains(value)),
        }
    };
    let mut bits = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|n| *n > 0)?)),
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

//! When a cron line is due: ahead, for schedules, and back, for what a machine's cron has just called.

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};

use crate::Zone;
use crate::cron::{Cron, MAX_DAYS};

/// More than any clock differs from UTC.
const MAX_OFFSET: TimeDelta = TimeDelta::hours(27);

/// By how many days clocks that change may have the days of their calendar out of order.
const MAX_DISORDER: u64 = 2;

/// The moments at which a line is due, in order and each once.
#[derive(Debug)]
pub struct Slots<'a> {
    cron: &'a Cron,
    zone: Zone,
    from: DateTime<Utc>,
    /// The next day to read; none after the last of the calendar.
    day: Option<NaiveDate>,
    /// What was read and not yet given.
    found: BTreeSet<DateTime<Utc>>,
}

impl<'a> Slots<'a> {
    pub(crate) fn new(cron: &'a Cron, zone: Zone, from: DateTime<Utc>) -> Self {
        let day = from.naive_utc().date().checked_sub_days(Days::new(MAX_DISORDER));
        Self { cron, zone, from, day, found: BTreeSet::new() }
    }

    /// Whether no day that is still to be read can bring an earlier moment.
    fn is_next(&self, moment: DateTime<Utc>) -> bool {
        self.day
            .is_none_or(|day| moment + MAX_OFFSET < day.and_time(chrono::NaiveTime::MIN).and_utc())
    }
}

impl Iterator for Slots<'_> {
    type Item = DateTime<Utc>;

    fn next(&mut self) -> Option<DateTime<Utc>> {
        let mut empty_days = 0;
        loop {
            if let Some(first) = self.found.first().copied()
                && self.is_next(first)
            {
                return self.found.pop_first();
            }
            let day = self.day.filter(|_| empty_days < MAX_DAYS)?;
            if self.found.is_empty() {
                empty_days += 1;
            }
            self.day = day.succ_opt();
            if self.cron.has_day(day) {
                let times = self.cron.times().map(|time| day.and_time(time));
                let moments = times.flat_map(|time| self.cron.moments(time, self.zone));
                self.found.extend(moments.filter(|moment| *moment >= self.from));
            }
        }
    }
}

impl Cron {
    /// The last tick at or before `now`, in the time zone of `now`.
    pub fn last_tick(&self, now: &DateTime<Zone>) -> Option<DateTime<Utc>> {
        self.last_shown(now).map(|(_, moment)| moment)
    }

    /// The moment that stands for the last tick of a machine's cron, the same on all machines of a
    /// fleet. Where this machine's cron has older rules of its zone than `now` (`machine`), it calls at
    /// another moment than others: for a fixed time, what its clock shows then is what counts. Of both
    /// clocks the one that has shown a tick last is the one that has called.
    pub fn slot(&self, now: &DateTime<Zone>, machine: Zone) -> Option<DateTime<Utc>> {
        if !self.is_fixed() {
            return self.last_tick(now);
        }
        let (by_newest, by_machine) =
            (self.last_shown(now)?, self.last_shown(&now.with_timezone(&machine))?);
        let (shown, _) = if by_newest.1 > by_machine.1 { by_newest } else { by_machine };
        Some(now.timezone().instant_of(shown))
    }

    /// The last tick at or before `now`: what the clock shows, and when.
    fn last_shown(&self, now: &DateTime<Zone>) -> Option<(NaiveDateTime, DateTime<Utc>)> {
        let today = now.naive_local().date();
        let of = |day: NaiveDate| self.has_day(day).then(|| self.last_of_day(day, now)).flatten();
        // Clocks that are put back over midnight show the end of a day after the start of the next.
        let after = (1..=MAX_DISORDER).filter_map(|days| today.checked_add_days(Days::new(days)));
        let before = (0..=MAX_DISORDER).filter_map(|days| today.checked_sub_days(Days::new(days)));
        let latest = after.chain(before).filter_map(of).max_by_key(|(_, moment)| *moment);
        latest.or_else(|| {
            (MAX_DISORDER + 1..MAX_DAYS)
                .filter_map(|back| today.checked_sub_days(Days::new(back)))
                .find_map(of)
        })
    }

    fn last_of_day(
        &self,
        day: NaiveDate,
        now: &DateTime<Zone>,
    ) -> Option<(NaiveDateTime, DateTime<Utc>)> {
        let times = self.times().map(|time| day.and_time(time));
        times
            .flat_map(|time| self.moments(time, now.timezone()).map(move |moment| (time, moment)))
            .filter(|(_, moment)| *moment <= now.to_utc())
            .max_by_key(|(_, moment)| *moment)
    }

    /// The moments at which a time of the clock counts. A fixed time counts once: the first time that it
    /// is shown, or right after the gap in which it is left out. That is when the crons of Debian and Red
    /// Hat run it (`cron.c`, "the time has changed"); systemd's timers run a fixed time once as well, and
    /// leave out one that is skipped.
    fn moments(
        &self,
        time: NaiveDateTime,
        zone: Zone,
    ) -> impl Iterator<Item = DateTime<Utc>> + use<> {
        let moments = match self.is_fixed() {
            true => [Some(zone.instant_of(time)), None],
            false => zone.instants_of(time),
        };
        moments.into_iter().flatten()
    }
}

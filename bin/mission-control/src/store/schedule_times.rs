//! When a schedule is due: what its fields say, which slots are to be made at a moment, and which comes
//! next. Knows no database.

use chrono::{DateTime, Datelike as _, NaiveDateTime, TimeDelta, Utc};
use mc_client::schedules::{CLOSEST_SECS, CatchUp, ON_TIME_SECS};
use zones::cron::Cron;
use zones::{Zone, parse_zone};

/// How many late slots are made one by one at most.
const MAX_CAUGHT_UP: usize = 100;

/// How many of an agent's slots are looked at.
const LOOKED_AT: usize = 100;

/// Why a schedule cannot be kept as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// A field is wrong.
    #[error("{field} {why}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What is wrong with it, as the end of a sentence that begins with the name.
        why: String,
    },
    /// The cron line is none, or never due.
    #[error("cron: {0}")]
    Cron(String),
    /// An agent's schedule is due too often.
    #[error(
        "the schedule is due more often than every {} minutes, and an agent's may not be: choose slots further apart",
        CLOSEST_SECS / 60
    )]
    TooOften,
}

impl Unfit {
    fn field(field: &'static str, why: impl Into<String>) -> Self {
        Self::Field { field, why: why.into() }
    }
}

/// A time, or a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// Once.
    At {
        /// When.
        at: DateTime<Utc>,
        /// What the clock of the zone shows then, where that is what counts.
        local: Option<NaiveDateTime>,
    },
    /// Again and again.
    Cron {
        /// As it was written.
        text: String,
        /// What it says.
        cron: Cron,
        /// In which zone.
        zone: Zone,
    },
}

/// When a schedule is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) when: When,
    pub(super) zone: Option<Zone>,
    pub(super) until: Option<DateTime<Utc>>,
}

/// A slot that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Made {
    pub(super) slot: DateTime<Utc>,
    /// How many others it stands for.
    pub(super) missed: u64,
}

/// What is due at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Due {
    /// What is made, the oldest first.
    pub(super) made: Vec<Made>,
    /// The next slot after the moment.
    pub(super) next: Option<DateTime<Utc>>,
}

/// A time of the clock: `2026-10-25T02:30` or `2026-10-25T02:30:00`.
fn local_time(text: &str) -> Option<NaiveDateTime> {
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M"];
    forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
}

fn read_at(text: &str, zone: Option<Zone>) -> Result<When, Unfit> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(When::At { at: at.to_utc(), local: None });
    }
    let wrong = || {
        Unfit::field(
            "at",
            "must be a time of RFC 3339, such as 2026-10-25T09:00:00Z, or one without offset beside timezone",
        )
    };
    let local = local_time(text).ok_or_else(wrong)?;
    check_year("at", local.and_utc())?;
    let missing = || Unfit::field("timezone", "is required with an at that has no offset");
    let at = zone.ok_or_else(missing)?.instant_of(local);
    Ok(When::At { at, local: Some(local) })
}

/// Whether a time is stored as a text that is in order with others: its year has four digits.
pub(crate) fn is_in_order(moment: DateTime<Utc>) -> bool {
    (0..=9999).contains(&moment.year())
}

fn check_year(field: &'static str, moment: DateTime<Utc>) -> Result<(), Unfit> {
    match is_in_order(moment) {
        true => Ok(()),
        false => Err(Unfit::field(field, "must be in the years 0 to 9999 (UTC)")),
    }
}

impl Times {
    /// Reads what the fields say.
    pub(super) fn read(
        at: Option<&str>,
        cron: Option<&str>,
        timezone: Option<&str>,
        until: Option<DateTime<Utc>>,
    ) -> Result<Self, Unfit> {
        let zone = timezone.map(parse_zone).transpose();
        let zone =
            zone.map_err(|unknown| Unfit::field("timezone", format!("names an {unknown}")))?;
        let when = match (at, cron) {
            (Some(at), None) => read_at(at, zone)?,
            (None, Some(text)) => {
                let missing = || Unfit::field("timezone", "is required with cron");
                let cron = text.parse().map_err(Unfit::Cron)?;
                When::Cron { text: text.to_owned(), cron, zone: zone.ok_or_else(missing)? }
            }
            (Some(_), Some(_)) => {
                return Err(Unfit::field("at", "cannot be beside cron: name one"));
            }
            (None, None) => return Err(Unfit::field("at", "is required where there is no cron")),
        };
        if let When::At { at, .. } = &when {
            check_year("at", *at)?;
        }
        if let Some(until) = until {
            check_year("until", until)?;
        }
        Ok(Self { when, zone, until })
    }

    /// All slots from a moment on, which counts too.
    pub(super) fn slots(
        &self,
        from: DateTime<Utc>,
    ) -> Box<dyn Iterator<Item = DateTime<Utc>> + Send + '_> {
        let until = self.until;
        let fits = move |slot: &DateTime<Utc>| until.is_none_or(|until| *slot <= until);
        match &self.when {
            When::At { at, .. } => {
                Box::new(Some(*at).into_iter().filter(move |at| *at >= from && fits(at)))
            }
            When::Cron { cron, zone, .. } => {
                Box::new(cron.slots_from(*zone, from).take_while(fits))
            }
        }
    }

    /// The first slot after a moment.
    pub(super) fn next_after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.slots(moment).find(|slot| *slot > moment)
    }

    /// The first slot that is not handled: of a line after the moment up to which it is, and a single
    /// time itself, by the rules of now.
    pub(super) fn next_unhandled(&self, handled_to: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.when {
            When::At { at, .. } => self.slots(*at).next(),
            When::Cron { .. } => self.next_after(handled_to),
        }
    }

    /// Refuses a time of a new schedule that is over, and a last moment that leaves nothing. A time that
    /// has just passed is due at once.
    pub(super) fn check_new(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Unfit> {
        if let When::At { at, .. } = &self.when
            && is_late(*at, now)
        {
            return Err(Unfit::field("at", "is over: name a time to come"));
        }
        let next = self.next_unhandled(now);
        match next {
            Some(_) => Ok(next),
            None => Err(Unfit::field("until", "is before the first slot")),
        }
    }

    /// Refuses an agent's slots that are too close, of the next ones that are made.
    pub(super) fn check_often(&self, now: DateTime<Utc>, left: Option<u64>) -> Result<(), Unfit> {
        let many = left
            .map_or(LOOKED_AT, |left| LOOKED_AT.min(usize::try_from(left).unwrap_or(LOOKED_AT)));
        let mut last: Option<DateTime<Utc>> = None;
        for slot in self.slots(now).take(many) {
            if last.is_some_and(|last| (slot - last).num_seconds() < CLOSEST_SECS) {
                return Err(Unfit::TooOften);
            }
            last = Some(slot);
        }
        Ok(())
    }

    /// What is due at a moment, beginning with the first slot that was not handled. `left` is how many
    /// may still be made.
    pub(super) fn due(
        &self,
        first: DateTime<Utc>,
        now: DateTime<Utc>,
        catch_up: CatchUp,
        left: Option<u64>,
    ) -> Due {
        let mut slots = self.slots(first).peekable();
        let mut made = Vec::new();
        let mut missed = 0_u64;
        while let Some(slot) = slots.next_if(|slot| is_late(*slot, now)) {
            match catch_up {
                CatchUp::Last => {
                    missed += u64::try_from(made.len()).unwrap_or_default();
                    made = vec![Made { slot, missed }];
                }
                CatchUp::All if made.len() < MAX_CAUGHT_UP => made.push(Made { slot, missed: 0 }),
                // What is left out is told with the last that is made.
                CatchUp::All => {
                    if let Some(last) = made.last_mut() {
                        last.missed += 1;
                    }
                }
                CatchUp::Skip => {}
            }
        }
        while let Some(slot) = slots.next_if(|slot| *slot <= now) {
            made.push(Made { slot, missed: 0 });
        }
        let left = left.and_then(|left| usize::try_from(left).ok());
        let is_over = left.is_some_and(|left| left <= made.len());
        if let Some(left) = left {
            made.truncate(left);
        }
        Due { made, next: slots.next().filter(|_| !is_over) }
    }
}

/// Whether a slot is so late that it is caught up with.
fn is_late(slot: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - slot > TimeDelta::seconds(ON_TIME_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn line(cron: &str, until: Option<&str>) -> Times {
        Times::read(None, Some(cron), Some("UTC"), until.map(moment)).unwrap()
    }

    fn due(
        times: &Times,
        first: &str,
        now: &str,
        catch_up: CatchUp,
        left: Option<u64>,
    ) -> (Vec<(String, u64)>, Option<String>) {
        let due = times.due(moment(first), moment(now), catch_up, left);
        let text = |slot: DateTime<Utc>| slot.format("%H:%M").to_string();
        (due.made.iter().map(|made| (text(made.slot), made.missed)).collect(), due.next.map(text))
    }

    fn made(slots: &[(&str, u64)]) -> Vec<(String, u64)> {
        slots.iter().map(|(slot, missed)| ((*slot).to_owned(), *missed)).collect()
    }

    #[test]
    fn late_slots_are_caught_up_with_and_others_are_all_made() {
        let times = line("*/2 * * * *", None);
        // 300 seconds late are still on time.
        let (first, now) = ("2026-05-05T10:00:00Z", "2026-05-05T10:11:00Z");
        let next = Some("10:12".to_owned());
        let on_time = [("10:06", 0), ("10:08", 0), ("10:10", 0)];
        let with = |late: &[(&str, u64)]| made(&[late, &on_time].concat());
        assert_eq!(
            due(&times, first, now, CatchUp::Last, None),
            (with(&[("10:04", 2)]), next.clone())
        );
        assert_eq!(due(&times, first, now, CatchUp::Skip, None), (made(&on_time), next.clone()));
        let all = with(&[("10:00", 0), ("10:02", 0), ("10:04", 0)]);
        assert_eq!(due(&times, first, now, CatchUp::All, None), (all, next));
        assert_eq!(
            due(&times, first, "2026-05-05T10:00:00Z", CatchUp::Skip, None).0,
            made(&[("10:00", 0)])
        );
    }

    #[test]
    fn no_more_than_a_hundred_are_caught_up_with_one_by_one() {
        let times = line("* * * * *", None);
        let due = times.due(
            moment("2026-05-05T10:00:00Z"),
            moment("2026-05-05T20:00:30Z"),
            CatchUp::All,
            None,
        );
        // The 100 oldest of 596 late ones, and the five that are on time.
        assert_eq!(due.made.len(), 105);
        assert_eq!(due.made[99], Made { slot: moment("2026-05-05T11:39:00Z"), missed: 496 });
        assert_eq!(due.made[100].slot, moment("2026-05-05T19:56:00Z"));
        assert_eq!(due.next, Some(moment("2026-05-05T20:01:00Z")));
    }

    #[test]
    fn a_last_moment_counts_too_and_a_number_of_runs_is_kept() {
        let times = line("*/2 * * * *", Some("2026-05-05T10:04:00Z"));
        let (first, now) = ("2026-05-05T10:00:00Z", "2026-05-05T10:04:30Z");
        let all = made(&[("10:00", 0), ("10:02", 0), ("10:04", 0)]);
        assert_eq!(due(&times, first, now, CatchUp::Last, None), (all, None));
        let times = line("*/2 * * * *", None);
        let two = made(&[("10:00", 0), ("10:02", 0)]);
        assert_eq!(due(&times, first, now, CatchUp::Last, Some(2)), (two, None));
        let next = due(&times, first, now, CatchUp::Last, Some(4)).1;
        assert_eq!(next.as_deref(), Some("10:06"));
    }

    #[test]
    fn an_agents_slots_are_a_quarter_of_an_hour_apart_also_where_clocks_change() {
        let now = moment("2026-03-28T12:00:00Z");
        let often = |cron: &str, left| {
            let times = Times::read(None, Some(cron), Some("Europe/Berlin"), None).unwrap();
            times.check_often(now, left).is_err()
        };
        assert!(!often("*/15 * * * *", None));
        assert!(often("*/14 * * * *", None) && often("0,10 9 * * *", None));
        assert!(!often("* * * * *", Some(1)) && often("* * * * *", Some(2)));
        // 02:30 is due at the end of the gap, at 03:00, ten minutes before 03:10.
        assert!(!often("30 2 * * *", None) && often("10,30 2,3 * * *", None));
    }

    #[test]
    fn fields_that_say_nothing_or_two_things_are_refused() {
        let read = |at: Option<&str>, cron: Option<&str>, zone: Option<&str>| {
            Times::read(at, cron, zone, None).map(|_| ()).unwrap_err().to_string()
        };
        let (at, local, cron) = ("2026-05-05T10:00:00Z", "2026-05-05T10:00", "0 9 * * *");
        for (error, begins) in [
            (read(None, None, None), "at is required"),
            (read(Some(at), Some(cron), Some("UTC")), "at cannot be beside cron"),
            (read(Some(local), None, None), "timezone is required with an at"),
            (read(None, Some(cron), None), "timezone is required with cron"),
            (read(None, Some(cron), Some("Europe/Berln")), "timezone names an unknown time zone"),
            (read(None, Some("0 0 30 2 *"), Some("UTC")), "cron: \"0 0 30 2 *\" is never due"),
            (read(Some("tomorrow"), None, Some("UTC")), "at must be a time"),
        ] {
            assert!(error.starts_with(begins), "{error}");
        }
    }

    #[test]
    fn times_whose_year_has_more_than_four_digits_are_refused() {
        for at in ["+10000-01-01T00:00", "-0001-01-01T00:00", "9999-12-31T23:59:59-01:00"] {
            let error = Times::read(Some(at), None, Some("UTC"), None).unwrap_err().to_string();
            assert!(error.starts_with("at must be in the years"), "{at}: {error}");
        }
        let until = moment("9999-12-31T23:59:59Z");
        let read = |until| Times::read(None, Some("0 9 * * *"), Some("UTC"), Some(until));
        read(until).unwrap();
        let error = read(until + TimeDelta::seconds(1)).unwrap_err().to_string();
        assert!(error.starts_with("until must be in the years"), "{error}");
        Times::read(Some("9999-12-31T23:59"), None, Some("UTC"), None).unwrap();
    }

    #[test]
    fn a_time_of_the_clock_is_the_end_of_its_gap_or_the_first_of_two() {
        let at = |local: &str| {
            let times = Times::read(Some(local), None, Some("Europe/Berlin"), None).unwrap();
            times.next_unhandled(DateTime::UNIX_EPOCH).unwrap()
        };
        assert_eq!(at("2026-03-29T02:30"), moment("2026-03-29T01:00:00Z"));
        assert_eq!(at("2026-10-25T02:30:00"), moment("2026-10-25T00:30:00Z"));
        assert_eq!(at("2026-10-25T02:30:00+01:00"), moment("2026-10-25T01:30:00Z"));
    }
}

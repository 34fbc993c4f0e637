//! A zone, as chrono uses it.

use std::fmt;
use std::hash::{Hash, Hasher};

use chrono::{
    DateTime, Datelike as _, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime,
    Offset, TimeDelta, TimeZone, Timelike as _, Utc,
};
use jiff::tz::AmbiguousOffset;

/// A zone: a name and its rules. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Zone(pub(crate) &'static Rules);

#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) name: &'static str,
    pub(crate) rules: jiff::tz::TimeZone,
}

impl Zone {
    /// UTC.
    pub const UTC: Self = {
        static UTC: Rules = Rules { name: "UTC", rules: jiff::tz::TimeZone::UTC };
        Self(&UTC)
    };

    /// The IANA name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The first moment of a day: where midnight does not exist, the first time that does; where it
    /// comes twice, the first of both. A day that was skipped begins where the next one does.
    pub fn start_of(self, day: NaiveDate) -> DateTime<Utc> {
        self.instant_of(day.and_time(NaiveTime::MIN))
    }

    /// The moment that a time of the clock stands for where it has to be one: the first of both where it
    /// comes twice; where it is left out, the end of the gap.
    pub fn instant_of(self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.shown(local) {
            AmbiguousOffset::Unambiguous { offset } => utc(local, offset),
            AmbiguousOffset::Fold { before, .. } => utc(local, before),
            AmbiguousOffset::Gap { before, after } => {
                self.change_between(utc(local, after), utc(local, before))
            }
        }
    }

    /// The moments at which the clock shows a time: one, two where it comes twice, none where it is left
    /// out.
    pub(crate) fn instants_of(self, local: NaiveDateTime) -> [Option<DateTime<Utc>>; 2] {
        match self.shown(local) {
            AmbiguousOffset::Unambiguous { offset } => [Some(utc(local, offset)), None],
            AmbiguousOffset::Fold { before, after } => {
                [Some(utc(local, before)), Some(utc(local, after))]
            }
            AmbiguousOffset::Gap { .. } => [None, None],
        }
    }

    /// The first second that has the offset of `later`, which is after the one change of clocks that lies
    /// between both.
    fn change_between(self, earlier: DateTime<Utc>, later: DateTime<Utc>) -> DateTime<Utc> {
        let offset = |at: i64| {
            let moment = jiff::Timestamp::from_second(at);
            moment.map_or(jiff::tz::Offset::UTC, |moment| self.0.rules.to_offset(moment))
        };
        let (mut before, mut after) = (earlier.timestamp(), later.timestamp());
        let new = offset(after);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            match offset(middle) == new {
                true => after = middle,
                false => before = middle,
            }
        }
        DateTime::from_timestamp(after, 0).unwrap_or(later)
    }

    /// What the clock's offset is where it shows a time.
    fn shown(self, local: NaiveDateTime) -> AmbiguousOffset {
        match civil(local) {
            Some(local) => self.0.rules.to_ambiguous_timestamp(local).offset(),
            // Years that no calendar of people reaches.
            None => AmbiguousOffset::Unambiguous { offset: jiff::tz::Offset::UTC },
        }
    }

    fn at(self, offset: jiff::tz::Offset) -> ZoneOffset {
        // The database has no offset of a day or more.
        let fixed = FixedOffset::east_opt(offset.seconds()).unwrap_or_else(|| Utc.fix());
        ZoneOffset { zone: self, fixed }
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

/// The offset of a zone at some moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ZoneOffset {
    zone: Zone,
    fixed: FixedOffset,
}

impl Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        self.fixed
    }
}

impl fmt::Debug for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.fixed, f)
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.fixed, f)
    }
}

impl TimeZone for Zone {
    type Offset = ZoneOffset;

    fn from_offset(offset: &ZoneOffset) -> Self {
        offset.zone
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> MappedLocalTime<ZoneOffset> {
        self.offset_from_local_datetime(&local.and_time(NaiveTime::MIN))
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> MappedLocalTime<ZoneOffset> {
        match self.shown(*local) {
            AmbiguousOffset::Unambiguous { offset } => MappedLocalTime::Single(self.at(offset)),
            AmbiguousOffset::Gap { .. } => MappedLocalTime::None,
            AmbiguousOffset::Fold { before, after } => {
                MappedLocalTime::Ambiguous(self.at(before), self.at(after))
            }
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> ZoneOffset {
        self.offset_from_utc_datetime(&utc.and_time(NaiveTime::MIN))
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> ZoneOffset {
        let moment = jiff::Timestamp::from_second(utc.and_utc().timestamp());
        self.at(moment.map_or(jiff::tz::Offset::UTC, |moment| self.0.rules.to_offset(moment)))
    }
}

/// The moment at which a clock with this offset shows a time.
fn utc(local: NaiveDateTime, offset: jiff::tz::Offset) -> DateTime<Utc> {
    local.and_utc() - TimeDelta::seconds(offset.seconds().into())
}

/// The same time on the same day in jiff's types, which end with the year 9999.
fn civil(local: NaiveDateTime) -> Option<jiff::civil::DateTime> {
    let small = |value: u32| i8::try_from(value).ok();
    let year = i16::try_from(local.year()).ok()?;
    let nanosecond = i32::try_from(local.nanosecond().min(999_999_999)).ok()?;
    jiff::civil::DateTime::new(
        year,
        small(local.month())?,
        small(local.day())?,
        small(local.hour())?,
        small(local.minute())?,
        small(local.second())?,
        nanosecond,
    )
    .ok()
}

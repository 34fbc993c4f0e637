//! Days and clocks, where they are unusual.

use chrono::{
    DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _, Utc,
};
use zones::{Zone, parse_zone};

fn zone(name: &str) -> Zone {
    parse_zone(name).expect(name)
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

#[test]
fn a_day_begins_with_the_first_moment_that_exists_in_its_zone() {
    for (name, date, start) in [
        ("UTC", "2026-03-29", "2026-03-29T00:00:00Z"),
        // Clocks go forward at 02:00, then back at 03:00.
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z"),
        ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00:00Z"),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z"),
        ("Europe/Berlin", "2026-10-26", "2026-10-25T23:00:00Z"),
        // Midnight does not exist: the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z"),
        // Midnight comes twice: the first one counts.
        ("America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"),
        // The whole day does not exist, so that it ends where it begins.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ("Pacific/Kwajalein", "1993-08-21", "1993-08-21T12:00:00Z"),
        ("Pacific/Kwajalein", "1993-08-22", "1993-08-21T12:00:00Z"),
        ("Asia/Kolkata", "2026-01-01", "2025-12-31T18:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-06", "2026-04-05T13:30:00Z"),
    ] {
        let found = zone(name).start_of(day(date));
        assert_eq!(found, start.parse::<DateTime<Utc>>().unwrap(), "{name} {date}");
    }
}

#[test]
fn days_have_the_length_that_their_clocks_give_them() {
    for (name, date, minutes) in [
        ("Europe/Berlin", "2026-03-29", 23 * 60),
        ("Europe/Berlin", "2026-10-25", 25 * 60),
        ("Australia/Lord_Howe", "2026-04-05", 24 * 60 + 30),
        ("Australia/Lord_Howe", "2026-10-04", 23 * 60 + 30),
        ("Africa/Cairo", "2026-04-24", 23 * 60),
        ("Pacific/Apia", "2011-12-30", 0),
        ("Asia/Tokyo", "2026-10-25", 24 * 60),
    ] {
        let (zone, date) = (zone(name), day(date));
        let length = zone.start_of(date.succ_opt().unwrap()) - zone.start_of(date);
        assert_eq!(length.num_minutes(), minutes, "{name} {date}");
    }
}

#[test]
fn days_of_every_zone_follow_each_other_without_gap_or_overlap() {
    for name in zones::Database::new(Vec::new()).names() {
        let zone = zone(name);
        let mut date = day("2026-01-01");
        let mut start = zone.start_of(date);
        while date < day("2028-01-01") {
            let next = zone.start_of(date.succ_opt().unwrap());
            let hours = (next - start).num_hours();
            assert!((22..=26).contains(&hours), "{name} {date}: {hours}");
            assert_eq!(start.with_timezone(&zone).date_naive(), date, "{name}");
            (date, start) = (date.succ_opt().unwrap(), next);
        }
    }
}

#[test]
fn times_that_come_twice_or_never_are_told_with_the_earlier_one_first() {
    let local = |text: &str| text.parse::<NaiveDateTime>().unwrap();
    let berlin = zone("Europe/Berlin");
    let twice = berlin.from_local_datetime(&local("2026-10-25T02:30:00"));
    let MappedLocalTime::Ambiguous(first, second) = twice else { panic!("{twice:?}") };
    assert_eq!(first.to_utc().to_rfc3339(), "2026-10-25T00:30:00+00:00");
    assert_eq!(second.to_utc().to_rfc3339(), "2026-10-25T01:30:00+00:00");
    assert_eq!((first.timezone(), first.offset().fix().local_minus_utc()), (berlin, 7200));
    let never = berlin.from_local_datetime(&local("2026-03-29T02:30:00"));
    assert!(matches!(never, MappedLocalTime::None));
}

#[test]
fn years_beyond_all_calendars_are_taken_as_utc() {
    let zone = zone("Pacific/Kiritimati");
    for far in [NaiveDate::MIN, NaiveDate::MAX, day("+12026-01-01")] {
        assert_eq!(zone.start_of(far), far.and_time(chrono::NaiveTime::MIN).and_utc());
    }
    zone.start_of(day("9999-12-31"));
    zone.start_of(day("0000-01-01"));
}

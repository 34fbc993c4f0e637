//! When lines are due where clocks change: in all zones that change them in 2026 and 2027, compared with
//! a clock that is watched second by second where it matters.

use chrono::{
    DateTime, Datelike as _, NaiveDateTime, TimeDelta, TimeZone as _, Timelike as _, Utc,
};
use zones::Zone;
use zones::cron::Cron;

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn shown(zone: Zone, at: DateTime<Utc>) -> NaiveDateTime {
    zone.from_utc_datetime(&at.naive_utc()).naive_local()
}

/// The minutes between two moments.
fn minutes(from: DateTime<Utc>, to: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
    (0..(to - from).num_minutes()).map(move |at| from + TimeDelta::minutes(at))
}

/// The changes of a zone's clock in two years: the first minute of each new offset.
fn changes(zone: Zone) -> Vec<DateTime<Utc>> {
    let offset = |at: DateTime<Utc>| (shown(zone, at) - at.naive_utc()).num_seconds();
    let (from, to) = (moment("2026-01-01T00:00:00Z"), moment("2028-01-01T00:00:00Z"));
    let halves = (0..(to - from).num_hours() / 12).map(|half| from + TimeDelta::hours(half * 12));
    let changed = halves.filter(|at| offset(*at) != offset(*at + TimeDelta::hours(12)));
    changed
        .map(|half| {
            let old = offset(half);
            minutes(half, half + TimeDelta::hours(13)).find(|at| offset(*at) != old).unwrap()
        })
        .collect()
}

fn zones_that_change() -> Vec<(Zone, Vec<DateTime<Utc>>)> {
    let names = zones::Database::new(Vec::new()).names();
    let zones = names.into_iter().map(|name| zones::parse_zone(name).unwrap());
    zones.map(|zone| (zone, changes(zone))).filter(|(_, changes)| !changes.is_empty()).collect()
}

fn slots(cron: &Cron, zone: Zone, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    cron.slots_from(zone, from).take_while(|slot| *slot < to).collect()
}

/// A clock that is watched: each minute, and what it shows then.
fn watched(
    zone: Zone,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Vec<(DateTime<Utc>, NaiveDateTime)> {
    minutes(from, to).map(|at| (at, shown(zone, at))).collect()
}

/// When it shows one of these times: each time.
fn following(
    watched: &[(DateTime<Utc>, NaiveDateTime)],
    due: &dyn Fn(NaiveDateTime) -> bool,
) -> Vec<DateTime<Utc>> {
    watched.iter().filter(|(_, shown)| due(*shown)).map(|(at, _)| *at).collect()
}

/// The first minute at which it shows this time or a later one.
fn reached(watched: &[(DateTime<Utc>, NaiveDateTime)], time: NaiveDateTime) -> DateTime<Utc> {
    watched.iter().find(|(_, shown)| *shown >= time).unwrap().0
}

#[test]
fn every_zone_that_changes_its_clock_is_looked_at() {
    let zones = zones_that_change();
    let names: Vec<_> = zones.iter().map(|(zone, _)| zone.name()).collect();
    for name in [
        "Europe/Berlin",
        "America/New_York",
        "Africa/Cairo",
        "Africa/Casablanca",
        "Australia/Lord_Howe",
        "Pacific/Chatham",
        "America/St_Johns",
        "America/Havana",
        "Asia/Beirut",
    ] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(zones.len() > 150, "{}", zones.len());
    assert!(zones.iter().map(|(_, changes)| changes.len()).sum::<usize>() > 600);
}

#[test]
fn a_line_that_follows_the_clock_is_due_whenever_the_clock_shows_its_time() {
    let lines = ["*/15 * * * *", "7 * * * *", "* 2 * * *", "*/30 0-3 * * *", "@hourly"];
    let lines = lines.map(|line| (line, line.parse::<Cron>().unwrap()));
    for (zone, changes) in zones_that_change() {
        for change in changes {
            let (from, to) = (change - TimeDelta::hours(4), change + TimeDelta::hours(4));
            let clock = watched(zone, from, to);
            for (line, cron) in &lines {
                let due = |time: NaiveDateTime| match *line {
                    "*/15 * * * *" => time.minute().is_multiple_of(15),
                    "7 * * * *" => time.minute() == 7,
                    "* 2 * * *" => time.hour() == 2,
                    "*/30 0-3 * * *" => time.minute().is_multiple_of(30) && time.hour() < 4,
                    _ => time.minute() == 0,
                };
                let expected = following(&clock, &due);
                assert_eq!(slots(cron, zone, from, to), expected, "{line} in {zone} at {change}");
            }
        }
    }
}

#[test]
fn a_fixed_time_is_due_once_also_where_it_is_left_out_or_comes_twice() {
    for (zone, changes) in zones_that_change() {
        for change in changes {
            let (from, to) = (change - TimeDelta::hours(8), change + TimeDelta::hours(8));
            let clock = watched(zone, from, to);
            let (before, after) =
                (shown(zone, change - TimeDelta::minutes(1)), shown(zone, change));
            // Around both times that the clock shows at the change, and in between.
            let low = before.min(after) - TimeDelta::minutes(70);
            let times = (0..30).map(|step| low + TimeDelta::minutes(step * 10));
            for time in times.chain([before, after]) {
                let line =
                    format!("{} {} {} {} *", time.minute(), time.hour(), time.day(), time.month());
                let cron: Cron = line.parse().unwrap();
                let expected = reached(&clock, time);
                assert_eq!(
                    slots(&cron, zone, from, to),
                    [expected],
                    "{line} in {zone} at {change}"
                );
            }
            // Both at once are one slot where they are one moment.
            let line = format!("{} {},{} * * *", after.minute(), before.hour(), after.hour());
            let cron: Cron = line.parse().unwrap();
            let found = slots(&cron, zone, from, to);
            assert!(found.is_sorted_by(|one, next| one < next), "{line} in {zone}: {found:?}");
        }
    }
}

#[test]
fn what_is_due_at_the_same_moment_is_due_once() {
    let berlin = zones::parse_zone("Europe/Berlin").unwrap();
    let cron: Cron = "0,15,30,45 2,3 * * *".parse().unwrap();
    let found =
        slots(&cron, berlin, moment("2026-03-29T00:00:00Z"), moment("2026-03-29T04:00:00Z"));
    let expected =
        ["01:00", "01:15", "01:30", "01:45"].map(|at| moment(&format!("2026-03-29T{at}:00Z")));
    assert_eq!(found, expected);
}

#[test]
fn a_whole_day_that_is_left_out_is_due_when_it_ends() {
    let apia = zones::parse_zone("Pacific/Apia").unwrap();
    let cron: Cron = "0 9 30 12 *".parse().unwrap();
    let found = slots(&cron, apia, moment("2011-12-01T00:00:00Z"), moment("2012-06-01T00:00:00Z"));
    assert_eq!(found, [moment("2011-12-30T10:00:00Z")]);
    let daily: Cron = "0 9 * * *".parse().unwrap();
    let found = slots(&daily, apia, moment("2011-12-29T00:00:00Z"), moment("2012-01-01T00:00:00Z"));
    let expected = [
        "2011-12-29T19:00:00Z",
        "2011-12-30T10:00:00Z",
        "2011-12-30T19:00:00Z",
        "2011-12-31T19:00:00Z",
    ];
    assert_eq!(found, expected.map(moment));
}

#[test]
fn moments_are_in_order_where_days_of_the_calendar_are_not() {
    // Back over midnight: 23:10 comes again after 00:00.
    let zone = zones::parse_zone("America/St_Johns").unwrap();
    let cron: Cron = "*/10 * * * *".parse().unwrap();
    let (from, to) = (moment("2010-10-31T01:00:00Z"), moment("2010-10-31T05:00:00Z"));
    let expected = following(&watched(zone, from, to), &|time| time.minute() % 10 == 0);
    assert_eq!(slots(&cron, zone, from, to), expected);
}

#[test]
fn the_first_moment_counts_and_is_never_before_the_start() {
    let cron: Cron = "30 9 * * *".parse().unwrap();
    let first = |from: &str| cron.slots_from(Zone::UTC, moment(from)).next().unwrap();
    assert_eq!(first("2026-05-05T09:30:00Z"), moment("2026-05-05T09:30:00Z"));
    assert_eq!(first("2026-05-05T09:30:00.000001Z"), moment("2026-05-06T09:30:00Z"));
}

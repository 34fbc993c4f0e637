//! Cron lines: what they are, and the last time that they were due.

use chrono::{DateTime, Utc};
use zones::Zone;
use zones::cron::{Cron, five_fields};

fn zone(name: &str) -> Zone {
    zones::parse_zone(name).expect(name)
}

fn tick(cron: &str, now: &str) -> Option<String> {
    let now = now.parse::<DateTime<Utc>>().unwrap().with_timezone(&Zone::UTC);
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
}

#[test]
fn ticks_are_counted_in_the_zone_of_the_clock() {
    let now = "2026-11-23T23:00:00+02:00".parse::<DateTime<Utc>>().unwrap();
    let cron: Cron = "0 9 * * *".parse().unwrap();
    let tick = cron.last_tick(&now.with_timezone(&zone("Europe/Kyiv"))).unwrap();
    assert_eq!(tick.to_rfc3339(), "2026-11-23T07:00:00+00:00");
}

#[test]
fn clocks_that_change_leave_no_tick_out_and_make_none_twice() {
    let tick = |cron: &str, zone: Zone, now: &str| {
        let now: DateTime<Utc> = now.parse().unwrap();
        let tick = cron.parse::<Cron>().unwrap().last_tick(&now.with_timezone(&zone)).unwrap();
        tick.format("%Y-%m-%dT%H:%MZ").to_string()
    };
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
        "+5 * * * *",
        "*/+5 * * * *",
        "1,,2 * * * *",
        "* * * * * *",
        "0 9 * * *\n0 9 * * *",
        "0 9 * * fri-mon",
        "0 9 * * funday",
        "0 0 l * *",
        "0 0 15w * *",
        "0 0 * * mon#1",
        "0 0 ? * *",
        "@reboot",
        "@Daily",
        "@every 5m",
    ] {
        assert!(bad.parse::<Cron>().is_err(), "{bad}");
    }
}

#[test]
fn a_day_that_no_month_has_is_refused_and_a_rare_one_is_not() {
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 2 */7"] {
        let error = never.parse::<Cron>().unwrap_err();
        assert!(error.contains("never due"), "{error}");
    }
    let slots = |cron: &str| -> Vec<String> {
        let cron: Cron = cron.parse().unwrap();
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        cron.slots_from(Zone::UTC, from).take(4).map(|slot| slot.date_naive().to_string()).collect()
    };
    assert_eq!(slots("0 0 29 2 *"), ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]);
    // A weekday that begins with * must match, too: on Sundays only, 40 years apart across 2100.
    assert_eq!(slots("0 0 29 2 */7"), ["2032-02-29", "2060-02-29", "2088-02-29", "2128-02-29"]);
}

#[test]
fn a_word_is_the_line_that_it_stands_for() {
    for (word, line) in [
        ("@hourly", "0 * * * *"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
    ] {
        assert_eq!(five_fields(word), line);
        assert_eq!(word.parse::<Cron>().unwrap(), line.parse::<Cron>().unwrap());
    }
    assert_eq!(five_fields(" 5 9 * * * "), "5 9 * * *");
}

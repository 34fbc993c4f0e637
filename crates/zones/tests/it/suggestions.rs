//! What is suggested for names that are no zone's.

use zones::{UnknownZone, parse_zone};

fn refused(name: &str) -> UnknownZone {
    parse_zone(name).expect_err(name)
}

#[test]
fn a_mistyped_zone_is_refused_with_near_names() {
    assert!(parse_zone("Australia/Sydney").is_ok());
    for (wrong, right) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("est5edt", "EST5EDT"),
        (" Europe/Berlin ", "Europe/Berlin"),
        ("Sydney", "Australia/Sydney"),
        ("America/New York", "America/New_York"),
    ] {
        let error = refused(wrong);
        assert!(error.near.contains(&right), "{error}");
        assert!(error.to_string().contains("did you mean"), "{error}");
    }
    assert_eq!(refused("america/yellowknife").near, ["America/Yellowknife"]);
    assert!(refused("").to_string().contains("IANA"));
    assert!(refused(&"x".repeat(100_000)).name.len() < 100);
}

#[test]
fn an_offset_in_hours_is_the_zone_with_the_inverted_sign() {
    for (wrong, right) in [
        ("GMT+5", "Etc/GMT-5"),
        ("GMT-3", "Etc/GMT+3"),
        ("gmt+05", "Etc/GMT-5"),
        ("UTC+5", "Etc/GMT-5"),
        ("UTC +5", "Etc/GMT-5"),
        ("UTC+05:00", "Etc/GMT-5"),
        ("UTC+0500", "Etc/GMT-5"),
        ("UTC\u{2212}8", "Etc/GMT+8"),
        ("Etc/UTC+5", "Etc/GMT-5"),
        ("+02:00", "Etc/GMT-2"),
        ("-0700", "Etc/GMT+7"),
        ("+14", "Etc/GMT-14"),
        ("-12", "Etc/GMT+12"),
    ] {
        let error = refused(wrong);
        assert_eq!(error.near, [right], "{wrong}");
        assert!(error.to_string().contains("sign in these names is inverted"), "{error}");
    }
    let said = refused("GMT+5").to_string();
    assert!(said.contains("Etc/GMT-5 is 5 hours ahead of UTC, +05:00"), "{said}");
    let said = refused("UTC-1").to_string();
    assert!(said.contains("Etc/GMT+1 is 1 hour behind UTC, -01:00"), "{said}");
    for zero in ["Z", "UTC+0", "+00:00", "GMT+00:00"] {
        assert_eq!(refused(zero).near, ["UTC"], "{zero}");
    }
    // These are names.
    for name in ["GMT+0", "GMT-0", "Etc/GMT+5", "Etc/GMT-14"] {
        assert!(parse_zone(name).is_ok(), "{name}");
    }
}

#[test]
fn an_offset_without_a_zone_needs_a_city() {
    for (wrong, near) in [
        ("UTC+05:30", &["Asia/Kolkata", "Asia/Colombo"][..]),
        ("GMT+5.5", &["Asia/Kolkata", "Asia/Colombo"]),
        ("+0545", &["Asia/Kathmandu"]),
        ("UTC-3:30", &["America/St_Johns"]),
        ("-13:00", &[]),
        ("+01:07", &[]),
    ] {
        let error = refused(wrong);
        assert_eq!(error.near, near, "{wrong}");
        assert!(error.to_string().contains("a city's zone is needed"), "{error}");
    }
}

#[test]
fn abbreviations_and_names_of_windows_lead_to_cities() {
    for (wrong, near) in [
        ("PST", &["America/Los_Angeles", "Asia/Manila"][..]),
        ("cest", &["Europe/Berlin", "Europe/Paris", "Europe/Madrid"]),
        ("IST", &["Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"]),
        ("Eastern Standard Time", &["America/New_York"]),
        ("eastern daylight time", &["America/New_York"]),
        ("W. Europe Standard Time", &["Europe/Berlin"]),
        ("India Standard Time", &["Asia/Calcutta"]),
        ("Tokyo Standard Time", &["Asia/Tokyo"]),
    ] {
        assert_eq!(refused(wrong).near, near, "{wrong}");
    }
    assert!(refused("PST").to_string().contains("abbreviation"));
    assert!(refused("Eastern Standard Time").to_string().contains("Windows"));
    for name in ["EST", "MST", "HST", "EST5EDT", "CET", "EET", "WET"] {
        assert!(parse_zone(name).is_ok(), "{name} is a name of the database");
    }
}

#[test]
fn every_suggestion_is_a_zone_of_the_offset_that_was_meant() {
    let windows = include_str!("../../data/windows.tsv");
    let mut rows = 0;
    for (name, zone) in windows.lines().filter_map(|line| line.split_once('\t')) {
        assert!(parse_zone(zone).is_ok(), "{name}: {zone}");
        rows += 1;
    }
    assert!(rows > 100, "{rows}");
    let words = ["ACDT", "BST", "CDT", "EEST", "MEZ", "NPT", "WITA", "WIT", "TRT", "SST", "CHST"];
    for near in words.iter().flat_map(|word| refused(word).near) {
        assert!(parse_zone(near).is_ok(), "{near}");
    }
    for minutes in -12 * 60..=14 * 60 {
        let sign = if minutes < 0 { '-' } else { '+' };
        let text = format!("{sign}{:02}:{:02}", i32::abs(minutes) / 60, i32::abs(minutes) % 60);
        for near in refused(&text).near {
            let zone = parse_zone(near).unwrap();
            let has = |month| {
                let day = chrono::NaiveDate::from_ymd_opt(2026, month, 10).unwrap();
                let noon = day.and_hms_opt(12, 0, 0).unwrap();
                let offset = chrono::TimeZone::offset_from_utc_datetime(&zone, &noon);
                chrono::Offset::fix(&offset).local_minus_utc() == minutes * 60
            };
            assert!(has(1) || has(7), "{text}: {near}");
        }
    }
}

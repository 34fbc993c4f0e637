//! IANA time zones by name.

use chrono_tz::{TZ_VARIANTS, Tz};

/// How many similar names an error suggests.
const SUGGESTIONS: usize = 3;

/// A name that is not an IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown time zone {name:?}{}", suggestion(.near))]
pub struct UnknownZone {
    /// The name.
    pub name: String,
    /// Similar names, the most similar first.
    pub near: Vec<&'static str>,
}

fn suggestion(near: &[&'static str]) -> String {
    if near.is_empty() {
        "; use an IANA name such as Europe/Berlin or UTC".to_owned()
    } else {
        format!("; did you mean {}?", near.join(", "))
    }
}

/// Finds a zone by its IANA name.
pub fn parse_zone(name: &str) -> Result<Tz, UnknownZone> {
    name.parse()
        .map_err(|_| UnknownZone { name: name.chars().take(64).collect(), near: near(name) })
}

fn near(name: &str) -> Vec<&'static str> {
    let wanted: String = name.chars().take(64).collect::<String>().to_lowercase().replace(' ', "_");
    let most = wanted.len() / 3;
    // Names whose lengths differ by more are not similar, and comparing is expensive: wrong names in
    // requests must not keep the daemon busy.
    let distance = |known: &str| {
        let is_possible = known.len().abs_diff(wanted.len()) <= most;
        is_possible.then(|| strsim::damerau_levenshtein(known, &wanted))
    };
    let mut ranked: Vec<(usize, &'static str)> = TZ_VARIANTS
        .iter()
        .filter_map(|zone| {
            let lower = zone.name().to_lowercase();
            // People often know the city and not the continent.
            let city = lower.rsplit_once('/').and_then(|(_, city)| distance(city));
            let near = distance(&lower).into_iter().chain(city).min()?;
            (near <= most).then(|| (near, zone.name()))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_zone_is_refused_with_near_names() {
        assert!(parse_zone("Australia/Sydney").is_ok());
        for (wrong, right) in [
            ("Europe/Berln", "Europe/Berlin"),
            ("europe/berlin", "Europe/Berlin"),
            ("Sydney", "Australia/Sydney"),
            ("America/New York", "America/New_York"),
        ] {
            let error = parse_zone(wrong).unwrap_err();
            assert!(error.near.contains(&right), "{error}");
            assert!(error.to_string().contains("did you mean"), "{error}");
        }
        assert!(parse_zone("").unwrap_err().to_string().contains("IANA"));
        assert!(parse_zone(&"x".repeat(100_000)).is_err());
    }
}

//! Which rules of time zones are in use, and where the machine's say something else.

use zones::Differences;

use super::Report;

/// How many zones are named.
const NAMED: usize = 12;

impl Report {
    /// The release in use, and the zones that differ.
    pub(super) fn zones(&mut self) {
        self.good(format!("time zones: {}", zones::note()));
        if let Some(differences) = zones::differences().filter(|found| !found.zones.is_empty()) {
            self.warn(told(&differences));
        }
    }
}

fn told(found: &Differences) -> String {
    let many = found.zones.len();
    let mut names = found.zones.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    if many > NAMED {
        names.push_str(&format!(" and {} more", many - NAMED));
    }
    let own = match &found.release {
        Some(release) => format!("{}, tzdata {release}", found.place),
        None => found.place.clone(),
    };
    let what = match found.is_used {
        true => {
            "this machine's are used; elsewhere the same times are others until the program is updated"
        }
        false => {
            "those built in are used; cron and other programs of this machine go by its own: update its tzdata"
        }
    };
    format!(
        "time zones: this machine ({own}) and the program (built in, tzdata {}) differ within two years in {}: {names}; {what}",
        found.built_in,
        shown::counted(many, "zone"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zones_are_named_and_what_follows() {
        let mut found = Differences {
            release: Some("2025b".to_owned()),
            place: "/zoneinfo".to_owned(),
            built_in: "2026a",
            is_used: false,
            zones: vec!["America/Vancouver"],
        };
        let text = told(&found);
        assert!(text.contains("in 1 zone: America/Vancouver; those built in are used"), "{text}");
        assert!(
            text.contains("(/zoneinfo, tzdata 2025b)") && text.contains("tzdata 2026a"),
            "{text}"
        );
        found.zones = vec!["UTC"; 14];
        assert!(told(&found).contains("in 14 zones") && told(&found).contains("and 2 more;"));
    }
}

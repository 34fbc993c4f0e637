//! How long a provider asks to wait: `Retry-After` (RFC 9110, section 10.2.3) and its relatives.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde_json::Value;

/// The longest wait that is believed.
const MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads `retry-after-ms`, else `Retry-After` as seconds (fractions are in use) or as a date.
pub(crate) fn of_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(wait) = text("retry-after-ms").and_then(|ms| seconds(ms, 0.001)) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    seconds(value, 1.0).or_else(|| {
        let date = httpdate::parse_http_date(value.trim()).ok()?;
        // A date that has passed says: now.
        Some(date.duration_since(now).unwrap_or_default().min(MAX))
    })
}

/// Reads the `retryDelay` of a Google error (`google.rpc.RetryInfo`), such as `"34.5s"`.
pub(crate) fn of_google_error(error: &Value) -> Option<Duration> {
    error
        .get("details")?
        .as_array()?
        .iter()
        .find_map(|detail| detail.get("retryDelay")?.as_str()?.strip_suffix('s'))
        .and_then(|text| seconds(text, 1.0))
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    let seconds = text.trim().parse::<f64>().ok()? * unit;
    if !seconds.is_finite() || seconds < 0.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds).map_or(MAX, |wait| wait.min(MAX)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        of_headers(&map, SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777))
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
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")], Some(Duration::from_secs(10))),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:27 GMT")], Some(Duration::ZERO)),
            (&[("retry-after", "1e300")], Some(MAX)),
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

    #[test]
    fn google_says_it_in_the_body() {
        let error = json!({ "details": [
            { "@type": "type.googleapis.com/google.rpc.Help" },
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" },
        ]});
        assert_eq!(of_google_error(&error), Some(Duration::from_millis(34_500)));
        assert_eq!(of_google_error(&json!({ "details": [] })), None);
    }
}

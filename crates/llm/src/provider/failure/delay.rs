//! How long a provider asks to wait, where it is not in `Retry-After`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use retry::MAX_RETRY_AFTER;

/// Limits that providers report with the time at which they are renewed: the header with what
/// remains, and the one with the time.
/// <https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers>,
/// <https://console.groq.com/docs/rate-limits>, <https://docs.anthropic.com/en/api/rate-limits>,
/// <https://openrouter.ai/docs/api-reference/limits>
const RESETS: &[(&str, &str)] = &[
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
    ("anthropic-ratelimit-input-tokens-remaining", "anthropic-ratelimit-input-tokens-reset"),
    ("anthropic-ratelimit-output-tokens-remaining", "anthropic-ratelimit-output-tokens-reset"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
];

/// The wait until the limits that are used up are renewed.
pub(super) fn of_headers(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let used_up = |name: &str| text(name).is_some_and(|left| left.parse::<f64>() == Ok(0.0));
    let waits = RESETS.iter().filter(|(left, _)| used_up(left));
    waits.filter_map(|(_, reset)| reset_at(text(reset)?, now)).max()
}

/// A duration (`6m0s`, `1.57s`, `120ms`), a date, or the milliseconds of one.
pub(super) fn reset_at(text: &str, now: SystemTime) -> Option<Duration> {
    if let Some((wait, "")) = duration(text) {
        return Some(wait);
    }
    let at = match text.parse::<u64>() {
        // OpenRouter sends the time in milliseconds, others in seconds; less is a number of seconds.
        Ok(millis) if millis > 100_000_000_000 => UNIX_EPOCH + Duration::from_millis(millis),
        Ok(seconds) if seconds > 1_000_000_000 => UNIX_EPOCH + Duration::from_secs(seconds),
        Ok(seconds) => return Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER)),
        Err(_) => date(text)?,
    };
    Some(at.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

/// Words that a wait follows in a message.
const BEFORE_WAIT: &[&str] = &[
    "try again in ",
    "please wait ",
    "retry in ",
    "retry after ",
    "try again after ",
    "available in ",
    "resets in ",
];
/// Words that a date follows in a message.
const BEFORE_DATE: &[&str] =
    &["regain access on ", "reset at ", "resets at ", "resets on ", "until "];

/// The wait that a normalized message names: "try again in 7.66s", "retry after 20 seconds", "you will
/// regain access on 2026-01-01 at 00:00 utc".
pub(super) fn of_message(message: &str, now: SystemTime) -> Option<Duration> {
    let after = |words: &[&str]| -> Vec<&str> {
        words.iter().filter_map(|word| Some(message.split_once(word)?.1)).collect()
    };
    let named = after(BEFORE_WAIT).into_iter().find_map(|rest| Some(duration(rest)?.0));
    named.or_else(|| {
        let at = after(BEFORE_DATE).into_iter().find_map(date)?;
        Some(at.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
    })
}

/// A duration at the beginning of a text, such as `1m30s`, `7.66s`, `20ms` or `2 minutes`, and the rest
/// of the text.
fn duration(text: &str) -> Option<(Duration, &str)> {
    let (mut sum, mut rest, mut found) = (0.0, text, false);
    loop {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let Ok(value) = rest[..rest.len() - number.len()].parse::<f64>() else { break };
        let unit_at = number.trim_start();
        let after_unit = unit_at.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let seconds = match &unit_at[..unit_at.len() - after_unit.len()] {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            _ => break,
        };
        (sum, rest, found) = (sum + value * seconds, after_unit, true);
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    let wait = Duration::try_from_secs_f64(sum).unwrap_or(MAX_RETRY_AFTER);
    found.then(|| (wait.min(MAX_RETRY_AFTER), rest))
}

/// A date at the beginning of a text: `2026-01-01`, followed by a time of day in UTC or by nothing.
/// (RFC 3339 and what reads like it; a time in another zone is taken for UTC, and so at most half a
/// day off.)
fn date(text: &str) -> Option<SystemTime> {
    let mut numbers = [0u64; 6];
    let mut rest = text.trim_start_matches('\'');
    for (n, number) in numbers.iter_mut().enumerate() {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = &rest[..rest.len() - after.len()];
        let expected = if n == 0 { 4 } else { 2 };
        match digits.parse() {
            Ok(value) if digits.len() == expected => *number = value,
            _ if n < 3 => return None,
            _ => break,
        }
        rest = match n {
            0 | 1 => after.strip_prefix('-')?,
            2 => after.trim_start_matches([' ', 't', 'T', 'a', ',']),
            _ => after.strip_prefix(':').unwrap_or_default(),
        };
    }
    let [year, month, day, hour, minute, second] = numbers;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by the proleptic Gregorian calendar; the year begins in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let seconds = (days - 719_469) * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// 2026-01-01 00:00:00 UTC.
    fn new_year() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    }

    #[test]
    fn waits_are_read_from_messages() {
        for (message, millis) in [
            ("rate limit reached. please try again in 7.66s. visit x", 7_660),
            ("please try again in 20ms.", 20),
            ("try again in 1m30s", 90_000),
            ("try again in 2h5m1.5s", 7_501_500),
            ("please retry in 25.465784708s.", 25_465),
            ("please retry after 10 seconds.", 10_000),
            ("please try again after 1 seconds", 1_000),
            ("rate limit of 50 per 86400s exceeded. please wait 38712 seconds before", 38_712_000),
            ("you will regain access on 2026-01-01 at 02:00 utc.", 7_200_000),
            ("limit resets at 2026-01-01t00:00:05z", 5_000),
            ("limit resets at 2025-12-01", 0),
        ] {
            let found = of_message(message, new_year()).map(|wait| wait.as_millis());
            assert_eq!(found, Some(millis), "{message}");
        }
        for message in ["try again later", "try again in a while", "retry after the change", ""] {
            assert_eq!(of_message(message, new_year()), None, "{message}");
        }
        let far = of_message("you will regain access on 2027-01-01 at 00:00 utc", new_year());
        assert_eq!(far, Some(MAX_RETRY_AFTER));
    }

    #[test]
    fn only_limits_that_are_used_up_are_waited_for() {
        let wait = |headers: &[(&'static str, &str)]| {
            let pairs = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
            of_headers(&pairs.collect(), new_year())
        };
        let requests = ("x-ratelimit-reset-requests", "2m59.56s");
        assert_eq!(wait(&[("x-ratelimit-remaining-requests", "1"), requests]), None);
        let found = wait(&[("x-ratelimit-remaining-requests", "0"), requests]);
        assert_eq!(found, Some(Duration::from_millis(179_560)));
        let reset = ("anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:07Z");
        let found = wait(&[("anthropic-ratelimit-tokens-remaining", "0"), reset]);
        assert_eq!(found, Some(7 * SECOND));
        let reset = ("x-ratelimit-reset", "1767225609000");
        assert_eq!(wait(&[("x-ratelimit-remaining", "0"), reset]), Some(9 * SECOND));
        assert_eq!(wait(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")]), None);
    }

    #[test]
    fn dates_of_leap_years_are_right() {
        let days =
            |text: &str| date(text).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
        assert_eq!(
            (days("1970-01-01"), days("2000-02-29"), days("2024-03-01")),
            (0, 11_016, 19_783)
        );
        assert_eq!((date("2026-13-01"), date("26-01-01"), date("soon")), (None, None, None));
    }
}

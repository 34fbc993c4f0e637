//! A response of the backend, and assertions on it.

use std::time::{Duration, SystemTime};

use chrono::DateTime;
use http::{HeaderMap, header};
use serde_json::Value;

use crate::verdict::{NotPassed, ensure, failed};

/// How many characters of a body a report shows.
const SHOWN: usize = 200;

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Method and path.
    pub(crate) what: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null if the body is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    /// A response whose body has been read.
    pub(crate) fn new(what: String, status: u16, headers: HeaderMap, text: String) -> Self {
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Self { what, status, headers, text, body }
    }

    /// The response on one short line.
    pub(crate) fn summary(&self) -> String {
        let said = match (self.body["code"].as_str(), self.body["error"].as_str()) {
            (Some(code), _) => code.to_owned(),
            (None, Some(error)) => error.to_owned(),
            (None, None) => self.text.clone(),
        };
        let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let short: String = said.chars().take(SHOWN).collect();
        let dots = if short.len() < said.len() { "…" } else { "" };
        format!("{}: {} {short}{dots}", self.what, self.status)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether it is JSON, under whatever Content-Type.
    pub(crate) fn is_json(&self) -> bool {
        !self.body.is_null()
    }

    /// Whether its Content-Type is one of JSON (RFC 6839, section 3.1, for the suffix).
    pub(crate) fn says_json(&self) -> bool {
        let kind = self.header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(kind.as_str(), "application/json" | "text/json") || kind.ends_with("+json")
    }

    /// Whether the backend says that it repeats the answer to an earlier create.
    pub(crate) fn replayed(&self) -> bool {
        self.header("idempotent-replayed").is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// When to come back, from `Retry-After` and no other header. Clients put up with fractions;
    /// the contract wants whole seconds or a date (RFC 9110, section 10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        let is_number = text.parse::<f64>().is_ok();
        if is_number && !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        retry::retry_after(&self.headers, SystemTime::now())
    }

    /// The JSON of a 200; a failure for anything else.
    pub(crate) fn ok(&self) -> Result<&Value, NotPassed> {
        ensure(self.status == 200, || format!("expected 200, got {}", self.summary()))?;
        ensure(self.is_json(), || format!("expected JSON, got {}", self.summary()))?;
        Ok(&self.body)
    }

    /// The JSON of a 200 or 201; a failure for anything else.
    pub(crate) fn created(&self) -> Result<&Value, NotPassed> {
        let fits = matches!(self.status, 200 | 201);
        ensure(fits, || format!("expected 200 or 201, got {}", self.summary()))?;
        ensure(self.is_json(), || format!("expected JSON, got {}", self.summary()))?;
        Ok(&self.body)
    }

    /// Checks that it is an error in the contract's shape.
    pub(crate) fn check_error_shape(&self) -> Result<(), NotPassed> {
        ensure(self.is_json(), || {
            format!("expected an error as JSON, {{error, code?, details?}}, got {}", self.summary())
        })?;
        let error = self.body["error"].as_str().is_some_and(|error| !error.trim().is_empty());
        ensure(error, || {
            format!("{}: expected a text in \"error\", got {}", self.what, self.text)
        })?;
        let code = self.body.get("code").is_none_or(Value::is_string);
        ensure(code, || {
            format!("{}: expected \"code\" to be a string or absent, got {}", self.what, self.text)
        })
    }

    /// Checks that it is an error of this status, in the contract's shape.
    pub(crate) fn fails(&self, status: u16) -> Result<String, NotPassed> {
        ensure(self.status == status, || format!("expected {status}, got {}", self.summary()))?;
        self.check_error_shape()?;
        Ok(self.summary())
    }

    /// Checks that it is an error of one of these statuses.
    pub(crate) fn fails_as_one_of(&self, statuses: &[u16]) -> Result<String, NotPassed> {
        let fits = statuses.contains(&self.status);
        ensure(fits, || {
            format!("expected one of {}, got {}", serde_json::json!(statuses), self.summary())
        })?;
        self.check_error_shape()?;
        Ok(self.summary())
    }

    /// Checks that it did what was asked, whatever it answers.
    pub(crate) fn done(&self) -> Result<(), NotPassed> {
        let fits = (200..300).contains(&self.status);
        ensure(fits, || format!("expected a success, got {}", self.summary()))
    }

    /// Checks that the request was refused for what it says, and not for who sent it.
    pub(crate) fn refuses(&self) -> Result<String, NotPassed> {
        let fits = (400..500).contains(&self.status) && !matches!(self.status, 401 | 403 | 429);
        ensure(fits, || format!("expected a 4xx for a wrong request, got {}", self.summary()))?;
        self.check_error_shape()?;
        Ok(self.summary())
    }

    /// Checks that it is an error of this status and code.
    pub(crate) fn fails_with(&self, status: u16, code: &str) -> Result<String, NotPassed> {
        self.fails(status)?;
        let fits = self.body["code"] == code;
        ensure(fits, || format!("expected \"code\": \"{code}\", got {}", self.summary()))?;
        Ok(self.summary())
    }

    /// The items of a page.
    pub(crate) fn items(&self) -> Result<&[Value], NotPassed> {
        match self.ok()?["items"].as_array() {
            Some(items) => Ok(items),
            None => failed(format!("expected {{items: […]}}, got {}", self.summary())),
        }
    }

    /// What leads to the next page.
    pub(crate) fn next_cursor(&self) -> Option<String> {
        text_of(&self.body, "next_cursor").map(str::to_owned)
    }

    /// A field that must be a text that is not empty.
    pub(crate) fn text_at(&self, name: &str) -> Result<&str, NotPassed> {
        match text_of(&self.body, name) {
            Some(text) => Ok(text),
            None => failed(format!("expected a text in \"{name}\", got {}", self.summary())),
        }
    }

    /// Checks that fields have these values.
    pub(crate) fn has_fields(&self, expected: &[(&str, Value)]) -> Result<(), NotPassed> {
        for (name, value) in expected {
            let found = &self.body[*name];
            ensure(found == value, || {
                format!("{}: expected \"{name}\": {value}, got {found}", self.what)
            })?;
        }
        Ok(())
    }
}

/// A field that is a text and not empty.
pub(crate) fn text_of<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value[name].as_str().filter(|text| !text.is_empty())
}

/// A field that must be a time as of RFC 3339.
pub(crate) fn time_of(value: &Value, name: &str) -> Result<DateTime<chrono::Utc>, NotPassed> {
    let text = value[name].as_str().unwrap_or_default();
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(time.to_utc()),
        Err(_) => failed(format!("expected a time of RFC 3339 in \"{name}\", got {}", value[name])),
    }
}

/// One field of each item, in order.
pub(crate) fn column<'v>(items: &'v [Value], name: &str) -> Vec<&'v str> {
    items.iter().filter_map(|item| item[name].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], text: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        Answer::new("GET /tasks".to_owned(), status, map, text.to_owned())
    }

    #[test]
    fn only_what_the_contract_allows_says_when_to_come_back() {
        let wait = |headers: &[_]| answer(503, headers, "{}").retry_after();
        assert_eq!(wait(&[("retry-after", " 7 ")]), Some(Duration::from_secs(7)));
        let past = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(wait(&[("retry-after", past)]), Some(Duration::ZERO));
        for wrong in ["", "soon", "1.5", "-1", "1e3", "NaN"] {
            assert_eq!(wait(&[("retry-after", wrong)]), None, "{wrong}");
        }
        assert_eq!(wait(&[("retry-after-ms", "100")]), None);
    }

    #[test]
    fn an_error_is_json_with_a_text_and_no_other_kind_of_code() {
        let json = [("content-type", "application/json; charset=utf-8")];
        let shape = |headers: &[_], text| answer(404, headers, text).check_error_shape().is_ok();
        assert!(shape(&json, r#"{"error": "no such task"}"#));
        assert!(shape(&json, r#"{"error": "no such task", "code": "not_found"}"#));
        assert!(!shape(&json, r#"{"error": " ", "code": "not_found"}"#));
        assert!(!shape(&json, r#"{"error": "x", "code": 404}"#));
        assert!(!shape(&json, r#"{"detail": "Not Found"}"#));
        assert!(shape(&[("content-type", "application/problem+json")], r#"{"error": "x"}"#));
        assert!(!shape(&[("content-type", "text/html")], "<p>x</p>"));
    }

    #[test]
    fn json_has_several_names() {
        let says = |kind: &'static str| answer(200, &[("content-type", kind)], "{}").says_json();
        for kind in ["application/json; charset=utf-8", "text/json", "application/vnd.api+json"] {
            assert!(says(kind), "{kind}");
        }
        assert!(!says("text/html") && !says("application/x-ndjson"));
    }
}

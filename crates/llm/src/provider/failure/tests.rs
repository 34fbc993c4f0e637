use serde::Deserialize;

use super::*;

/// An error as it was documented or reported.
#[derive(Deserialize)]
struct Reported {
    provider: String,
    status: u16,
    meaning: String,
    body: Value,
    /// The wait that it asks for, in milliseconds.
    wait: Option<u64>,
}

impl Reported {
    fn failure(&self) -> Failure {
        let body = match &self.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        failure(self.provider.parse().unwrap(), self.status, &body)
    }
}

fn reported() -> impl Iterator<Item = Reported> {
    let lines = include_str!("../../../tests/data/errors.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap())
}

fn failure(provider: Provider, status: u16, body: &str) -> Failure {
    let status = StatusCode::from_u16(status).unwrap();
    Failure::of_response(provider, status, &HeaderMap::new(), body.as_bytes())
}

#[test]
fn every_reported_error_has_its_meaning() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for error in reported() {
        count += 1;
        let failure = error.failure();
        let found = format!("{:?}", failure.meaning().unwrap());
        if found != error.meaning {
            wrong.push(format!("{found}, not {}: {} {}", error.meaning, error.status, error.body));
        }
        if let Some(wait) = error.wait {
            assert_eq!(failure.retry_after, Some(Duration::from_millis(wait)), "{}", error.body);
        }
    }
    assert!(count >= 200, "{count}");
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_same_errors_within_a_success_have_the_same_meaning() {
    let mut wrong = Vec::new();
    for error in reported().filter(|error| error.body.is_object()) {
        let within = Failure::of_error_object(error.provider.parse().unwrap(), &error.body);
        let found = format!("{:?}", within.meaning().unwrap());
        // What only the status tells cannot be told without one.
        let by_status =
            ["KeyRefused", "Unknown"].contains(&error.meaning.as_str()) || within.said().is_empty();
        if found != error.meaning && !by_status {
            wrong.push(format!("{found}, not {}: {}", error.meaning, error.body));
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_may_pass_is_tried_again() {
    let kind = |status| {
        let failure = failure(Provider::OpenAi, status, "");
        (failure.kind, failure.retryable)
    };
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        assert_eq!(kind(status), (LlmErrorKind::Unavailable, true));
    }
    for status in [501, 505, 520] {
        assert_eq!(kind(status), (LlmErrorKind::Unavailable, false));
    }
    for status in [307, 403, 404, 410, 418] {
        assert_eq!(kind(status), (LlmErrorKind::Rejected, false), "{status}");
    }
}

#[test]
fn an_error_inside_of_a_success_has_the_status_it_stands_for() {
    for (error, status) in [
        (serde_json::json!({"type": "overloaded_error", "message": "Overloaded"}), 529),
        (serde_json::json!({"code": 502, "message": "upstream"}), 502),
        (serde_json::json!({"error": {"type": "rate_limit_error"}}), 429),
        (serde_json::json!({"code": "server_error"}), 529),
        (serde_json::json!({"message": "Internal server error"}), 529),
        (serde_json::json!({"error": {}}), 500),
    ] {
        let failure = Failure::of_error_object(Provider::OpenRouter, &error);
        assert_eq!((failure.status, failure.retryable), (Some(status), true), "{error}");
    }
}

#[test]
fn the_caller_is_told_the_providers_own_sentence() {
    for (status, body, expected) in [
        (
            400,
            r#"{"error":{"message":"The moon is wrong.","code":"bad_moon"}}"#,
            "openai rejected the request: HTTP 400 (bad_moon): The moon is wrong.",
        ),
        (400, "", "openai rejected the request: HTTP 400."),
        (
            429,
            r#"{"error":{"message":"Too many requests."}}"#,
            "openai limits the rate of requests (HTTP 429: Too many requests.). Try again later.",
        ),
        (503, "", "openai is overloaded or unavailable (HTTP 503). Try again later."),
        (
            402,
            r#"{"error":"No money."}"#,
            "The account at openai has used up its quota, credit or spending limit: No money.",
        ),
        (
            400,
            r#"{"error":{"message":"Failed to call a function.","code":"tool_use_failed"}}"#,
            "openai could not use what the model generated: Failed to call a function.",
        ),
    ] {
        let error = failure(Provider::OpenAi, status, body).into_error(Provider::OpenAi);
        assert_eq!(error.message, expected);
    }
    let ended = Failure::bad_end("abort").into_error(Provider::OpenAi);
    assert_eq!(ended.message, "openai ended its answer with \"abort\" instead of completing it.");
}

#[test]
fn models_regions_and_the_minutes_limit_are_told_apart() {
    for (meaning, words) in [
        ("ModelUnavailable", "LLM_MODEL_DEFAULT"),
        ("RegionRefused", "region"),
        ("RequestTooLarge", "in a minute"),
        ("ContextTooLong", "context window"),
    ] {
        let error = reported().find(|error| error.meaning == meaning).unwrap();
        let said = error.failure().into_error(Provider::OpenAi).message;
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_sentence_is_bounded_and_keeps_no_secret() {
    let long = format!("{} sk-canary-0123456789", "word ".repeat(1_000));
    let body = serde_json::json!({ "error": { "message": long, "code": "sk-canary-1" } });
    let failure = failure(Provider::OpenAi, 400, &body.to_string());
    assert_eq!(failure.code, None);
    assert!(failure.cause.len() < 450, "{}", failure.cause.len());
    let body = r#"{"error":{"message":"bad key my-own-key and sk-canary-0123456789"}}"#;
    let failure = super::tests::failure(Provider::OpenAi, 400, body).without_secret("my-own-key");
    let error = failure.into_error(Provider::OpenAi);
    for text in [&error.message, &error.cause] {
        assert!(!text.contains("canary") && !text.contains("my-own-key"), "{text}");
    }
}

#[test]
fn only_a_limit_of_the_minute_and_other_rules_send_a_request_elsewhere() {
    for error in reported() {
        let failure = error.failure();
        let expected = !["ContextTooLong", "Filtered"].contains(&error.meaning.as_str());
        assert_eq!(failure.may_succeed_elsewhere(), expected, "{}", error.body);
    }
}

#[test]
fn a_renewal_is_waited_for_after_a_429_only() {
    let headers: HeaderMap =
        [("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1.5s")]
            .into_iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
    for (status, wait) in [(429, Some(Duration::from_millis(1_500))), (500, None)] {
        let status = StatusCode::from_u16(status).unwrap();
        let failure = Failure::of_response(Provider::Groq, status, &headers, b"");
        assert_eq!(failure.retry_after, wait);
    }
}

proptest::proptest! {
    #[test]
    fn whatever_a_server_says_is_an_error_with_a_bounded_sentence(
        status in 400_u16..600,
        words in proptest::collection::vec("[a-z'`<{:0-9.é ]{0,12}", 0..20),
        wrapped in 0..5,
    ) {
        let mut body = words.join(" try again in ");
        for _ in 0..wrapped {
            body = serde_json::json!({ "error": { "message": body, "code": status } }).to_string();
        }
        let failure = failure(Provider::OpenAi, status, &body);
        assert_eq!(failure.status, Some(status));
        assert!(failure.said().chars().count() <= MAX_SENTENCE_CHARS + 1);
        assert!(!failure.into_error(Provider::OpenAi).message.is_empty());
    }
}

#[test]
fn a_page_in_the_place_of_a_refusal_is_no_word_of_the_provider() {
    let page = "<HTML><title>Access Denied by ACME</title></HTML>";
    for status in [401, 403, 407, 511] {
        let failure = failure(Provider::OpenAi, status, page);
        assert!(!failure.retryable && failure.status == Some(status), "{failure:?}");
        let error = failure.into_error(Provider::OpenAi);
        assert_eq!(error.kind, LlmErrorKind::Unavailable);
        let told = "answered by something in between (Access Denied by ACME)";
        assert!(error.message.contains(told), "{}", error.message);
    }
    let own = failure(Provider::OpenAi, 401, r#"{"error":{"message":"Incorrect API key"}}"#);
    assert!(matches!(own.kind, LlmErrorKind::Auth { .. }), "{own:?}");
}

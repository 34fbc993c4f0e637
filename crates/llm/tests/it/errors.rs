//! Errors as providers send them: what the caller gets, how often the provider is asked, and whether
//! the fallback answers.

use std::time::Duration;

use llm::event::Completion;
use llm::model::{ModelRef, Provider};
use llm::{CallContext, Endpoint, LlmError, LlmErrorKind, LlmSettings};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::server::{Reply, Server, client, drain, hello, settings, weather};

/// An error as it was documented or reported.
#[derive(Deserialize)]
struct Reported {
    provider: String,
    status: u16,
    meaning: String,
    body: Value,
    wait: Option<u64>,
}

const ATTEMPTS: usize = 2;

impl Reported {
    fn all() -> Vec<Self> {
        let lines = include_str!("../data/errors.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn provider(&self) -> Provider {
        self.provider.parse().unwrap()
    }

    fn reply(&self) -> Reply {
        match &self.body {
            Value::String(text) => Reply::text(self.status, text),
            body => Reply::json(self.status, body),
        }
    }

    fn is_elsewhere_the_same(&self) -> bool {
        matches!(self.meaning.as_str(), "ContextTooLong" | "Filtered")
    }

    /// The kind of error, and how often the provider is asked.
    fn expected(&self) -> (LlmErrorKind, usize) {
        let variable = self.provider().key_variable();
        let (kind, retried) = match self.meaning.as_str() {
            "Spent" => (LlmErrorKind::QuotaExhausted, false),
            "KeyRefused" => (LlmErrorKind::Auth { variable }, false),
            "RegionRefused" | "ModelUnavailable" => (LlmErrorKind::Rejected, false),
            "RateLimited" | "Overloaded" | "TimedOut" => (LlmErrorKind::Unavailable, true),
            "RequestTooLarge" | "ContextTooLong" => (LlmErrorKind::ContextTooLong, false),
            "Filtered" => (LlmErrorKind::ContentFiltered, false),
            "BadSample" => (LlmErrorKind::BadAnswer, true),
            "Unknown" if self.status == 502 => (LlmErrorKind::Unavailable, true),
            "Unknown" if self.status > 504 => (LlmErrorKind::Unavailable, false),
            "Unknown" => (LlmErrorKind::Rejected, false),
            _ => (LlmErrorKind::InvalidRequest, false),
        };
        // A wait that is too long is not waited for.
        let waits = self.wait.is_none_or(|wait| Duration::from_millis(wait) <= LONGEST_WAIT);
        // What can be left out is left out once.
        let is_sent = self.provider() != Provider::Mistral;
        let repeated = is_sent && self.body.to_string().contains("stream_options");
        (kind, if retried && waits || repeated { ATTEMPTS } else { 1 })
    }
}

const LONGEST_WAIT: Duration = Duration::from_millis(100);

fn quick(provider: Provider, url: &str) -> LlmSettings {
    let mut settings = settings(provider, "a-model", url);
    settings.retry.attempts = u32::try_from(ATTEMPTS).unwrap();
    settings.retry.delay = Duration::from_millis(1);
    settings.timeouts.waits_total = LONGEST_WAIT;
    settings
}

/// The same with Anthropic's protocol at another server as the fallback.
fn with_fallback(mut settings: LlmSettings, other: &Server) -> LlmSettings {
    settings.endpoints.insert(
        Provider::Anthropic,
        Endpoint { base_url: Some(other.url.clone()), api_key: Some("k".to_owned().into()) },
    );
    settings.fallback = Some(ModelRef::new(Provider::Anthropic, "claude-haiku-4-5"));
    settings
}

async fn other() -> Server {
    Server::start([Reply::json(
        200,
        &json!({ "content": [{ "type": "text", "text": "from the other" }], "role": "assistant",
            "stop_reason": "end_turn", "usage": { "input_tokens": 1, "output_tokens": 1 } }),
    )])
    .await
}

/// How often a model was asked. (Other tests look for servers at free ports, too.)
fn calls_of(server: &Server) -> usize {
    server.asked().iter().filter(|asked| asked.body.is_object()).count()
}

async fn both(settings: LlmSettings) -> [Result<Completion, LlmError>; 2] {
    let client = client(settings);
    let whole = client.complete(&hello(&client), &CallContext::default()).await;
    [whole, drain(&client, hello(&client)).await.1]
}

#[tokio::test]
async fn every_reported_error_is_told_and_retried_as_it_means() {
    for error in Reported::all() {
        let server = Server::start([error.reply()]).await;
        let (kind, calls) = error.expected();
        for (n, result) in both(quick(error.provider(), &server.url)).await.into_iter().enumerate()
        {
            let failed = result.unwrap_err();
            assert_eq!(failed.kind, kind, "{n} {} {}", error.status, error.body);
            assert_eq!(failed.status, Some(error.status), "{}", error.body);
        }
        assert_eq!(calls_of(&server), 2 * calls, "{} {}", error.status, error.body);
    }
}

#[tokio::test]
async fn the_fallback_is_asked_wherever_it_may_answer() {
    for error in Reported::all() {
        if error.provider() == Provider::Anthropic {
            continue;
        }
        let (first, second) = (Server::start([error.reply()]).await, other().await);
        let (_, calls) = error.expected();
        let results = both(with_fallback(quick(error.provider(), &first.url), &second)).await;
        for result in results {
            match result {
                Ok(answer) => {
                    assert_eq!(answer.message.text, "from the other");
                    assert!(!error.is_elsewhere_the_same(), "{}", error.body);
                }
                Err(failed) => assert!(error.is_elsewhere_the_same(), "{failed:?} {}", error.body),
            }
        }
        assert_eq!(calls_of(&first), 2 * calls, "{}", error.body);
    }
}

#[tokio::test]
async fn an_error_in_a_success_means_the_same() {
    let chat = |error: &Reported| !["anthropic", "google"].contains(&error.provider.as_str());
    for error in Reported::all().into_iter().filter(chat) {
        // Without a status of its own, some say less.
        let by_status = ["KeyRefused", "Unknown"].contains(&error.meaning.as_str())
            || error.status == 451
            || error.body.to_string().contains("stream_options");
        let is_error = error.body.get("error").is_some();
        if by_status || !is_error {
            continue;
        }
        let event = format!("data: {}", error.body);
        let started =
            r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
        for reply in [Reply::json(200, &error.body), Reply::events(&[started, &event])] {
            let server = Server::start([reply]).await;
            let (kind, calls) = error.expected();
            for result in both(quick(error.provider(), &server.url)).await {
                assert_eq!(result.unwrap_err().kind, kind, "{}", error.body);
            }
            assert_eq!(calls_of(&server), 2 * calls, "{}", error.body);
        }
    }
}

#[tokio::test]
async fn an_error_after_the_first_text_keeps_its_meaning_and_is_not_retried() {
    let text = r#"data: {"choices":[{"index":0,"delta":{"content":"Half"}}]}"#;
    for (error, kind) in [
        (
            json!({ "code": 500, "message": "Context size has been exceeded." }),
            LlmErrorKind::ContextTooLong,
        ),
        (json!({ "code": 402, "message": "Insufficient credits" }), LlmErrorKind::QuotaExhausted),
        (json!({ "code": 502, "message": "upstream is gone" }), LlmErrorKind::BadAnswer),
    ] {
        let event = format!("data: {}", json!({ "error": error }));
        let server = Server::start([Reply::events(&[text, &event])]).await;
        let client = client(quick(Provider::OpenRouter, &server.url));
        let (texts, end) = drain(&client, hello(&client)).await;
        assert_eq!((texts.len(), end.unwrap_err().kind), (1, kind), "{error}");
        assert_eq!(server.asked().len(), 1, "{error}");
    }
}

#[tokio::test]
async fn what_nobody_knows_is_told_in_the_providers_own_words() {
    let body = json!({ "error": { "message": "The moon is wrong.", "code": "bad_moon" } });
    let server = Server::start([Reply::json(400, &body)]).await;
    for result in both(quick(Provider::Groq, &server.url)).await {
        let error = result.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::Rejected);
        assert!(error.message.contains("The moon is wrong."), "{error}");
        assert!(error.cause.contains("The moon is wrong."), "{}", error.cause);
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_unknown_error_in_a_success_is_told_and_not_retried() {
    let archived =
        json!({ "error": { "message": "Your project is archived", "type": "project_archived" } });
    let spent = json!({ "base_resp": { "status_code": 1008, "status_msg": "no more" } });
    let unknown =
        json!({ "base_resp": { "status_code": 7777, "status_msg": "The moon is wrong" } });
    for (body, kind, told) in [
        (&archived, LlmErrorKind::Rejected, "Your project is archived"),
        (&spent, LlmErrorKind::QuotaExhausted, "(1008): no more"),
        (&unknown, LlmErrorKind::Rejected, "(7777): The moon is wrong"),
    ] {
        let event = format!("data: {body}");
        for reply in [Reply::events(&[&event]), Reply::json(200, body)] {
            let (server, second) = (Server::start([reply]).await, other().await);
            for result in both(quick(Provider::Groq, &server.url)).await {
                let error = result.unwrap_err();
                assert_eq!(error.kind, kind, "{body}");
                assert!(error.message.contains(told), "{error}");
            }
            assert_eq!(calls_of(&server), 2, "{body}");
            for result in both(with_fallback(quick(Provider::Groq, &server.url), &second)).await {
                assert_eq!(result.unwrap().message.text, "from the other");
            }
        }
    }
}

#[tokio::test]
async fn a_limit_that_is_refused_with_ever_other_numbers_is_not_asked_for_without_end() {
    let refusal = |n: usize| {
        let message = format!("max_tokens must be at most {} (request {n})", 90_000 - n);
        Reply::json(400, &json!({ "error": { "message": message, "param": "max_tokens" } }))
    };
    let server = Server::start((0..100).map(refusal)).await;
    let client = client(quick(Provider::OpenRouter, &server.url));
    let mut asked = hello(&client);
    asked.max_output_tokens = Some(100_000);
    client.complete(&asked, &CallContext::default()).await.unwrap_err();
    assert_eq!(calls_of(&server), 17);
}

#[tokio::test]
async fn a_spent_account_says_when_it_comes_back() {
    let message = "You have reached your specified API usage limits. You will regain access on \
                   2999-01-01 at 00:00 UTC.";
    let body = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": message } });
    let server = Server::start([Reply::json(400, &body)]).await;
    let [error, _] = both(quick(Provider::Anthropic, &server.url)).await;
    let error = error.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(24 * 60 * 60)));
    assert!(error.message.contains("2999-01-01"), "{error}");
}

#[tokio::test]
async fn what_made_no_difference_is_not_kept() {
    let refusal = Reply::json(
        400,
        &json!({ "error": { "code": "invalid_function_parameters", "message": "Invalid schema." } }),
    );
    let other = Reply::json(400, &json!({ "error": { "message": "The moon is wrong." } }));
    for second in [refusal.clone(), other] {
        let server = Server::start([refusal.clone(), second, Reply::chat("now")]).await;
        let client = client(quick(Provider::OpenAi, &server.url));
        let mut asked = hello(&client);
        let mut tool = weather();
        tool.parameters["patternProperties"] = json!({ "^x": { "type": "string" } });
        asked.tools = vec![tool].into();
        client.complete(&asked, &CallContext::default()).await.unwrap_err();
        client.complete(&asked, &CallContext::default()).await.unwrap();
        let sent = server.asked();
        let is_plain = |n: usize| {
            sent[n].body["tools"][0]["function"]["parameters"].get("patternProperties").is_none()
        };
        assert_eq!((is_plain(0), is_plain(1), is_plain(2)), (false, true, false));
    }
}

#[tokio::test]
async fn a_limit_that_the_model_names_is_kept_to_from_then_on() {
    let refusal = json!({ "error": { "param": "max_tokens", "code": "invalid_value", "message":
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens." } });
    let server = Server::start([Reply::json(400, &refusal), Reply::chat("now")]).await;
    let client = client(quick(Provider::OpenRouter, &server.url));
    let mut asked = hello(&client);
    asked.max_output_tokens = Some(100_000);
    for _ in 0..2 {
        client.complete(&asked, &CallContext::default()).await.unwrap();
    }
    let sent: Vec<_> =
        server.asked().iter().map(|asked| asked.body["max_tokens"].clone()).collect();
    assert_eq!(sent, [100_000, 16_384, 16_384]);
}

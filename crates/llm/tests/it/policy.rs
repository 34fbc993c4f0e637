//! Retries, the fallback, limits, and what is told of failures.

use std::sync::atomic::Ordering;
use std::time::Duration;

use llm::event::FinishReason;
use llm::model::{ModelRef, Provider};
use llm::{CallContext, Endpoint, LlmErrorKind, LlmSettings};
use serde_json::json;

use crate::server::{Reply, Server, ask, client, drain, hello, open_ai, settings, weather};

fn refused(status: u16) -> Reply {
    Reply::json(status, &json!({ "error": { "message": "sk-canary is no good", "code": "x" } }))
}

#[tokio::test]
async fn a_provider_that_asks_to_wait_is_asked_again_after_that_wait() {
    let server =
        Server::start([refused(429).header("retry-after", "0.3"), Reply::chat("now")]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "now");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(290));
}

#[tokio::test]
async fn whole_seconds_and_dates_are_waits_too() {
    let date = || httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(2));
    for wait in [&|| "1".to_owned(), &date as &dyn Fn() -> String] {
        let wait = &wait();
        let server =
            Server::start([refused(503).header("retry-after", wait), Reply::chat("now")]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "now");
        let asked = server.asked();
        // A date has whole seconds only.
        assert!(asked[1].at - asked[0].at >= Duration::from_millis(600), "{wait}");
    }
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_told_instead() {
    let server = Server::start([refused(429).header("retry-after", "61")]).await;
    let error = ask(&open_ai(&server)).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(61)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_outage_is_not_made_worse_by_retries() {
    let server = Server::start([refused(503)]).await;
    let client = open_ai(&server);
    let calls = 400;
    let asked = (0..calls).map(|_| async { ask(&client).await.unwrap_err() });
    futures::future::join_all(asked).await;
    // A fifth, and ten.
    let asked = server.asked().len();
    assert!((calls..=calls + calls / 5 + 10).contains(&asked), "{asked}");
}

#[tokio::test]
async fn what_may_pass_is_tried_so_often_and_then_told() {
    for status in [408, 409, 429, 500, 502, 503, 504, 529] {
        let server = Server::start([refused(status)]).await;
        let error = ask(&open_ai(&server)).await.unwrap_err();
        assert_eq!((error.kind, error.status), (LlmErrorKind::Unavailable, Some(status)));
        assert_eq!(server.asked().len(), 3, "{status}");
    }
}

#[tokio::test]
async fn what_stays_wrong_is_asked_once_and_no_key_is_told() {
    let quota = Reply::json(
        429,
        &json!({ "error": { "code": "insufficient_quota", "message": "sk-canary" } }),
    );
    let filter =
        Reply::json(400, &json!({ "error": { "code": "content_filter", "message": "sk-canary" } }));
    for (reply, kind) in [
        (refused(401), LlmErrorKind::Auth { variable: Some("OPENAI_API_KEY") }),
        (refused(403), LlmErrorKind::Rejected),
        (refused(404), LlmErrorKind::Rejected),
        (quota, LlmErrorKind::QuotaExhausted),
        (filter, LlmErrorKind::ContentFiltered),
    ] {
        let server = Server::start([reply]).await;
        let error = ask(&open_ai(&server)).await.unwrap_err();
        assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
        assert_eq!(error.kind, kind);
        assert_eq!(server.asked().len(), 1);
    }
}

/// OpenAI's protocol at one server, Anthropic's as the fallback at another.
fn with_fallback(first: &Server, second: &Server) -> LlmSettings {
    let mut settings = settings(Provider::OpenAi, "gpt-4o-mini", &format!("{}/v1", first.url));
    let endpoint =
        Endpoint { base_url: Some(second.url.clone()), api_key: Some("k".to_owned().into()) };
    settings.endpoints.insert(Provider::Anthropic, endpoint);
    settings.fallback = Some(ModelRef::new(Provider::Anthropic, "claude-haiku-4-5"));
    settings
}

#[tokio::test]
async fn the_fallback_answers_when_the_first_cannot() {
    let done = json!({ "content": [{ "type": "text", "text": "from the other" }], "role": "assistant",
        "stop_reason": "end_turn", "usage": { "input_tokens": 1, "output_tokens": 1 } });
    for first in [refused(503), refused(401), refused(400)] {
        let first = Server::start([first]).await;
        let second = Server::start([Reply::json(200, &done)]).await;
        let answer = ask(&client(with_fallback(&first, &second))).await.unwrap();
        assert_eq!(answer.message.text, "from the other");
        assert_eq!(
            (answer.provider, answer.model.as_str()),
            (Provider::Anthropic, "claude-haiku-4-5")
        );
    }
    // A conversation that is too long is too long everywhere.
    let first = Server::start([refused(413)]).await;
    let second = Server::start([Reply::json(200, &done)]).await;
    ask(&client(with_fallback(&first, &second))).await.unwrap_err();
    assert!(second.asked().is_empty());
}

#[tokio::test]
async fn what_broken_attempts_received_is_counted_by_model() {
    let text =
        format!(r#"data: {{"choices":[{{"delta":{{"content":"{}"}}}}]}}"#, "word".repeat(50));
    let end = r#"data: {"choices":[{"delta":{},"finish_reason":"abort"}]}"#;
    let first = Server::start([Reply::events(&[&text, end]), refused(401)]).await;
    let second = Server::start([refused(503)]).await;
    let client = client(with_fallback(&first, &second));
    let call = CallContext::default();
    client.complete(&hello(&client), &call).await.unwrap_err();
    // The refusals received nothing.
    let broken = call.received.broken();
    assert_eq!(broken.len(), 1, "{broken:?}");
    assert_eq!(broken[0].model, ModelRef::new(Provider::OpenAi, "gpt-4o-mini"));
    assert!((50..55).contains(&broken[0].tokens), "{broken:?}");
    assert_eq!(call.received.in_flight(), None);
}

#[tokio::test]
async fn a_stream_is_tried_again_before_its_first_text() {
    let good = Reply::events(&[
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#,
        "data: [DONE]",
    ]);
    let server = Server::start([refused(503), Reply::events(&[]), good]).await;
    let client = open_ai(&server);
    let (texts, end) = drain(&client, hello(&client)).await;
    assert_eq!(texts, ["Hi"]);
    assert_eq!(end.unwrap().message.text, "Hi");
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn silence_is_a_time_out() {
    let begin = r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
    let server = Server::start([Reply::events(&[begin]).silent()]).await;
    let mut settings = settings(Provider::OpenAi, "m", &server.url);
    settings.timeouts.idle = Duration::from_millis(50);
    let client = client(settings);
    let (texts, end) = drain(&client, hello(&client)).await;
    assert_eq!(texts, ["Hi"]);
    assert!(end.unwrap_err().cause.contains("0.05 seconds"));
}

#[tokio::test]
async fn no_answer_at_all_is_a_time_out_and_drops_the_connection() {
    let server = Server::start([Reply::never()]).await;
    let mut settings = settings(Provider::OpenAi, "m", &server.url);
    settings.timeouts.first_byte = Duration::from_millis(50);
    let client = client(settings);
    let whole = ask(&client).await.unwrap_err();
    let streamed = drain(&client, hello(&client)).await.1.unwrap_err();
    for error in [whole, streamed] {
        assert_eq!(error.kind, LlmErrorKind::Unavailable);
        assert!(error.cause.contains("0.05 seconds"), "{}", error.cause);
    }
    assert_eq!(server.asked().len(), 6);
    let dropped = async {
        while server.gone.load(Ordering::SeqCst) < 6 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), dropped).await.is_ok());
}

#[tokio::test]
async fn a_slow_drip_and_comments_are_no_silence() {
    let mut events = vec![": thinking"; 10];
    events
        .push(r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#);
    events.push("data: [DONE]");
    let server = Server::start([Reply::events(&events).drip(30)]).await;
    let mut settings = settings(Provider::OpenAi, "m", &server.url);
    // Far less than the whole takes, far more than a pause.
    settings.timeouts.idle = Duration::from_millis(400);
    let client = client(settings);
    let (texts, end) = drain(&client, hello(&client)).await;
    assert_eq!((texts, end.unwrap().finish_reason), (vec!["Hi".to_owned()], FinishReason::Stop));
}

#[tokio::test]
async fn after_its_first_text_a_stream_goes_to_nobody_else() {
    let piece = r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
    for first in [Reply::events(&[piece]), Reply::events(&[piece]).cut()] {
        let (first, second) = (Server::start([first]).await, Server::start([refused(500)]).await);
        let client = client(with_fallback(&first, &second));
        let (texts, end) = drain(&client, hello(&client)).await;
        assert_eq!(
            (texts, end.unwrap_err().kind),
            (vec!["Hi".to_owned()], LlmErrorKind::BadAnswer)
        );
        assert_eq!((first.asked().len(), second.asked().len()), (1, 0));
    }
}

#[tokio::test]
async fn a_refused_temperature_is_left_out_from_then_on() {
    let refusal = json!({ "error": { "code": "unsupported_value", "param": "temperature",
        "message": "Unsupported value: 'temperature' does not support 0.2 with this model." } });
    let server = Server::start([Reply::json(400, &refusal), Reply::chat("now")]).await;
    let client = open_ai(&server);
    let mut asked = hello(&client);
    asked.temperature = Some(0.2);
    for _ in 0..2 {
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(answer.message.text, "now");
    }
    let sent: Vec<bool> =
        server.asked().iter().map(|asked| asked.body.get("temperature").is_some()).collect();
    assert_eq!(sent, [true, false, false]);
}

#[tokio::test]
async fn a_refused_schema_is_sent_in_plain_words() {
    let refusal = json!({ "error": { "code": "invalid_function_parameters",
        "message": "Invalid schema for function 'weather': 'patternProperties' is not permitted." } });
    let server = Server::start([Reply::json(400, &refusal), Reply::chat("now")]).await;
    let client = open_ai(&server);
    let mut asked = hello(&client);
    let mut tool = weather();
    tool.parameters["patternProperties"] = json!({ "^x": { "type": "string" } });
    asked.tools = vec![tool].into();
    client.complete(&asked, &CallContext::default()).await.unwrap();
    let sent = server.asked();
    let parameters = |n: usize| sent[n].body["tools"][0]["function"]["parameters"].clone();
    assert!(parameters(0).get("patternProperties").is_some());
    assert!(parameters(1).get("patternProperties").is_none());
    let told = parameters(1)["description"].as_str().unwrap().to_owned();
    assert!(told.contains("patternProperties"), "{told}");
    assert_eq!(parameters(1)["properties"], weather().parameters["properties"]);
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let client =
        client(settings(Provider::OpenAi, "m", &format!("http://user:canary@127.0.0.1:{port}/v1")));
    let error = ask(&client).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::Unavailable);
    assert!(error.cause == "connection refused", "{}", error.cause);
    assert!(!format!("{error:?}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn a_missing_key_is_named_and_nobody_is_asked() {
    let client = client(LlmSettings::new(ModelRef::new(Provider::Groq, "llama")));
    assert!(!client.configured());
    let error = client.complete(&hello(&client), &CallContext::default()).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::NotConfigured { variable: "GROQ_API_KEY" });
}

#[tokio::test]
async fn dropping_a_call_drops_its_connection() {
    let piece = r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}"#;
    let server = Server::start([Reply::events(&[piece]).silent()]).await;
    let client = open_ai(&server);
    {
        let mut events = client.stream(hello(&client), CallContext::default());
        events.next().await.unwrap().unwrap();
        assert_eq!(server.gone.load(Ordering::SeqCst), 0);
    }
    let waited = async {
        while server.gone.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waited).await.is_ok());
}

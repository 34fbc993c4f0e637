//! What servers tell of keys, models and tools: fakes by the published answers of servers that cannot be
//! installed here, which refuse every path that the real one does not have.

use std::collections::HashMap;

use llm::ServerFindingKind as Kind;
use llm::model::{ModelRef, Provider};
use llm::request::Message;
use llm::{CallContext, Endpoint, LlmClient, LlmErrorKind, LlmSettings, RetrySettings};
use serde_json::{Value, json};
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::{drain, request};

async fn on(server: &MockServer, verb: &str, at: &str, status: u16, body: Value) {
    let answer = ResponseTemplate::new(status).set_body_json(body);
    Mock::given(method(verb)).and(path(at)).respond_with(answer).mount(server).await;
}

fn client(provider: Provider, base: String, name: &str, key: Option<&str>) -> LlmClient {
    let endpoint = Endpoint { base_url: Some(base), api_key: key.map(|key| key.to_owned().into()) };
    let settings = LlmSettings {
        endpoints: HashMap::from([(provider, endpoint)]),
        retry: RetrySettings { attempts: 1, ..RetrySettings::default() },
        ..LlmSettings::new(ModelRef::new(provider, name))
    };
    LlmClient::new(settings, reqwest::Client::new()).unwrap()
}

async fn ask(
    provider: Provider,
    base: String,
    name: &str,
    key: Option<&str>,
) -> Vec<(Kind, String)> {
    let found = client(provider, base, name, key).ask_servers().await;
    found.into_iter().map(|finding| (finding.kind, finding.text)).collect()
}

fn models(names: &[&str], owner: &str) -> Value {
    let entry = |name: &&str| json!({ "id": name, "object": "model", "owned_by": owner });
    json!({ "object": "list", "data": names.iter().map(entry).collect::<Vec<_>>() })
}

/// <https://docs.ollama.com/api-reference/show-model-details>.
#[tokio::test]
async fn ollama_tells_which_models_take_tools() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/models", 200, models(&["a:latest", "b:1b"], "library")).await;
    for (name, capabilities) in
        [("a", json!(["completion", "tools"])), ("b:1b", json!(["completion"]))]
    {
        let answer =
            ResponseTemplate::new(200).set_body_json(json!({ "capabilities": capabilities }));
        let asked = Mock::given(method("POST")).and(path("/api/show"));
        asked
            .and(body_partial_json(json!({ "model": name })))
            .respond_with(answer)
            .mount(&server)
            .await;
    }
    for provider in [Provider::Ollama, Provider::OpenAi] {
        let base = format!("{}/v1", server.uri());
        let found = ask(provider, base.clone(), "a", None).await;
        assert_eq!(found[0].0, Kind::Answers, "{found:?}");
        let found = ask(provider, base.clone(), "b:1b", None).await;
        assert_eq!(found[0].0, Kind::ToolsUnseen, "{found:?}");
        assert!(found[0].1.contains("takes no tools"), "{found:?}");
        let found = ask(provider, base, "c", None).await;
        assert_eq!((found.len(), found[0].0), (1, Kind::ModelUnknown), "{found:?}");
    }
}

/// <https://lmstudio.ai/docs/developer/rest/endpoints>.
#[tokio::test]
async fn lm_studio_tells_which_models_were_trained_for_tools() {
    let server = MockServer::start().await;
    on(&server, "GET", "/v1/models", 200, models(&["a", "b"], "organization_owner")).await;
    on(&server, "GET", "/api/v0/models/a", 200, json!({ "capabilities": ["tool_use"] })).await;
    on(&server, "GET", "/api/v0/models/b", 200, json!({ "capabilities": [] })).await;
    let base = format!("{}/v1", server.uri());
    assert_eq!(ask(Provider::OpenAi, base.clone(), "a", None).await[0].0, Kind::Answers);
    assert_eq!(ask(Provider::OpenAi, base, "b", None).await[0].0, Kind::ToolsUnseen);
}

/// llama.cpp's list of models is public, its properties are not.
#[tokio::test]
async fn a_wrong_key_is_found_out_where_the_list_of_models_is_public() {
    let server = MockServer::start().await;
    let named = |status: u16, body: Value| {
        ResponseTemplate::new(status).set_body_json(body).insert_header("server", "llama.cpp")
    };
    let list = Mock::given(method("GET")).and(path("/v1/models"));
    list.respond_with(named(200, models(&["x.gguf"], "llamacpp"))).mount(&server).await;
    let props = json!({ "chat_template_caps": { "supports_tools": true } });
    let right = Mock::given(path("/props")).and(header("authorization", "Bearer right"));
    right.respond_with(named(200, props)).mount(&server).await;
    let said = json!({ "error": { "code": 401, "message": "Invalid API Key", "type": "authentication_error" } });
    let wrong = Mock::given(path("/props")).and(header("authorization", "Bearer wrong"));
    wrong.respond_with(named(401, said)).mount(&server).await;
    let base = format!("{}/v1", server.uri());
    let found = ask(Provider::OpenAi, base.clone(), "any", Some("right")).await;
    assert_eq!(found[0].0, Kind::Answers, "{found:?}");
    let found = ask(Provider::OpenAi, base, "any", Some("wrong")).await;
    assert_eq!(found[0].0, Kind::KeyRefused, "{found:?}");
    assert!(found[0].1.contains("Invalid API Key"), "{found:?}");
}

#[tokio::test]
async fn llama_cpp_is_asked_behind_a_proxy_that_takes_its_name_away() {
    let server = MockServer::start().await;
    let props = json!({ "chat_template_caps": { "supports_tools": false } });
    on(&server, "GET", "/llm/props", 200, props).await;
    let base = format!("{}/llm/v1", server.uri());
    let found = ask(Provider::OpenAi, base, "m", None).await;
    assert_eq!((found.len(), found[0].0), (1, Kind::ToolsUnseen), "{found:?}");
}

/// Answers to a wrong key that are no plain 401, with their sources.
#[tokio::test]
async fn a_key_that_is_refused_in_other_words_is_told_with_the_servers_own() {
    let refused = |key: bool| if key { Kind::KeyRefused } else { Kind::Refused };
    for (provider, version, at, status, body, kind, said) in [
        // https://github.com/apoorvdarshan/fud-ai/pull/113
        (
            Provider::Google,
            "",
            "/v1beta/models/m",
            400,
            json!({ "error": { "code": 400, "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT" } }),
            refused(true),
            "API key not valid",
        ),
        // https://docs.x.ai/docs/key-information/debugging
        (
            Provider::Xai,
            "/v1",
            "/v1/models",
            400,
            json!({ "code": "Client specified an invalid argument",
                "error": "Incorrect API key provided: xa***ng. You can obtain an API key from https://console.x.ai." }),
            refused(true),
            "Incorrect API key provided",
        ),
        // https://docs.litellm.ai/docs/proxy/virtual_keys
        (
            Provider::OpenAi,
            "/v1",
            "/v1/models",
            400,
            json!({ "error": { "message": "No connected db.", "type": "no_db_connection", "param": null,
                "code": "400" } }),
            refused(true),
            "No connected db",
        ),
        // A key with few rights may still be good for calls.
        (
            Provider::OpenAi,
            "/v1",
            "/v1/models",
            403,
            json!({ "error": { "message": "You have insufficient permissions for this operation. Missing scopes: api.model.read." } }),
            refused(false),
            "lack a right",
        ),
        // Whatever it means.
        (
            Provider::OpenAi,
            "/v1",
            "/v1/models",
            418,
            json!({ "detail": "who are you" }),
            refused(false),
            "who are you; OPENAI_API_KEY may be wrong",
        ),
    ] {
        let server = MockServer::start().await;
        on(&server, "GET", at, status, body).await;
        let found = ask(provider, format!("{}{version}", server.uri()), "m", Some("wrong")).await;
        assert_eq!((found.len(), found[0].0), (1, kind), "{provider}: {found:?}");
        assert!(found[0].1.contains(said), "{provider}: {found:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_loading_or_has_no_list_is_no_fault_of_the_key() {
    let server = MockServer::start().await;
    let loading = json!({ "error": { "code": 503, "message": "Loading model", "type": "unavailable_error" } });
    on(&server, "GET", "/v1/models", 503, loading).await;
    let found = ask(Provider::OpenAi, format!("{}/v1", server.uri()), "m", Some("k")).await;
    assert_eq!(found[0].0, Kind::Unavailable, "{found:?}");
    assert!(found[0].1.contains("is not ready (HTTP 503: Loading model)"), "{found:?}");
    let silent = MockServer::start().await;
    assert_eq!(ask(Provider::OpenAi, format!("{}/v1", silent.uri()), "m", Some("k")).await, []);
    let found = ask(Provider::OpenAi, "http://127.0.0.1:1/v1".to_owned(), "m", None).await;
    assert!(found[0].1.contains("start it, or correct OPENAI_BASE_URL"), "{found:?}");
}

#[tokio::test]
async fn names_that_a_server_lists_are_shown_at_a_bounded_length() {
    let server = MockServer::start().await;
    let long = "ü".repeat(100_000);
    on(&server, "GET", "/v1/models", 200, models(&[&long, "b"], "x")).await;
    let found = ask(Provider::OpenAi, format!("{}/v1", server.uri()), "m", Some("k")).await;
    let shown = format!("it has {}, b", "ü".repeat(80));
    assert!(found[0].1.ends_with(&shown), "{} bytes", found[0].1.len());
}

/// llama-cpp-python 0.3.36 ends the stream of a call that fails before anything is in it, with 200; only
/// an answer that is no stream says why.
#[tokio::test]
async fn a_server_whose_stream_is_empty_is_asked_for_a_whole_answer() {
    let server = MockServer::start().await;
    let at = || Mock::given(method("POST")).and(path("/v1/chat/completions"));
    let nothing = ResponseTemplate::new(200).set_body_raw("", "text/event-stream");
    let nothing = nothing.insert_header("server", "uvicorn").insert_header("x-request-id", "1");
    let nothing = nothing.insert_header("openai-processing-ms", "2");
    at().and(body_partial_json(json!({ "stream": true })))
        .respond_with(nothing)
        .mount(&server)
        .await;
    let said = "This model's maximum context length is 2048 tokens. However, you requested 9031 tokens (9031 in the messages, None in the completion). Please reduce the length of the messages or completion.";
    let error = json!({ "error": { "message": said, "type": "invalid_request_error", "param": "messages",
        "code": "context_length_exceeded" } });
    let too_long = ResponseTemplate::new(400).set_body_json(error);
    let whole = at().and(body_partial_json(json!({ "stream": false })));
    whole.respond_with(too_long).up_to_n_times(2).mount(&server).await;
    let client = client(Provider::OpenAi, format!("{}/v1", server.uri()), "m", None);
    let asked = request(&client, vec![Message::user("Hello")]);
    let error = client.complete(&asked, &CallContext::default()).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::ContextTooLong, "{error:?}");
    let error = drain(&client, asked.clone()).await.1.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::ContextTooLong, "{error:?}");
    let answer = json!({ "choices": [{ "finish_reason": "stop",
        "message": { "role": "assistant", "content": "Hi" } }] });
    on(&server, "POST", "/v1/chat/completions", 200, answer).await;
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "Hi");
    let sent = server.received_requests().await.unwrap();
    let last: Value = serde_json::from_slice(&sent.last().unwrap().body).unwrap();
    assert_eq!(
        (last["stream"].clone(), last.get("stream_options")),
        (json!(false), None),
        "{last}"
    );
}

#[tokio::test]
async fn a_gateway_whose_stream_is_empty_is_asked_again_as_another_attempt_only() {
    for (name, value) in [
        ("x-litellm-version", "1.108.7"),
        ("server", "cloudflare"),
        ("openai-version", "2020-10-01"),
    ] {
        let server = MockServer::start().await;
        let nothing = ResponseTemplate::new(200).set_body_raw("", "text/event-stream");
        let nothing = nothing.insert_header("server", "uvicorn").insert_header(name, value);
        Mock::given(method("POST")).respond_with(nothing).mount(&server).await;
        let client = client(Provider::OpenAi, format!("{}/v1", server.uri()), "m", None);
        let asked = request(&client, vec![Message::user("Hello")]);
        client.complete(&asked, &CallContext::default()).await.unwrap_err();
        for sent in server.received_requests().await.unwrap() {
            let sent: Value = serde_json::from_slice(&sent.body).unwrap();
            assert_eq!(sent["stream"], true, "{sent}");
        }
    }
}

/// What is paid for must fit into the run's journal.
#[tokio::test]
async fn an_answer_that_nobody_could_store_is_refused_by_its_size() {
    for (texts, fits) in [(6, true), (8, false)] {
        let server = MockServer::start().await;
        let chunk = |delta: Value, end: Value| {
            let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
            format!("data: {}\n\n", json!({ "choices": [choice] }))
        };
        let text = "w".repeat(1024 * 1024);
        let text = chunk(json!({ "content": text }), Value::Null).repeat(texts);
        let stream = format!("{text}{}data: [DONE]\n\n", chunk(json!({}), json!("stop")));
        let answer = ResponseTemplate::new(200).set_body_raw(stream, "text/event-stream");
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        let client = client(Provider::OpenAi, format!("{}/v1", server.uri()), "m", None);
        let asked = request(&client, vec![Message::user("Hello")]);
        match client.complete(&asked, &CallContext::default()).await {
            Ok(answer) => assert!(fits, "{} bytes", answer.message.text.len()),
            Err(error) => {
                assert!(!fits, "{error}");
                assert_eq!(error.kind, LlmErrorKind::BadAnswer);
                assert!(error.message.contains("exceeds the size limit"), "{error}");
            }
        }
    }
}

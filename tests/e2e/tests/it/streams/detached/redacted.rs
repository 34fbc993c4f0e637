//! A redacted run whose instance is killed: another one goes on from the sealed journal, and readers there get the
//! values that neither the model nor the backend's journal has.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::{Value, json};
use test_support::gate::Gate;
use tokio::sync::watch;

use super::super::{Model, World, stack_of};
use super::{PATIENCE, Reader, USER, has_words, text};
use crate::otel::Collector;

const EMAIL: &str = "jane.doe@example.org";
const CARD: &str = "4111 1111 1111 1111";

const AGENTS: &str = r#"{"agents": [{"role": "scout", "redact": {"to": ["provider", "journal", "traces"],
    "kinds": ["email", "phone", "iban", "card", "key"], "mode": "redact-restore"}}]}"#;

/// A model that creates a task for the first placeholder of the message and then tells it, with the second one: in
/// pieces, of which the third waits. Everything that it was sent is kept.
#[derive(Clone)]
struct Echo {
    go: watch::Sender<bool>,
    got: watch::Sender<String>,
}

async fn start() -> (Echo, String) {
    let echo = Echo { go: watch::Sender::new(false), got: watch::Sender::new(String::new()) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/chat/completions", post(answer)).with_state(echo.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (echo, url)
}

async fn answer(State(echo): State<Echo>, body: String) -> Response {
    echo.got.send_modify(|got| got.push_str(&body));
    let body: Value = serde_json::from_str(&body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let user = messages.iter().rfind(|message| message["role"] == "user").unwrap();
    let mut found = user["content"].as_str().unwrap().split("[[").skip(1);
    let mut placeholder = || format!("[[{}]]", found.next().unwrap().split_once("]]").unwrap().0);
    let (first, second) = (placeholder(), placeholder());
    let has_results = messages.iter().any(|message| message["role"] == "tool");
    let event = |delta: Value, reason: Value| {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": reason }]);
        format!("data: {}\n\n", json!({ "choices": choices }))
    };
    let mut events = Vec::new();
    if has_results {
        let (begin, end) = first.split_at(7);
        for piece in ["To ", begin, end, ", ", &second, "."] {
            events.push(event(json!({ "content": piece }), Value::Null));
        }
        events.push(event(json!({}), json!("stop")));
    } else {
        let arguments = json!({ "title": format!("Mail {first}") }).to_string();
        let call = json!([{ "index": 0, "id": "c1", "type": "function",
            "function": { "name": "create_task", "arguments": arguments } }]);
        events.push(event(json!({ "tool_calls": call }), Value::Null));
        events.push(event(json!({}), json!("tool_calls")));
    }
    events.push("data: [DONE]\n\n".to_owned());
    let waits_at = if has_results { 2 } else { usize::MAX };
    let go = echo.go.subscribe();
    let body = futures::stream::unfold((events.into_iter(), 0), move |(mut events, n)| {
        let mut go = go.clone();
        async move {
            let event = events.next()?;
            if n == waits_at {
                let _open = go.wait_for(|go| *go).await;
            }
            Some((Ok::<_, std::io::Error>(event), (events, n + 1)))
        }
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(body))
        .unwrap()
}

/// Everything that the backend keeps of a run.
async fn kept(world: &World, run_key: &str) -> String {
    let mut kept = String::new();
    for path in ["", "/deltas"] {
        let url = format!("{}/api/mission-control/runs/{run_key}{path}", world.stack.backend_url);
        let request = reqwest::Client::new().get(url);
        let request = request.header("x-internal-token", world.stack.internal_token());
        let response = request.header("x-on-behalf-of", USER).send().await.unwrap();
        assert_eq!(response.status(), 200);
        kept += &response.text().await.unwrap();
    }
    kept
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_run_whose_instance_is_killed_goes_on_with_its_values() {
    let (echo, url) = start().await;
    let collector = Collector::default();
    let endpoint = collector.http().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true"),
    ];
    let (stack, options, dir) = stack_of(AGENTS, &url, &settings).await;
    let (model, _) = Model::start(true).await;
    let mut world = World { stack, model, gate: Gate::new(), options, dir };
    let other = &world.stack.daemon_url.clone();
    let (mut victim, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let more = json!({ "idempotency_key": "k", "message": format!("mail {EMAIL}, card {CARD}") });
    let run = world.begin(&url, "redacted", &more).await;
    let path = run["stream"].as_str().unwrap();
    let mut elsewhere = Reader::open(&world, other, path, None).await;
    let mut here = Reader::open(&world, &url, path, None).await;
    assert!(elsewhere.until(has_words).await && here.until(has_words).await);
    // Half a placeholder is told to nobody.
    for reader in [&here, &elsewhere] {
        assert_eq!(text(&reader.told), "To ");
        let call = reader.told.iter().find(|told| told.name == "tool_call").unwrap();
        assert_eq!(call.data["arguments"]["title"], format!("Mail {EMAIL}"));
    }
    victim.kill().await.unwrap();
    echo.go.send_replace(true);
    let end = tokio::time::timeout(PATIENCE, elsewhere.end()).await.unwrap().clone();
    let reply = format!("To {EMAIL}, {CARD}.");
    assert_eq!((&*end.name, &end.data["response"]), ("done", &json!(reply)), "{end:?}");
    assert_eq!(text(&elsewhere.told), reply);
    // Who comes late, and who asks for the report, gets the same.
    let mut late = Reader::open(&world, other, path, None).await;
    late.end().await;
    assert_eq!(text(&late.told), reply);
    let report = world.report(other, &run).await;
    assert_eq!(report["answer"]["response"], reply, "{report}");
    assert!(report.to_string().contains(&format!("Mail {EMAIL}")), "{report}");
    let person = world.stack.person(USER);
    let tasks = person.get("/tasks").await.unwrap();
    assert!(tasks.to_string().contains(&format!("Mail {EMAIL}")), "{tasks}");
    let got = echo.got.borrow().clone();
    let kept = kept(&world, run["run_key"].as_str().unwrap()).await;
    // What is left is sent when the programs stop.
    world.stack.stop().await.unwrap();
    let spans = format!("{:?}", collector.spans());
    assert!(spans.contains("gen_ai.output.messages") && spans.contains("[[email:"), "{spans}");
    let log = world.stack.daemon.log();
    for part in ["jane.doe", "1111 1111", "example.org"] {
        assert!(!spans.contains(part), "{part}: {spans}");
        assert!(!log.contains(part), "{part}: {log}");
        assert!(!got.contains(part), "{part}: {got}");
        assert!(!kept.contains(part), "{part}: {kept}");
    }
    assert!(kept.contains("[[email:") && kept.contains("\"sealed\":"), "{kept}");
}

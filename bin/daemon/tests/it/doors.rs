//! Who may come in, and as whom: headers, name spaces of keys, details for the key's holder only.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{MC, World, message, says};

const KEY: &str = "the-daemons-key";
const ALL: &str = "openai,a2a,ag-ui,mcp";

async fn world(settings: &[(&str, &str)]) -> World {
    let world = World::with(settings, json!({})).await;
    world.write("souls/scout.md", "A scout.");
    let has_scout = |agents: &Value| agents["agents"][0]["role"] == "scout";
    if settings.iter().all(|(name, _)| *name != "AGENT_DAEMON_API_KEY") {
        world.daemon.until("/api/agents", has_scout).await;
    }
    world
}

/// One request of each protocol that reads who its user is.
fn requests() -> [(&'static str, Value); 5] {
    let chat = json!({ "model": "scout", "user": "u1",
        "messages": [{ "role": "user", "content": "hello" }] });
    let a2a = json!({ "message": { "messageId": "k", "role": "ROLE_USER", "taskId": "t1",
        "parts": [{ "text": "hello" }] } });
    let input = json!({ "threadId": "t1", "runId": "k",
        "messages": [{ "role": "user", "content": "hello" }] });
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "ask_scout", "arguments": { "message": "hello", "task_id": "t1" } } });
    [
        ("/api/agents/send", message(json!({}))),
        ("/v1/chat/completions", chat),
        ("/a2a/scout/message:send", a2a),
        ("/ag-ui/scout", input),
        ("/mcp", call),
    ]
}

#[tokio::test]
async fn a_header_that_names_somebody_comes_once_and_in_utf8() {
    let world = world(&[("WOMBAT_PROTOCOLS", ALL)]).await;
    world.model(vec![says("Hello.")]).await;
    for (path, body) in requests() {
        for (name, values) in [
            ("x-wombat-user", &[b"u1".as_slice(), b"u2"][..]),
            ("x-wombat-user", &[b"m\xfcller"]),
            ("x-wombat-user", &[b"u1\tu2"]),
            ("x-wombat-user", &[b" "]),
            ("x-wombat-task-id", &[b"t1", b"t2"]),
            ("x-wombat-session", &[b"a", b"a"]),
            ("x-wombat-resume-run-key", &[b"\xff"]),
            ("idempotency-key", &[b"a", b"b"]),
            ("mcp-session-id", &[b"a", b"b"]),
            ("x-agent-daemon-key", &[b"a", b"b"]),
            ("authorization", &[b"Bearer a", b"Bearer b"]),
        ] {
            let mut call = world.daemon.post(path, &body);
            for value in values {
                let name = HeaderName::from_static(name);
                call = call.header(name, HeaderValue::from_bytes(value).unwrap());
            }
            let response = call.send().await.unwrap();
            let status = response.status().as_u16();
            let text = response.text().await.unwrap();
            assert_eq!(status, 400, "{path} {name}: {text}");
            assert!(text.contains("the header X-") || text.contains("the header "), "{text}");
            assert!(text.to_lowercase().contains(name), "{path} {name}: {text}");
        }
    }
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn a_name_in_utf8_is_that_name() {
    let world = world(&[("WOMBAT_PROTOCOLS", ALL)]).await;
    world.model(vec![says("Hello.")]).await;
    let (path, body) = &requests()[4];
    let name = HeaderValue::from_bytes("müller".as_bytes()).unwrap();
    let call = world.daemon.post(path, body).header("x-wombat-user", name);
    let answer: Value = call.send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["response"], "Hello.", "{answer}");
}

#[tokio::test]
async fn header_and_body_agree_or_nothing_is_done() {
    let world = world(&[("WOMBAT_PROTOCOLS", ALL)]).await;
    world.model(vec![says("Hello.")]).await;
    for (at, name, value) in [
        (0, "x-wombat-user", "u2"),
        (0, "x-wombat-task-id", "t2"),
        (0, "idempotency-key", "other"),
        (1, "x-wombat-user", "u2"),
        (2, "x-wombat-task-id", "t2"),
        (4, "x-wombat-task-id", "t2"),
        (4, "idempotency-key", "other"),
    ] {
        let (path, mut body) = requests()[at].clone();
        match at {
            0 => body["idempotency_key"] = json!("one"),
            4 => body["params"]["arguments"]["idempotency_key"] = json!("one"),
            _ => {}
        }
        let mut call = world.daemon.post(path, &body).header(name, value);
        if name != "x-wombat-user" {
            call = call.header("x-wombat-user", "u1");
        }
        let text = call.send().await.unwrap().text().await.unwrap();
        assert!(text.contains("differs from the header"), "{path} {name}: {text}");
    }
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn equal_keys_of_two_protocols_are_two_runs() {
    let world = world(&[("WOMBAT_PROTOCOLS", ALL)]).await;
    world.model(vec![says("Hello.")]).await;
    for (path, mut body) in requests() {
        if path == "/api/agents/send" {
            body["idempotency_key"] = json!("k");
        }
        let mut call = world.daemon.post(path, &body).header("x-wombat-user", "u1");
        if matches!(path, "/v1/chat/completions" | "/mcp") {
            call = call.header("idempotency-key", "k");
        }
        let response = call.send().await.unwrap();
        assert!(response.status().is_success(), "{path}");
        // A stream's run ends with its reader.
        response.bytes().await.unwrap();
    }
    let by_notification = json!({ "metadata": { "notification_id": "5" } });
    let by_key = json!({ "idempotency_key": "notification:5" });
    for more in [by_notification, by_key, json!({ "idempotency_key": "5" })] {
        assert_eq!(world.daemon.send(&message(more)).await.0, 200);
    }
    let stored = world.backend_got("POST", "/messages").await;
    let keys: std::collections::BTreeSet<String> = stored
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap())
        .map(|body| body["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((stored.len(), keys.len()), (8, 8), "{keys:?}");
}

#[tokio::test]
async fn nobody_cancels_the_call_of_somebody_else() {
    let world = world(&[("WOMBAT_PROTOCOLS", ALL)]).await;
    let slow = says("Hello.").set_delay(std::time::Duration::from_secs(1));
    world.model(vec![slow]).await;
    let (path, body) = requests()[4].clone();
    let first = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    let call = world.daemon.post(path, &first).header("x-wombat-user", "ann").send();
    let session = call.await.unwrap().headers()["mcp-session-id"].clone();
    let asked = world.daemon.post(path, &body).header("x-wombat-user", "ann");
    let asked = tokio::spawn(asked.header("mcp-session-id", session.clone()).send());
    while world.model_got().await.is_empty() {
        tokio::task::yield_now().await;
    }
    let cancel = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled",
        "params": { "requestId": 1 } });
    let stolen = world.daemon.post(path, &cancel).header("x-wombat-user", "bob");
    let stolen = stolen.header("mcp-session-id", session.clone()).send().await.unwrap();
    assert_eq!(stolen.status(), 404);
    let guessed = world.daemon.post(path, &cancel).header("x-wombat-user", "bob").send();
    assert_eq!(guessed.await.unwrap().status(), 202);
    let answer: Value = asked.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["response"], "Hello.", "{answer}");
}

#[tokio::test]
async fn details_are_for_the_keys_holder() {
    let world = world(&[("AGENT_DAEMON_API_KEY", KEY)]).await;
    let url = format!("{}/health", world.daemon.url);
    let health = async |key: Option<&str>| -> Value {
        let call = world.daemon.http.get(&url);
        let call = key.into_iter().fold(call, |call, key| call.header("x-agent-daemon-key", key));
        call.send().await.unwrap().json().await.unwrap()
    };
    for key in [None, Some("wrong")] {
        assert_eq!(health(key).await, json!({ "status": "ok" }));
    }
    let full = health(Some(KEY)).await;
    assert!(full["workspace"]["path"].is_string() && full["backend"]["url"].is_string(), "{full}");
    std::fs::remove_dir_all(world.dir.path()).unwrap();
    let ready = |key: Option<&'static str>| {
        let call = world.daemon.http.get(format!("{}/readyz", world.daemon.url));
        key.into_iter().fold(call, |call, key| call.header("x-agent-daemon-key", key)).send()
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    while ready(None).await.unwrap().status() != 503 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let folder = world.dir.path().display().to_string();
    let public = ready(None).await.unwrap().text().await.unwrap();
    assert!(public.contains("workspace_unreadable") && !public.contains(&folder), "{public}");
    let full = ready(Some(KEY)).await.unwrap().text().await.unwrap();
    assert!(full.contains(&folder), "{full}");
}

#[tokio::test]
async fn without_a_key_a_foreign_host_gets_nothing_at_all() {
    let world = world(&[]).await;
    for (verb, path) in [
        ("GET", "/health"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("OPTIONS", "/api/agents/send"),
        ("POST", "/api/agents/send"),
        ("GET", "/nothing"),
    ] {
        let verb = verb.parse().unwrap();
        let call = world.daemon.http.request(verb, format!("{}{path}", world.daemon.url));
        let response = call.header("host", "evil.example:8081").send().await.unwrap();
        assert_eq!(response.status(), 403, "{path}");
        let text = response.text().await.unwrap();
        assert!(text.contains("foreign_host"), "{path}: {text}");
    }
}

#[tokio::test]
async fn the_backend_is_not_asked_as_often_as_somebody_asks_for_the_health() {
    let world = world(&[]).await;
    let at = format!("{MC}/capabilities");
    let slow = ResponseTemplate::new(200).set_body_json(json!({ "contract_version": "v1" }));
    let slow = slow.set_delay(std::time::Duration::from_secs(1));
    Mock::given(method("GET")).and(path(at)).respond_with(slow).mount(&world.backend).await;
    let before = world.backend_got("GET", "/capabilities").await.len();
    let asked = (0..20).map(|_| world.daemon.get("/health?deep=true"));
    for answer in futures::future::join_all(asked).await {
        let health: Value = answer.json().await.unwrap();
        assert_eq!(health["backend"]["status"], "ok", "{health}");
    }
    assert_eq!(world.backend_got("GET", "/capabilities").await.len() - before, 1);
}

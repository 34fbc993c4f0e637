//! Requests that the official clients of docs/PROTOCOLS.md never send. (Those clients are in tests/e2e.)

use std::time::Duration;

use serde_json::{Value, json};
use service::settings::Layers;
use tokio_util::task::AbortOnDropHandle;
use wiremock::ResponseTemplate;
use wombat_daemon::settings::Settings;

use crate::harness::{Daemon, MC, SECRET, World, says};

const KEY: &str = "the-daemons-key";

async fn world(protocols: &str) -> World {
    let settings = [("WOMBAT_PROTOCOLS", protocols), ("AGENT_DAEMON_API_KEY", KEY)];
    let world = World::with(&settings, json!({})).await;
    world.write("souls/scout.md", "A scout.");
    let url = format!("{}/api/agents", world.daemon.url);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    loop {
        let call = world.daemon.http.get(&url).bearer_auth(KEY);
        let agents: Value = call.send().await.unwrap().json().await.unwrap();
        if agents["agents"][0]["role"] == "scout" {
            return world;
        }
        assert!(std::time::Instant::now() < deadline, "{agents}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Posts a text as JSON.
async fn post(daemon: &Daemon, path: &str, key: &str, body: &str) -> (u16, Value) {
    let call = daemon
        .http
        .post(format!("{}{path}", daemon.url))
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(body.to_owned());
    let response = call.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_protocol_that_is_off_has_no_paths() {
    let world = world("").await;
    for path in ["/v1/chat/completions", "/v1/models", "/mcp", "/ag-ui/scout", "/a2a/scout"] {
        let (status, answer) = post(&world.daemon, path, KEY, "{}").await;
        assert_eq!((status, &answer["code"]), (404, &json!("not_found")), "{path}");
        let (status, answer) = post(&world.daemon, path, "wrong", "{}").await;
        assert_eq!((status, &answer["code"]), (403, &json!("invalid_daemon_key")), "{path}");
    }
}

#[test]
fn an_unknown_protocol_is_a_settings_error() {
    let pairs = [("AGENT_JWT_SECRET", SECRET), ("WOMBAT_PROTOCOLS", "mcp, openapi")];
    let error = Settings::read(&Layers::from_pairs(pairs)).unwrap_err();
    assert_eq!(error.0.len(), 1, "{error}");
    assert!(
        error.0[0].starts_with("WOMBAT_PROTOCOLS: ") && error.0[0].contains("openai?"),
        "{error}"
    );
}

#[tokio::test]
async fn openai_errors_have_openais_form() {
    let world = world("openai").await;
    world.model(vec![says("Hello.")]).await;
    let ask = |more: Value| {
        let mut body = json!({ "model": "scout", "user": "u1",
            "messages": [{ "role": "user", "content": "Hi." }] });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body.to_string()
    };
    let path = "/v1/chat/completions";
    for (key, body, status, code, param) in [
        ("wrong", ask(json!({})), 401, "invalid_daemon_key", json!(null)),
        (KEY, "{".to_owned(), 400, "malformed_json", json!(null)),
        (KEY, "[]".to_owned(), 400, "malformed_json", json!(null)),
        (KEY, ask(json!({ "user": "a:b" })), 400, "invalid_payload", json!("user")),
        (KEY, ask(json!({ "n": 2 })), 400, "invalid_payload", json!("n")),
        (KEY, ask(json!({ "max_tokens": 0 })), 400, "invalid_payload", json!("max_tokens")),
        (KEY, ask(json!({ "stream": "yes" })), 400, "invalid_payload", json!("stream")),
        (KEY, ask(json!({ "model": "../x" })), 404, "model_not_found", json!("model")),
        (KEY, ask(json!({ "messages": [] })), 400, "invalid_payload", json!("messages")),
    ] {
        let (got, answer) = post(&world.daemon, path, key, &body).await;
        let error = &answer["error"];
        assert_eq!(
            (got, &error["code"], &error["param"]),
            (status, &json!(code), &param),
            "{body}"
        );
        assert!(error["message"].is_string() && error["type"].is_string(), "{answer}");
    }
    assert!(world.model_got().await.is_empty());
    let (status, answer) = post(&world.daemon, path, KEY, &ask(json!({}))).await;
    assert_eq!((status, &answer["choices"][0]["message"]["content"]), (200, &json!("Hello.")));
}

#[tokio::test]
async fn openai_answers_say_that_their_usage_is_an_estimate() {
    let world = world("openai").await;
    let message = json!({ "role": "assistant", "content": "Hello." });
    let uncounted = json!({ "id": "c", "object": "chat.completion", "created": 1,
        "model": "gpt-4o-mini",
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }] });
    let uncounted = ResponseTemplate::new(200).set_body_json(uncounted);
    world.model(vec![uncounted, says("Hello.")]).await;
    for estimated in [json!(true), Value::Null] {
        let body = json!({ "model": "scout", "user": "u1",
            "messages": [{ "role": "user", "content": "Hi." }] });
        let (status, answer) =
            post(&world.daemon, "/v1/chat/completions", KEY, &body.to_string()).await;
        assert_eq!((status, &answer["wombat"]["usage_estimated"]), (200, &estimated), "{answer}");
        assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 0, "{answer}");
    }
}

#[tokio::test]
async fn short_pages_of_the_backend_are_followed() {
    use wiremock::matchers::{method, path, query_param, query_param_is_missing};
    let features = json!({ "tool_requests": true, "tasks_get": true, "documents_list": true });
    let settings = [("WOMBAT_PROTOCOLS", "a2a, mcp"), ("AGENT_DAEMON_API_KEY", KEY)];
    let world = World::with(&settings, features).await;
    world.backend_says("GET", "/tasks/t1", 200, json!({ "id": "t1", "title": "x" })).await;
    for (at, item) in [
        (
            "tool-requests",
            json!({ "id": "r1", "task_id": "t1", "tool": "pay", "arguments": {},
            "run_key": "k", "status": "pending" }),
        ),
        ("documents", json!({ "id": "d1", "title": "Report" })),
    ] {
        let page = || wiremock::Mock::given(method("GET")).and(path(format!("{MC}/{at}")));
        let first = page().and(query_param_is_missing("cursor"));
        let body = json!({ "items": [], "next_cursor": "c1" });
        let answer = first.respond_with(ResponseTemplate::new(200).set_body_json(body));
        answer.mount(&world.backend).await;
        let second = page().and(query_param("cursor", "c1"));
        // It leads to itself.
        let body = json!({ "items": [item], "next_cursor": "c1" });
        let answer = second.respond_with(ResponseTemplate::new(200).set_body_json(body));
        answer.mount(&world.backend).await;
    }
    let ask = async |path: &str, method: &str, params: Value| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let call = world.daemon.http.post(format!("{}{path}", world.daemon.url)).json(&body);
        let call = call.bearer_auth(KEY).header("x-wombat-user", "u1").header("a2a-version", "1.0");
        let answer: Value = call.send().await.unwrap().json().await.unwrap();
        answer["result"].clone()
    };
    let task = ask("/a2a/scout", "GetTask", json!({ "id": "t1" })).await;
    assert_eq!(task["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{task}");
    let list =
        async |cursor: &str| ask("/mcp", "resources/list", json!({ "cursor": cursor })).await;
    let first = list("documents").await;
    assert_eq!(first, json!({ "resources": [], "nextCursor": "documents:c1" }));
    let second = list("documents:c1").await;
    assert_eq!(second["resources"][0]["name"], "Report", "{second}");
    assert_eq!(second.get("nextCursor"), None);
}

#[tokio::test]
async fn a2a_errors_have_the_form_of_their_binding() {
    let world = world("a2a").await;
    let request = |method: &str, params: Value| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string()
    };
    let send = |more: Value| {
        let mut message =
            json!({ "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "Hi." }] });
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "message": message })
    };
    for (key, path, body, status, code) in [
        ("wrong", "/a2a/scout", request("ListTasks", json!({})), 401, -32602),
        (KEY, "/a2a/scout", "{".to_owned(), 400, -32700),
        (KEY, "/a2a/scout", "{}".to_owned(), 400, -32600),
        (
            KEY,
            "/a2a/scout",
            json!({ "jsonrpc": "2.0", "id": {}, "method": "x" }).to_string(),
            400,
            -32600,
        ),
        (KEY, "/a2a/scout", request("Nothing", json!({})), 200, -32601),
        (KEY, "/a2a/scout/", request("Nothing", json!({})), 200, -32601),
        // A method of version 0.3, in whose form it is told so.
        (KEY, "/a2a/scout", request("tasks/get", json!({})), 200, -32004),
        (KEY, "/a2a/scout", request("GetTask", json!([])), 200, -32602),
        (KEY, "/a2a/scout", request("GetTask", json!({ "id": 1 })), 200, -32602),
        (KEY, "/a2a/scout", request("GetExtendedAgentCard", json!({})), 200, -32007),
        // The request does not say for which user.
        (KEY, "/a2a/scout", request("ListTaskPushNotificationConfigs", json!({})), 200, -32602),
        (KEY, "/a2a/scout", request("ListTasks", json!({})), 200, -32602),
        (KEY, "/a2a/scout", request("SendMessage", send(json!({}))), 200, -32602),
        (KEY, "/a2a/nobody", request("SendMessage", send(json!({}))), 200, -32602),
    ] {
        let (got, answer) = post(&world.daemon, path, key, &body).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{body}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
    }
    for (key, path, body, status, reason) in [
        ("wrong", "/a2a/scout/message:send", send(json!({})), 401, "INVALID_PARAMS"),
        (KEY, "/a2a/scout/message:send", json!({}), 400, "INVALID_PARAMS"),
        (
            KEY,
            "/a2a/scout/message:stream",
            send(json!({ "parts": [{ "raw": "" }] })),
            400,
            "INVALID_PARAMS",
        ),
        (KEY, "/a2a/scout/message:send/", json!({}), 400, "INVALID_PARAMS"),
        (KEY, "/a2a/scout/message:sing", json!({}), 404, "METHOD_NOT_FOUND"),
        (KEY, "/a2a/scout/tasks/t1:sing", json!({}), 404, "METHOD_NOT_FOUND"),
        (KEY, "/a2a/scout/tasks/t1/pushNotificationConfigs", json!({}), 400, "INVALID_PARAMS"),
    ] {
        let (got, answer) = post(&world.daemon, path, key, &body.to_string()).await;
        let error = &answer["error"];
        assert_eq!(
            (got, &error["code"], &error["details"][0]["reason"]),
            (status, &json!(status), &json!(reason)),
            "{path} {body}: {answer}"
        );
    }
    let call = world.daemon.http.get(format!("{}/a2a/scout/tasks", world.daemon.url));
    let call = call.bearer_auth(KEY).header("x-wombat-user", "u1").header("a2a-version", "0.3");
    let answer = call.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/a2a+json");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["details"][0]["reason"], "VERSION_NOT_SUPPORTED", "{answer}");
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn a2a_clients_of_another_version_and_of_other_types_are_told_so() {
    let world = world("a2a").await;
    let old = json!({ "jsonrpc": "2.0", "id": 7, "method": "message/send", "params": {} });
    let (_, answer) = post(&world.daemon, "/a2a/scout", KEY, &old.to_string()).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(-32_004)), "{answer}");
    assert_eq!(answer["error"]["data"]["supportedVersions"], json!(["1.0"]), "{answer}");
    let (status, answer) = post(&world.daemon, "/a2a/scout/v1/message:send", KEY, "{}").await;
    assert_eq!((status, &answer["code"]), (400, &json!(-32_004)), "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("A2A-Version: 1.0"), "{answer}");

    let new = json!({ "jsonrpc": "2.0", "id": 7, "method": "GetTask", "params": { "id": "t" } });
    let (_, answer) = post(&world.daemon, "/a2a/scout", KEY, &new.to_string()).await;
    let details = &answer["error"]["data"];
    assert_eq!(details[0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo", "{answer}");
    assert_eq!(details[1]["fieldViolations"][0]["field"], "x-wombat-user", "{answer}");

    let call = world.daemon.http.post(format!("{}/a2a/scout/message:send", world.daemon.url));
    let call = call.bearer_auth(KEY).header("content-type", "text/plain").body("{}");
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["error"]["details"][0]["reason"], "CONTENT_TYPE_NOT_SUPPORTED", "{answer}");
}

#[tokio::test]
async fn an_agent_card_is_kept_as_long_as_it_is_the_same() {
    let world = world("a2a").await;
    let get = async |header: Option<(&str, &str)>| {
        let url = format!("{}/a2a/scout/.well-known/agent-card.json", world.daemon.url);
        let mut call = world.daemon.http.get(url).bearer_auth(KEY);
        if let Some((name, value)) = header {
            call = call.header(name, value);
        }
        call.send().await.unwrap()
    };
    let first = get(None).await;
    let header = |name: &str| first.headers()[name].to_str().unwrap().to_owned();
    assert!(header("cache-control").contains("max-age="), "{first:?}");
    let (tag, changed) = (header("etag"), header("last-modified"));
    // Another instance may have seen a later change at that time.
    assert_eq!(get(Some(("if-modified-since", &changed))).await.status(), 200);
    assert_eq!(get(Some(("if-none-match", &tag))).await.status(), 304);
    world.write("skills/new/SKILL.md", "---\nname: new\ndescription: New.\n---\nNew.\n");
    test_support::wait_for("another card", async || {
        let again = get(Some(("if-none-match", &tag))).await;
        (again.status() == 200 && again.headers()["etag"] != *tag).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_openais_edge_does_not_have_is_an_error_of_its_form() {
    let world = world("openai").await;
    for path in ["/v1", "/v1/", "/v1/embeddings", "/v1/responses/resp_1/cancel"] {
        let (status, answer) = post(&world.daemon, path, KEY, "{}").await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!("not_found")), "{path}");
        assert_eq!(answer["error"]["type"], "invalid_request_error", "{path}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(path), "{path}: {answer}");
        let (status, answer) = post(&world.daemon, path, "wrong", "{}").await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (401, &json!("invalid_daemon_key")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn mcp_errors_are_those_of_json_rpc() {
    let world = world("mcp").await;
    let request = |method: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": method }).to_string();
    for (key, body, status, code) in [
        ("wrong", request("ping"), 401, -32600),
        (KEY, "{".to_owned(), 400, -32700),
        (KEY, "[]".to_owned(), 400, -32700),
        (KEY, "{}".to_owned(), 400, -32600),
        (KEY, json!({ "jsonrpc": "2.0", "id": {}, "method": "ping" }).to_string(), 400, -32600),
        (KEY, request("prompts/list"), 200, -32601),
        (KEY, request("tools/call"), 200, -32602),
        (KEY, request("resources/read"), 200, -32602),
    ] {
        let (got, answer) = post(&world.daemon, "/mcp", key, &body).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{body}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0");
    }
    let call = world.daemon.http.get(format!("{}/mcp", world.daemon.url)).bearer_auth(KEY);
    assert_eq!(call.send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn ag_ui_errors_are_its_events() {
    let world = world("ag-ui").await;
    for (key, body, status) in [("wrong", "{}", 401), (KEY, "{", 400), (KEY, "[]", 400)] {
        let (got, answer) = post(&world.daemon, "/ag-ui/scout", key, body).await;
        assert_eq!((got, &answer["type"]), (status, &json!("RUN_ERROR")), "{body}: {answer}");
        assert!(answer["message"].is_string() && answer["code"].is_string(), "{answer}");
    }
    let input = json!({ "threadId": 7, "messages": [{ "role": "user", "content": {} }, 3],
        "context": [{}], "resume": [{ "interruptId": "i", "status": "perhaps" }] });
    let call = world.daemon.post("/ag-ui/scout", &input).bearer_auth(KEY);
    let response = call.header("x-wombat-user", "u1").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let text = response.text().await.unwrap();
    let event: Value = serde_json::from_str(text.trim().strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&event["type"], &event["code"]), (&json!("RUN_ERROR"), &json!("invalid_payload")));
    let fields = event["metadata"]["details"]["fields"].as_object().unwrap();
    let named: Vec<_> = fields.keys().map(String::as_str).collect();
    let wanted = [
        "context.0",
        "messages",
        "messages.0.content",
        "messages.1.content",
        "resume.0.status",
        "runId",
        "threadId",
    ];
    assert_eq!(named, wanted, "{event}");
}

#[tokio::test]
async fn calls_that_bring_files_leave_their_places_to_others_while_they_run() {
    let settings = [
        ("WOMBAT_PROTOCOLS", "a2a, mcp"),
        ("AGENT_DAEMON_API_KEY", KEY),
        ("WOMBAT_MAX_BODY_BYTES", "2000"),
    ];
    let world = World::with(&settings, json!({})).await;
    world.model(vec![says("late").set_delay(Duration::from_secs(60))]).await;
    let data = "YWJj".repeat(1_000);
    let parts = json!([{ "text": "Read." }, { "raw": data, "filename": "a.txt", "mediaType": "text/plain" }]);
    let file = json!({ "name": "a.txt", "media_type": "text/plain", "data": data });
    // More than there are places for such bodies.
    let calls: Vec<_> = (0..20)
        .map(|n| {
            let message =
                json!({ "messageId": format!("m{n}"), "role": "ROLE_USER", "parts": parts });
            let arguments = json!({ "message": "Read.", "attachments": [file] });
            let (path, method, params) = match n % 2 {
                0 => ("/a2a/scout", "SendMessage", json!({ "message": message })),
                _ => ("/mcp", "tools/call", json!({ "name": "ask_scout", "arguments": arguments })),
            };
            let body = json!({ "jsonrpc": "2.0", "id": n, "method": method, "params": params });
            let call = world.daemon.http.post(format!("{}{path}", world.daemon.url));
            let call = call.bearer_auth(KEY).header("x-wombat-user", format!("u{n}")).json(&body);
            AbortOnDropHandle::new(tokio::spawn(call.send()))
        })
        .collect();
    let all_run = async || (world.model_got().await.len() >= calls.len()).then_some(());
    test_support::wait_within(Duration::from_secs(20), "all runs at work", all_run).await;
}

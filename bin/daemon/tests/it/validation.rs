use serde_json::{Value, json};

use crate::harness::{World, message};

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let world = World::new().await;
    let body = json!({
        "user_id": 7, "message": "  ", "messages": [{ "role": "robot", "content": 1 }],
        "metadata": { "timezone": "Mars/Base", "prompt_mode": "huge", "model_tier": 3 },
        "limits": { "max_steps": -1, "timeout_secs": 0 }, "stream": "yes", "task_metadata": []
    });
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_payload")), "{answer}");
    let fields = answer["details"]["fields"].as_object().unwrap();
    for path in [
        "user_id",
        "session_key",
        "message",
        "messages.0.content",
        "messages.0.role",
        "metadata.timezone",
        "metadata.prompt_mode",
        "metadata.model_tier",
        "limits.max_steps",
        "limits.timeout_secs",
        "stream",
        "task_metadata",
    ] {
        assert!(fields.contains_key(path), "{path}: {fields:?}");
    }
}

#[tokio::test]
async fn a_role_can_never_name_a_path() {
    let world = World::new().await;
    for role in ["../x", "a/b", "%2e", "..", "", "-a", "a b", "ä", &"a".repeat(65)] {
        let body = message(json!({ "session_key": format!("user:u1:{role}") }));
        let (status, answer) = world.daemon.send(&body).await;
        assert_eq!(
            (status, &answer["code"]),
            (400, &json!("invalid_session_key")),
            "{role}: {answer}"
        );
        let response =
            world.daemon.get(&format!("/context?role={}", role.replace('%', "%25"))).await;
        assert_eq!(response.status(), 400, "{role}");
    }
    let (status, answer) = world.daemon.send(&message(json!({ "user_id": "u2" }))).await;
    assert_eq!((status, &answer["code"]), (400, &json!("user_mismatch")));
    let (status, answer) =
        world.daemon.send(&message(json!({ "metadata": { "timezone": "Europe/Berln" } }))).await;
    assert_eq!(status, 400);
    assert!(
        answer["details"]["fields"]["metadata.timezone"]
            .as_str()
            .unwrap()
            .contains("Europe/Berlin")
    );
    let (status, answer) = world.daemon.send(&message(json!({ "task_id": null }))).await;
    assert_eq!((status, &answer["code"]), (400, &json!("task_unresolved")));
    let (status, answer) =
        world.daemon.send(&message(json!({ "resume_run_key": "x", "message": null }))).await;
    assert_eq!((status, &answer["code"]), (404, &json!("run_not_found")));
    assert!(world.llm.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn every_error_has_the_one_shape() {
    let world = World::with(&[("WOMBAT_MAX_BODY_BYTES", "2000")], json!({})).await;
    let url = |path: &str| format!("{}{path}", world.daemon.url);
    let http = &world.daemon.http;
    // The backend keeps no journal.
    let of_run = format!("/api/agents/runs/{}?session_key=user:u1:scout", "a".repeat(64));
    let send = || http.post(url("/api/agents/send")).header("content-type", "application/json");
    for (request, status, code) in [
        (http.get(url("/nowhere")), 404, "not_found"),
        (http.get(url("/api/agents/send")), 405, "method_not_allowed"),
        (http.post(url("/api/agents/send")).body("{}"), 415, "unsupported_media_type"),
        (send().body("{"), 400, "malformed_json"),
        (send().body("[]"), 400, "malformed_json"),
        (send().body(" ".repeat(2001)), 413, "payload_too_large"),
        (http.delete(url("/api/agents/runs/none")), 404, "run_not_found"),
        (http.delete(url("/api/agents/runs/%FF")), 400, "invalid_payload"),
        (http.get(url(&of_run)), 400, "feature_missing"),
        (http.delete(url(&of_run)), 400, "feature_missing"),
        (http.get(url("/health?deep=1&deep=1")), 400, "invalid_payload"),
        (http.get(url("/context?role=a&role=b")), 400, "invalid_payload"),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{code}");
        assert!(response.headers().contains_key("x-trace-id"));
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["code"], code, "{body}");
        assert!(body["error"].is_string() && body["details"].is_object(), "{body}");
    }
}

#[tokio::test]
async fn with_a_key_everything_but_the_probes_wants_it() {
    let world = World::with(&[("AGENT_DAEMON_API_KEY", "secret-key")], json!({})).await;
    for path in ["/livez", "/readyz", "/health", "/openapi.json"] {
        assert_eq!(world.daemon.get(path).await.status(), 200, "{path}");
    }
    for path in ["/usage", "/skills", "/context", "/api/agents", "/api/version", "/nowhere"] {
        let response = world.daemon.get(path).await;
        assert_eq!(response.status(), 401, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "missing_daemon_key");
        let request = world.daemon.http.get(format!("{}{path}", world.daemon.url));
        let response = request.header("x-agent-daemon-key", "secret-kez").send().await.unwrap();
        assert_eq!(response.status(), 403, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], "invalid_daemon_key");
    }
    let request = world.daemon.http.get(format!("{}/usage", world.daemon.url));
    let response = request.header("x-agent-daemon-key", "secret-key").send().await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_foreign_web_page_cannot_use_a_daemon_without_a_key() {
    let world = World::new().await;
    for (origin, status) in
        [("https://evil.example", 403), ("null", 403), ("http://localhost:8000", 200)]
    {
        let request = world.daemon.http.get(format!("{}/usage", world.daemon.url));
        let response = request.header("origin", origin).send().await.unwrap();
        assert_eq!(response.status(), status, "{origin}");
    }
    // A host name that was made to resolve to this machine.
    for (host, status) in [("evil.example", 403), ("127.0.0.1.nip.io:80", 403), ("localhost", 200)]
    {
        let request = world.daemon.http.get(format!("{}/usage", world.daemon.url));
        let response = request.header("host", host).send().await.unwrap();
        assert_eq!(response.status(), status, "{host}");
    }
}

//! Rules that cannot be read, and roles that do not exist: at every door, before anything is asked.

use serde_json::{Value, json};

use crate::harness::{ROLES, World, message, says};

const BROKEN: &str =
    "{\"agents\": [{\"role\": \"scout\", \"tools\": {\n\"deny\": [\"create_*\", \"no way\"]}}]}";
const NEXT: &str = "agent \"scout\": tool pattern \"no way\"";

async fn world() -> World {
    World::with(&[("WOMBAT_PROTOCOLS", "openai, a2a, ag-ui, mcp")], json!({})).await
}

/// What each door says to a role: the status, and the answer.
async fn doors(world: &World, role: &str) -> Vec<(&'static str, u16, String)> {
    let session = format!("user:u1:{role}");
    let body = message(json!({ "session_key": session }));
    let resume = message(json!({ "session_key": session, "resume_run_key": "abc" }));
    let turns = json!([{ "role": "user", "content": "hello" }]);
    let openai = json!({ "model": role, "user": "u1", "messages": turns });
    let ag_ui = json!({ "threadId": "t", "runId": "r", "state": {}, "tools": [], "context": [],
        "messages": [{ "id": "1", "role": "user", "content": "hello" }] });
    let part = json!({ "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] });
    let a2a = json!({ "message": part });
    let rpc = |method: &str, params: &Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let ask = json!({ "name": format!("ask_{role}"), "arguments": { "message": "hello" } });
    let posts = [
        ("send", "/api/agents/send".to_owned(), body.clone()),
        ("stream", "/api/agents/stream".to_owned(), body),
        ("resume", "/api/agents/send".to_owned(), resume),
        ("openai", "/v1/chat/completions".to_owned(), openai),
        ("ag-ui", format!("/ag-ui/{role}"), ag_ui),
        ("a2a rpc", format!("/a2a/{role}"), rpc("SendMessage", &a2a)),
        ("a2a rest", format!("/a2a/{role}/message:send"), a2a),
        ("mcp", "/mcp".to_owned(), rpc("tools/call", &ask)),
    ];
    let mut said = Vec::new();
    for (door, path, body) in posts {
        let call = world.daemon.post(&path, &body).header("x-wombat-user", "u1");
        let answer = call.header("a2a-version", "1.0").send().await.unwrap();
        said.push((door, answer.status().as_u16(), answer.text().await.unwrap()));
    }
    for (door, path) in [
        ("context", format!("/context?role={role}")),
        ("model", format!("/v1/models/{role}")),
        ("card", format!("/a2a/{role}/.well-known/agent-card.json")),
    ] {
        let answer = world.daemon.get(&path).await;
        said.push((door, answer.status().as_u16(), answer.text().await.unwrap()));
    }
    said
}

/// Whether a protocol puts its errors into a 200.
fn is_wrapped(door: &str) -> bool {
    ["ag-ui", "a2a rpc", "mcp"].contains(&door)
}

#[tokio::test]
async fn no_door_knows_another_role() {
    let world = world().await;
    world.model(vec![says("Hello.")]).await;
    for (role, hint) in [("Scout", "did you mean"), ("agent", "its roles are scout")] {
        for (door, status, answer) in doors(&world, role).await {
            assert_eq!(status, if is_wrapped(door) { 200 } else { 404 }, "{door}: {answer}");
            assert!(answer.contains("unknown_role"), "{door}: {answer}");
            assert!(answer.contains("the workspace has no role"), "{door}: {answer}");
            assert!(answer.contains(hint) && answer.contains("known_roles"), "{door}: {answer}");
        }
    }
    let (status, answer) =
        world.daemon.send(&message(json!({ "session_key": "user:u1:Scout" }))).await;
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_role")));
    assert_eq!(
        answer["details"],
        json!({ "role": "Scout", "nearest": "scout", "known_roles": ["scout"], "total_roles": 1 })
    );
    assert!(world.model_got().await.is_empty(), "the model was not asked");
    let asked = world.backend.received_requests().await.unwrap();
    let asked: Vec<&str> = asked.iter().map(|request| request.url.path()).collect();
    // What the daemon asks by itself, as user wombat and role system.
    assert!(asked.iter().all(|path| path.ends_with("/capabilities")), "{asked:?}");
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(answer["response"], "Hello.");
}

#[tokio::test]
async fn rules_that_cannot_be_read_at_the_start_stop_every_run_until_they_are_mended() {
    // A daemon of its own, because a world's starts with valid rules.
    let world = world().await;
    world.model(vec![says("Hello.")]).await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("agent-config.json"), BROKEN).unwrap();
    let settings = [("WOMBAT_PROTOCOLS", "openai, a2a, ag-ui, mcp")];
    let (backend, llm) = (world.backend.uri(), world.llm.uri());
    let daemon = crate::harness::Daemon::start(&settings, &backend, &llm, dir.path().into()).await;
    let world = World { daemon, dir, ..world };
    for (door, status, answer) in doors(&world, "scout").await {
        assert_eq!(status, if is_wrapped(door) { 200 } else { 503 }, "{door}: {answer}");
        let answer = answer.replace("\\\"", "\"").replace("\\\\", "");
        assert!(answer.contains("policy_invalid"), "{door}: {answer}");
        assert!(answer.contains("agent-config.json:2: "), "{door}: {answer}");
    }
    for path in ["/readyz", "/api/agents", "/v1/models", "/.well-known/agent-card.json"] {
        let answer = world.daemon.get(path).await;
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.text().await.unwrap().contains("policy_invalid"), "{path}");
    }
    let ready: Value = world.daemon.get("/readyz").await.json().await.unwrap();
    let why = ready["error"].as_str().unwrap();
    assert!(why.contains("agent-config.json:2: ") && why.contains(NEXT), "{why}");
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["workspace"]["policy"], "no_runs");
    assert_eq!(health["workspace"]["problems"][0]["policy"], "no_runs");
    let metrics = world.daemon.get("/metrics").await.text().await.unwrap();
    assert!(metrics.contains("wombat_policy_problems{effect=\"no_runs\"} 1"), "{metrics}");
    assert!(world.model_got().await.is_empty());
    world.write("agent-config.json", ROLES);
    world.daemon.until("/readyz", |ready| ready["status"] == "ok").await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
}

#[tokio::test]
async fn after_a_broken_edit_the_last_rules_go_on_and_are_told() {
    let world = world().await;
    let denied = r#"{"agents": [{"role": "scout", "tools": {"deny": ["create_task"]}}]}"#;
    world.write("agent-config.json", denied);
    let has_rule = |agents: &Value| agents["agents"][0]["tools"]["deny"][0] == "create_task";
    world.daemon.until("/api/agents", has_rule).await;
    for text in [Some(BROKEN), None] {
        match text {
            Some(text) => world.write("agent-config.json", text),
            None => std::fs::remove_file(world.dir.path().join("agent-config.json")).unwrap(),
        }
        let is_told = |health: &Value| {
            let reason = health["workspace"]["problems"][0]["reason"].as_str().unwrap_or_default();
            reason.contains(if text.is_some() { NEXT } else { "does not exist any more" })
        };
        let health = world.daemon.until("/health", is_told).await;
        assert_eq!(health["status"], "degraded");
        assert_eq!(health["workspace"]["policy"], "last_good");
        assert!(has_rule(&world.daemon.get("/api/agents").await.json().await.unwrap()));
        assert_eq!(world.daemon.get("/readyz").await.status(), 200);
        let metrics = world.daemon.get("/metrics").await.text().await.unwrap();
        assert!(metrics.contains("wombat_policy_problems{effect=\"last_good\"} 1"), "{metrics}");
        assert!(metrics.contains("wombat_policy_problems{effect=\"no_runs\"} 0"), "{metrics}");
    }
    world.write("agent-config.json", ROLES);
    world.daemon.until("/health", |health| health["workspace"]["policy"] == "ok").await;
    assert!(!has_rule(&world.daemon.get("/api/agents").await.json().await.unwrap()));
}

#[tokio::test]
async fn a_workspace_without_roles_has_the_role_agent_only() {
    let world = world().await;
    let dir = tempfile::tempdir().unwrap();
    let (backend, llm) = (world.backend.uri(), world.llm.uri());
    let daemon = crate::harness::Daemon::start(&[], &backend, &llm, dir.path().into()).await;
    world.model(vec![says("Hello.")]).await;
    let agents: Value = daemon.get("/api/agents").await.json().await.unwrap();
    assert_eq!(agents["agents"].as_array().unwrap().len(), 1);
    assert_eq!(agents["agents"][0]["role"], "agent");
    assert_eq!(daemon.send(&message(json!({ "session_key": "user:u1:agent" }))).await.0, 200);
    assert_eq!(daemon.send(&message(json!({}))).await.0, 404);
}

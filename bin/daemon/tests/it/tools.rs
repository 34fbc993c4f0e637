use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{ROLES, World, calls, message, says};

const SKILL: &str = "---\nname: schools\ndescription: Finds schools.\n---\n```http\nPOST /api/schools/search\n\
                     GET /api/schools/{school_id}/profile\n```\n";

async fn with_skill(config: &str) -> World {
    let world = World::with(&[], json!({ "tasks_update": true })).await;
    world.write("agent-config.json", config);
    world.write("skills/schools/SKILL.md", SKILL);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while world.daemon.get("/skills").await.json::<Value>().await.unwrap()["total"] != 1 {
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    world
}

/// The tool results in the newest request to the model.
async fn told(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let turns = asked.last().unwrap()["messages"].as_array().unwrap().clone();
    turns
        .iter()
        .filter(|turn| turn["role"] == "tool")
        .map(|turn| turn["content"].to_string())
        .collect()
}

#[tokio::test]
async fn declared_endpoints_are_called_as_the_user_and_their_answers_go_back() {
    let world = with_skill(ROLES).await;
    Mock::given(method("POST"))
        .and(path("/api/schools/search"))
        .respond_with(
            ResponseTemplate::new(200).set_body_json(json!({ "schools": [{ "id": "sch_1" }] })),
        )
        .mount(&world.backend)
        .await;
    Mock::given(method("GET"))
        .and(path("/api/schools/sch_1/profile"))
        .and(query_param("year", "2026"))
        .respond_with(ResponseTemplate::new(404).set_body_json(json!({ "error": "no profile" })))
        .mount(&world.backend)
        .await;
    world.model(vec![
        calls(&[
            ("call_backend", json!({ "method": "POST", "path": "/api/schools/search", "body": { "near": "beach" } })),
            ("call_backend", json!({ "method": "GET", "path": "/api/schools/sch_1/profile?year=2026" })),
            ("create_task", json!({ "title": "Compare" })),
        ]),
        says("done"),
    ]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    let steps = answer["steps"].as_array().unwrap();
    let oks: Vec<_> = steps.iter().map(|step| step["ok"].as_bool().unwrap()).collect();
    assert_eq!(oks, [true, false, true], "{answer}");
    assert_eq!(steps[0]["kind"], "tool");
    assert_eq!(steps[0]["arguments"]["path"], "/api/schools/search");
    let told = told(&world).await;
    assert!(told[0].contains("sch_1") && told[0].contains("untrusted-data"), "{told:?}");
    assert!(told[1].contains("no profile") && told[1].contains("404"), "{told:?}");
    let requests = world.backend.received_requests().await.unwrap();
    let search = requests.iter().find(|r| r.url.path() == "/api/schools/search").unwrap();
    assert!(
        search.headers.contains_key("x-agent-token")
            && search.headers.contains_key("idempotency-key")
    );
    assert_eq!(search.headers.get("authorization"), None);
    let created: Value =
        serde_json::from_slice(&world.backend_got("POST", "/tasks").await[0].body).unwrap();
    assert!(created["idempotency_key"].as_str().unwrap().contains(":create_task:"));
}

#[tokio::test]
async fn nothing_outside_the_declared_endpoints_is_ever_called() {
    let world = with_skill(ROLES).await;
    let attempts: Vec<(&str, Value)> = [
        ("GET", "/api/admin"),
        ("GET", "/api/schools/../admin"),
        ("GET", "/api/schools/%2e%2e/admin"),
        ("DELETE", "/api/schools/search"),
        ("POST", "http://evil.example/api/schools/search"),
        ("POST", "//evil.example/api/schools/search"),
        ("GET", "/api/schools/a%2fb/profile"),
        ("GET", "/api/schools/a\\b/profile"),
        ("POST", "/api/schools/search#x"),
        ("POST", "/API/schools/search"),
        ("GET", "/api/schools/x\r\nHost: evil/profile"),
        ("POST", "@evil.example/api/schools/search"),
        ("TRACE", "/api/schools/search"),
    ]
    .into_iter()
    .map(|(method, path)| ("call_backend", json!({ "method": method, "path": path })))
    .collect();
    let more = [
        (
            "call_backend",
            json!({ "method": "POST", "path": "/api/schools/search", "headers": { "x-agent-token": "x" } }),
        ),
        ("no_such_tool", json!({})),
        ("create_task", json!({ "titel": "x" })),
        ("update_task", json!("not an object")),
    ];
    let all: Vec<_> = attempts.into_iter().chain(more).collect();
    world.model(vec![calls(&all), says("gave up")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["steps"].as_array().unwrap().iter().all(|step| step["ok"] == false), "{answer}");
    let requests = world.backend.received_requests().await.unwrap();
    let outside: Vec<_> = requests
        .iter()
        .map(|r| r.url.path())
        .filter(|p| !p.starts_with("/api/mission-control/"))
        .collect();
    assert!(outside.is_empty(), "{outside:?}");
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    let told = told(&world).await;
    assert!(
        told[0].contains("not declared") && told[0].contains("POST /api/schools/search"),
        "{}",
        told[0]
    );
    assert!(told[told.len() - 2].contains("titel"), "{told:?}");
}

#[tokio::test]
async fn what_the_daemon_keeps_in_metadata_no_tool_writes_or_loses() {
    let world = World::with(&[], json!({ "tasks_update": true })).await;
    let own = json!({ "scout": [{ "id": "1", "url": "https://a.example/", "mac": "0" }] });
    let task = json!({ "id": "t", "title": "T", "status": "pending",
        "metadata": { "a2a_push": own, "a2a_runs": { "scout": "k" }, "old": 1 } });
    for verb in ["GET", "PATCH"] {
        world.backend_says(verb, "/tasks/t", 200, task.clone()).await;
    }
    let update = |metadata: Value| ("update_task", json!({ "task_id": "t", "metadata": metadata }));
    let create = json!({ "title": "N", "metadata": { "a2a_runs": {} } });
    let all = [
        update(json!({ "a2a_push": {} })),
        ("create_task", create),
        update(json!({ "note": "new" })),
    ];
    world.model(vec![calls(&all), says("ok")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    let ok: Vec<_> = answer["steps"].as_array().unwrap().iter().map(|step| &step["ok"]).collect();
    assert_eq!(ok, [false, false, true], "{answer}");
    assert!(told(&world).await[0].contains("metadata.a2a_push"), "{answer}");
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    let written = world.backend_got("PATCH", "/tasks/t").await;
    assert_eq!(written.len(), 1);
    let written: Value = serde_json::from_slice(&written[0].body).unwrap();
    let expected = json!({ "a2a_push": own, "a2a_runs": { "scout": "k" }, "note": "new" });
    assert_eq!(written["metadata"], expected);
}

#[tokio::test]
async fn a_role_may_be_narrowed_and_what_needs_a_person_is_not_done() {
    let world = with_skill(
        r#"{"agents": [{"role": "scout", "tools": {
        "deny": ["POST /api/schools/search", "update_task"], "approval": ["create_document"]}}]}"#,
    )
    .await;
    world
        .model(vec![
            calls(&[
                ("call_backend", json!({ "method": "POST", "path": "/api/schools/search" })),
                ("create_document", json!({ "title": "t", "content": "c" })),
                ("update_task", json!({ "task_id": "t", "status": "done" })),
            ]),
            says("ok"),
        ])
        .await;
    world.daemon.send(&message(json!({}))).await;
    let told = told(&world).await;
    assert!(
        told[0].contains("may not call POST /api/schools/search")
            && told[0].contains("agent-config.json"),
        "{told:?}"
    );
    assert!(told[1].contains("approval"), "{told:?}");
    assert!(told[2].contains("denied by") && !told[2].contains("there is no tool"), "{told:?}");
    assert!(world.backend_got("POST", "/documents").await.is_empty());
    let offered = world.model_got().await[0]["tools"].to_string();
    assert!(!offered.contains("update_task") && offered.contains("call_backend"), "{offered}");
}

#[tokio::test]
async fn a_call_that_may_have_worked_is_repeated_under_its_own_key() {
    let world = World::new().await;
    world.backend_says("POST", "/tasks", 503, json!({ "error": "busy" })).await;
    let call = || calls(&[("create_task", json!({ "title": "Call Ann" }))]);
    world.model(vec![call(), call(), says("I could not.")]).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    let sent = world.backend_got("POST", "/tasks").await;
    let keys: std::collections::BTreeSet<String> = sent
        .iter()
        .map(|request| {
            serde_json::from_slice::<Value>(&request.body).unwrap()["idempotency_key"].to_string()
        })
        .collect();
    assert_eq!((sent.len() > 3, keys.len()), (true, 1), "{keys:?}");
    // A call that surely succeeded is made again when the model repeats it.
    let world = World::new().await;
    world.model(vec![call(), call(), says("Done twice.")]).await;
    world.daemon.send(&message(json!({}))).await;
    let sent = world.backend_got("POST", "/tasks").await;
    let key = |n: usize| {
        serde_json::from_slice::<Value>(&sent[n].body).unwrap()["idempotency_key"].to_string()
    };
    assert_eq!(sent.len(), 2);
    assert_ne!(key(0), key(1));
}

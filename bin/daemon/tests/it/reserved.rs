//! What of the contract no model reaches, whatever a skill or a document declares.

use serde_json::{Value, json};

use crate::harness::{MC, World, calls, message, says};

/// A skill that declares everything.
fn skill() -> String {
    let all = ["GET", "POST", "DELETE"].into_iter().flat_map(|method| {
        let paths =
            ["/api/mission-control/tool-requests/{id}/decision", "/api/**", "/API/**", "/x/**"];
        paths.map(|path| format!("{method} {path}\n"))
    });
    let all: String = all.collect();
    format!("---\nname: control\ndescription: The control plane.\n---\n```http\n{all}```\n")
}

#[tokio::test]
async fn a_person_s_word_cannot_be_given_by_a_model() {
    let world = World::new().await;
    world.write("skills/control/SKILL.md", &skill());
    world.daemon.reloaded("The control plane.").await;
    for part in ["tool-requests", "approval-rules", "runs", "sessions", "profile", "audit"] {
        let paths = [
            format!("{MC}/{part}"),
            format!("{MC}/{part}/7"),
            format!("{MC}/{}", part.to_uppercase()),
            format!("/API/Mission-Control/{part}"),
            format!("{MC}//{part}"),
            format!("{MC}/./{part}"),
            format!("{MC}/tasks/../{part}"),
            format!("{MC}/tasks/%2e%2e/{part}"),
            format!("{MC}/%{:x}{}", part.as_bytes()[0], &part[1..]),
            format!("{MC}/%25{:x}{}", part.as_bytes()[0], &part[1..]),
            format!("{MC}%2f{part}"),
            format!("{MC}/{part};a"),
            format!("/x{MC}/{part}"),
        ];
        let all = paths.iter().flat_map(|path| {
            ["GET", "POST", "DELETE"].map(|method| {
                ("call_backend", json!({ "method": method, "path": path, "body": {} }))
            })
        });
        let all: Vec<_> = all.collect();
        world.llm.reset().await;
        world.model(vec![calls(&all), says("ok")]).await;
        let (status, answer) = world.daemon.send(&message(json!({}))).await;
        assert_eq!(status, 200, "{answer}");
        let steps = answer["steps"].as_array().unwrap();
        assert_eq!(steps.len(), all.len());
        for step in steps {
            let why = step["error"].as_str().unwrap_or_default();
            let is_refused = why.contains("control plane's own") || why.contains("a path must not");
            assert!(is_refused, "{step}");
        }
    }
    let received = world.backend.received_requests().await.unwrap();
    let own = [format!("{MC}/capabilities"), format!("{MC}/messages")];
    let paths = received.iter().map(|request| request.url.path());
    let reached: Vec<_> = paths.filter(|path| !own.iter().any(|own| own == path)).collect();
    assert!(reached.is_empty(), "{reached:?}");
    // The rest of the contract is callable, as declared.
    let tasks = json!({ "method": "GET", "path": format!("{MC}/tasks") });
    world.llm.reset().await;
    world.model(vec![calls(&[("call_backend", tasks)]), says("ok")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
}

#[tokio::test]
async fn an_imported_document_gives_no_tool_for_it() {
    let operation = |id: &str| json!({ "operationId": id, "responses": {} });
    let named =
        json!({ "name": "what", "in": "path", "required": true, "schema": { "type": "string" } });
    let any = json!({ "operationId": "any", "parameters": [named], "responses": {} });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "t", "version": "1" }, "paths": {
        "/api/mission-control/tool-requests/{id}/decision": { "post": operation("decide") },
        "/api/mission-control/Profile": { "get": operation("profile") },
        "/api/mission-control/{what}": { "get": any },
        "/api/mission-control/tasks": { "get": operation("their_tasks") },
    } });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, document.to_string()).unwrap();
    let path = file.display().to_string();
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", &path)], json!({})).await;
    let agents = json!({ "agents": [{ "role": "scout", "tools": {
        "allow": ["decide", "profile", "any", "their_tasks"] } }] });
    world.write("agent-config.json", &agents.to_string());
    world.write("AGENTS.md", "Read anew.");
    world.daemon.reloaded("Read anew.").await;
    let calls = calls(&[("any", json!({ "what": "audit" })), ("their_tasks", json!({}))]);
    world.model(vec![calls, says("ok")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    let asked = world.model_got().await;
    let tools = asked[0]["tools"].as_array().unwrap();
    let names: Vec<&Value> = tools.iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["any", "their_tasks"], "{names:?}");
    let steps = &answer["steps"];
    assert_eq!((&steps[0]["ok"], &steps[1]["ok"]), (&json!(false), &json!(true)), "{answer}");
    assert!(steps[0]["error"].as_str().unwrap().contains("control plane's own"), "{answer}");
    assert!(world.backend_got("GET", "/audit").await.is_empty());
}

#[tokio::test]
async fn no_model_names_agents_in_a_message_beside_the_limits() {
    let world = World::new().await;
    world.write("skills/control/SKILL.md", &skill());
    world.daemon.reloaded("The control plane.").await;
    let path = format!("{MC}/messages");
    let post = |field: &str| {
        let body = json!({ "task_id": "t", "content": "by hand", field: [] });
        ("call_backend", json!({ "method": "POST", "path": path, "body": body }))
    };
    let all = ["mentions", "chain", "Mentions", "data"].map(post);
    world.model(vec![calls(&all), says("ok")]).await;
    let (_, answer) = world.daemon.send(&message(json!({}))).await;
    let steps = answer["steps"].as_array().unwrap();
    for step in &steps[..3] {
        let why = step["error"].as_str().unwrap_or_default();
        assert!(why.contains("names others in this way"), "{step}");
    }
    let got = world.backend_got("POST", "/messages").await;
    let by_hand = got.iter().filter(|one| String::from_utf8_lossy(&one.body).contains("by hand"));
    assert_eq!(by_hand.count(), 1);
}

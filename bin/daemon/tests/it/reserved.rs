//! What of the contract no model reaches, whatever a skill or a document declares.

use serde_json::{Value, json};

use crate::harness::{MC, World, calls, message, says};

const SKILL: &str = "---\nname: control\ndescription: The control plane.\n---\n```http\n\
                     POST /api/mission-control/tool-requests/{id}/decision\n\
                     * /api/mission-control/**\n* /api/**\n* /API/**\n* /{a}/{b}/{c}\n* /{a}/{b}/{c}/{d}\n```\n";

#[tokio::test]
async fn a_person_s_word_cannot_be_given_by_a_model() {
    let world = World::new().await;
    world.write("skills/control/SKILL.md", SKILL);
    world.daemon.reloaded("The control plane.").await;
    let mut turns = Vec::new();
    let mut paths = Vec::new();
    for part in ["tool-requests", "approval-rules", "runs", "sessions", "profile", "audit"] {
        for path in [
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
        ] {
            for method in ["GET", "POST", "DELETE"] {
                let arguments = json!({ "method": method, "path": path, "body": {} });
                turns.push(("call_backend", arguments));
            }
            paths.push(path);
        }
    }
    let count = turns.len();
    world.model(vec![calls(&turns), says("ok")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let steps = answer["steps"].as_array().unwrap();
    assert_eq!(steps.len(), count);
    assert!(steps.iter().all(|step| step["ok"] == false), "{answer}");
    let received = world.backend.received_requests().await.unwrap();
    let own = |request: &&wiremock::Request| {
        let path = request.url.path();
        ![format!("{MC}/capabilities"), format!("{MC}/messages")].contains(&path.to_owned())
    };
    let reached: Vec<_> =
        received.iter().filter(own).map(|request| request.url.path().to_owned()).collect();
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

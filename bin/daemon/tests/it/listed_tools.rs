//! Which roles may call which tool, and by which rule; the short names of operations.

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{World, calls, message, says};

/// What a role may do with a tool, and why.
async fn verdict(world: &World, tool: &str, role: &str) -> (String, String) {
    let listed: Value = world.daemon.get("/tools").await.json().await.unwrap();
    let tools = listed["tools"].as_array().unwrap();
    let tool = tools.iter().find(|known| known["name"] == tool).unwrap();
    let roles = tool["roles"].as_array().unwrap();
    let found = roles.iter().find(|known| known["role"] == role).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&found["may_call"]), text(&found["why"]))
}

fn is(may: &str, why: &str) -> (String, String) {
    (may.to_owned(), why.to_owned())
}

/// A daemon whose application describes itself as FastAPI does, with these roles.
async fn world(roles: Value) -> World {
    let features = json!({ "tool_requests": true, "run_journal": false });
    let world = World::with(&[("WOMBAT_BACKEND_OPENAPI", "/openapi.json")], features).await;
    let operation = |id: &str| json!({ "operationId": id, "responses": { "200": {} } });
    let document = json!({ "openapi": "3.1.0", "info": { "title": "T", "version": "1" }, "paths": {
        "/schools": { "get": operation("list_schools_schools_get"), "post": operation("add_schools_post") },
    } });
    let answer = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    let at = |verb: &str, place: &str| Mock::given(method(verb)).and(path(place));
    at("GET", "/openapi.json").respond_with(answer(document)).mount(&world.backend).await;
    at("GET", "/schools").respond_with(answer(json!(["Seaview"]))).mount(&world.backend).await;
    world.write("agent-config.json", &json!({ "agents": roles }).to_string());
    world.write(
        "skills/schools/SKILL.md",
        "---\nname: schools\ndescription: Finds schools.\n---\n```http\nGET /schools\nPOST /schools\n```\n",
    );
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    let count = roles.as_array().unwrap().len();
    world.daemon.until("/api/agents", |all| all["agents"].as_array().unwrap().len() == count).await;
    world
}

#[tokio::test]
async fn each_tool_tells_which_roles_may_call_it_and_by_which_rule() {
    let world = world(json!([
        { "role": "scout", "tools": { "deny": ["create_task", "list_schools_schools_get"] } },
        { "role": "boss", "tools": { "approval": ["POST /schools", "create_document"] } },
        { "role": "none", "tools": { "allow": ["list_tasks"] } },
    ]))
    .await;
    let denied = is("no", "denied by \"create_task\" in agent-config.json");
    assert_eq!(verdict(&world, "create_task", "scout").await, denied);
    assert_eq!(verdict(&world, "create_task", "boss").await, is("yes", ""));
    let waits = is("with_approval", "\"create_document\" in agent-config.json");
    assert_eq!(verdict(&world, "create_document", "boss").await, waits);
    let waits = is("with_approval", "\"POST /schools\" in agent-config.json");
    assert_eq!(verdict(&world, "add", "boss").await, waits);
    assert_eq!(verdict(&world, "call_backend", "boss").await, waits);
    // A rule may say the whole name that the document has.
    let denied = is("no", "denied by \"list_schools_schools_get\" in agent-config.json");
    assert_eq!(verdict(&world, "list_schools", "scout").await, denied);
    let unnamed = is("no", "\"allow\" in agent-config.json does not name it");
    assert_eq!(verdict(&world, "create_task", "none").await, unnamed);
    assert_eq!(verdict(&world, "list_tasks", "none").await, is("yes", ""));
    assert_eq!(verdict(&world, "call_backend", "none").await.0, "no");
}

#[tokio::test]
async fn an_operation_is_called_by_its_short_name_or_the_whole_one() {
    let world =
        world(json!([{ "role": "scout", "tools": { "deny": ["add_schools_post"] } }])).await;
    let calls =
        ["list_schools", "list_schools_schools_get", "add", "add_schools_post", "create_tsk"];
    let calls: Vec<_> = calls.iter().map(|name| self::calls(&[(name, json!({}))])).collect();
    world.model(calls.into_iter().chain([says("done")]).collect()).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let offered = world.model_got().await[0]["tools"].to_string();
    assert!(offered.contains("\"list_schools\"") && !offered.contains("schools_get"), "{offered}");
    let steps = answer["steps"].as_array().unwrap();
    let ok: Vec<_> = steps.iter().map(|step| step["ok"] == true).collect();
    assert_eq!(ok, [true, true, false, false, false], "{steps:#?}");
    for step in &steps[2..4] {
        let why = step["error"].as_str().unwrap();
        assert!(why.contains("denied by \"add_schools_post\" in agent-config.json"), "{why}");
    }
    assert!(steps[4]["error"].as_str().unwrap().contains("there is no tool"), "{}", steps[4]);
}

#[tokio::test]
async fn the_backend_is_told_which_roles_there_are() {
    let world = world(json!([{ "role": "scout" }, { "role": "boss" }])).await;
    world.model(vec![says("ok")]).await;
    world.daemon.get("/api/compatibility").await;
    let asked = world.backend_got("GET", "/capabilities").await;
    assert_eq!(asked.last().unwrap().headers["x-agent-roles"], "boss, scout");
}

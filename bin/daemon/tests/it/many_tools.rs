//! Roles with more tools than a model is given at once: what it is given, finds and keeps.

use serde_json::{Map, Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{World, calls, message, says};
use crate::journaled::Journal;

/// Things of a shop; of each there are six operations.
const THINGS: [&str; 10] = [
    "order",
    "invoice",
    "parcel",
    "refund",
    "supplier",
    "voucher",
    "warehouse",
    "complaint",
    "driver",
    "shelf",
];

fn document() -> Value {
    document_of(&THINGS)
}

fn document_of(things: &[impl AsRef<str>]) -> Value {
    let operation = |id: String, summary: String, tag: &str| json!({ "operationId": id, "summary": summary, "tags": [tag], "responses": { "200": {} } });
    let mut paths = Map::new();
    for thing in things {
        let thing = thing.as_ref();
        let with_id = |verb: &str| {
            let mut one =
                operation(format!("{verb}_{thing}"), format!("{verb} one {thing}"), thing);
            one["parameters"] = json!([{ "name": "id", "in": "path", "required": true, "schema": { "type": "integer" } }]);
            one
        };
        let all = operation(format!("list_{thing}s"), format!("List all {thing}s"), thing);
        let new = operation(format!("create_{thing}"), format!("Create a {thing}"), thing);
        paths.insert(format!("/{thing}s"), json!({ "get": all, "post": new }));
        let one = json!({ "get": with_id("get"), "put": with_id("replace"), "patch": with_id("update"), "delete": with_id("delete") });
        paths.insert(format!("/{thing}s/{{id}}"), one);
    }
    json!({ "openapi": "3.1.0", "info": { "title": "Shop", "version": "1" }, "paths": paths })
}

async fn fill(world: &World, tools: Value) {
    let answer = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    let at = |verb: &str, place: &str| Mock::given(method(verb)).and(path(place));
    at("GET", "/openapi.json").respond_with(answer(document())).mount(&world.backend).await;
    let voided = answer(json!({ "voided": true }));
    Mock::given(method("DELETE"))
        .and(path_regex("^/vouchers/[0-9]+$"))
        .respond_with(voided)
        .mount(&world.backend)
        .await;
    world.write(
        "agent-config.json",
        &json!({ "agents": [{ "role": "scout", "tools": tools }] }).to_string(),
    );
    world.daemon.until("/api/agents", |all| !all["agents"][0]["tools"].is_null()).await;
}

fn names(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

const SETTINGS: [(&str, &str); 1] = [("WOMBAT_BACKEND_OPENAPI", "/openapi.json")];

#[tokio::test]
async fn the_model_finds_what_it_is_not_given_and_keeps_it_to_the_end_of_its_run() {
    let (world, journal) = Journal::world(&SETTINGS, Vec::new()).await;
    fill(
        &world,
        json!({ "allow": ["*"], "deny": ["delete_invoice"], "approval": ["create_refund"] }),
    )
    .await;
    let find = |query: &str| calls(&[("find_tools", json!({ "query": query }))]);
    let script = vec![
        find("cancel and delete a voucher"),
        calls(&[("delete_voucher", json!({ "id": 7 })), ("replace_shelf", json!({}))]),
        says("done"),
    ];
    world.model(script).await;
    let (status, answer) = world.send_keyed().await;
    assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{answer}");
    let asked = world.model_got().await;
    let first = names(&asked[0]);
    assert_eq!(first.len(), 40, "{first:?}");
    assert!(
        first.contains(&"find_tools".to_owned()) && !first.contains(&"delete_voucher".to_owned())
    );
    // The beginning of the prompt stays as it was, to the byte.
    let begin = |request: &Value| {
        (request["tools"].as_array().unwrap()[..40].to_vec(), request["messages"][0].clone())
    };
    let second = names(&asked[1]);
    assert_eq!(begin(&asked[0]), begin(&asked[1]));
    assert_eq!(second[40], "delete_voucher");
    assert!(second.len() <= 45, "{second:?}");
    // A tool that was called without having been found is there from then on, behind the others.
    let third = names(&asked[2]);
    assert_eq!(begin(&asked[0]), begin(&asked[2]));
    assert_eq!(
        (&third[..second.len()], third.last().unwrap().as_str()),
        (&second[..], "replace_shelf")
    );
    let told = asked[2]["messages"].to_string();
    assert!(told.contains("voided") && told.contains("is among yours from now on"), "{told}");
    // The journal has what was found, and a run that goes on gives its model the same.
    let loaded = |at: u32| journal.held().steps[&at]["payload"]["loaded"].clone();
    assert_eq!(loaded(2)[0], "delete_voucher");
    assert_eq!(loaded(5), json!(["replace_shelf"]));
    let steps: Vec<Value> = journal.held().steps.values().take(6).cloned().collect();
    let (again, _) = Journal::world(&SETTINGS, steps).await;
    fill(
        &again,
        json!({ "allow": ["*"], "deny": ["delete_invoice"], "approval": ["create_refund"] }),
    )
    .await;
    again.model(vec![says("done")]).await;
    let (status, answer) = again.send_keyed().await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(names(&again.model_got().await[0]), third);
}

#[tokio::test]
async fn nothing_is_found_that_the_role_may_not_call_and_what_is_found_waits_as_ever() {
    let (world, journal) = Journal::world(&SETTINGS, Vec::new()).await;
    fill(&world, json!({ "allow": ["*"], "deny": ["delete_shelf", "* /drivers/**"], "approval": ["create_complaint"] })).await;
    let script = vec![
        calls(&[
            ("find_tools", json!({ "query": "delete a shelf" })),
            ("delete_shelf", json!({ "id": 1 })),
        ]),
        calls(&[("create_complaint", json!({}))]),
    ];
    world.model(script).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["status"], "awaiting_approval", "{answer}");
    let asked = world.model_got().await;
    let found = asked[1]["messages"].to_string();
    assert!(found.contains("may not be called"), "{found}");
    let loaded = journal.held().steps[&2]["payload"]["loaded"].to_string();
    assert!(!loaded.contains("delete_shelf") && loaded.contains("shelf"), "{loaded}");
    // What is told of the tools is true.
    let listed: Value = world.daemon.get("/tools").await.json().await.unwrap();
    let of = |name: &str| {
        let tools = listed["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).unwrap()["roles"][0].clone()
    };
    assert_eq!(of("create_complaint")["deferred"], true);
    assert_eq!(of("create_complaint")["may_call"], "with_approval");
    assert_eq!(
        (&of("find_tools")["may_call"], &of("delete_shelf")["may_call"]),
        (&json!("yes"), &json!("no"))
    );
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    assert_eq!(health["tools"]["deferred"]["scout"]["direct"], 40, "{health}");
    let can = json!({ "user_id": "u1", "role": "scout", "call": "create_complaint" });
    let can: Value =
        world.daemon.post("/api/agents/can", &can).send().await.unwrap().json().await.unwrap();
    assert_eq!((&can["decision"], &can["deferred"]), (&json!("approval"), &json!(true)), "{can}");
}

#[tokio::test]
async fn a_role_defers_by_patterns_and_one_that_may_find_nothing_has_all_at_once() {
    let world = World::with(&SETTINGS, json!({})).await;
    fill(&world, json!({})).await;
    world.write("agent-config.json", &json!({ "agents": [
        { "role": "scout", "tools": { "allow": ["*_order", "*_invoice"], "defer": ["*_order", "POST /invoices"] } },
        { "role": "boss", "tools": { "allow": ["*"], "deny": ["find_tools"] } },
    ] }).to_string());
    world.daemon.until("/api/agents", |all| all["agents"].as_array().unwrap().len() == 2).await;
    world.model(vec![says("one"), says("two")]).await;
    world.daemon.send(&message(json!({}))).await;
    world.daemon.send(&message(json!({ "session_key": "user:u1:boss" }))).await;
    let asked = world.model_got().await;
    assert_eq!(
        names(&asked[0]),
        ["find_tools", "get_invoice", "replace_invoice", "update_invoice", "delete_invoice"]
    );
    let told = asked[0]["tools"][0]["function"]["description"].as_str().unwrap();
    assert!(told.contains("There are 6 of them: order (5), invoice (1)."), "{told}");
    assert!(names(&asked[1]).len() > 60 && !names(&asked[1]).contains(&"find_tools".to_owned()));
}

#[tokio::test]
async fn a_model_with_all_the_found_tools_that_there_is_room_for_is_told_so_and_reads_results() {
    let settings =
        [SETTINGS[0], ("WOMBAT_TOOLS_DIRECT", "0"), ("WOMBAT_TOOL_RESULT_MAX_CHARS", "2000")];
    let (world, journal) = Journal::world(&settings, Vec::new()).await;
    let things: Vec<String> = (0..16).map(|n| format!("ware{n}")).collect();
    let long = json!({ "items": (0..400).map(|n| json!({ "id": n })).collect::<Vec<_>>() });
    let answer = |body: Value| ResponseTemplate::new(200).set_body_json(body);
    let at = |verb: &str, place: &str| Mock::given(method(verb)).and(path(place));
    at("GET", "/openapi.json")
        .respond_with(answer(document_of(&things)))
        .with_priority(1)
        .mount(&world.backend)
        .await;
    at("GET", "/ware15s").respond_with(answer(long)).mount(&world.backend).await;
    fill(&world, json!({ "allow": ["*"] })).await;
    let named = |n: usize| {
        let verb = ["get", "replace", "update", "delete", "create", "list"][n % 6];
        format!("{verb}_ware{}{}", n / 6, if verb == "list" { "s" } else { "" })
    };
    // Arguments that fit nothing: the tools are only given.
    let all: Vec<String> = (0..80).map(named).collect();
    let wrong: Vec<_> = all.iter().map(|name| (name.as_str(), json!({ "zzz": 1 }))).collect();
    let mut script: Vec<_> = wrong.chunks(20).map(calls).collect();
    script.push(calls(&[
        ("find_tools", json!({ "query": "delete ware15" })),
        ("replace_ware15", json!({})),
        ("list_ware15s", json!({})),
    ]));
    script.push(says("done"));
    world.model(script).await;
    let (_, reply) = world.send_keyed().await;
    assert_eq!(reply["status"], "ok", "{reply}");
    let asked = world.model_got().await;
    let given = names(asked.last().unwrap());
    assert_eq!(given.last().unwrap(), "read_result", "{given:?}");
    assert!(given.contains(&all[79]) && !given.contains(&"delete_ware15".to_owned()), "{given:?}");
    let told = asked.last().unwrap()["messages"].to_string();
    assert!(told.contains("not added to yours are") && told.contains("delete_ware15"), "{told}");
    assert!(told.contains("the schema of its arguments: {"), "{told}");
    // A run that goes on gives the same.
    let steps: Vec<Value> = journal.held().steps.values().cloned().collect();
    let (again, _) = Journal::world(&settings, steps[..steps.len() - 1].to_vec()).await;
    at("GET", "/openapi.json")
        .respond_with(answer(document_of(&things)))
        .with_priority(1)
        .mount(&again.backend)
        .await;
    fill(&again, json!({ "allow": ["*"] })).await;
    again.model(vec![says("done")]).await;
    again.send_keyed().await;
    assert_eq!(names(&again.model_got().await[0]), given);
}

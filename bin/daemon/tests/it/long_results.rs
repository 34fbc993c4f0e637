//! Results that are too long for the model: what it gets of them, and how it reads on.

mod bounds;
mod redacted;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use mc_client::files::sha256_hex;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, Request, ResponseTemplate};

use crate::harness::{World, calls, says};
use crate::journaled::Journal;

const SETTINGS: [(&str, &str); 1] = [("WOMBAT_TOOL_RESULT_MAX_CHARS", "2000")];

fn things() -> Value {
    (0..1_000)
        .map(|id| json!({ "id": id, "name": format!("thing {id}"), "open": id % 7 == 0 }))
        .collect()
}

/// A backend with a long list, which a `POST` gives, too; one call of it is made by the first turn.
async fn world(features: &[&str], steps: Vec<Value>, list: Value) -> (World, Journal) {
    let (world, journal) = Journal::world_that_has(features, &SETTINGS, steps).await;
    prepare(&world, list, json!({})).await;
    (world, journal)
}

/// Makes a backend one with that list, for a role with these rules of redaction.
async fn prepare(world: &World, list: Value, more: Value) {
    for verb in ["GET", "POST"] {
        let answer = ResponseTemplate::new(200).set_body_json(list.clone());
        Mock::given(method(verb))
            .and(path("/api/things"))
            .respond_with(answer)
            .mount(&world.backend)
            .await;
    }
    let skill = "---\nname: things\ndescription: Things.\n---\n```http\nGET /api/things\nPOST /api/things\n```\n";
    world.write("skills/things/SKILL.md", skill);
    let mut role = json!({ "role": "scout", "tools": { "idempotent": ["POST /api/things"] } });
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.write("agent-config.json", &json!({ "agents": [role] }).to_string());
    world.daemon.until("/skills", |skills| skills["total"] == 1).await;
    world.daemon.until("/api/agents", |all| !all["agents"][0]["tools"].is_null()).await;
    world.write("TOOLS.md", "Configured.");
    world.daemon.reloaded("Configured.").await;
}

fn get(verb: &str) -> ResponseTemplate {
    calls(&[("call_backend", json!({ "method": verb, "path": "/api/things" }))])
}

fn read(more: Value) -> ResponseTemplate {
    let text = things().to_string();
    let mut arguments = json!({ "id": sha256_hex(text.as_bytes())[..12] });
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    calls(&[("read_result", arguments)])
}

fn last(request: &Value) -> String {
    request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned()
}

/// How many such calls the application has got.
async fn got(world: &World, verb: &str) -> usize {
    let all = world.backend.received_requests().await.unwrap();
    let is_one = |one: &&Request| one.url.path() == "/api/things" && one.method.as_str() == verb;
    all.iter().filter(is_one).count()
}

fn names(request: &Value) -> Vec<String> {
    let tools = request["tools"].as_array().unwrap().iter();
    tools.map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The steps up to the first result.
fn begun(journal: &Journal) -> Vec<Value> {
    journal.held().steps.values().take(3).cloned().collect()
}

#[tokio::test]
async fn a_list_is_cut_between_elements_and_read_on_also_after_a_resume() {
    let (first, journal) = world(&[], Vec::new(), things()).await;
    let script = vec![
        get("GET"),
        read(json!({ "jsonpath": "$[?@.id == 721].name" })),
        read(json!({ "query": "thing 333" })),
        read(json!({ "offset": 30_000 })),
        read(json!({ "id": "nothing" })),
        says("done"),
    ];
    first.model(script).await;
    let (status, answer) = first.send_keyed().await;
    assert_eq!((status, &answer["status"]), (200, &json!("ok")), "{answer}");
    let asked = first.model_got().await;
    let cut = last(&asked[1]);
    let list = &cut[cut.find('[').unwrap()..=cut.find("}]").unwrap() + 1];
    let shown: Vec<Value> = serde_json::from_str(list).unwrap();
    assert_eq!(shown[..], things().as_array().unwrap()[..shown.len()], "{cut}");
    assert!(
        shown.len() > 20 && cut.contains(&format!("the first {} of 1000 elements", shown.len())),
        "{cut}"
    );
    assert!(
        cut.contains(r#"{"list of":1000,"first":{"id":"number","name":"text","open":"boolean"}}"#),
        "{cut}"
    );
    // The tool comes with the first result that was cut, behind the others.
    let tools = names(&asked[0]);
    assert!(!tools.contains(&"read_result".to_owned()));
    assert_eq!(names(&asked[1]), [tools, vec!["read_result".to_owned()]].concat());
    assert!(last(&asked[2]).contains(r#"["thing 721"]"#), "{}", last(&asked[2]));
    assert!(last(&asked[3]).contains(r#"{"at":"$[333]","value":{"id":333"#), "{}", last(&asked[3]));
    assert!(last(&asked[4]).contains("[characters 30000 to "), "{}", last(&asked[4]));
    assert!(last(&asked[5]).contains("there is no result"), "{}", last(&asked[5]));
    assert_eq!(got(&first, "GET").await, 1);
    assert_eq!(journal.held().steps[&2]["payload"]["artifact"]["stored"], false);

    for (list, has_changed) in
        [(things(), false), (json!([{ "id": 721, "name": "another" }]), true)]
    {
        let (resumed, _) = world(&[], begun(&journal), list).await;
        resumed
            .model(vec![read(json!({ "jsonpath": "$[?@.id == 721].name" })), says("done")])
            .await;
        let (_, answer) = resumed.send_keyed().await;
        assert_eq!(answer["status"], "ok", "{answer}");
        let asked = resumed.model_got().await;
        assert_eq!(names(&asked[0]).last().unwrap(), "read_result");
        let told = last(&asked[1]);
        assert_eq!(told.contains("thing 721"), !has_changed, "{told}");
        assert_eq!(told.contains("the result has changed since"), has_changed, "{told}");
        assert_eq!(got(&resumed, "GET").await, 1);
    }
}

#[tokio::test]
async fn what_may_have_changed_something_is_not_done_again_to_read_its_result() {
    let (first, journal) = world(&[], Vec::new(), things()).await;
    first.model(vec![get("POST"), read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    first.send_keyed().await;
    assert!(last(&first.model_got().await[2]).contains("thing 5"));
    let (resumed, _) = world(&[], begun(&journal), things()).await;
    resumed.model(vec![read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    let (_, answer) = resumed.send_keyed().await;
    assert_eq!(answer["status"], "ok", "{answer}");
    let told = last(&resumed.model_got().await[1]);
    assert!(told.contains("is there no more") && !told.contains("thing 5"), "{told}");
    assert_eq!(got(&resumed, "POST").await, 0);
}

/// Keeps long results as a backend with the feature does.
async fn keeps(world: &World, kept: &Arc<Mutex<HashMap<String, Vec<u8>>>>) {
    let at = "^/api/mission-control/runs/[^/]+/artifacts/[0-9a-f]{64}$";
    let store = kept.clone();
    let put = move |request: &Request| {
        let hash = request.url.path().rsplit('/').next().unwrap().to_owned();
        assert_eq!(sha256_hex(&request.body), hash);
        let note = json!({ "sha256": hash, "size": request.body.len(), "expires_at": "2099-01-01T00:00:00Z" });
        store.lock().unwrap().insert(request.url.path().to_owned(), request.body.clone());
        ResponseTemplate::new(201).set_body_json(note)
    };
    Mock::given(method("PUT"))
        .and(path_regex(at))
        .respond_with(put)
        .with_priority(1)
        .mount(&world.backend)
        .await;
    let store = kept.clone();
    let get = move |request: &Request| match store.lock().unwrap().get(request.url.path()) {
        Some(bytes) => ResponseTemplate::new(200).set_body_raw(bytes.clone(), "application/json"),
        None => ResponseTemplate::new(404)
            .set_body_json(json!({ "error": "none", "code": "artifact_not_found" })),
    };
    Mock::given(method("GET"))
        .and(path_regex(at))
        .respond_with(get)
        .with_priority(1)
        .mount(&world.backend)
        .await;
}

#[tokio::test]
async fn a_backend_keeps_the_whole_for_any_instance() {
    let kept = Arc::default();
    let (first, journal) = world(&["artifacts"], Vec::new(), things()).await;
    keeps(&first, &kept).await;
    first.model(vec![get("POST"), says("done")]).await;
    first.send_keyed().await;
    assert_eq!(kept.lock().unwrap().len(), 1);
    assert_eq!(journal.held().steps[&2]["payload"]["artifact"]["stored"], true);
    let (resumed, _) = world(&["artifacts"], begun(&journal), things()).await;
    keeps(&resumed, &kept).await;
    resumed.model(vec![read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    resumed.send_keyed().await;
    let told = last(&resumed.model_got().await[1]);
    assert!(told.contains("thing 5"), "{told}");
    assert_eq!(got(&resumed, "POST").await, 0);
    // One that is there no more is told of.
    kept.lock().unwrap().clear();
    let (late, _) = world(&["artifacts"], begun(&journal), things()).await;
    keeps(&late, &kept).await;
    late.model(vec![read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    late.send_keyed().await;
    assert!(last(&late.model_got().await[1]).contains("is there no more"));
}

//! What a run is reminded of, and the tools on memories.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{MC, World, calls, message, says};
use crate::journaled::Journal;

fn memory(id: &str, scope: &str, text: &str) -> Value {
    let author = json!({ "type": "agent", "id": "scout" });
    json!({ "id": id, "scope": scope, "text": text, "author": author })
}

async fn remembers(world: &World, items: Value) {
    world.backend_says("GET", "/memories", 200, json!({ "items": items })).await;
}

/// The texts of a request's messages, by role.
fn texts(request: &Value, role: &str) -> Vec<String> {
    let messages = request["messages"].as_array().unwrap().iter();
    let of_role = messages.filter(|message| message["role"] == role);
    of_role.map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

async fn world(settings: &[(&str, &str)]) -> World {
    World::with(settings, json!({ "memories": true })).await
}

#[tokio::test]
async fn a_run_is_reminded_between_the_time_and_the_message() {
    let world = world(&[]).await;
    remembers(&world, json!([memory("m1", "user", "likes tea"), memory("m2", "tenant", "VIP")]))
        .await;
    world.model(vec![says("done")]).await;
    let history = json!([{ "role": "user", "content": "earlier" },
        { "role": "assistant", "content": "Yes." }]);
    let (status, answer) = world.daemon.send(&message(json!({ "messages": history }))).await;
    assert_eq!((status, &answer["memory_warning"]), (200, &Value::Null), "{answer}");
    let asked = world.backend_got("GET", "/memories").await;
    assert_eq!(asked.len(), 1);
    let query: std::collections::HashMap<_, _> = asked[0].url.query_pairs().into_owned().collect();
    assert_eq!((query["q"].as_str(), query["task_id"].as_str()), ("hello", "t1"));
    assert!(!query.contains_key("scope"), "{query:?}");
    let got = world.model_got().await;
    let said = texts(&got[0], "user");
    assert_eq!(said[0], "earlier");
    let newest = &said[1];
    let place = |what: &str| newest.find(what).unwrap_or_else(|| panic!("{what}: {newest}"));
    assert!(
        place("Current Time") < place("source=\"memory\">\n- likes tea\n- VIP\n</untrusted-data-")
    );
    assert!(place("</untrusted-data-") < place("hello"), "{newest}");
    // Without memories all else is the same.
    let bare = World::new().await;
    bare.model(vec![says("done")]).await;
    bare.daemon.send(&message(json!({ "messages": history }))).await;
    let without = bare.model_got().await;
    assert_eq!(texts(&got[0], "system"), texts(&without[0], "system"));
    assert_eq!(texts(&got[0], "user")[0], texts(&without[0], "user")[0]);
}

#[tokio::test]
async fn memories_are_within_the_bounds_and_whole() {
    for (settings, expected) in [
        (vec![("WOMBAT_MEMORY_MAX_ITEMS", "2")], vec!["yyyy", "zzzzzz"]),
        (vec![("WOMBAT_MEMORY_MAX_CHARS", "8")], vec!["yyyy", "qq"]),
        (vec![("WOMBAT_MEMORY_MAX_ITEMS", "0")], vec![]),
    ] {
        let world = world(&settings).await;
        // Not the letters of the fence's mark, which is random.
        let texts_of = ["yyyy", "zzzzzz", "qq"];
        let items: Vec<_> = texts_of.iter().map(|text| memory(text, "user", text)).collect();
        remembers(&world, json!(items)).await;
        world.model(vec![says("done")]).await;
        world.daemon.send(&message(json!({}))).await;
        let newest = texts(&world.model_got().await[0], "user").remove(0);
        let there: Vec<_> = texts_of.into_iter().filter(|text| newest.contains(text)).collect();
        assert_eq!(there, expected, "{settings:?}");
        assert_eq!(newest.contains("source=\"memory\""), !expected.is_empty());
    }
}

#[tokio::test]
async fn only_full_runs_of_roles_that_read_are_reminded() {
    let world = world(&[]).await;
    remembers(&world, json!([memory("m1", "user", "likes tea"), memory("m2", "tenant", "VIP")]))
        .await;
    world.model(vec![says("done")]).await;
    for mode in ["minimal", "none"] {
        world.daemon.send(&message(json!({ "metadata": { "prompt_mode": mode } }))).await;
    }
    assert!(world.backend_got("GET", "/memories").await.is_empty());
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "memory": {"read": ["tenant"]}},
            {"role": "blind", "memory": {"read": []}}]}"#,
    );
    world.daemon.until("/context?role=blind", |context| context["error"].is_null()).await;
    let blind = json!({ "session_key": "user:u1:blind" });
    assert_eq!(world.daemon.send(&message(blind)).await.0, 200);
    assert!(world.backend_got("GET", "/memories").await.is_empty());
    world.daemon.send(&message(json!({}))).await;
    let asked = world.backend_got("GET", "/memories").await;
    assert!(asked[0].url.query().unwrap().contains("scope=tenant"), "{}", asked[0].url);
    let newest = texts(world.model_got().await.last().unwrap(), "user").remove(0);
    assert!(newest.contains("VIP") && !newest.contains("tea"), "{newest}");
}

#[tokio::test]
async fn a_run_goes_on_without_memories_and_says_so() {
    let world = world(&[]).await;
    world.model(vec![says("done")]).await;
    world.backend_says("GET", "/memories", 500, json!({ "error": "no" })).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["response"]), (200, &json!("done")), "{answer}");
    assert!(answer["memory_warning"].as_str().unwrap().contains("500"), "{answer}");

    let slow = World::with(&[], json!({ "memories": true })).await;
    slow.model(vec![says("done")]).await;
    let late = ResponseTemplate::new(200).set_body_json(json!({ "items": [] }));
    Mock::given(method("GET"))
        .and(path(format!("{MC}/memories")))
        .respond_with(late.set_delay(Duration::from_secs(30)))
        .mount(&slow.backend)
        .await;
    let begun = Instant::now();
    let (status, answer) = slow.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    assert!(answer["memory_warning"].as_str().unwrap().contains("2 seconds"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn step_0_keeps_what_a_resumed_run_has_again() {
    let (world, journal) = Journal::world_that_has(&["memories"], &[], Vec::new()).await;
    remembers(&world, json!([memory("m1", "user", "likes tea")])).await;
    let broken = ResponseTemplate::new(400).set_body_json(json!({ "error": { "message": "no" } }));
    world.model(vec![broken, says("done")]).await;
    let keyed = message(json!({ "idempotency_key": "k" }));
    let (status, answer) = world.daemon.send(&keyed).await;
    assert_ne!(status, 200, "{answer}");
    let step = journal.held().steps[&0].clone();
    let kept = json!([{ "id": "m1", "scope": "user", "text": "likes tea" }]);
    assert_eq!(step["payload"]["memories"], kept, "{step}");
    // By then it is something else.
    Mock::given(method("GET"))
        .and(path(format!("{MC}/memories")))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(json!({ "items": [memory("m2", "user", "hates tea")] })),
        )
        .with_priority(1)
        .mount(&world.backend)
        .await;
    let (status, answer) = world.daemon.send(&keyed).await;
    assert_eq!(status, 200, "{answer}");
    let got = world.model_got().await;
    assert_eq!(texts(&got[0], "user"), texts(&got[1], "user"));
    assert_eq!(world.backend_got("GET", "/memories").await.len(), 1);
}

#[tokio::test]
async fn a_role_has_the_tools_that_its_configuration_gives_it() {
    let names = async |config: &str, features: Value| {
        let world = World::with(&[], features).await;
        world
            .write("agent-config.json", &format!(r#"{{"agents": [{{"role": "scout"{config}}}]}}"#));
        world.model(vec![says("done")]).await;
        world.write("SOUL.md", "reloaded");
        world.daemon.reloaded("reloaded").await;
        world.daemon.send(&message(json!({}))).await;
        let got = world.model_got().await;
        let tools = got[0]["tools"].as_array().unwrap().clone();
        let ours = ["recall", "remember", "forget"];
        let of = |name: &str| tools.iter().find(|tool| tool["function"]["name"] == name).cloned();
        ours.into_iter().filter_map(|name| Some((name, of(name)?))).collect::<Vec<_>>()
    };
    let has = json!({ "memories": true });
    let only =
        |tools: &[(&'static str, Value)]| tools.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(only(&names("", json!({})).await), Vec::<&str>::new());
    assert_eq!(only(&names("", has.clone()).await), ["recall"]);
    let writer = names(r#", "memory": {"write": ["task", "tenant"]}"#, has.clone()).await;
    assert_eq!(only(&writer), ["recall", "remember", "forget"]);
    let scope = &writer[1].1["function"]["parameters"]["properties"]["scope"]["enum"];
    assert_eq!(scope, &json!(["task"]));
    let denied = r#", "memory": {"read": [], "write": ["user"]}, "tools": {"deny": ["POST /api/mission-control/memories"]}"#;
    assert_eq!(only(&names(denied, has).await), ["forget"]);
}

#[tokio::test]
async fn an_agent_recalls_remembers_and_forgets() {
    let world = world(&[("WOMBAT_MEMORY_MAX_ITEMS", "0")]).await;
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "memory": {"read": ["user"], "write": ["user"]}}]}"#,
    );
    world.write("SOUL.md", "reloaded");
    world.daemon.reloaded("reloaded").await;
    let mut persons = memory("m2", "user", "is allergic");
    persons["author"]["type"] = json!("person");
    remembers(
        &world,
        json!([memory("m1", "user", "likes tea"), persons, memory("m3", "tenant", "VIP")]),
    )
    .await;
    world.backend_says("POST", "/memories", 200, memory("m9", "user", "lives in Graz")).await;
    world.backend_says("DELETE", "/memories/m1", 204, json!({})).await;
    let expiry = "2100-01-01T00:00:00Z";
    let remember = json!({ "text": "lives in Graz", "scope": "user", "expires_at": expiry });
    let calls = calls(&[
        ("recall", json!({ "query": "drinks", "limit": 5 })),
        ("remember", remember),
        ("remember", json!({ "text": "x", "scope": "task" })),
        ("forget", json!({ "id": "m1" })),
        ("forget", json!({ "id": "m2" })),
        ("recall", json!({ "query": "x", "limit": 21 })),
    ]);
    world.model(vec![calls, says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let ok: Vec<_> =
        answer["steps"].as_array().unwrap().iter().map(|step| step["ok"].clone()).collect();
    assert_eq!(json!(ok), json!([true, true, false, true, false, false]), "{answer}");
    let results = texts(&world.model_got().await[1], "tool");
    assert!(results[0].contains("likes tea") && !results[0].contains("VIP"), "{}", results[0]);
    assert!(results[0].contains("<untrusted-data-"), "{}", results[0]);
    let made = world.backend_got("POST", "/memories").await;
    assert_eq!(made.len(), 1);
    let body: Value = serde_json::from_slice(&made[0].body).unwrap();
    assert_eq!(
        (&body["scope"], &body["text"], &body["expires_at"]),
        (&json!("user"), &json!("lives in Graz"), &json!(expiry))
    );
    assert_eq!(body["source"]["run_key"], answer["run_key"]);
    assert!(body["idempotency_key"].is_string(), "{body}");
    assert_eq!(world.backend_got("DELETE", "/memories/m1").await.len(), 1);
    assert!(world.backend_got("DELETE", "/memories/m2").await.is_empty());
}

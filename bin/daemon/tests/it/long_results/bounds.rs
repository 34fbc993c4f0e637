//! What a long result costs at most: time before its step is written, memory, and calls to fetch it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mc_client::files::sha256_hex;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, ResponseTemplate};

use super::{SETTINGS, begun, get, got, keeps, last, prepare, read, things, world};
use crate::harness::{World, calls, says};
use crate::journaled::Journal;

async fn puts(world: &World) -> usize {
    let all = world.backend.received_requests().await.unwrap();
    all.iter().filter(|request| request.url.path().contains("/artifacts/")).count()
}

#[tokio::test]
async fn a_backend_that_keeps_slowly_holds_no_step_up() {
    let (world, journal) = world(&["artifacts"], Vec::new(), things()).await;
    let slow = ResponseTemplate::new(201).set_delay(Duration::from_secs(60));
    Mock::given(method("PUT"))
        .and(path_regex("/artifacts/"))
        .respond_with(slow)
        .with_priority(1)
        .mount(&world.backend)
        .await;
    world.model(vec![get("POST"), read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    let before = Instant::now();
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["status"], "ok", "{answer}");
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());
    assert_eq!(journal.held().steps[&2]["payload"]["artifact"]["stored"], false);
    assert_eq!(puts(&world).await, 1);
    // This instance has it.
    assert!(last(&world.model_got().await[2]).contains("thing 5"));
}

#[tokio::test]
async fn without_a_journal_nothing_is_put() {
    let world = World::with(&SETTINGS, json!({ "artifacts": true })).await;
    prepare(&world, things(), json!({})).await;
    keeps(&world, &Arc::default()).await;
    world.model(vec![get("GET"), read(json!({ "jsonpath": "$[5].name" })), says("done")]).await;
    let (_, answer) = world.send_keyed().await;
    assert_eq!(answer["status"], "ok", "{answer}");
    assert!(last(&world.model_got().await[2]).contains("thing 5"));
    assert_eq!(puts(&world).await, 0);
}

#[tokio::test]
async fn a_result_that_has_changed_is_fetched_once_and_told_of_each_time() {
    let (first, journal) = world(&[], Vec::new(), things()).await;
    first.model(vec![get("GET"), says("done")]).await;
    first.send_keyed().await;
    let (resumed, _) = world(&[], begun(&journal), json!([{ "id": 1 }, { "id": 2 }])).await;
    let id = sha256_hex(things().to_string().as_bytes())[..12].to_owned();
    let reads = |path: &str| ("read_result", json!({ "id": id, "jsonpath": path }));
    let script = vec![
        calls(&[reads("$[0].id"), reads("$[1].id"), reads("$[*].id")]),
        calls(&[reads("$[0]")]),
        says("done"),
    ];
    resumed.model(script).await;
    let (_, answer) = resumed.send_keyed().await;
    assert_eq!(answer["status"], "ok", "{answer}");
    let asked = resumed.model_got().await;
    let told: Vec<String> = asked[2]["messages"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|message| message["content"].as_str())
        .filter(|content| content.contains("has changed since"))
        .map(str::to_owned)
        .collect();
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(got(&resumed, "GET").await, 1);
}

#[tokio::test]
async fn of_an_answer_no_more_is_read_than_can_be_told() {
    for (tools, total) in [(json!({ "deny": ["read_result"] }), 1_048_576), (json!({}), 1_500_000)]
    {
        let (world, _journal) = Journal::world_that_has(&[], &SETTINGS, Vec::new()).await;
        let text = ResponseTemplate::new(200).set_body_raw("x".repeat(1_500_000), "text/plain");
        Mock::given(method("GET"))
            .and(path("/api/things"))
            .respond_with(text)
            .with_priority(1)
            .mount(&world.backend)
            .await;
        prepare(&world, Value::Null, json!({ "tools": tools })).await;
        world.model(vec![get("GET"), says("done")]).await;
        let (_, answer) = world.send_keyed().await;
        assert_eq!(answer["status"], "ok", "{answer}");
        let told = last(&world.model_got().await[1]);
        let of = told.split("the first 2000 of ").nth(1).unwrap();
        let count: usize = of.split(' ').next().unwrap().parse().unwrap();
        assert!((total..total + 100).contains(&count), "{told}");
    }
}

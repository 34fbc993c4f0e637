//! Pictures in the results of tools.

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use super::kept::Files;
use super::{PNG, asked, base64};
use crate::harness::{World, calls, message, says};
use crate::journaled::Journal;

/// A skill with an endpoint that answers with a picture.
async fn chart(world: &World) {
    world.write(
        "skills/charts/SKILL.md",
        "---\nname: charts\ndescription: Charts.\n---\n```\nGET /api/chart\n```\n",
    );
    world.daemon.reloaded("charts").await;
    let picture = ResponseTemplate::new(200).set_body_raw(PNG, "image/png");
    let picture = Mock::given(method("GET")).and(path("/api/chart")).respond_with(picture);
    picture.mount(&world.backend).await;
    let call = calls(&[("call_backend", json!({ "method": "GET", "path": "/api/chart" }))]);
    world.model(vec![call, says("a chart")]).await;
}

#[tokio::test]
async fn a_picture_that_the_backend_answers_with_is_shown_to_the_model() {
    let world = World::new().await;
    chart(&world).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["steps"][0]["ok"]), (200, &json!(true)), "{answer}");
    assert_eq!(answer.get("attachments"), None, "{answer}");
    assert_eq!(asked(&world).await.matches(&base64(PNG)).count(), 1);
}

#[tokio::test]
async fn the_journal_has_its_hash_and_the_backend_its_bytes() {
    let (world, journal) = Journal::world_that_has(&["files"], &[], Vec::new()).await;
    let files = Files::mount(&world).await;
    chart(&world).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let steps = json!(journal.held().steps).to_string();
    assert!(steps.contains(&files.ids()[0]) && !steps.contains(&base64(PNG)), "{steps}");
    let tool: Value =
        journal.held().steps.values().find(|step| step["kind"] == "tool").unwrap().clone();
    assert_eq!(tool["payload"]["files"][0]["media_type"], "image/png", "{tool}");
}

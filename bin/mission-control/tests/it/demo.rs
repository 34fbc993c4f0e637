//! The demo application beside Mission Control.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, send};

async fn search(backend: &Backend, body: Value) -> Answer {
    let agent = backend.agent("ann", "scout");
    send(agent.raw(Method::POST, "/api/schools/search").json(&body)).await
}

#[tokio::test]
async fn schools_are_found_by_what_is_asked_best_rated_first() {
    let backend = Backend::start().await;
    let found = search(&backend, json!({ "level": "primary", "near": "beach", "limit": 3 })).await;
    let schools = found.ok()["schools"].as_array().unwrap();
    assert_eq!(schools.len(), 3);
    assert!(found.body["total"].as_u64().unwrap() > 3);
    let ratings: Vec<f64> =
        schools.iter().map(|school| school["rating"].as_f64().unwrap()).collect();
    assert!(ratings.is_sorted_by(|a, b| a >= b), "{ratings:?}");
    for school in schools {
        assert_eq!(school["level"], "primary");
        assert!(school["near"].as_array().unwrap().contains(&json!("beach")));
    }
    let id = schools[0]["id"].as_str().unwrap();
    let path = format!("/api/schools/{id}/profile");
    let profile = send(backend.agent("ann", "scout").raw(Method::GET, &path)).await;
    assert_eq!(profile.ok()["name"], schools[0]["name"]);
    assert!(profile.body["programs"].is_array());
}

#[tokio::test]
async fn a_search_that_asks_nothing_finds_all_and_one_that_asks_nonsense_is_refused() {
    let backend = Backend::start().await;
    assert_eq!(search(&backend, json!({})).await.ok()["total"], 40);
    assert_eq!(search(&backend, json!({ "query": "nowhere" })).await.ok()["total"], 0);
    let cheap = search(&backend, json!({ "max_fees": 450, "limit": 50 })).await;
    let cheap = cheap.ok()["schools"].as_array().unwrap().clone();
    assert!(cheap.iter().all(|school| school["fees_per_year"].as_u64().unwrap() <= 450));
    assert!(cheap.len() > 10 && cheap.iter().any(|school| school["fees_per_year"] == 450));
    assert!(cheap.iter().all(|school| school["programs"].is_array() && school["enrolment"].is_u64()));
    for body in [
        json!({ "limit": 0 }),
        json!({ "limit": 51 }),
        json!({ "limit": -1 }),
        json!({ "min_rating": 6 }),
        json!({ "near": "moon" }),
    ] {
        search(&backend, body).await.fails(400, "invalid_payload");
    }
    let path = "/api/schools/nowhere/profile";
    send(backend.agent("ann", "scout").raw(Method::GET, path)).await.fails(404, "not_found");
}

#[tokio::test]
async fn the_schools_ask_for_the_agents_token_and_their_description_does_not() {
    let backend = Backend::start().await;
    let silent = backend.nobody().raw(Method::POST, "/api/schools/search").json(&json!({}));
    send(silent).await.fails(401, "unauthorized");
    send(backend.nobody().raw(Method::GET, "/api/schools/sch_001/profile"))
        .await
        .fails(401, "unauthorized");

    let document = send(backend.nobody().raw(Method::GET, "/openapi.json")).await;
    let document = document.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let search = &document["paths"]["/api/schools/search"]["post"];
    assert_eq!(search["operationId"], "search_schools");
    let schema = search["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
    let schema = document.pointer(schema.unwrap().trim_start_matches('#')).unwrap();
    assert!(schema["properties"]["near"].is_object());
    let profile = &document["paths"]["/api/schools/{school_id}/profile"]["get"];
    assert_eq!(profile["operationId"], "get_school_profile");
    assert_eq!(profile["parameters"][0]["in"], "path");
}

#[tokio::test]
async fn beside_an_application_there_are_no_schools_and_no_tools_of_a_demo() {
    let backend = Backend::without_demo().await;
    search(&backend, json!({})).await.fails(404, "not_found");
    let agent = backend.agent("ann", "scout");
    send(agent.raw(Method::GET, "/openapi.json")).await.fails(404, "not_found");
    // The feature is there, as for whoever stands in front with tools of their own; the demo's tools are not.
    let tools = send(agent.raw(Method::GET, "/api/tools")).await;
    assert_eq!(tools.ok(), &json!({ "tools": [] }));
    for tool in ["list_shortlist", "shortlist_school", "compare_schools", "none"] {
        let call = agent.raw(Method::POST, &format!("/api/tools/{tool}"));
        send(call.json(&json!({ "arguments": {} }))).await.fails(404, "not_found");
    }
    let features = send(agent.raw(Method::GET, "/api/mission-control/capabilities")).await.ok()["features"].clone();
    assert_eq!((&features["tools"], &features["run_journal"]), (&json!(true), &json!(true)));
}

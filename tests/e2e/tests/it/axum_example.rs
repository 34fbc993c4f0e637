//! The axum example: typed tools from its OpenAPI document, and `mc-client` on the backend's side.

use serde_json::json;
use test_support::program::Program;

use crate::example::{self, Example, INTERNAL, SECRET};

async fn start() -> Example {
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("PORT", "0".to_owned()),
    ];
    let mut server = Program::start("axum-backend", dir.path(), &settings, &[]).unwrap();
    let url = server.url().await.unwrap();
    Example { url, dir, server, folder: example::folder("axum-backend") }
}

#[tokio::test]
async fn an_agent_searches_and_books_once() {
    let mut example = start().await;
    let (mut daemon, url) = example.daemon(&[]).await;
    example::books_a_visit_once(&example, &url, ["search_schools", "book_visit"]).await;
    assert!(daemon.stop().await.unwrap().success());
    assert!(example.server.stop().await.unwrap().success());
}

#[tokio::test]
async fn the_example_takes_the_tokens_of_agents_and_no_others() {
    example::takes_the_tokens_of_agents_and_no_others(&start().await).await;
}

#[tokio::test]
async fn the_example_passes_the_conformance_suite() {
    example::passes_the_conformance_suite(&start().await).await;
}

#[tokio::test]
async fn the_example_keeps_the_required_part_of_the_contract() {
    example::keeps_the_required_part_of_the_contract(&start().await).await;
}

#[tokio::test]
async fn its_document_has_the_operations_that_become_tools() {
    let (_, document) = start().await.get("/openapi.json", &[]).await;
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    let mut ids: Vec<_> = operations.map(|operation| operation["operationId"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(json!(ids), json!(["book_visit", "list_visits", "search_schools"]));
}

#[tokio::test]
async fn without_a_secret_it_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    for secret in ["", "short"] {
        let settings = [("AGENT_JWT_SECRET", secret.to_owned()), ("PORT", "0".to_owned())];
        let mut server = Program::start("axum-backend", dir.path(), &settings, &[]).unwrap();
        assert!(!server.wait().await.unwrap().success());
        let log = server.full_log().await;
        assert!(log.contains("AGENT_JWT_SECRET"), "{log}");
    }
}

//! The FastAPI example: its OpenAPI document becomes tools, and an agent works there as its user.

use serde_json::json;
use test_support::llm::{Reply, ScriptedLlm};
use test_support::program::Program;
use test_support::wait_for;

use crate::example::{self, Example, INTERNAL, SECRET, send};
use crate::peers::{free_port, pypi};

/// The application, if its packages are installed.
async fn start() -> Option<Example> {
    let python = pypi("fastapi, jwt, uvicorn")?;
    let folder = example::folder("fastapi-backend");
    let dir = tempfile::tempdir().unwrap();
    let port = free_port().to_string();
    let settings = [
        ("AGENT_JWT_SECRET", SECRET.to_owned()),
        ("INTERNAL_API_TOKEN", INTERNAL.to_owned()),
        ("DATABASE", dir.path().join("example.db").display().to_string()),
        ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
    ];
    let arguments = ["-m", "uvicorn", "app.main:app", "--log-level", "warning", "--port", &port];
    let server = Program::start_path(&python, &folder, &settings, &arguments).unwrap();
    let url = format!("http://127.0.0.1:{port}");
    wait_for("the example", async || reqwest::get(format!("{url}/healthz")).await.ok()).await;
    Some(Example { url, dir, server, folder })
}

async fn daemon(example: &Example, llm: &ScriptedLlm) -> (Program, String) {
    let settings = [
        ("LLM_PROVIDER", "openai".to_owned()),
        ("OPENAI_API_KEY", "sk-test".to_owned()),
        ("OPENAI_BASE_URL", llm.base_url()),
    ];
    example.daemon(&settings).await
}

#[tokio::test]
async fn an_agent_searches_reads_and_writes_through_typed_tools() {
    let Some(example) = start().await else { return };
    let visit = json!({ "day": "2026-12-01", "visitor": { "name": "Ann", "children": [7, 9] } });
    let llm = ScriptedLlm::start([
        Reply::calls(&[
            ("search_schools", json!({ "body": { "near": { "place": "beach", "max_km": 1 } } })),
            ("search_schools", json!({ "body": { "level": "kindergarten" } })),
            ("search_schools", json!({ "body": { "near": { "max_km": 1 } } })),
        ]),
        Reply::calls(&[
            (
                "school_profile",
                json!({ "school_id": "sch_1", "include": ["programs", "results"], "year": 2025 }),
            ),
            ("school_profile", json!({ "school_id": "../visits" })),
            ("school_profile", json!({ "school_id": "sch_9" })),
            ("call_backend", json!({ "method": "GET", "path": "/api/schools/visits" })),
        ]),
        Reply::calls(&[
            ("book_visit", json!({ "school_id": "sch_1", "body": visit })),
            ("create_task", json!({ "title": "Visit Dune Street" })),
            ("create_document", json!({ "title": "Schools", "content": "# One fits" })),
            ("list_visits", json!({})),
        ]),
        Reply::text("Booked."),
    ])
    .await;
    let (daemon, url) = daemon(&example, &llm).await;
    let (status, answer) = send(&url, "ann").await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Booked.")), "{answer}");
    let oks: Vec<_> =
        answer["steps"].as_array().unwrap().iter().map(|step| step["ok"] == true).collect();
    let expected = [true, false, false, true, false, false, false, true, true, true, true];
    assert_eq!(oks, expected, "{answer}");

    let asked = llm.asked();
    let tools = asked[0]["tools"].as_array().unwrap();
    let names: Vec<_> =
        tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap()).collect();
    for name in ["search_schools", "school_profile", "book_visit", "list_visits"] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Only what the skill declares, and nothing that the role may not have.
    assert!(!names.iter().any(|name| name.contains("capabilities")), "{names:?}");
    assert!(!names.contains(&"call_backend"), "{names:?}");
    let told = asked[2]["messages"].to_string();
    assert!(told.contains("Dune Street Primary") && told.contains("surf"), "{told}");
    assert!(told.contains("\\\"2025\\\": 74") || told.contains("\\\"2025\\\":74"), "{told}");

    let visits = example.as_person("ann", "/api/schools/visits").await;
    assert_eq!(visits["items"][0]["visitor"], visit["visitor"], "{visits}");
    assert_eq!(example.as_person("bob", "/api/schools/visits").await["items"], json!([]));
    let tasks = example.as_person("ann", "/api/mission-control/tasks").await;
    let titles: Vec<_> = tasks["items"].as_array().unwrap().iter().map(|t| &t["title"]).collect();
    assert_eq!(titles, ["Schools", "Visit Dune Street"]);
    let task = tasks["items"][0]["id"].as_str().unwrap();
    let thread =
        example.as_person("ann", &format!("/api/mission-control/messages?task_id={task}")).await;
    assert_eq!(thread["items"][0]["content"], "Booked.", "{thread}");

    // Once more with the same key: the reply that is there, and no second visit.
    let (status, again) = send(&url, "ann").await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(llm.asked().len(), 4);
    let visits = example.as_person("ann", "/api/schools/visits").await;
    assert_eq!(visits["items"].as_array().unwrap().len(), 1);
    drop(daemon);
}

#[tokio::test]
async fn without_a_key_its_script_answers() {
    let Some(example) = start().await else { return };
    let (_daemon, url) = example.daemon(&[]).await;
    let (status, answer) = send(&url, "ann").await;
    let reply = "A visit of Dune Street Primary is booked for 2030-05-07.";
    assert_eq!((status, answer["response"].as_str()), (200, Some(reply)), "{answer}");
    assert_eq!(example.visits("ann").await.len(), 1);
}

#[tokio::test]
async fn the_example_takes_the_tokens_of_agents_and_no_others() {
    let Some(example) = start().await else { return };
    example::takes_the_tokens_of_agents_and_no_others(&example).await;
}

#[tokio::test]
async fn the_example_passes_the_conformance_suite() {
    let Some(example) = start().await else { return };
    example::passes_the_conformance_suite(&example).await;
}

#[tokio::test]
async fn the_example_keeps_the_required_part_of_the_contract() {
    let Some(example) = start().await else { return };
    example::keeps_the_required_part_of_the_contract(&example).await;
}

//! Long results of tools: kept with their run, for its user, within bounds, until they expire.

use std::time::Duration;

use mc_client::files::sha256_hex;
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Executor as _, Row as _};
use test_support::wait_for;
use wombat_mission_control::person_export::expire;
use wombat_mission_control::store::artifacts::ArtifactLimits;

use crate::harness::{Answer, Backend, Caller, Home, MC, Options, send};

async fn put(caller: &Caller, path: &str, text: &str) -> Answer {
    let request = caller.raw(Method::PUT, &format!("{MC}{path}"));
    send(request.header("content-type", "application/json").body(text.to_owned())).await
}

fn path(run: &str, text: &str) -> String {
    format!("/runs/{run}/artifacts/{}", sha256_hex(text.as_bytes()))
}

/// A backend with a run of ann's scout.
async fn keeping(artifacts: ArtifactLimits) -> Backend {
    let backend = Backend::start_in(Home::new(), Options { artifacts, ..Options::default() }).await;
    begin(&backend, "r1").await;
    backend
}

async fn begin(backend: &Backend, run: &str) {
    let agent = backend.agent("ann", "scout");
    let task = agent.post("/tasks", json!({ "title": "t" })).await;
    let body = json!({ "session_key": "user:ann:scout", "task_id": task.body["id"], "status": "running" });
    agent.put(&format!("/runs/{run}"), body).await.ok();
}

async fn rows(backend: &Backend) -> i64 {
    let mut database = backend.database().await;
    let query = sqlx::query("SELECT count(*) AS many FROM run_artifacts");
    query.fetch_one(&mut database).await.unwrap().get("many")
}

#[tokio::test]
async fn a_result_is_kept_once_for_its_own_user_and_role() {
    let backend = keeping(ArtifactLimits::default()).await;
    let agent = backend.agent("ann", "scout");
    let text = "[\"größe\", 1]";
    let at = path("r1", text);
    let made = put(&agent, &at, text).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    assert_eq!((&made.body["size"], made.body["sha256"].as_str()), (&json!(text.len()), at.rsplit('/').next()));
    assert_eq!(put(&agent, &at, text).await.status, StatusCode::OK);
    assert_eq!(rows(&backend).await, 1);
    for caller in [&agent, &backend.person("ann")] {
        let kept = caller.get(&at).await;
        assert_eq!((kept.status, &*kept.text), (StatusCode::OK, text));
        assert_eq!(kept.headers["content-type"], "application/json");
        assert_eq!(kept.headers["x-content-type-options"], "nosniff");
        assert_eq!(kept.headers["content-disposition"], "attachment");
    }
    for other in [backend.agent("bob", "scout"), backend.agent("ann", "writer"), backend.person("bob")] {
        other.get(&at).await.fails(404, "artifact_not_found");
        put(&other, &at, text).await.fails(404, "not_found");
    }
    agent.get(&path("r1", "other")).await.fails(404, "artifact_not_found");
    agent.get(&path("r2", text)).await.fails(404, "artifact_not_found");
    put(&agent, &path("r2", text), text).await.fails(404, "not_found");
}

#[tokio::test]
async fn what_is_no_such_text_or_too_much_is_refused() {
    let limits = ArtifactLimits { max_bytes: 2_000, quota_bytes: 3_000, ..ArtifactLimits::default() };
    let backend = keeping(limits).await;
    let agent = backend.agent("ann", "scout");
    put(&agent, &path("r1", "a"), "b").await.fails(400, "invalid_payload");
    put(&agent, "/runs/r1/artifacts/xyz", "b").await.fails(400, "invalid_payload");
    put(&agent, &path("r1", "a\0"), "a\0").await.fails(400, "invalid_payload");
    let large = "x".repeat(2_001);
    let refused = put(&agent, &path("r1", &large), &large).await;
    refused.fails(413, "artifact_too_large");
    assert_eq!(refused.body["details"]["max_bytes"], 2_000);
    let one = "y".repeat(2_000);
    assert_eq!(put(&agent, &path("r1", &one), &one).await.status, StatusCode::CREATED);
    let two = "z".repeat(1_001);
    let refused = put(&agent, &path("r1", &two), &two).await;
    refused.fails(413, "quota_exceeded");
    assert_eq!(refused.body["details"]["used_bytes"], 2_000);
    // What is there takes no more room, and others have their own.
    assert_eq!(put(&agent, &path("r1", &one), &one).await.status, StatusCode::OK);
}

#[tokio::test]
async fn it_expires_and_is_deleted_then() {
    let limits = ArtifactLimits { ttl: Duration::from_secs(1), ..ArtifactLimits::default() };
    let backend = keeping(limits).await;
    let agent = backend.agent("ann", "scout");
    let at = path("r1", "text");
    put(&agent, &at, "text").await;
    wait_for("it expires", async || (agent.get(&at).await.status == StatusCode::NOT_FOUND).then_some(())).await;
    // Expired ones take no room, and are put anew.
    assert_eq!(put(&agent, &at, "text").await.status, StatusCode::CREATED);
    wait_for("it expires", async || (agent.get(&at).await.status == StatusCode::NOT_FOUND).then_some(())).await;
    let home = backend.stop().await;
    let backend = Backend::beside(home, Options::default()).await;
    wait_for("it is deleted", async || (rows(&backend).await == 0).then_some(())).await;
}

#[tokio::test]
async fn all_runs_of_a_user_count_together_and_nobody_else_s() {
    let limits = ArtifactLimits { quota_bytes: 6_000, ..ArtifactLimits::default() };
    let backend = keeping(limits).await;
    let scout = backend.agent("ann", "scout");
    begin(&backend, "r2").await;
    let large = "x".repeat(3_000);
    assert_eq!(put(&scout, &path("r1", &large), &large).await.status, StatusCode::CREATED);
    // The same text of another run is another one, and a small one counts as a kilobyte.
    assert_eq!(put(&scout, &path("r2", "a"), "a").await.status, StatusCode::CREATED);
    let refused = put(&scout, &path("r2", &large), &large).await;
    refused.fails(413, "quota_exceeded");
    let details = &refused.body["details"];
    assert_eq!((&details["used_bytes"], &details["quota_bytes"]), (&json!(4_024), &json!(6_000)));
    let bob = backend.agent("bob", "scout");
    let task = bob.task("t").await;
    let run = json!({ "session_key": "user:bob:scout", "task_id": task, "status": "running" });
    bob.put("/runs/r3", run).await.ok();
    let most = "y".repeat(6_000);
    assert_eq!(put(&bob, &path("r3", &most), &most).await.status, StatusCode::CREATED);
    put(&bob, &path("r3", "b"), "b").await.fails(413, "quota_exceeded");
    assert_eq!(put(&scout, &path("r2", "b"), "b").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn it_is_exported_and_goes_with_its_user_or_its_run() {
    let backend = keeping(ArtifactLimits::default()).await;
    let agent = backend.agent("ann", "scout");
    put(&agent, &path("r1", "[\"ann's\"]"), "[\"ann's\"]").await;
    let bob = backend.agent("bob", "scout");
    let task = bob.task("t").await;
    let run = json!({ "session_key": "user:bob:scout", "task_id": task, "status": "running" });
    bob.put("/runs/r2", run).await.ok();
    put(&bob, &path("r2", "bob's"), "bob's").await;

    let all = backend.person("ann").get("/users/ann/agent-data").await;
    let lines = all.text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_kind: Vec<_> = lines.filter(|line| line["kind"] == "artifacts").collect();
    assert_eq!(of_kind.len(), 1, "{}", all.text);
    let item = &of_kind[0]["item"];
    assert_eq!((&item["content"], &item["run_key"]), (&json!("[\"ann's\"]"), &json!("r1")), "{item}");
    let gone = backend.person("ann").delete("/users/ann/agent-data?messages=delete").await;
    assert_eq!(gone.ok()["counts"]["artifacts"], 1, "{}", gone.text);
    assert_eq!(rows(&backend).await, 1);
    assert_eq!(bob.get(&path("r2", "bob's")).await.text, "bob's");

    let mut database = backend.database().await;
    let old = "UPDATE runs SET status = 'completed', created_at = '2020-01-01T00:00:00.000000Z', \
               updated_at = '2020-01-01T00:00:00.000000Z'";
    database.execute(old).await.unwrap();
    let expired = expire(&backend.home.database(), &"runs=30".parse().unwrap(), false).await.unwrap();
    assert_eq!(expired["runs"], 1);
    assert_eq!(rows(&backend).await, 0);
}

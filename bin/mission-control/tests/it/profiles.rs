//! Customers' profiles.

use serde_json::json;

use crate::harness::Backend;

#[tokio::test]
async fn a_profile_is_replaced_and_told_with_its_tag_and_its_age() {
    let backend = Backend::start().await;
    let (service, agent) = (backend.internal(), backend.agent("ann", "scout"));
    let none = agent.get("/profile").await;
    assert_eq!(none.ok(), &json!({}));
    let profile = json!({
        "tenant_id": "acme", "tools": { "allow": [], "someday": 1 }, "workspace": { "a": 30, "b": 70 },
        "prompt_append": "ü".repeat(8_000), "of_another_version": [1]
    });
    let set = service.put("/profile?user_id=ann&role=scout", profile.clone()).await;
    assert_eq!(set.ok(), &profile, "what is not known is kept");
    let read = agent.get("/profile?user_id=ann&role=scout").await;
    assert_eq!(read.ok(), &profile);
    assert_eq!(read.headers["cache-control"], "private, max-age=7");
    let digest = mc_client::profiles::digest(&profile).unwrap();
    let tag = read.headers["etag"].to_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{digest}\""));
    for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
        let same = agent.clone().with("if-none-match", &known).get("/profile").await;
        assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""), "{known}");
        assert_eq!(same.headers["etag"], tag.as_str());
    }
    service.put("/profile?user_id=ann&role=scout", json!({})).await.ok();
    assert_eq!(agent.clone().with("if-none-match", &tag).get("/profile").await.ok(), &json!({}));

    service.put("/profile?user_id=ann", json!({ "locale": "de" })).await.ok();
    assert_eq!(agent.get("/profile").await.ok(), &json!({}), "it has one of its own");
    let jarvis = backend.agent("ann", "jarvis").get("/profile").await;
    assert_eq!(jarvis.ok(), &json!({ "locale": "de" }));
    let of_all = service.get("/profile?user_id=ann").await;
    assert_eq!(of_all.ok(), &json!({ "locale": "de" }));

    let acts = service.get("/audit?act=profile.set&user_id=ann").await;
    let acts = acts.items();
    assert_eq!((acts.len(), &acts[0]["details"]["role"]), (3, &json!("scout")));
    assert_eq!(acts[0]["details"]["digest"], digest.as_str());
    assert!(acts[2]["details"]["role"].is_null());
}

#[tokio::test]
async fn only_a_service_for_nobody_sets_one_and_agents_read_their_own() {
    let backend = Backend::start().await;
    let (service, agent) = (backend.internal(), backend.agent("ann", "scout"));
    service.put("/profile?user_id=ann", json!({ "tenant_id": "acme" })).await.ok();
    agent.get("/profile?user_id=bob&role=scout").await.fails(404, "not_found");
    agent.get("/profile?user_id=ann&role=jarvis").await.fails(403, "role_mismatch");
    agent.put("/profile?user_id=ann&role=scout", json!({})).await.fails(403, "forbidden");
    let person = backend.person("ann");
    person.get("/profile?user_id=ann").await.fails(403, "forbidden");
    person.put("/profile?user_id=ann", json!({})).await.fails(403, "forbidden");
    backend.nobody().get("/profile?user_id=ann").await.fails(401, "unauthorized");
    service.get("/profile").await.fails(400, "invalid_payload");
    service.get("/profile?user_id=ann&role=no way").await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_and_changes_nothing() {
    let backend = Backend::start().await;
    let service = backend.internal();
    service.put("/profile?user_id=ann", json!({ "tenant_id": "acme" })).await.ok();
    for wrong in [
        json!({ "prompt_append": "x".repeat(8_001) }),
        json!({ "tenant_id": "x".repeat(129) }),
        json!({ "locale": "x".repeat(129) }),
        json!({ "timezone": "x".repeat(129) }),
        json!({ "workspace": { "a": 99 } }),
        json!({ "workspace": { "a": 101 } }),
        json!({ "workspace": 7 }),
        json!({ "tools": { "deny": "x" } }),
        json!({ "tools": [] }),
        json!({ "models": { "cheap": "x" } }),
        json!({ "limits": { "max_steps": -1 } }),
        json!({ "limits": { "max_cost_usd": -0.5 } }),
        json!({ "limits": { "timeout_secs": 0 } }),
        json!({ "models": { "default": "x" }, "n": 9_007_199_254_740_993_u64 }),
    ] {
        let put = service.put("/profile?user_id=ann", wrong.clone()).await;
        put.fails(400, "invalid_payload");
    }
    let kept = service.get("/profile?user_id=ann").await;
    assert_eq!(kept.ok(), &json!({ "tenant_id": "acme" }));
}

#[tokio::test]
async fn a_run_keeps_with_what_it_was_made() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.post("/tasks", json!({ "title": "x", "idempotency_key": "t" })).await;
    let task_id = &task.ok()["id"];
    let run = json!({ "session_key": "user:ann:scout", "task_id": task_id, "workspace": "next",
        "workspace_digest": "d", "profile_digest": "p" });
    agent.put("/runs/k1", run).await.ok();
    agent.put("/runs/k1", json!({ "profile_digest": "q" })).await.ok();
    let run = agent.get("/runs/k1").await;
    let run = run.ok();
    assert_eq!((&run["workspace"], &run["profile_digest"]), (&json!("next"), &json!("q")));
}

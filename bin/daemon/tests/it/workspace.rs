//! The parts of the workspace that the model gets, and what the API reports about them.

use serde_json::{Value, json};

use crate::harness::{World, message, says};

/// All messages of a request but the newest, as bytes; and the newest.
fn split(request: &Value) -> (String, String) {
    let messages = request["messages"].as_array().unwrap();
    let (newest, before) = messages.split_last().unwrap();
    (serde_json::to_string(before).unwrap(), newest["content"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn only_the_newest_turn_differs_from_call_to_call() {
    let world = World::new().await;
    world.write("AGENTS.md", "Be exact.");
    world.write("skills/a/SKILL.md", "---\nname: a\ndescription: d\n---\n```\nGET /api/a\n```\n");
    world.daemon.reloaded("Be exact.").await;
    world.model(vec![says("ok")]).await;
    let history =
        json!([{ "role": "user", "content": "before" }, { "role": "assistant", "content": "yes" }]);
    // The local time differs in each of these zones.
    for zone in ["UTC", "Asia/Kathmandu"] {
        let body = message(json!({ "messages": history, "metadata": { "timezone": zone } }));
        assert_eq!(world.daemon.send(&body).await.0, 200);
    }
    let asked = world.model_got().await;
    let (first, newest) = split(&asked[0]);
    let (second, other_newest) = split(&asked[1]);
    assert_eq!(first, second);
    assert!(newest.starts_with("## Current Time") && newest.ends_with("hello"), "{newest}");
    assert_ne!(newest, other_newest);
    // Everything before the messages is the same, too.
    assert_eq!(asked[0]["tools"].to_string(), asked[1]["tools"].to_string());
    let context: Value =
        world.daemon.get("/context?role=scout&full=true").await.json().await.unwrap();
    assert_eq!(context["systemPrompt"], asked[0]["messages"][0]["content"]);
}

#[tokio::test]
async fn a_missing_workspace_does_not_stop_the_daemon_and_is_told() {
    let world = World::with(&[("WOMBAT_WORKSPACE", "/nowhere/at-all")], json!({})).await;
    assert_eq!(world.daemon.get("/livez").await.status(), 200);
    let ready = world.daemon.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let ready: Value = ready.json().await.unwrap();
    assert!(ready["error"].as_str().unwrap().contains("/nowhere/at-all"), "{ready}");
    let health: Value = world.daemon.get("/health").await.json().await.unwrap();
    assert_eq!(
        (&health["status"], &health["workspace"]["status"]),
        (&json!("degraded"), &json!("missing"))
    );
    assert!(health["workspace"]["problems"].to_string().contains("WOMBAT_WORKSPACE"), "{health}");
}

#[tokio::test]
async fn a_broken_edit_is_told_with_its_line_and_the_last_good_version_goes_on() {
    let world = World::new().await;
    let skill = "---\nname: a\ndescription: d\n---\nUse it well.";
    world.write("skills/a/SKILL.md", skill);
    world.write("SOUL.md", "Calm.");
    world.daemon.reloaded("Use it well.").await;
    world.write("skills/a/SKILL.md", "---\nname: a\ndescription: [\n---\n");
    let health = world.daemon.until("/health", |health| health["status"] == "degraded").await;
    let problem = &health["workspace"]["problems"][0];
    assert_eq!(problem["file"], "skills/a/SKILL.md");
    assert!(
        problem["line"].is_u64() && problem["reason"].as_str().unwrap().contains("YAML"),
        "{problem}"
    );
    world.model(vec![says("ok")]).await;
    world.daemon.send(&message(json!({}))).await;
    assert!(world.model_got().await[0]["messages"][0].to_string().contains("Use it well."));
    // A role without a SOUL.md of its own has the general one, and that is reported.
    world.write("souls/analyst.md", "Sharp.");
    let config = r#"{"agents": [{"role": "scout"}]}"#;
    world.write("agent-config.json", config);
    let agents = world
        .daemon
        .until("/api/agents", |agents| agents["agents"].as_array().unwrap().len() == 2)
        .await;
    let souls: Vec<_> = agents["agents"]
        .as_array()
        .unwrap()
        .iter()
        .map(|agent| (&agent["role"], &agent["soul"]))
        .collect();
    assert_eq!(
        souls,
        [(&json!("analyst"), &json!("souls/analyst.md")), (&json!("scout"), &json!("SOUL.md"))]
    );
}

#[tokio::test]
async fn the_first_run_is_marked_once_and_a_read_only_workspace_says_so() {
    let world = World::new().await;
    world.write("BOOT.md", "Say hello to everybody.");
    world.daemon.reloaded("Say hello").await;
    let boot: Value = world.daemon.get("/boot").await.json().await.unwrap();
    assert_eq!(
        boot,
        json!({ "hasBoot": true, "isComplete": false, "content": "Say hello to everybody." })
    );
    let done: Value =
        world.daemon.post("/boot/complete", &json!({})).send().await.unwrap().json().await.unwrap();
    assert_eq!((&done["isComplete"], &done["status"]), (&json!(true), &json!("ok")));
    assert!(world.dir.path().join(".boot-complete").exists());
    let context = world.daemon.get("/context?full=true").await.text().await.unwrap();
    assert!(!context.contains("Say hello"), "{context}");
    let missing = World::with(&[("WOMBAT_WORKSPACE", "/nowhere/at-all")], json!({})).await;
    let refused = missing.daemon.post("/boot/complete", &json!({})).send().await.unwrap();
    assert_eq!(refused.status(), 409);
}

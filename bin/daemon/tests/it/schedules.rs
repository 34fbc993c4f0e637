//! The tools of roles that may schedule.

use serde_json::{Value, json};

use crate::harness::{World, calls, message, says};

const ROLES: &str = r#"{"agents": [{"role": "scout", "schedules": true},
    {"role": "writer", "tools": {"allow": ["schedule"]}},
    {"role": "careful", "schedules": true, "tools": {"deny": ["unschedule"], "approval": ["schedule"]}}]}"#;

async fn world(features: Value) -> World {
    let world = World::with(&[], features).await;
    world.write("agent-config.json", ROLES);
    world.daemon.until("/api/agents", |agents| agents.to_string().contains("careful")).await;
    world
}

fn schedule(id: &str) -> Value {
    json!({
        "id": id, "cron": "0 9 * * *", "timezone": "Europe/Berlin", "role": "scout", "content": "look",
        "status": "active", "next_at": "2026-12-01T08:00:00Z", "last_slot": null, "runs": 0
    })
}

fn as_role(role: &str) -> Value {
    message(
        json!({ "session_key": format!("user:u1:{role}"), "metadata": { "timezone": "Europe/Berlin" } }),
    )
}

async fn told(world: &World, answer: &Value) -> String {
    let asked = world.model_got().await;
    let last = asked.last().unwrap_or_else(|| panic!("{answer}"));
    last["messages"].as_array().unwrap().last().unwrap()["content"].to_string()
}

#[tokio::test]
async fn an_agent_schedules_in_the_zone_task_and_role_of_its_run() {
    let world = world(json!({ "schedules": true })).await;
    world.backend_says("POST", "/schedules", 200, schedule("s1")).await;
    let ended = json!({ "items": [schedule("s1"), { "id": "s0", "role": "scout", "content": "x", "status": "ended" }] });
    world.backend_says("GET", "/schedules", 200, ended).await;
    world.backend_says("DELETE", "/schedules/s1", 204, Value::Null).await;
    let wish = json!({ "content": "look", "cron": "0 9 * * *", "until": "2026-12-24T18:00", "max_runs": 5 });
    world
        .model(vec![
            calls(&[("schedule", wish)]),
            calls(&[("list_schedules", json!({}))]),
            calls(&[("unschedule", json!({ "id": "s1" }))]),
            says("Done."),
        ])
        .await;
    let (status, answer) = world.daemon.send(&as_role("scout")).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Done.")), "{answer}");
    let sent = world.backend_got("POST", "/schedules").await;
    let body: Value = serde_json::from_slice(&sent[0].body).unwrap();
    for (name, value) in [
        ("role", json!("scout")),
        ("timezone", json!("Europe/Berlin")),
        ("cron", json!("0 9 * * *")),
        ("until", json!("2026-12-24T17:00:00Z")),
        ("max_runs", json!(5)),
        ("task_id", json!("t1")),
    ] {
        assert_eq!(body[name], value, "{name}: {body}");
    }
    assert!(body["idempotency_key"].is_string(), "{body}");
    let asked = world.model_got().await;
    let results: Vec<String> = asked[1..]
        .iter()
        .map(|asked| asked["messages"].as_array().unwrap().last().unwrap()["content"].to_string())
        .collect();
    assert!(results[0].contains("Tuesday, 2026-12-01 09:00 (Europe/Berlin)"), "{}", results[0]);
    assert!(results[1].contains("s1") && !results[1].contains("s0"), "{}", results[1]);
    assert!(results[2].contains("deleted"), "{}", results[2]);
    assert_eq!(world.backend_got("DELETE", "/schedules/s1").await.len(), 1);
}

#[tokio::test]
async fn what_names_no_time_is_not_sent_and_a_refusal_reaches_the_model() {
    let world = world(json!({ "schedules": true })).await;
    let refused = json!({ "error": "the schedule is due too often", "code": "too_often" });
    world.backend_says("POST", "/schedules", 400, refused).await;
    world
        .model(vec![
            calls(&[("schedule", json!({ "content": "x", "at": "Monday at nine" }))]),
            calls(&[(
                "schedule",
                json!({ "content": "x", "at": "2026-12-01T09:00", "cron": "* * * * *" }),
            )]),
            calls(&[("schedule", json!({ "content": "x", "cron": "* * * * *" }))]),
            says("No."),
        ])
        .await;
    let (_, answer) = world.daemon.send(&as_role("scout")).await;
    assert_eq!(world.backend_got("POST", "/schedules").await.len(), 1, "{answer}");
    let last = told(&world, &answer).await;
    assert!(last.contains("due too often"), "{last}");
}

#[tokio::test]
async fn only_roles_that_say_so_have_the_tools_and_only_where_the_backend_keeps_schedules() {
    let names = |asked: &Value| -> Vec<String> {
        let tools = asked["tools"].as_array().cloned().unwrap_or_default();
        let names = tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned());
        names.filter(|name| name.contains("schedule")).collect()
    };
    let world = world(json!({ "schedules": true })).await;
    for (role, expected) in [
        ("scout", &["schedule", "list_schedules", "unschedule"][..]),
        ("writer", &[]),
        ("careful", &["schedule", "list_schedules"]),
    ] {
        world.model(vec![says("Hi.")]).await;
        world.daemon.send(&as_role(role)).await;
        assert_eq!(names(world.model_got().await.last().unwrap()), expected, "{role}");
    }
    let without = self::world(json!({})).await;
    without.model(vec![says("Hi.")]).await;
    without.daemon.send(&as_role("scout")).await;
    assert!(names(&without.model_got().await[0]).is_empty());
}

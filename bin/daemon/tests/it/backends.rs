//! Backends that keep the contract in their own ways.

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::harness::{MC, World, message, says};

/// An answer before all others, under this content type; none when it is empty.
async fn says_as(world: &World, kind: &str, verb: &str, at: &str, body: Value) {
    let answer = ResponseTemplate::new(200);
    let answer = match kind {
        "" => answer.set_body_bytes(body.to_string()),
        kind => answer.set_body_raw(body.to_string(), kind),
    };
    let at = path(format!("{MC}{at}"));
    Mock::given(method(verb))
        .and(at)
        .respond_with(answer)
        .with_priority(1)
        .mount(&world.backend)
        .await;
}

#[tokio::test]
async fn json_of_any_content_type_with_fields_of_its_own_and_no_roles_is_read() {
    for kind in [
        "application/json; charset=utf-8",
        "text/json",
        "application/vnd.api+json",
        "application/problem+json",
        "text/plain",
        "text/html",
        "",
    ] {
        let world = World::new().await;
        world.model(vec![says("Hi")]).await;
        let features = json!({ "messages_list": true, "tasks_get": true, "own_feature": true });
        let capabilities = json!({ "contract_version": "v1", "features": features, "own": [1] });
        says_as(&world, kind, "GET", "/capabilities", capabilities).await;
        let task =
            json!({ "id": "t7", "title": "Plan", "status": "pending", "own": { "a": null } });
        says_as(&world, kind, "GET", "/tasks", json!({ "items": [task], "total": 1 })).await;
        let said = |actor: &str, text: &str| json!({ "id": text, "content": text, "actor_type": actor, "own": 1 });
        let thread = json!({ "items": [said("agent", "one"), said("user", "two")], "total": 2 });
        says_as(&world, kind, "GET", "/messages", thread).await;
        let stored = json!({ "id": "m7", "task_id": "t7", "content": "Hi", "own": true });
        says_as(&world, kind, "POST", "/messages", stored).await;
        let mut body = message(json!({ "task_title": "Plan" }));
        body.as_object_mut().unwrap().remove("task_id");
        let (status, answer) = world.daemon.send(&body).await;
        assert_eq!((status, &answer["message_id"]), (200, &json!("m7")), "{kind}: {answer}");
        assert_eq!(answer["task_id"], "t7", "{kind}: {answer}");
        // A message of an agent without a role is this agent's own.
        let turns = world.model_got().await[0]["messages"].as_array().unwrap().clone();
        let roles: Vec<_> = turns.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "assistant", "user", "user"], "{kind}: {turns:?}");
    }
}

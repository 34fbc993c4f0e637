//! What a person says is stored in the thread, once, where the backend takes it and does not have it yet.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use wiremock::Request;

use crate::harness::{World, calls, message, refuses, says};

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// What the token of a call claims.
fn claims(request: &Request) -> Value {
    let token = request.headers["x-agent-token"].to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

/// What the model was asked last, without the system prompt and the time.
async fn turns(world: &World) -> Vec<String> {
    let asked = world.model_got().await;
    let turns = asked.last().unwrap()["messages"].as_array().unwrap().clone();
    let texts =
        turns.iter().skip(1).map(|turn| turn["content"].as_str().unwrap_or_default().to_owned());
    texts.map(|text| text.rsplit("\n\n").next().unwrap().to_owned()).collect()
}

/// What was stored as the user's.
async fn stored(world: &World) -> Vec<Value> {
    let posts = world.backend_got("POST", "/messages").await;
    posts.iter().map(body).filter(|post| post["actor_type"] == "user").collect()
}

fn said(id: &str, actor: &str, content: &str) -> Value {
    json!({ "id": id, "task_id": "t1", "content": content, "actor_type": actor, "agent_role": "scout" })
}

async fn world(thread: Value) -> World {
    let world = World::with(&[], json!({ "messages_list": true, "user_messages": true })).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": thread })).await;
    world
}

#[tokio::test]
async fn the_message_is_stored_before_the_reply_with_a_token_for_that_alone() {
    let world = world(json!([])).await;
    world.model(vec![calls(&[("post_message", json!({ "content": "on it" }))]), says("hi")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let posts = world.backend_got("POST", "/messages").await;
    let [question, called, reply] = &posts[..] else { panic!("{}", posts.len()) };
    let sent = body(question);
    assert_eq!((&sent["content"], &sent["actor_type"]), (&json!("hello"), &json!("user")));
    assert_eq!((&sent["task_id"], &sent["agent_role"]), (&json!("t1"), &Value::Null));
    let key = sent["idempotency_key"].as_str().unwrap().to_owned();
    assert_eq!(body(reply)["idempotency_key"], key.replace(":message", ":reply"));
    assert_eq!(claims(question)["on_behalf_of"], "u1");
    // What the model calls, and the reply, could not be stored as the user's.
    for own in [called, reply] {
        assert_eq!(claims(own)["on_behalf_of"], Value::Null);
        assert_eq!(body(own)["actor_type"], "agent");
    }
    assert_eq!(turns(&world).await.first().unwrap(), "hello");
}

#[tokio::test]
async fn a_message_that_the_thread_has_is_not_stored_again() {
    // By the backend, also where another one came since.
    for more in [json!([]), json!([said("3", "user", "and that")])] {
        let mut thread = vec![
            said("0", "user", "begin"),
            said("1", "agent", "hello"),
            said("2", "user", " hello"),
        ];
        thread.extend(more.as_array().unwrap().iter().cloned());
        let world = world(json!(thread)).await;
        world.model(vec![says("ok")]).await;
        assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
        assert!(stored(&world).await.is_empty());
        let turns = turns(&world).await;
        assert_eq!(turns.iter().filter(|text| text.trim() == "hello").count(), 2, "{turns:?}");
        assert_eq!(turns.last().unwrap(), "hello");
    }
    // The caller's own history does not hide that the message is stored.
    let world = world(json!([said("2", "user", "hello")])).await;
    world.model(vec![says("ok")]).await;
    let given = json!({ "messages": [
        { "role": "user", "content": "before" }, { "role": "assistant", "content": "yes" },
    ] });
    assert_eq!(world.daemon.send(&message(given)).await.0, 200);
    assert!(stored(&world).await.is_empty());
    assert_eq!(turns(&world).await, ["before", "yes", "hello"]);
}

#[tokio::test]
async fn an_answered_message_is_another_one() {
    let world = world(json!([said("1", "user", "hello"), said("2", "agent", "hi")])).await;
    world.model(vec![says("ok")]).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    assert_eq!(stored(&world).await.len(), 1);
    assert_eq!(turns(&world).await, ["hello", "hi", "hello"]);
}

#[tokio::test]
async fn a_retry_stores_it_under_the_same_key_and_shows_it_once() {
    let world = world(json!([])).await;
    world.model(vec![refuses(400, "bad", "no"), says("ok")]).await;
    let request = message(json!({ "idempotency_key": "k" }));
    assert_ne!(world.daemon.send(&request).await.0, 200);
    world.backend.reset().await;
    // Somebody has written since; the backend answers the key with the message that it has.
    let capabilities = json!({ "contract_version": "v1",
        "features": { "messages_list": true, "user_messages": true } });
    world.backend_says("GET", "/capabilities", 200, capabilities).await;
    let thread =
        [said("0", "user", "begin"), said("q", "user", "hello"), said("2", "agent", "wait")];
    world.backend_says("GET", "/messages", 200, json!({ "items": thread })).await;
    world.backend_says("POST", "/messages", 200, said("q", "user", "hello")).await;
    let (status, answer) = world.daemon.send(&request).await;
    assert_eq!(status, 200, "{answer}");
    let again = stored(&world).await;
    assert_eq!(again.len(), 1);
    assert!(again[0]["idempotency_key"].as_str().unwrap().ends_with(":message"));
    assert_eq!(turns(&world).await, ["begin", "wait", "hello"]);
}

#[tokio::test]
async fn only_what_a_person_says_is_stored_and_only_where_it_is_taken() {
    for kind in ["mc.notification", "heartbeat"] {
        let world = world(json!([])).await;
        world.model(vec![says("ok")]).await;
        let more = json!({ "metadata": { "type": kind } });
        assert_eq!(world.daemon.send(&message(more)).await.0, 200, "{kind}");
        assert!(stored(&world).await.is_empty(), "{kind}");
    }
    let world = World::with(&[], json!({ "messages_list": true })).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;
    world.model(vec![says("ok")]).await;
    assert_eq!(world.daemon.send(&message(json!({}))).await.0, 200);
    assert!(stored(&world).await.is_empty());
}

#[tokio::test]
async fn nothing_is_asked_of_a_model_when_it_cannot_be_stored() {
    let world = world(json!([])).await;
    world.backend_says("POST", "/messages", 403, json!({ "error": "not you" })).await;
    world.model(vec![says("ok")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!((status, &answer["code"]), (502, &json!("backend_auth")), "{answer}");
    assert!(world.model_got().await.is_empty());
}

/// On a task that is there, too, where nothing else is created.
#[tokio::test]
async fn nothing_is_stored_for_a_run_that_is_refused() {
    let features = json!({ "messages_list": true, "user_messages": true, "budgets": true });
    let world = World::with(&[], features).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;
    let used =
        json!({ "limit_usd": 1.0, "spent_usd": 1.0, "reserved_usd": 0.0, "remaining_usd": 0.0 });
    world.backend_says("GET", "/budget", 200, used).await;
    let (status, answer) = world.daemon.send(&message(json!({ "task_id": "t1" }))).await;
    assert_eq!((status, &answer["code"]), (402, &json!("budget_exceeded")), "{answer}");
    assert!(stored(&world).await.is_empty());
    // A model whose price is not known, with a limit on the cost.
    let no_price = [("LLM_MODEL_FALLBACK", "openai/gpt-unknown")];
    let features = json!({ "messages_list": true, "user_messages": true });
    let world = World::with(&no_price, features).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;
    let limited = json!({ "task_id": "t1", "limits": { "max_cost_usd": 1 } });
    let (status, answer) = world.daemon.send(&message(limited)).await;
    assert_eq!(status, 400, "{answer}");
    assert!(stored(&world).await.is_empty());
}

#[tokio::test]
async fn a_character_that_databases_do_not_store_is_left_out() {
    let world = world(json!([])).await;
    world.model(vec![says("ok")]).await;
    let more = json!({ "message": "hel\0lo" });
    assert_eq!(world.daemon.send(&message(more)).await.0, 200);
    assert_eq!(stored(&world).await[0]["content"], "hello");
}

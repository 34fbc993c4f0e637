//! The queue of notifications: leases, failures, dead letters.

use std::collections::HashSet;

use mc_client::types::Delivered;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Backend, MC, column, send};

const LEASED: &str = "/dispatch/undelivered?lease_seconds=60";
const LOOK: &str = "/dispatch/undelivered";

async fn notify(backend: &Backend, user: &str, role: &str, content: &str) -> String {
    let session = format!("user:{user}:{role}");
    let new = json!({ "user_id": user, "session_key": session, "content": content });
    let made = backend.internal().post("/notifications", new).await;
    made.ok()["id"].as_str().unwrap().to_owned()
}

async fn poll(backend: &Backend, path: &str) -> Vec<Value> {
    let answer = backend.internal().post(path, json!({})).await;
    answer.ok()["deliveries"].as_array().unwrap().clone()
}

async fn contents(backend: &Backend, path: &str) -> Vec<String> {
    column(&poll(backend, path).await, "content").into_iter().map(str::to_owned).collect()
}

async fn act(backend: &Backend, id: &str, verb: &str, body: Value) -> Value {
    let path = format!("/dispatch/notifications/{id}/{verb}?user_id=ann");
    backend.internal().post(&path, body).await.ok()["status"].clone()
}

async fn end_all_leases(backend: &Backend) {
    sqlx::query("UPDATE notifications SET leased_until = '2000-01-01T00:00:00.000000Z' WHERE leased_until IS NOT NULL")
        .execute(&mut backend.database().await)
        .await
        .unwrap();
}

#[tokio::test]
async fn what_waits_is_given_oldest_first_by_either_verb() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let task = person.task("T").await;
    person.post("/messages", json!({ "task_id": task, "content": "@scout one" })).await.ok();
    let id = notify(&backend, "bob", "jarvis", "two").await;
    let posted = poll(&backend, LOOK).await;
    let got = send(backend.internal().raw(Method::GET, &format!("{MC}{LOOK}"))).await;
    assert_eq!(got.ok()["deliveries"], json!(posted));
    assert_eq!(column(&posted, "content"), ["@scout one", "two"]);
    assert_eq!(posted[0]["task_id"], task);
    let mut second = posted[1].clone();
    assert!(second.as_object_mut().unwrap().remove("created_at").is_some());
    assert_eq!(
        second,
        json!({
            "notification_id": id, "user_id": "bob", "session_key": "user:bob:jarvis",
            "content": "two", "attempts": 0
        })
    );
}

#[tokio::test]
async fn a_lease_hands_a_delivery_to_one_caller_until_it_ends() {
    let backend = Backend::start().await;
    notify(&backend, "ann", "scout", "one").await;
    assert_eq!(contents(&backend, LEASED).await, ["one"]);
    assert!(contents(&backend, LEASED).await.is_empty());
    assert!(contents(&backend, LOOK).await.is_empty());
    end_all_leases(&backend).await;
    assert_eq!(contents(&backend, LEASED).await, ["one"]);
}

#[tokio::test]
async fn many_dispatchers_at_once_share_the_queue_without_overlap() {
    let backend = Backend::start().await;
    for n in 0..40 {
        notify(&backend, &format!("user{n}"), "scout", "x").await;
    }
    let mut polls = JoinSet::new();
    for _ in 0..16 {
        let internal = backend.internal();
        polls.spawn(async move {
            internal
                .post("/dispatch/undelivered?lease_seconds=60&limit_notifications=5", json!({}))
                .await
        });
    }
    let answers = polls.join_all().await;
    let ids: Vec<String> = answers
        .iter()
        .flat_map(|answer| answer.ok()["deliveries"].as_array().unwrap())
        .map(|delivery| delivery["notification_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 40);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40);
}

#[tokio::test]
async fn a_session_waits_as_a_whole_while_something_older_of_it_is_leased() {
    let backend = Backend::start().await;
    let first = notify(&backend, "ann", "scout", "first").await;
    assert_eq!(contents(&backend, LEASED).await, ["first"]);
    notify(&backend, "ann", "scout", "second").await;
    notify(&backend, "ann", "jarvis", "neighbour").await;
    assert_eq!(contents(&backend, LEASED).await, ["neighbour"]);
    act(&backend, &first, "deliver", json!({})).await;
    assert_eq!(contents(&backend, LEASED).await, ["second"]);
}

#[tokio::test]
async fn a_user_whose_sessions_are_leased_takes_no_other_users_place() {
    let backend = Backend::start().await;
    notify(&backend, "ann", "scout", "first").await;
    assert_eq!(contents(&backend, LEASED).await, ["first"]);
    notify(&backend, "ann", "scout", "held back").await;
    notify(&backend, "bob", "scout", "bob's").await;
    assert_eq!(contents(&backend, &format!("{LEASED}&limit_users=1")).await, ["bob's"]);
}

#[tokio::test]
async fn a_user_far_back_in_a_long_queue_is_found_when_all_before_is_leased() {
    let backend = Backend::start().await;
    // More of them than are read from the database at a time.
    sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 450) \
         INSERT INTO notifications (id, user_id, session_key, content, created_at) \
         SELECT 'n' || i, 'ann', 'user:ann:scout', 'n' || i, '2026-01-01T00:00:00.000000Z' FROM n",
    )
    .execute(&mut backend.database().await)
    .await
    .unwrap();
    notify(&backend, "bob", "scout", "bob's").await;
    let all = format!("{LOOK}?limit_notifications=1000");
    assert_eq!(contents(&backend, &all).await.len(), 451);
    let anns = contents(&backend, &format!("{all}&limit_users=1")).await;
    assert_eq!(anns, (1..=450).map(|n| format!("n{n}")).collect::<Vec<_>>());
    let first = format!("{LEASED}&limit_notifications=1");
    assert_eq!(contents(&backend, &first).await, ["n1"]);
    assert_eq!(contents(&backend, &first).await, ["bob's"]);
}

#[tokio::test]
async fn limits_hold_for_users_and_notifications() {
    let backend = Backend::start().await;
    for user in ["ann", "bob", "cid"] {
        for n in 0..2 {
            notify(&backend, user, "scout", &format!("{user}{n}")).await;
        }
    }
    assert_eq!(contents(&backend, &format!("{LOOK}?limit_users=1")).await, ["ann0", "ann1"]);
    let three = format!("{LOOK}?limit_notifications=3");
    assert_eq!(contents(&backend, &three).await, ["ann0", "ann1", "bob0"]);
    for wrong in ["limit_users=x", "limit_notifications=-1", "lease_seconds=soon"] {
        let answer = backend.internal().post(&format!("{LOOK}?{wrong}"), json!({})).await;
        answer.fails(400, "invalid_payload");
    }
}

#[tokio::test]
async fn what_was_delivered_leaves_the_queue_and_may_be_delivered_again() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "one").await;
    for _ in 0..2 {
        assert_eq!(act(&backend, &id, "deliver", json!({})).await, "delivered");
    }
    assert!(contents(&backend, LOOK).await.is_empty());
    let notifications = backend.person("ann").get("/notifications").await;
    assert_eq!(notifications.items()[0]["delivered"], true);
    // A dispatcher that was slow reports a failure of what another has delivered.
    let failure = json!({ "error": "late", "attempts": 8, "dead": true });
    assert_eq!(act(&backend, &id, "fail", failure).await, "delivered");
    assert!(backend.internal().get("/dispatch/dead").await.items().is_empty());
    let path = format!("/dispatch/notifications/{id}/requeue?user_id=ann");
    backend.internal().post(&path, json!({})).await.fails(409, "already_delivered");
}

#[tokio::test]
async fn a_failure_is_noted_and_keeps_its_lease() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "one").await;
    assert_eq!(contents(&backend, LEASED).await, ["one"]);
    let failure = json!({ "error": "the daemon answered 500", "attempts": 2, "dead": false });
    assert_eq!(act(&backend, &id, "fail", failure).await, "failed");
    assert!(contents(&backend, LEASED).await.is_empty());
    end_all_leases(&backend).await;
    assert_eq!(poll(&backend, LEASED).await[0]["attempts"], 2);
}

#[tokio::test]
async fn a_dead_one_is_listed_with_its_reason_and_can_be_put_back() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "poison").await;
    notify(&backend, "ann", "scout", "next").await;
    assert_eq!(contents(&backend, LEASED).await, ["poison", "next"]);
    let failure = json!({ "error": "no such role", "attempts": 8, "dead": true });
    assert_eq!(act(&backend, &id, "fail", failure).await, "dead");
    end_all_leases(&backend).await;
    assert_eq!(contents(&backend, LOOK).await, ["next"]);

    let dead = backend.internal().get("/dispatch/dead").await;
    let letter = &dead.items()[0];
    assert_eq!(letter["notification_id"], id);
    assert_eq!((&letter["error"], &letter["attempts"]), (&json!("no such role"), &json!(8)));
    assert!(letter["failed_at"].is_string());

    assert_eq!(act(&backend, &id, "requeue", json!({})).await, "queued");
    assert!(backend.internal().get("/dispatch/dead").await.items().is_empty());
    let again = poll(&backend, LOOK).await;
    assert_eq!(column(&again, "content"), ["poison", "next"]);
    assert_eq!(again[0]["attempts"], 0);
}

#[tokio::test]
async fn putting_back_what_is_being_delivered_does_not_hand_it_out_again() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "one").await;
    assert_eq!(contents(&backend, LEASED).await, ["one"]);
    assert_eq!(act(&backend, &id, "requeue", json!({})).await, "queued");
    assert!(contents(&backend, LEASED).await.is_empty());
}

#[tokio::test]
async fn a_dead_one_that_was_delivered_after_all_is_dead_no_longer() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "one").await;
    let failure = json!({ "error": "x", "attempts": 8, "dead": true });
    act(&backend, &id, "fail", failure).await;
    act(&backend, &id, "deliver", json!({})).await;
    assert!(backend.internal().get("/dispatch/dead").await.items().is_empty());
}

#[tokio::test]
async fn the_dead_are_listed_newest_first_over_pages() {
    let backend = Backend::start().await;
    for n in 0..3 {
        let id = notify(&backend, "ann", "scout", &format!("d{n}")).await;
        act(&backend, &id, "fail", json!({ "error": "x", "attempts": 1, "dead": true })).await;
    }
    let first = backend.internal().get("/dispatch/dead?limit=2").await;
    assert_eq!(column(first.items(), "content"), ["d2", "d1"]);
    let cursor = first.body["next_cursor"].as_str().unwrap();
    let rest = backend.internal().get(&format!("/dispatch/dead?limit=2&cursor={cursor}")).await;
    assert_eq!(column(rest.items(), "content"), ["d0"]);
    assert!(rest.body.get("next_cursor").is_none());
}

#[tokio::test]
async fn a_call_without_its_user_or_for_nothing_is_refused() {
    let backend = Backend::start().await;
    let id = notify(&backend, "ann", "scout", "one").await;
    for verb in ["deliver", "requeue"] {
        let path = format!("/dispatch/notifications/{id}/{verb}");
        backend.internal().post(&path, json!({})).await.fails(400, "invalid_payload");
        let path = format!("/dispatch/notifications/nowhere/{verb}?user_id=ann");
        backend.internal().post(&path, json!({})).await.fails(404, "not_found");
    }
    let path = format!("/dispatch/notifications/{id}/fail?user_id=ann");
    backend.internal().post(&path, json!({ "error": "x" })).await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn many_are_delivered_in_one_call_and_what_is_unknown_is_named() {
    let backend = Backend::start().await;
    let mut delivered = Vec::new();
    for n in 0..5 {
        let id = notify(&backend, "ann", "scout", &format!("n{n}")).await;
        delivered.push(Delivered { notification_id: id, user_id: "ann".into() });
    }
    let service = backend.service();
    assert!(service.capabilities().await.unwrap().has("dispatch_batch"));
    let last = delivered.pop().unwrap();
    delivered.push(Delivered { notification_id: "nowhere".into(), user_id: "ann".into() });
    delivered.push(Delivered { user_id: "bob".into(), ..last.clone() });
    for _ in 0..2 {
        let unknown = service.deliver_many(&delivered).await.unwrap();
        assert_eq!(unknown, ["nowhere", last.notification_id.as_str()]);
    }
    assert_eq!(contents(&backend, LOOK).await, ["n4"]);
    let many =
        json!({ "deliveries": vec![json!({ "notification_id": "x", "user_id": "y" }); 1001] });
    for wrong in [many, json!({}), json!({ "deliveries": [{ "notification_id": "x" }] })] {
        backend.internal().post("/dispatch/deliver", wrong).await.fails(400, "invalid_payload");
    }
    let none = backend.internal().post("/dispatch/deliver", json!({ "deliveries": [] })).await;
    assert_eq!(none.ok(), &json!({ "delivered": 0, "not_found": [] }));
}

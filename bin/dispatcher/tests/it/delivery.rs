//! What is delivered, in which order, how often.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::fake::{Fake, answers, id_of, notification, ok};

#[tokio::test]
async fn a_notification_is_forwarded_as_a_message_and_acknowledged() {
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.put([json!({"notification_id": "n/1", "user_id": "u", "session_key": "user:u:scout",
        "content": "hi", "run_key": "k", "metadata": {"a": 1}, "unknown": true})]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| {
        assert_eq!(log.acked, ["n/1"]);
        assert_eq!(
            log.sent,
            [json!({"user_id": "u", "session_key": "user:u:scout", "message": "hi",
                "task_title": "Notifications", "resume_run_key": "k",
                "metadata": {"a": 1, "type": "mc.notification", "notification_id": "n/1"}})]
        );
        assert_eq!(log.send_headers[0]["x-agent-daemon-key"], "daemon-key");
        assert!(log.send_headers[0]["traceparent"].to_str().unwrap().starts_with("00-"));
        let query = &log.polls[0].1;
        assert!(query.contains_key("limit_users") && !query.contains_key("lease_seconds"));
    });
}

#[tokio::test]
async fn two_hundred_of_twenty_sessions_come_once_each_and_in_order() {
    let fake = Fake::start(answers(|_| ok()), json!({"dispatch_leases": true})).await;
    fake.put((0..200).map(|n| notification(&format!("u{}", n % 20), &format!("{n:03}"))));
    fake.drain(&[]).await.unwrap();
    fake.read(|log| {
        assert_eq!(log.sent.len(), 200);
        assert_eq!(log.acked.len(), 200);
        assert_eq!(log.polls[0].1["lease_seconds"], "60");
        let mut last: HashMap<String, String> = HashMap::new();
        for body in &log.sent {
            let before = last.insert(body["user_id"].to_string(), id_of(body));
            assert!(before.is_none_or(|before| before < id_of(body)), "{body}");
        }
    });
}

#[tokio::test]
async fn sessions_run_in_parallel_and_polling_goes_on_meanwhile() {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (open, now, peak) = (Arc::clone(&gate), Arc::clone(&running), Arc::clone(&most));
    let daemon = Arc::new(move |_| -> crate::fake::Answer {
        let (open, now, peak) = (Arc::clone(&open), Arc::clone(&now), Arc::clone(&peak));
        Box::pin(async move {
            peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            open.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            ok()
        })
    });
    let fake = Fake::start(daemon, json!({})).await;
    fake.put((0..6).map(|n| notification(&format!("u{n}"), &n.to_string())));
    let dispatcher = fake.dispatch(&[("DISPATCH_CONCURRENCY", "4")]);
    fake.until("four at once", |log| log.sent.len() == 4).await;
    let polls = fake.read(|log| log.polls.len());
    fake.until("polls while others run", |log| log.polls.len() > polls + 3).await;
    assert_eq!(fake.read(|log| log.sent.len()), 4, "none in flight is forwarded again");
    gate.add_permits(100);
    fake.until("all", |log| log.acked.len() == 6).await;
    assert_eq!(most.load(Ordering::SeqCst), 4);
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_backend_of_either_verb_is_understood() {
    for verb in [Method::GET, Method::POST] {
        let fake = Fake::start(answers(|_| ok()), json!([])).await;
        fake.read(|log| log.verb = Some(verb.clone()));
        fake.put([notification("u", "1")]);
        fake.drain(&[]).await.unwrap();
        fake.read(|log| {
            assert_eq!(log.acked, ["1"]);
            let wrong = log.polls.iter().filter(|(method, _)| *method != verb).count();
            assert!(wrong <= 1, "{verb} must be remembered");
        });
    }
}

#[tokio::test]
async fn stopping_finishes_and_acknowledges_what_is_in_flight_and_starts_nothing() {
    let gate = Arc::new(Semaphore::new(0));
    let open = Arc::clone(&gate);
    let daemon = Arc::new(move |_| -> crate::fake::Answer {
        let open = Arc::clone(&open);
        Box::pin(async move {
            open.acquire().await.unwrap().forget();
            ok()
        })
    });
    let fake = Fake::start(daemon, json!({})).await;
    fake.put([notification("u", "1"), notification("u", "2")]);
    let dispatcher = fake.dispatch(&[]);
    fake.until("in flight", |log| log.sent.len() == 1).await;
    fake.read(|log| log.fail_acks = 2);
    dispatcher.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let polls = fake.read(|log| log.polls.len());
    gate.add_permits(1);
    dispatcher.stop().await;
    fake.read(|log| {
        assert_eq!(log.acked, ["1"]);
        assert_eq!(log.sent.len(), 1);
        assert_eq!(log.polls.len(), polls);
    });
}

//! Several acknowledgements in one call, where the backend takes them.

use serde_json::json;

use crate::fake::{Fake, answers, id_of, notification, ok, status};

#[tokio::test]
async fn what_is_delivered_at_the_same_time_is_acknowledged_together_and_in_order() {
    let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": true})).await;
    fake.put((0..300).map(|n| notification(&format!("u{}", n % 30), &format!("{n:03}"))));
    fake.drain(&[]).await.unwrap();
    fake.read(|log| {
        assert_eq!((log.acked.len(), log.sent.len(), log.waiting.len()), (300, 300, 0));
        assert!(log.batches.len() < 300, "{:?}", log.batches);
        for user in 0..30 {
            let of_user = |body: &&serde_json::Value| body["user_id"] == format!("u{user}");
            let ids: Vec<_> = log.sent.iter().filter(of_user).map(id_of).collect();
            assert!(ids.is_sorted() && ids.len() == 10, "{ids:?}");
        }
    });
}

#[tokio::test]
async fn a_call_that_fails_is_repeated_without_a_second_forward() {
    let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": true})).await;
    fake.read(|log| log.fail_acks = 4);
    fake.put((0..9).map(|n| notification(&format!("u{n}"), &n.to_string())));
    fake.drain(&[]).await.unwrap();
    fake.read(|log| assert_eq!((log.acked.len(), log.sent.len()), (9, 9)));
}

#[tokio::test]
async fn a_backend_that_only_announces_it_or_refuses_a_call_gets_them_one_by_one() {
    for refusal in [404, 405, 400, 413] {
        let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": true})).await;
        fake.read(|log| log.batch_status = Some(refusal));
        fake.put((0..40).map(|n| notification(&format!("u{}", n % 20), &format!("{n:02}"))));
        fake.drain(&[]).await.unwrap();
        fake.read(|log| assert_eq!((log.acked.len(), log.sent.len()), (40, 40), "{refusal}"));
    }
}

#[tokio::test]
async fn what_the_backend_does_not_know_any_more_is_left_alone() {
    let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": true})).await;
    let kept = fake.clone();
    let daemon = answers(move |body| {
        // It is gone by the time that it is to be acknowledged.
        if id_of(body) == "gone" {
            kept.read(|log| log.waiting.retain(|item| item["notification_id"] != "gone"));
        }
        ok()
    });
    let daemon = Fake::start(daemon, json!({})).await;
    fake.put([notification("u", "gone"), notification("u", "next")]);
    fake.drain(&[("AGENT_DAEMON_URL", &daemon.url)]).await.unwrap();
    fake.read(|log| assert_eq!(log.acked, ["next"]));
    daemon.read(|log| assert_eq!(log.sent.len(), 2));
}

#[tokio::test]
async fn neighbours_are_fetched_while_many_sessions_wait_for_a_repeat() {
    // More of them than workers, and than one poll brings.
    let daemon =
        answers(|body| if id_of(body).starts_with("bad") { status(500, "x") } else { ok() });
    let fake = Fake::start(daemon, json!({"notifications_fail": true})).await;
    fake.put((0..50).map(|n| notification(&format!("bad{n}"), &format!("bad{n}"))));
    fake.put((0..30).map(|n| notification(&format!("u{n}"), &n.to_string())));
    let slow = [
        ("DISPATCH_MIN_INTERVAL_SEC", "0.5"),
        ("DISPATCH_MAX_INTERVAL_SEC", "3600"),
        ("DISPATCH_LIMIT_NOTIFICATIONS", "40"),
    ];
    let dispatcher = fake.dispatch(&slow);
    fake.until("the good ones", |log| log.acked.len() == 30).await;
    fake.read(|log| {
        assert!(log.dead.is_empty(), "{:?}", log.dead);
        assert!(log.polls.iter().any(|(_, query)| query["limit_notifications"] == "80"));
    });
    dispatcher.stop().await;
}

//! What becomes of a notification that the daemon does not take.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::fake::{Fake, answers, id_of, notification, ok, status};

#[tokio::test]
async fn each_class_of_failure_is_treated_as_the_contract_says() {
    // Status, code, forwards until it is dead; 0 for waits without end.
    for (code, word, forwards) in [
        (400, "invalid_payload", 1),
        (404, "task_not_found", 1),
        (404, "unknown_role", 1),
        (409, "run_cancelled", 1),
        (422, "content_filtered", 1),
        (500, "internal", 3),
        (504, "run_timeout", 3),
        (502, "llm_empty_reply", 3),
        (502, "llm_rejected", 3),
        (402, "budget_exceeded", 3),
        (409, "session_busy", 0),
        (401, "missing_daemon_key", 0),
        (403, "invalid_daemon_key", 0),
        (503, "draining", 0),
        (503, "policy_invalid", 0),
        (503, "llm_unavailable", 0),
        (502, "backend_unavailable", 0),
    ] {
        let tries = AtomicUsize::new(0);
        let daemon = answers(move |_| {
            // What waits is let through in the end, after more tries than would count.
            let tried = tries.fetch_add(1, Ordering::SeqCst) >= 5;
            if forwards == 0 && tried { ok() } else { status(code, word) }
        });
        let fake = Fake::start(daemon, json!({"notifications_fail": true})).await;
        fake.put([notification("u", "1")]);
        let dispatcher = fake.dispatch(&[("DISPATCH_MAX_ATTEMPTS", "3")]);
        fake.until(word, |log| log.waiting.is_empty()).await;
        dispatcher.stop().await;
        fake.read(|log| {
            if forwards == 0 {
                assert_eq!((log.acked.len(), log.dead.len()), (1, 0), "{word}");
            } else {
                assert_eq!(log.sent.len(), forwards, "{word}");
                let (id, body) = &log.dead[0];
                assert_eq!((id.as_str(), &body["dead"]), ("1", &json!(true)), "{word}");
                assert_eq!(body["attempts"], forwards, "{word}");
                assert!(body["error"].as_str().unwrap().contains(word), "{body}");
            }
        });
    }
}

#[tokio::test]
async fn a_poison_notification_ends_dead_and_its_neighbours_do_not_notice() {
    let daemon = answers(|body| if id_of(body) == "bad" { status(500, "x") } else { ok() });
    let fake = Fake::start(daemon, json!({"notifications_fail": true})).await;
    fake.put([notification("u", "bad"), notification("u", "after"), notification("v", "other")]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| {
        assert_eq!(log.acked, ["other", "after"]);
        assert_eq!(log.dead.len(), 1);
        assert_eq!(log.dead[0].1["attempts"], 8);
        assert_eq!(log.sent.iter().filter(|body| id_of(body) == "bad").count(), 8);
    });
}

#[tokio::test]
async fn without_dead_letters_a_dead_notification_is_skipped() {
    let daemon = answers(|body| if id_of(body) == "bad" { status(400, "x") } else { ok() });
    for secret in ["0123456789abcdef0123456789abcdef", ""] {
        let fake = Fake::start(daemon.clone(), json!({})).await;
        fake.put([notification("u", "bad"), notification("u", "after")]);
        fake.drain(&[("AGENT_JWT_SECRET", secret)]).await.unwrap();
        fake.read(|log| {
            assert_eq!(log.acked, ["after"]);
            assert_eq!(log.sent.len(), 2);
            assert_eq!(log.waiting.len(), 1);
        });
    }
}

#[tokio::test]
async fn an_acknowledgement_that_fails_is_tried_again_without_a_second_forward() {
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.read(|log| log.fail_acks = 4);
    fake.put([notification("u", "1")]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| assert_eq!((log.acked.len(), log.sent.len()), (1, 1)));
}

#[tokio::test]
async fn a_daemon_that_comes_later_gets_everything_and_nothing_was_counted() {
    let fake = Fake::start(answers(|_| ok()), json!({"notifications_fail": true})).await;
    fake.put((0..5).map(|n| notification(&format!("u{n}"), &n.to_string())));
    let daemon = Fake::start(answers(|_| ok()), json!({})).await;
    // A port that nobody listens on: bound and freed again.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let away = format!("http://127.0.0.1:{port}");
    let error = fake
        .drain(&[("AGENT_DAEMON_URL", &away), ("DISPATCH_MAX_ATTEMPTS", "1")])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("cannot be reached"), "{error}");
    fake.read(|log| assert!(log.dead.is_empty() && log.waiting.len() == 5));
    fake.drain(&[("AGENT_DAEMON_URL", &daemon.url)]).await.unwrap();
    fake.read(|log| assert_eq!(log.acked.len(), 5));
}

#[tokio::test]
async fn a_backend_that_is_down_is_polled_until_it_is_back() {
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.read(|log| log.poll_down = true);
    fake.put([notification("u", "1")]);
    assert!(fake.drain(&[]).await.is_err(), "--once gives up");
    let dispatcher = fake.dispatch(&[]);
    fake.until("polls", |log| log.polls.len() > 6).await;
    fake.read(|log| log.poll_down = false);
    fake.until("delivered", |log| log.acked.len() == 1).await;
    dispatcher.stop().await;
}

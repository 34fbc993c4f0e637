//! Detached runs: those whose instance died, and decisions about them.

use serde_json::{Value, json};

use crate::fake::{Fake, Log, answers, ok};

const FAST: (&str, &str) = ("DISPATCH_ORPHANS_INTERVAL_SEC", "0.02");

fn orphan(key: &str) -> Value {
    json!({"run_key": key, "user_id": "u", "session_key": "user:u:scout", "task_id": "t", "attempts": 1})
}

fn resumption(key: &str) -> Value {
    json!({"user_id": "u", "session_key": "user:u:scout", "resume_run_key": key})
}

async fn start() -> Fake {
    Fake::start(answers(|_| ok()), json!({"orphans": true})).await
}

#[tokio::test]
async fn a_run_whose_instance_died_is_posted_to_the_daemon() {
    let fake = start().await;
    let dispatcher = fake.dispatch(&[FAST]);
    fake.read(|log| log.orphans = vec![orphan("a"), orphan("b")]);
    fake.until("both are posted", |log| log.resumed.len() == 2).await;
    fake.read(|log| {
        log.resumed.sort_by_key(|body| body["resume_run_key"].to_string());
        assert_eq!(log.resumed, [resumption("a"), resumption("b")]);
        assert_eq!(log.orphan_polls[0]["lease_seconds"], 30);
        assert!(log.orphan_polls[0]["limit"].as_u64().unwrap() > 0);
        assert!(log.sent.is_empty());
    });
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_backend_without_such_runs_is_never_asked_for_them() {
    let fake = Fake::start(answers(|_| ok()), json!({"orphans": false})).await;
    let dispatcher = fake.dispatch(&[FAST]);
    fake.until("several polls", |log| log.polls.len() > 10).await;
    assert!(fake.read(|log| log.orphan_polls.is_empty()));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_away_or_busy_is_asked_again_under_the_same_lease() {
    let fake = start().await;
    fake.read(|log| {
        log.orphans = vec![orphan("a")];
        log.resume_answers =
            vec![(503, "draining"), (409, "session_busy"), (429, "session_queue_full")];
    });
    let dispatcher = fake.dispatch(&[FAST]);
    fake.until("it is posted until it is taken", |log| log.resumed.len() == 4).await;
    fake.until("the next question", |log| log.orphan_polls.len() >= 2).await;
    fake.read(|log| assert_eq!(log.resumed, vec![resumption("a"); 4]));
    dispatcher.stop().await;
}

#[tokio::test]
async fn one_that_has_to_wait_holds_up_no_other_and_is_given_back_uncounted() {
    let fake = start().await;
    fake.read(|log| {
        log.orphans = vec![orphan("a")];
        log.retry_after = Some(21);
        log.resume_answers = vec![(409, "session_busy")];
    });
    let dispatcher = fake.dispatch(&[FAST, ("DISPATCH_CONCURRENCY", "1")]);
    fake.until("the first is posted", |log| !log.resumed.is_empty()).await;
    fake.read(|log| log.orphans = vec![orphan("b")]);
    fake.until("the first waits, the other is posted", |log| log.resumed.len() == 2).await;
    assert_eq!(fake.read(|log| log.resumed.clone()), [resumption("a"), resumption("b")]);
    dispatcher.stop().await;
    // A wait that outlasts the lease.
    fake.read(|log| {
        log.orphans = vec![orphan("c")];
        log.retry_after = Some(60);
        log.resume_answers = vec![(503, "overloaded")];
    });
    let dispatcher = fake.dispatch(&[FAST]);
    let given_back =
        |log: &Log| log.orphan_polls.iter().any(|body| body["returned"] == json!([orphan("c")]));
    fake.until("it is given back", |log| given_back(log)).await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn the_daemon_is_asked_for_one_that_the_backend_has_ended_until_it_answers() {
    let fake = start().await;
    fake.read(|log| {
        log.ended = vec![orphan("a"), orphan("../b"), orphan("c")];
        log.look_answers = vec![503, 404];
    });
    let dispatcher = fake.dispatch(&[FAST, ("DISPATCH_CONCURRENCY", "1")]);
    fake.until("it is asked for both", |log| log.looked_at.len() == 3).await;
    fake.until("more questions", |log| log.orphan_polls.len() > 5).await;
    dispatcher.stop().await;
    fake.read(|log| {
        let asked = |key: &str| log.looked_at.iter().filter(|(asked, _)| asked == key).count();
        assert_eq!((asked("a") + asked("c"), log.looked_at.len()), (3, 3), "{:?}", log.looked_at);
        assert!(log.looked_at.iter().all(|(_, session)| session == "user:u:scout"));
        assert!(log.resumed.is_empty());
    });
}

#[tokio::test]
async fn one_that_the_daemon_does_not_want_holds_up_no_other() {
    let fake = start().await;
    fake.read(|log| {
        log.orphans = vec![orphan("a"), orphan("b")];
        log.resume_answers = vec![(404, "run_not_found")];
    });
    let dispatcher = fake.dispatch(&[FAST, ("DISPATCH_CONCURRENCY", "1")]);
    fake.until("the other is posted", |log| log.resumed.len() == 2).await;
    fake.read(|log| log.orphans = vec![orphan("c")]);
    fake.until("and the next", |log| log.resumed.len() == 3).await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn who_drains_the_queue_once_takes_them_up_as_well() {
    let fake = start().await;
    fake.read(|log| log.orphans = vec![orphan("a")]);
    fake.drain(&[]).await.unwrap();
    assert_eq!(fake.read(|log| log.resumed.clone()), [resumption("a")]);
}

#[tokio::test]
async fn a_decision_about_a_detached_run_is_acknowledged_once_the_daemon_has_the_run() {
    let fake = start().await;
    let decision = |id: &str, detached: bool| {
        json!({"notification_id": id, "user_id": "u", "session_key": "user:u:scout", "content": "approved",
            "task_id": "t", "run_key": "k", "metadata": {"tool_request_id": "x", "detached": detached}})
    };
    fake.put([decision("n1", true)]);
    fake.read(|log| log.resume_answers = vec![(503, "overloaded")]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| {
        assert_eq!(log.resumed, vec![resumption("k"); 2]);
        assert_eq!(log.acked, ["n1"]);
        assert!(log.sent.is_empty());
    });
    fake.put([decision("n2", false)]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| assert_eq!((log.sent.len(), log.resumed.len()), (1, 2)));
}

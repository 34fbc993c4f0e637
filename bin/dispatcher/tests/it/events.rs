//! The backend's events wake the dispatcher; polls cover what they miss.

use serde_json::json;

use crate::fake::{Fake, answers, notification, ok};

/// So long that no poll but the first comes in the time of a test.
const RARELY: [(&str, &str); 2] =
    [("DISPATCH_MIN_INTERVAL_SEC", "3600"), ("DISPATCH_MAX_INTERVAL_SEC", "3600")];

async fn listening(features: serde_json::Value) -> Fake {
    let mut all = json!({"events_sse": true});
    all.as_object_mut().unwrap().extend(features.as_object().unwrap().clone());
    Fake::start(answers(|_| ok()), all).await
}

fn created(n: u32, user: &str) -> String {
    let data =
        json!({"notification_id": n.to_string(), "session_key": format!("user:{user}:scout")});
    format!("id: {n}\nevent: notification.created\ndata: {data}\n\n")
}

#[tokio::test]
async fn an_event_wakes_at_once_and_other_events_do_not() {
    let fake = listening(json!({})).await;
    let dispatcher = fake.dispatch(&RARELY);
    fake.until("a poll after the stream is open", |log| {
        log.streams.len() == 1 && log.polls.len() == 2
    })
    .await;
    for n in 1..=3 {
        let before = fake.read(|log| log.polls.len());
        fake.put([notification("u", &n.to_string())]);
        fake.read(|log| {
            log.tell(": comment\n\nevent: task.created\ndata: {}\n\n");
            log.tell(&created(n, "u"));
        });
        fake.until("delivered", |log| log.acked.len() == n as usize).await;
        // One that brings it, and one more because of what it brought.
        fake.until("one more", |log| log.polls.len() == before + 2).await;
    }
    dispatcher.stop().await;
    fake.read(|log| assert_eq!((log.polls.len(), log.streams.len()), (8, 1)));
}

#[tokio::test]
async fn while_it_listens_it_hardly_polls() {
    let fake = listening(json!({})).await;
    let dispatcher = fake.dispatch(&[]);
    fake.until("listening", |log| log.streams.len() == 1 && log.polls.len() == 2).await;
    // A backend without events is polled some ten times meanwhile.
    let other = Fake::start(answers(|_| ok()), json!({})).await;
    let polling = other.dispatch(&[]);
    other.until("ten polls", |log| log.polls.len() == 10).await;
    fake.read(|log| assert_eq!((log.polls.len(), log.streams.len()), (2, 1)));
    polling.stop().await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_broken_stream_is_resumed_and_polls_cover_the_gap() {
    let fake = listening(json!({})).await;
    let dispatcher = fake.dispatch(&[]);
    fake.until("listening", |log| log.streams.len() == 1 && log.polls.len() == 2).await;
    fake.read(|log| log.tell("id: 41\nevent: task.created\ndata: {}\n\n"));
    // Something that makes sure that the event before it was read.
    fake.put([notification("u", "1")]);
    fake.read(|log| log.tell(&created(42, "u")));
    fake.until("delivered", |log| log.acked.len() == 1).await;
    fake.read(|log| {
        log.events_down = true;
        log.tell("id: 43\nevent: notification.cre");
        log.break_streams();
    });
    // Nobody tells of this one.
    fake.put([notification("u", "2")]);
    fake.until("polled", |log| log.acked.len() == 2).await;
    fake.until("tried again", |log| log.streams.len() > 2).await;
    fake.read(|log| log.events_down = false);
    let tries = fake.read(|log| log.streams.len());
    fake.until("resumed", |log| log.streams.len() > tries).await;
    fake.read(|log| assert_eq!(log.streams.last().unwrap().as_deref(), Some("42")));
    dispatcher.stop().await;
}

#[tokio::test]
async fn a_backend_that_announces_events_and_has_none_is_polled() {
    let fake = listening(json!({})).await;
    fake.read(|log| log.events_down = true);
    let dispatcher = fake.dispatch(&[]);
    fake.until("tried", |log| log.streams.len() == 1).await;
    fake.put([notification("u", "1")]);
    fake.until("delivered", |log| log.acked.len() == 1).await;
    dispatcher.stop().await;
}

#[tokio::test]
async fn draining_once_opens_no_stream() {
    let fake = listening(json!({})).await;
    fake.put([notification("u", "1")]);
    fake.drain(&[]).await.unwrap();
    fake.read(|log| assert!(log.streams.is_empty() && log.acked.len() == 1));
}

#[tokio::test]
async fn without_a_secret_for_agents_the_internal_token_asks_what_there_is() {
    let fake = listening(json!({})).await;
    let mut settings = RARELY.to_vec();
    settings.push(("AGENT_JWT_SECRET", ""));
    let dispatcher = fake.dispatch(&settings);
    fake.until("listening", |log| log.streams.len() == 1 && log.polls.len() == 2).await;
    dispatcher.stop().await;
}

//! Backends that answer otherwise than the contract says: nothing is lost, and the log says why, once.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::fake::{Fake, answers, notification, ok};

/// The program, and what it logs.
struct Logged {
    _child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    _dir: tempfile::TempDir,
}

impl Logged {
    fn start(fake: &Fake, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_wombat-dispatcher"))
            .env_clear()
            .envs(fake.pairs())
            .env("WOMBAT_LOG_FORMAT", "json")
            .envs(more.iter().copied())
            .current_dir(dir.path())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (kept, stderr) = (Arc::clone(&lines), child.stderr.take().unwrap());
        tokio::spawn(async move {
            let mut stderr = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = stderr.next_line().await {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { _child: child, lines, _dir: dir }
    }

    /// What somebody should look at.
    fn troubles(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let loud = lines.iter().filter(|line| line["level"] == "ERROR" || line["level"] == "WARN");
        loud.map(Value::to_string).collect()
    }
}

#[tokio::test]
async fn each_wrong_answer_to_a_poll_is_one_line_and_what_waits_is_delivered_later() {
    const PAGE: &str = "<html><head><title>Bad Gateway</title></head></html>";
    for (status, kind, body, words) in [
        (502, "text/html", PAGE, &["502", "Bad Gateway", "BACKEND_URL"][..]),
        (200, "text/html", PAGE, &["in between (Bad Gateway)", "BACKEND_URL"]),
        (403, "text/html", PAGE, &["in between (Bad Gateway)", "stands before BACKEND_URL"]),
        (401, "text/plain", "", &["in between (no text)", "stands before BACKEND_URL"]),
        (200, "application/json", r#"{"items": []}"#, &["could not be understood"]),
        (401, "application/json", r#"{"error": "who?"}"#, &["401", "who?", "INTERNAL_API_TOKEN"]),
        (404, "application/json", r#"{"error": "what?"}"#, &["404", "what?"]),
        (500, "text/plain", "", &["500"]),
    ] {
        let fake = Fake::start(answers(|_| ok()), json!({})).await;
        fake.read(|log| log.poll_answer = Some((status, kind, body)));
        fake.put([notification("u", "1")]);
        let program = Logged::start(&fake, &[]);
        fake.until("polls", |log| log.polls.len() >= 8).await;
        fake.read(|log| log.poll_answer = None);
        fake.until("delivered", |log| log.acked.len() == 1).await;
        let troubles = program.troubles();
        assert_eq!(troubles.len(), 1, "{status} {body}: {troubles:#?}");
        for word in words {
            assert!(troubles[0].contains(word), "{word}: {}", troubles[0]);
        }
    }
}

#[tokio::test]
async fn another_cause_is_another_line() {
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.read(|log| log.poll_answer = Some((500, "text/plain", "")));
    let program = Logged::start(&fake, &[]);
    for (polls, status) in [(4, 401), (8, 500), (12, 401)] {
        fake.until("polls", |log| log.polls.len() >= polls).await;
        fake.read(|log| log.poll_answer = Some((status, "text/plain", "")));
    }
    fake.until("polls", |log| log.polls.len() >= 16).await;
    let troubles = program.troubles();
    assert_eq!(troubles.len(), 2, "{troubles:#?}");
}

#[tokio::test]
async fn bad_items_are_left_out_and_the_others_delivered() {
    let fake = Fake::start(answers(|_| ok()), json!({})).await;
    fake.put([
        json!({"user_id": "u", "session_key": "user:u:scout", "content": "no id"}),
        json!({"notification_id": "", "user_id": "u", "session_key": "user:u:scout"}),
        json!("not even an object"),
        notification("u", "good"),
        json!({"notification_id": "odd", "user_id": "v", "session_key": "user:v:scout",
            "content": null, "created_at": "yesterday", "metadata": [], "attempts": "x"}),
    ]);
    let program = Logged::start(&fake, &[]);
    fake.until("delivered", |log| log.acked.len() == 2).await;
    let polls = fake.read(|log| log.polls.len());
    fake.until("more polls", |log| log.polls.len() > polls + 5).await;
    let troubles = program.troubles();
    assert_eq!(troubles.len(), 1, "{troubles:#?}");
    assert!(troubles[0].contains("\"count\":3"), "{}", troubles[0]);
}

#[tokio::test]
async fn acknowledgements_that_are_refused_for_now_are_one_line() {
    for batch in [false, true] {
        let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": batch})).await;
        fake.read(|log| {
            log.fail_acks = 40;
            log.batch_status = Some(401);
        });
        fake.put((0..10).map(|n| notification(&format!("u{n}"), &n.to_string())));
        let program = Logged::start(&fake, &[]);
        fake.until("forwarded", |log| log.sent.len() == 10).await;
        let polls = fake.read(|log| log.polls.len());
        fake.until("polls", |log| log.polls.len() > polls + 10).await;
        fake.read(|log| log.batch_status = None);
        fake.until("delivered", |log| log.acked.len() == 10).await;
        assert_eq!(fake.read(|log| log.sent.len()), 10, "none is forwarded again");
        let troubles = program.troubles();
        assert!((1..=2).contains(&troubles.len()), "{troubles:#?}");
    }
}

#[tokio::test]
async fn thousands_at_once_are_taken_as_they_come() {
    let fake = Fake::start(answers(|_| ok()), json!({"dispatch_batch": true})).await;
    fake.put((0..3_000).map(|n| notification(&format!("u{}", n % 100), &format!("{n:04}"))));
    // Polls at work would only bring the same again.
    let settings = [
        ("DISPATCH_LIMIT_NOTIFICATIONS", "10000"),
        ("DISPATCH_LIMIT_USERS", "10000"),
        ("DISPATCH_MIN_INTERVAL_SEC", "3600"),
    ];
    fake.drain(&settings).await.unwrap();
    fake.read(|log| assert_eq!((log.acked.len(), log.sent.len()), (3_000, 3_000)));
}

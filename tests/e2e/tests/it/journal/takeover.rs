//! The contents of a journal, and how another instance resumes a run from it.

use serde_json::json;
use test_support::llm::Reply;
use test_support::wait_for;

use super::{USER, World, kinds, new_task, run_key};

#[tokio::test]
async fn a_journal_can_be_read_by_a_person_and_holds_no_secret() {
    let world = World::new(vec![
        Reply::calls(&[new_task("One"), new_task("Two")]),
        Reply::text("Both are there."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!(status, 200, "{answer}");
    let run = world.run("a").await;
    assert_eq!(run["status"], "completed");
    assert_eq!(run["message_id"], answer["message_id"]);
    assert_eq!(run["usage"]["prompt_tokens"], 200);
    assert_eq!(kinds(&run), ["request", "llm", "tool", "tool", "llm"]);
    let steps = &run["steps"];
    assert_eq!(steps[0]["payload"]["message"], "Do it.");
    assert_eq!(
        steps[1]["payload"]["completion"]["message"]["tool_calls"][0]["name"],
        "create_task"
    );
    assert_eq!(steps[2]["payload"]["arguments"]["title"], "One");
    assert!(steps[3]["payload"]["duration_ms"].is_u64());
    assert_eq!(steps[4]["payload"]["completion"]["message"]["text"], "Both are there.");
    let text = run.to_string();
    for secret in
        [world.stack.agent_secret(), world.stack.internal_token(), world.stack.daemon_key(), "eyJ"]
    {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn a_run_that_failed_goes_on_elsewhere_from_where_it_stopped() {
    let outage = Reply::json(503, json!({ "error": { "message": "down" } }));
    let world = World::new(vec![
        Reply::calls(&[new_task("One"), new_task("Two")]),
        outage,
        Reply::text("Done."),
    ])
    .await;
    let (status, answer) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, answer["code"].as_str()), (503, Some("llm_unavailable")), "{answer}");
    assert_eq!(world.run("a").await["status"], "failed");
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let (status, answer) = world.send(&url, &world.body("a")).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    // The first turn was paid once, and its tools ran once; the answer tells of both.
    assert_eq!(world.llm.asked().len(), 3);
    assert_eq!(world.titles().await, ["One", "Two", "Work"]);
    assert_eq!(answer["steps"].as_array().unwrap().len(), 2);
    assert_eq!(answer["usage"]["prompt_tokens"], 200);
    // And what the model is asked then is what it would have been asked.
    let asked = world.llm.asked();
    assert_eq!(asked[1], asked[2]);
    // Once more: the stored reply, and nobody is asked.
    let (status, again) = world.send(&world.stack.daemon_url, &world.body("a")).await;
    assert_eq!((status, &again["replayed"]), (200, &json!(true)), "{again}");
    assert_eq!(again["message_id"], answer["message_id"]);
    assert_eq!((world.llm.asked().len(), world.replies().await.len()), (3, 1));
    // The key belongs to this request.
    let mut other = world.body("a");
    other["message"] = json!("Do something else.");
    let (status, refused) = world.send(&url, &other).await;
    assert_eq!(
        (status, refused["code"].as_str()),
        (409, Some("idempotency_conflict")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_daemon_that_is_killed_in_the_middle_is_taken_over() {
    let mut world =
        World::new(vec![Reply::calls(&[new_task("One")]), Reply::never(), Reply::text("Done.")])
            .await;
    let (url, key) = (world.stack.daemon_url.clone(), world.stack.daemon_key().to_owned());
    let body = world.body("a");
    let first = tokio::spawn({
        let body = body.clone();
        async move {
            let call = reqwest::Client::new()
                .post(format!("{url}/api/agents/send"))
                .header("x-agent-daemon-key", key)
                .json(&body);
            call.send().await.is_err()
        }
    });
    wait_for("the second turn", async || (world.llm.asked().len() == 2).then_some(())).await;
    world.stack.daemon.kill().await.unwrap();
    assert!(first.await.unwrap());
    assert_eq!(world.run("a").await["status"], "running");
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let (status, answer) = world.send(&url, &body).await;
    assert_eq!((status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
    assert_eq!(world.llm.asked().len(), 3);
    assert_eq!(world.titles().await, ["One", "Work"]);
    assert_eq!(world.replies().await.len(), 1);
    assert_eq!(world.run("a").await["status"], "completed");
}

#[tokio::test]
async fn two_instances_with_one_key_are_one_run() {
    let world = World::new(vec![Reply::calls(&[new_task("One")]), Reply::text("Done.")]).await;
    let (_other, url) = world.stack.another_daemon(&world.options).await.unwrap();
    let body = world.body("a");
    let sends = (0..64).map(|n| {
        let daemon = if n % 2 == 0 { &url } else { &world.stack.daemon_url };
        world.send(daemon, &body)
    });
    let answers = futures::future::join_all(sends).await;
    for (status, answer) in &answers {
        assert_eq!((*status, answer["response"].as_str()), (200, Some("Done.")), "{answer}");
        assert_eq!(answer["message_id"], answers[0].1["message_id"]);
    }
    assert_eq!(world.llm.asked().len(), 2);
    assert_eq!((world.titles().await.len(), world.replies().await.len()), (2, 1));
}

#[tokio::test]
async fn a_journaled_run_is_nobody_elses() {
    let world = World::new(vec![Reply::text("Done.")]).await;
    world.send(&world.stack.daemon_url, &world.body("a")).await;
    let resume = |user: &str, role: &str, key: &str| json!({ "user_id": user, "session_key": format!("user:{user}:{role}"), "resume_run_key": key });
    let daemon = &world.stack.daemon_url;
    for body in [
        resume("bob", "scout", &run_key("a")),
        resume(USER, "jarvis", &run_key("a")),
        resume(USER, "scout", &run_key("b")),
        resume(USER, "scout", "../../tasks"),
    ] {
        let (status, answer) = world.send(daemon, &body).await;
        assert_eq!((status, answer["code"].as_str()), (404, Some("run_not_found")), "{body}");
    }
    let (status, answer) = world.send(daemon, &resume(USER, "scout", &run_key("a"))).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
    assert_eq!(world.llm.asked().len(), 1);
}

//! What a stream consists of and how it ends, also when something fails.

use std::collections::BTreeSet;

use serde_json::Value;
use test_support::gate::Fault;

use super::{PIECES, USER, World, events};

#[tokio::test]
async fn a_run_with_tools_is_told_in_order_and_its_last_turn_is_what_is_stored() {
    let world = World::new(true, &[]).await;
    let call = world.call(&world.stack.daemon_url, "stream", "Work", "Go, with tools.");
    let told = events(&call.send().await.unwrap().text().await.unwrap());
    let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..2], ["start", "chunk"]);
    let tools: Vec<_> = names[2..6].to_vec();
    assert_eq!(tools.iter().filter(|name| **name == "tool_call").count(), 2, "{names:?}");
    assert_eq!(tools.iter().filter(|name| **name == "tool_result").count(), 2, "{names:?}");
    assert_eq!(names[6..], ["chunk", "chunk", "chunk", "chunk", "done"]);
    for id in ["c1", "c2"] {
        let at = |wanted: &str| {
            told.iter().position(|(name, data)| name == wanted && data["id"] == id).unwrap()
        };
        assert!(at("tool_call") < at("tool_result"));
    }
    let last: String = told[6..10].iter().map(|(_, data)| data["data"].as_str().unwrap()).collect();
    let (_, done) = told.last().unwrap();
    assert_eq!(
        (done["response"].as_str(), last.as_str()),
        (Some(&*PIECES.concat()), &*PIECES.concat())
    );
    let task = told[0].1["task_id"].as_str().unwrap();
    let path = format!("/messages?task_id={task}");
    let thread = world.stack.person(USER).list(&path).await.unwrap();
    // The question, and what was told last.
    assert_eq!((thread.len(), thread[1]["content"].as_str()), (2, Some(&*PIECES.concat())));
    assert_eq!(thread[1]["id"], done["message_id"]);
}

#[tokio::test]
async fn whatever_fails_a_stream_ends_once_and_send_says_the_same() {
    // A lease is given back after the answer, and would be counted as the next run's first request.
    let settings = [("WOMBAT_RETRY_ATTEMPTS", "2"), ("WOMBAT_SESSION_POLICY", "parallel")];
    let mut world = World::new(true, &settings).await;
    world.stack.dispatcher.kill().await.unwrap();
    let model = world.options.daemon.iter().find(|(name, _)| *name == "OPENAI_BASE_URL");
    let model = model.unwrap().1.trim_end_matches("/v1").to_owned();
    let ways = [
        ("OPENAI_BASE_URL", format!("{}/v1", world.gate.to(&model).await)),
        ("BACKEND_URL", world.gate.to(&world.stack.backend_url).await),
    ];
    world.options.daemon.extend(ways);
    let (_daemon, url) = world.stack.another_daemon(&world.options).await.unwrap();
    // What the daemon learns once, it learns here.
    let warm = world.call(&url, "send", "warm", "Go, with tools.").send().await.unwrap();
    assert_eq!(warm.status(), 200);
    world.gate.arm(None);
    let whole = world.call(&url, "send", "whole", "Go, with tools.").send().await.unwrap();
    assert_eq!(whole.status(), 200);
    let kinds: BTreeSet<String> = world.gate.passed().iter().map(|passed| passed.kind()).collect();
    assert!(kinds.len() >= 12, "{kinds:?}");
    let mut failed = 0;
    for kind in &kinds {
        for fault in [Fault::Status(500), Fault::Status(404), Fault::Garbage, Fault::Half] {
            let context = format!("{fault:?} to {kind}");
            let title = context.clone();
            world.gate.fail(kind, fault);
            let streamed = world.call(&url, "stream", &title, "Go, with tools.").send().await;
            let streamed = streamed.unwrap();
            let (status, text) = (streamed.status(), streamed.text().await.unwrap());
            let code = if status == 200 {
                let told = events(&text);
                let ends: Vec<_> =
                    told.iter().filter(|(name, _)| name == "done" || name == "error").collect();
                assert_eq!(ends.len(), 1, "{context}: {text}");
                assert_eq!(told.last(), ends.first().copied(), "{context}");
                assert_eq!(told[0].0, "start", "{context}");
                ends[0].1["code"].as_str().map(str::to_owned)
            } else {
                let error: Value = serde_json::from_str(&text).expect(&context);
                assert!(!text.contains("event:"), "{context}");
                Some(error["code"].as_str().expect(&context).to_owned())
            };
            world.gate.fail(kind, fault);
            let sent = world.call(&url, "send", &format!("{title} sent"), "Go, with tools.");
            let sent = sent.send().await.unwrap();
            let status = sent.status();
            let body: Value = sent.json().await.expect(&context);
            let same = body["code"].as_str().map(str::to_owned);
            assert_eq!(status == 200, same.is_none(), "{context}: {body}");
            // Text that is out cannot be taken back, and so is not asked for again.
            let is_out = fault == Fault::Half && code.as_deref() == Some("llm_bad_answer");
            assert!(code == same || is_out && same.is_some(), "{context}: {code:?} {body}");
            failed += usize::from(code.is_some());
        }
    }
    world.gate.arm(None);
    assert!(failed >= 10, "{failed}");
    eprintln!("{failed} of {} planted faults ended a run", kinds.len() * 4);
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let world = World::new(false, &[]).await;
    let call = world.call(&world.stack.daemon_url, "stream", "Work", "Go.");
    let mut answer = call.send().await.unwrap();
    let mut text = String::new();
    while !text.lines().any(|line| line.starts_with(':')) {
        let piece = answer.chunk().await.unwrap().expect(&text);
        text.push_str(std::str::from_utf8(&piece).unwrap());
    }
    world.model.let_go().await;
    text.push_str(&answer.text().await.unwrap());
    assert_eq!(events(&text).last().unwrap().0, "done", "{text}");
}

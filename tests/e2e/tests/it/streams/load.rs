//! More runs than the limit allows, and a stop in the middle of many.

use rustix::process::Signal;
use serde_json::Value;
use test_support::wait_for;

use super::{PIECES, World, events};

#[tokio::test]
async fn three_times_more_runs_than_the_limit_are_refused_quickly_and_harm_nobody() {
    let world = World::new(
        false,
        &[("WOMBAT_MAX_CONCURRENT_RUNS", "10"), ("WOMBAT_SESSION_POLICY", "parallel")],
    )
    .await;
    let url = &world.stack.daemon_url;
    let accepted = (0..10).map(|n| world.call(url, "send", &format!("T{n}"), "Go.").send());
    let accepted = futures::future::join_all(accepted);
    let refused = async {
        let mut asked = world.model.asked.subscribe();
        asked.wait_for(|asked| *asked == 10).await.unwrap();
        let more = (10..30).map(|n| world.call(url, "send", &format!("T{n}"), "Go.").send());
        let more = futures::future::join_all(more).await;
        world.model.let_go().await;
        more
    };
    let (accepted, refused) = tokio::join!(accepted, refused);
    for answer in refused {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
        assert_eq!(answer.json::<Value>().await.unwrap()["code"], "overloaded");
    }
    for answer in accepted {
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.json::<Value>().await.unwrap()["response"], PIECES.concat());
    }
    assert_eq!(*world.model.asked.subscribe().borrow(), 10);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_hundred_runs_fails_none_without_a_word() {
    for finishes in [true, false] {
        let settings = [("WOMBAT_DRAIN_SECS", if finishes { "30" } else { "1" })];
        let mut world = World::new(false, &settings).await;
        let url = world.stack.daemon_url.clone();
        let calls: Vec<_> = (0..100)
            .map(|n| {
                let way = if n % 2 == 0 { "stream" } else { "send" };
                let call = world.call(&url, way, &format!("T{n}"), "Go.");
                tokio::spawn(async move {
                    let answer = call.send().await.unwrap();
                    let status = answer.status().as_u16();
                    (n, status, answer.text().await.unwrap())
                })
            })
            .collect();
        let mut asked = world.model.asked.subscribe();
        asked.wait_for(|asked| *asked == 100).await.unwrap();
        world.stack.daemon.signal(Signal::TERM);
        wait_for("not ready", async || {
            let ready = reqwest::get(format!("{url}/readyz")).await.ok()?;
            (ready.status() == 503).then_some(())
        })
        .await;
        if finishes {
            world.model.let_go().await;
        }
        for call in calls {
            let (n, status, text) = call.await.unwrap();
            let (done, draining) = if n % 2 == 0 {
                let (name, data) = events(&text).pop().expect("an end");
                (name == "done", data["code"] == "draining")
            } else {
                (status == 200, status == 503 && text.contains("draining"))
            };
            assert!(if finishes { done } else { draining }, "{n}: {status} {text}");
        }
        assert!(world.stack.daemon.wait().await.unwrap().success());
    }
}

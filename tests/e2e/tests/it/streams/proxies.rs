//! Streams through reverse proxies, and rolling restarts behind them.

use std::time::Duration;

use daemon_client::SendRequest;
use test_support::program::Program;
use test_support::wait_for;
use tokio::sync::watch;

use super::proxy_servers::{haproxy, nginx};
use super::{USER, World, events};
use crate::kills::{OPTIONS, client};
use crate::peers::free_port;

#[tokio::test]
async fn nothing_is_held_back_behind_a_proxy() {
    let world = World::new(false, &[]).await;
    let daemon = world.stack.daemon_url.as_str();
    let proxies =
        [nginx(world.dir.path(), &[daemon]).await, haproxy(world.dir.path(), &[daemon]).await];
    let addresses = proxies.iter().flatten().map(|proxy| proxy.url.as_str());
    for (n, url) in std::iter::once(daemon).chain(addresses).enumerate() {
        world.model.go.send_replace(false);
        let call = world.call(url, "stream", &format!("Work {n}"), "Go.");
        let mut answer = call.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream", "{url}");
        let mut text = String::new();
        // The second piece is not told before the first has been read here.
        while !text.contains("Hallo") {
            let piece = answer.chunk().await.unwrap().expect(&text);
            text.push_str(std::str::from_utf8(&piece).unwrap());
        }
        assert!(!text.contains("Zeilen"), "{text}");
        world.model.let_go().await;
        text.push_str(&answer.text().await.unwrap());
        assert_eq!(events(&text).last().unwrap().0, "done", "{text}");
    }
}

#[tokio::test]
async fn a_rolling_restart_behind_a_proxy_fails_no_request() {
    let rounds = std::env::var("WOMBAT_TEST_ROUNDS").ok().and_then(|n| n.parse().ok());
    let rounds: usize = rounds.unwrap_or(3);
    let world = World::new(true, &[("WOMBAT_SESSION_POLICY", "parallel")]).await;
    for which in ["nginx", "haproxy"] {
        let ports = [free_port(), free_port()];
        let urls = ports.map(|port| format!("http://127.0.0.1:{port}"));
        let begin = async |n: usize| -> Program {
            let mut options = world.options.clone();
            options.daemon.push(("WOMBAT_PORT", ports[n].to_string()));
            world.stack.another_daemon(&options).await.unwrap().0
        };
        let mut daemons = [begin(0).await, begin(1).await];
        let both = [urls[0].as_str(), urls[1].as_str()];
        let proxy = match which {
            "nginx" => nginx(world.dir.path(), &both).await,
            _ => haproxy(world.dir.path(), &both).await,
        };
        let Some(proxy) = proxy else { continue };
        let (stop, stopped) = watch::channel(false);
        let load: Vec<_> = (0..8)
            .map(|worker| {
                let stopped = stopped.clone();
                let daemon = client(&proxy.url, world.stack.daemon_key());
                tokio::spawn(async move {
                    let (mut done, mut failed) = (0, Vec::new());
                    let request = SendRequest {
                        user_id: USER.into(),
                        session_key: format!("user:{USER}:scout").into(),
                        task_title: Some(format!("{which} {worker}").into()),
                        message: "Go.".into(),
                        ..SendRequest::default()
                    };
                    while !*stopped.borrow() {
                        match daemon.send(&request, &OPTIONS).await {
                            Ok(_) => done += 1,
                            Err(error) => failed.push(error.to_string()),
                        }
                    }
                    (done, failed)
                })
            })
            .collect();
        for round in 0..rounds * 2 {
            let n = round % 2;
            assert!(daemons[n].stop().await.unwrap().success());
            daemons[n] = begin(n).await;
            // As an orchestrator does: the next one goes when this one serves.
            wait_for("it serves again", async || {
                let ready = reqwest::get(format!("{}/readyz", urls[n])).await.ok()?;
                (ready.status() == 200).then_some(())
            })
            .await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        stop.send_replace(true);
        let (mut done, mut failed) = (0, Vec::new());
        for worker in load {
            let (its_done, its_failed) = worker.await.unwrap();
            done += its_done;
            failed.extend(its_failed);
        }
        eprintln!("{which}: {} restarts, {done} requests, {} failed", rounds * 2, failed.len());
        assert!(failed.is_empty(), "{which}: {failed:?}");
        assert!(done > 10, "{done}");
    }
}

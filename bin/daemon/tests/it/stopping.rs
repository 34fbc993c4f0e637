use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{World, message, says};

#[tokio::test]
async fn runs_in_flight_finish_and_new_ones_are_refused() {
    let world = World::new().await;
    world.model(vec![says("done").set_delay(Duration::from_millis(400))]).await;
    let watch = async {
        while world.model_got().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.daemon.shutdown.cancel();
        while world.daemon.get("/readyz").await.status() == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let response = world
            .daemon
            .post("/api/agents/send", &message(json!({ "task_id": "t2" })))
            .send()
            .await
            .unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let first = message(json!({}));
    let (first, refused) = tokio::join!(world.daemon.send(&first), watch);
    assert_eq!((first.0, &first.1["response"]), (200, &json!("done")));
    assert_eq!((refused.0, &refused.1["code"]), (503, &json!("draining")));
    tokio::time::timeout(Duration::from_secs(20), world.daemon.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn runs_that_do_not_finish_in_time_are_told_so() {
    let world = World::with(&[("WOMBAT_DRAIN_SECS", "0")], json!({})).await;
    world.model(vec![says("late").set_delay(Duration::from_secs(30))]).await;
    let stop = async {
        while world.model_got().await.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.daemon.shutdown.cancel();
    };
    let body = message(json!({ "idempotency_key": "k" }));
    let (answer, ()) = tokio::join!(world.daemon.send(&body), stop);
    assert_eq!((answer.0, &answer.1["code"]), (503, &json!("draining")), "{}", answer.1);
}

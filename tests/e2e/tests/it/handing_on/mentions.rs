//! Mentions that agents write: named by the daemon, notified by the backend, and never for ever.

use serde_json::{Value, json};
use test_support::wait_for;

use super::model::Turn;
use super::{USER, World};

/// The notifications of ann's sessions, once all are delivered.
async fn delivered(world: &World) -> Vec<Value> {
    wait_for("all notifications are delivered", async || {
        let known = world.person.list("/notifications?limit=200").await.unwrap();
        known.iter().all(|known| known["delivered"] == true).then_some(known)
    })
    .await
}

fn codes(answer: &Value) -> Vec<(String, String)> {
    let refused = answer["mentions_refused"].as_array().cloned().unwrap_or_default();
    let text = |mention: &Value, name: &str| mention[name].as_str().unwrap().to_owned();
    refused.iter().map(|mention| (text(mention, "role"), text(mention, "code"))).collect()
}

#[tokio::test]
async fn two_agents_that_mention_each_other_do_not_talk_for_ever() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays("lead", vec![Turn::Says("@writer play answer, @scout, @nobody and @clerk!")]);
    model.plays("answer", vec![Turn::Says("@scout play lead again")]);
    let task = world.task("Work").await;
    let key = json!({ "idempotency_key": "k" });
    let (status, answer) = world.send(daemon, &task, "lead", key.clone()).await;
    assert_eq!(status, 200, "{answer}");
    let refused = [("scout", "agent_cycle"), ("nobody", "unknown_role")];
    let refused = refused.map(|(role, code)| (role.to_owned(), code.to_owned()));
    assert_eq!(codes(&answer), refused, "{answer}");
    let (_, again) = world.send(daemon, &task, "lead", key).await;
    assert_eq!((&again["replayed"], codes(&again)), (&json!(true), refused.to_vec()), "{again}");
    let known = delivered(&world).await;
    let sessions: Vec<_> =
        known.iter().map(|known| known["session_key"].as_str().unwrap()).collect();
    assert_eq!(
        sessions,
        [format!("user:{USER}:writer"), format!("user:{USER}:clerk")],
        "{known:?}"
    );
    let replies = wait_for("all replies", async || {
        let replies = world.replies(&task).await;
        (replies.len() == 3).then_some(replies)
    })
    .await;
    let roles: Vec<_> = replies.iter().map(|reply| reply["agent_role"].as_str().unwrap()).collect();
    assert_eq!(roles[0], "scout", "{replies:?}");
    // The writer's answer has named the scout, who is above it: nobody is woken any more.
    assert_eq!(delivered(&world).await.len(), 2);
    assert_eq!(model.asked("lead").len(), 1);
}

#[tokio::test]
async fn the_tool_mentions_too_and_the_chain_ends_at_the_depth() {
    let world = World::new(&[("WOMBAT_ASK_MAX_DEPTH", "1")]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    let mention = |role: &str| ("mention", json!({ "role": role, "message": "play deep" }));
    model.plays(
        "lead",
        vec![Turn::Calls(vec![mention("writer"), mention("scout")]), Turn::Says("Told.")],
    );
    model.plays(
        "deep",
        vec![Turn::Calls(vec![mention("clerk")]), Turn::Says("@clerk I could not.")],
    );
    let task = world.task("Work").await;
    let (status, answer) = world.send(daemon, &task, "lead", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(codes(&answer), [("scout".to_owned(), "agent_cycle".to_owned())], "{answer}");
    assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
    let replies = wait_for("all replies", async || {
        let replies = world.replies(&task).await;
        (replies.len() == 3).then_some(replies)
    })
    .await;
    assert_eq!(replies[0]["content"], "@writer play deep", "{replies:?}");
    assert!(model.told("deep")[0].contains("ask_depth"), "{:?}", model.told("deep"));
    assert_eq!(delivered(&world).await.len(), 1);
}

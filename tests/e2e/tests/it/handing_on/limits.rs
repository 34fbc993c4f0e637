//! What is refused before a run is made, what a child's failure is, and what holds for the tree.

use serde_json::json;

use super::model::Turn;
use super::{World, ask};

#[tokio::test]
async fn cycles_depth_fan_out_and_unknown_roles_are_errors_of_the_call_and_no_runs() {
    let settings = [("WOMBAT_ASK_MAX_DEPTH", "1"), ("WOMBAT_ASK_MAX_FANOUT", "2")];
    let world = World::new(&settings).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays(
        "lead",
        vec![
            Turn::Calls(vec![ask("scout", "x"), ask("nobody", "x"), ask("writer", "deep")]),
            Turn::Calls(vec![ask("clerk", "check"), ask("clerk", "more")]),
            Turn::Says("Done."),
        ],
    );
    model.plays(
        "deep",
        vec![Turn::Calls(vec![ask("clerk", "x"), ask("scout", "x")]), Turn::Says("No.")],
    );
    model.plays("check", vec![Turn::Says("Checked.")]);
    let task = world.task("Work").await;
    let (status, answer) = world.send(daemon, &task, "lead", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    let told = model.told("lead");
    for (at, code) in [(0, "agent_cycle"), (1, "unknown_role"), (4, "ask_fanout")] {
        assert!(told[at].contains(code), "{code}: {told:?}");
        let error = answer["steps"][at]["error"].as_str().unwrap();
        assert!(error.starts_with(code), "{error}");
    }
    let deep = model.told("deep");
    assert!(deep[0].contains("ask_depth") && deep[1].contains("agent_cycle"), "{deep:?}");
    assert!(model.asked("x").is_empty() && model.asked("more").is_empty());
    let report = world.report(answer["run_key"].as_str().unwrap(), "scout").await;
    assert_eq!(report["children"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(report["children"][0].get("children"), None, "{report}");
}

#[tokio::test]
async fn a_child_that_fails_is_an_error_that_its_parent_goes_on_from() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays("lead", vec![Turn::Calls(vec![ask("writer", "mute")]), Turn::Says("I did it.")]);
    model.plays("mute", vec![Turn::Says("")]);
    let task = world.task("Work").await;
    let (status, answer) = world.send(daemon, &task, "lead", json!({})).await;
    assert_eq!((status, &answer["response"]), (200, &json!("I did it.")), "{answer}");
    let told = model.told("lead");
    assert!(told[0].contains("agent_failed") && told[0].contains("llm_empty_reply"), "{told:?}");
    let report = world.report(answer["run_key"].as_str().unwrap(), "scout").await;
    assert_eq!(report["children"][0]["status"], "failed", "{report}");
    assert_eq!(world.replies(&task).await.len(), 1);
}

#[tokio::test]
async fn the_limit_on_the_cost_holds_for_the_tree_and_the_one_on_steps_for_each() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    let asks = || vec![ask("writer", "one"), ask("clerk", "two")];
    model.plays("lead", vec![Turn::Calls(asks()), Turn::Says("Done.")]);
    model.plays("one", vec![Turn::Says("One.")]);
    model.plays("two", vec![Turn::Says("Two.")]);
    // Each call costs 0.00021 US dollars: there is money for two of them, whoever comes first.
    let task = world.task("Work").await;
    let limits = json!({ "limits": { "max_cost_usd": 0.000_45 } });
    let (status, refused) = world.send(daemon, &task, "lead", limits).await;
    assert_eq!((status, &refused["code"]), (402, &json!("budget_exceeded")), "{refused}");
    assert!(model.asked("one").len() + model.asked("two").len() <= 2);
    let used = refused["details"]["cost"]["totalCost"].as_f64().unwrap();
    assert!(used <= 0.000_63 + 1e-9, "{refused}");
    // A turn with tools each.
    let task = world.task("Work").await;
    model.plays("one", vec![Turn::Calls(vec![("list_tasks", json!({}))]), Turn::Says("One.")]);
    let (status, answer) =
        world.send(daemon, &task, "lead", json!({ "limits": { "max_steps": 1 } })).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Done.")), "{answer}");
    assert_eq!(answer["steps"][0]["ok"], true, "{answer}");
}

#[tokio::test]
async fn the_time_of_a_run_is_that_of_all_below_it_and_its_key_goes_on() {
    let world = World::new(&[]).await;
    let (model, daemon) = (&world.model, &world.stack.daemon_url);
    model.plays("lead", vec![Turn::Calls(vec![ask("writer", "slow")]), Turn::Says("Done.")]);
    model.plays("slow", vec![Turn::Says("Slow.")]);
    model.held.send_replace("slow".to_owned());
    let task = world.task("Work").await;
    let limits = json!({ "limits": { "timeout_secs": 6 } });
    let (status, late) = world.send(daemon, &task, "lead", limits.clone()).await;
    assert_eq!((status, &late["code"]), (504, &json!("run_timeout")), "{late}");
    model.held.send_replace(String::new());
    let (status, answer) = world.send(daemon, &task, "lead", limits).await;
    assert_eq!((status, &answer["response"]), (200, &json!("Done.")), "{answer}");
    assert!(model.told("lead")[0].contains("Slow."), "{:?}", model.told("lead"));
    assert_eq!((model.bought("lead", 0), model.bought("slow", 0)), (1, 2));
}

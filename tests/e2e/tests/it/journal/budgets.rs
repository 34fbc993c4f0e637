//! Exhausted budgets, with sequential and concurrent runs.

use serde_json::json;
use test_support::llm::Reply;

use super::{USER, World, new_task};

#[tokio::test]
async fn a_budget_that_is_spent_ends_a_run_with_what_it_has() {
    let world =
        World::new(vec![Reply::calls(&[new_task("One")]), Reply::text("Never said.")]).await;
    // Enough for the first call of this model, not for two.
    let first = 0.15e-6 * 200.0 + 0.6e-6 * 1000.0;
    let put = reqwest::Client::new()
        .put(format!("{}/api/mission-control/budget", world.stack.backend_url))
        .header("x-internal-token", world.stack.internal_token())
        .json(&json!({ "user_id": USER, "limit_usd": first * 1.3, "period": "day" }));
    assert!(put.send().await.unwrap().status().is_success());
    let mut body = world.body("a");
    let mut answers = Vec::new();
    for n in 0..64 {
        body["idempotency_key"] = json!(format!("k{n}"));
        let answer = world.send(&world.stack.daemon_url, &body).await;
        let spent = answer.0 == 402;
        answers.push(answer);
        if spent {
            break;
        }
    }
    let (status, last) = answers.last().unwrap();
    assert_eq!((*status, last["code"].as_str()), (402, Some("budget_exceeded")), "{last}");
    let budget = world.person.get("/budget").await.unwrap();
    let (spent, limit) =
        (budget["spent_usd"].as_f64().unwrap(), budget["limit_usd"].as_f64().unwrap());
    assert!(spent > 0.0 && spent <= limit, "{budget}");
    assert_eq!(budget["reserved_usd"], 0.0, "{budget}");
}

#[tokio::test]
async fn runs_at_the_same_time_cannot_spend_the_same_money() {
    let dear = json!({
        "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "Done." } }],
        "usage": { "prompt_tokens": 100, "completion_tokens": 250, "total_tokens": 350 },
    });
    let world = World::new(vec![Reply::json(200, dear)]).await;
    // No answer is longer than the shortest one that is worth a reservation.
    let limit = 0.002;
    let put = reqwest::Client::new()
        .put(format!("{}/api/mission-control/budget", world.stack.backend_url))
        .header("x-internal-token", world.stack.internal_token())
        .json(&json!({ "user_id": USER, "limit_usd": limit, "period": "day" }));
    assert!(put.send().await.unwrap().status().is_success());
    let sends = (0..24).map(async |n| {
        let task = world.person.post("/tasks", &json!({ "title": format!("T{n}") })).await.unwrap();
        let mut body = world.body(&format!("k{n}"));
        body["task_id"] = task["id"].clone();
        world.send(&world.stack.daemon_url, &body).await
    });
    let answers = futures::future::join_all(sends).await;
    let done = answers.iter().filter(|(status, _)| *status == 200).count();
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 402)), "{answers:?}");
    assert!(done > 0 && done < answers.len(), "{done}");
    let budget = world.person.get("/budget").await.unwrap();
    assert!(budget["spent_usd"].as_f64().unwrap() <= limit, "{budget}");
    assert_eq!(world.llm.asked().len(), done);
}

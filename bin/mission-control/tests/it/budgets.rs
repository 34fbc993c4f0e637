//! What agents may spend.

use mc_client::budgets::{Period, PutBudget, Reserve, Usage};
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, Caller};

async fn limit(backend: &Backend, user: &str, usd: f64, period: &str) -> Answer {
    let body = json!({ "user_id": user, "limit_usd": usd, "period": period });
    backend.internal().put("/budget", body).await
}

async fn reserve(agent: &Caller, usd: f64, key: &str) -> Answer {
    let body = json!({ "run_id": "run", "estimate_usd": usd, "idempotency_key": key });
    agent.post("/budget/reserve", body).await
}

fn usage(usd: f64, reservation: Option<&Value>, key: &str) -> Value {
    json!({
        "run_id": "run", "reservation_id": reservation, "role": "scout", "model": "m",
        "prompt_tokens": 10, "completion_tokens": 5, "cost_usd": usd, "estimated": false,
        "idempotency_key": key
    })
}

/// Limit, spent, reserved, remaining.
async fn figures(agent: &Caller) -> [Value; 4] {
    let budget = agent.get("/budget").await;
    let budget = budget.ok();
    assert!(budget["period_end"].is_string());
    ["limit_usd", "spent_usd", "reserved_usd", "remaining_usd"].map(|name| budget[name].clone())
}

#[tokio::test]
async fn a_call_is_reserved_before_and_settled_after() {
    let backend = Backend::start().await;
    let set = limit(&backend, "ann", 1.0, "day").await;
    assert_eq!((&set.ok()["limit_usd"], &set.ok()["remaining_usd"]), (&json!(1.0), &json!(1.0)));
    let agent = backend.agent("ann", "scout");
    let reserved = reserve(&agent, 0.6, "k1").await;
    assert_eq!(figures(&agent).await, [json!(1.0), json!(0.0), json!(0.6), json!(0.4)]);
    let refused = reserve(&agent, 0.5, "k2").await;
    refused.fails(402, "budget_exceeded");
    assert_eq!(refused.body["details"]["remaining_usd"], 0.4);

    let body = usage(0.1, Some(&reserved.ok()["reservation_id"]), "u1");
    let booked = agent.post("/usage", body.clone()).await;
    assert_eq!(booked.ok()["cost_usd"], 0.1);
    let again = agent.post("/usage", body).await;
    assert!(again.replayed());
    assert_eq!(again.ok(), booked.ok());
    assert_eq!(figures(&agent).await, [json!(1.0), json!(0.1), json!(0.0), json!(0.9)]);
    // What was refused was not remembered under its key.
    assert!(!reserve(&agent, 0.5, "k2").await.replayed());
    // What was spent counts also where nothing was reserved, and beyond the limit.
    agent.post("/usage", usage(2.0, None, "u2")).await.ok();
    assert_eq!(figures(&agent).await, [json!(1.0), json!(2.1), json!(0.5), json!(0.0)]);
    reserve(&agent, 0.0, "k3").await.fails(402, "budget_exceeded");
}

#[tokio::test]
async fn a_reservation_under_a_key_is_made_once() {
    let backend = Backend::start().await;
    limit(&backend, "ann", 1.0, "month").await.ok();
    let agent = backend.agent("ann", "scout");
    let first = reserve(&agent, 0.6, "k").await;
    let again = reserve(&agent, 0.6, "k").await;
    assert!(again.replayed());
    assert_eq!(first.ok(), again.ok());
    reserve(&agent, 0.7, "k").await.fails(409, "idempotency_conflict");
    assert_eq!(figures(&agent).await[2], 0.6);
}

#[tokio::test]
async fn calls_at_once_never_reserve_more_than_there_is() {
    let backend = Backend::start().await;
    limit(&backend, "ann", 1.0, "day").await.ok();
    let calls: Vec<_> = (0..32)
        .map(|n| {
            let agent = backend.agent("ann", "scout");
            tokio::spawn(async move { reserve(&agent, 0.1, &format!("k{n}")).await })
        })
        .collect();
    let mut given = 0;
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            given += 1;
        } else {
            answer.fails(402, "budget_exceeded");
        }
    }
    assert_eq!(given, 10);
    let agent = backend.agent("ann", "scout");
    assert_eq!(figures(&agent).await, [json!(1.0), json!(0.0), json!(1.0), json!(0.0)]);
}

#[tokio::test]
async fn what_nobody_settled_counts_no_more_after_its_time() {
    let backend = Backend::start().await;
    limit(&backend, "ann", 1.0, "day").await.ok();
    let agent = backend.agent("ann", "scout");
    let first = reserve(&agent, 1.0, "k1").await;
    reserve(&agent, 0.5, "k2").await.fails(402, "budget_exceeded");
    sqlx::query("UPDATE reservations SET expires_at = '2000-01-01T00:00:00.000000Z'")
        .execute(&mut backend.database().await)
        .await
        .unwrap();
    reserve(&agent, 0.5, "k2").await.ok();
    // It is settled late, and counts as what it was.
    agent.post("/usage", usage(0.25, Some(&first.ok()["reservation_id"]), "u")).await.ok();
    assert_eq!(figures(&agent).await, [json!(1.0), json!(0.25), json!(0.5), json!(0.25)]);
}

#[tokio::test]
async fn spending_begins_anew_with_each_period() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.post("/usage", usage(0.75, None, "u")).await.ok();
    sqlx::query("UPDATE usage SET created_at = '2020-01-31T23:59:59.999999Z'")
        .execute(&mut backend.database().await)
        .await
        .unwrap();
    for period in ["day", "month"] {
        limit(&backend, "ann", 1.0, period).await.ok();
        assert_eq!(figures(&agent).await[1], 0.0, "{period}");
        assert_eq!(agent.get("/budget").await.ok()["period"], period);
    }
}

#[tokio::test]
async fn without_a_limit_everything_is_counted_and_nothing_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let reserved = reserve(&agent, 5_000.0, "k").await;
    let body = usage(4_000.0, Some(&reserved.ok()["reservation_id"]), "u");
    agent.post("/usage", body).await.ok();
    assert_eq!(figures(&agent).await, [json!(null), json!(4_000.0), json!(0.0), json!(null)]);
}

#[tokio::test]
async fn the_setting_limits_whoever_has_no_budget_of_their_own() {
    let backend = Backend::with_budget(0.5).await;
    let (ann, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    assert_eq!(figures(&ann).await[0], 0.5);
    reserve(&ann, 0.6, "k").await.fails(402, "budget_exceeded");
    reserve(&bob, 0.5, "k").await.ok();
    limit(&backend, "ann", 2.0, "month").await.ok();
    reserve(&ann, 0.6, "k").await.ok();
    assert_eq!(figures(&bob).await[0], 0.5);
    limit(&backend, "ann", 0.0, "month").await.ok();
    reserve(&ann, 0.0, "k0").await.fails(402, "budget_exceeded");
}

#[tokio::test]
async fn only_a_service_sets_a_budget_and_for_a_person_only_that_one_s() {
    let backend = Backend::start().await;
    let body = json!({ "user_id": "ann", "limit_usd": 1.0, "period": "day" });
    backend.agent("ann", "scout").put("/budget", body.clone()).await.fails(403, "forbidden");
    backend.nobody().put("/budget", body.clone()).await.fails(401, "unauthorized");
    backend.person("bob").put("/budget", body.clone()).await.fails(404, "not_found");
    backend.person("ann").put("/budget", body.clone()).await.ok();
    assert_eq!(figures(&backend.person("ann")).await[0], 1.0);
    assert_eq!(figures(&backend.agent("bob", "scout")).await[0], json!(null));
    for (field, value) in [
        ("user_id", json!("")),
        ("user_id", json!(null)),
        ("limit_usd", json!(-1)),
        ("limit_usd", json!("1")),
        ("limit_usd", json!(1e12)),
        ("period", json!("year")),
        ("period", json!(null)),
    ] {
        let mut body = body.clone();
        body[field] = value;
        let refused = backend.internal().put("/budget", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
}

#[tokio::test]
async fn what_is_no_reservation_or_usage_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (field, value) in [
        ("run_id", json!("")),
        ("estimate_usd", json!(-0.1)),
        ("estimate_usd", json!(null)),
        ("idempotency_key", json!(null)),
        ("idempotency_key", json!(" ")),
    ] {
        let mut body = json!({ "run_id": "r", "estimate_usd": 1, "idempotency_key": "k" });
        body[field] = value;
        agent.post("/budget/reserve", body).await.fails(400, "invalid_payload");
    }
    for (field, value) in [
        ("run_id", json!("")),
        ("role", json!("")),
        ("model", json!(null)),
        ("prompt_tokens", json!(-1)),
        ("completion_tokens", json!(1.5)),
        ("cost_usd", json!(-1)),
        ("estimated", json!("no")),
        ("idempotency_key", json!("")),
    ] {
        let mut body = usage(1.0, None, "k");
        body[field] = value;
        let refused = agent.post("/usage", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{}", refused.text);
    }
    agent.post("/usage", usage(1.0, Some(&json!("unknown")), "k")).await.fails(404, "not_found");
    let reserved = reserve(&agent, 1.0, "k").await;
    let foreign = usage(1.0, Some(&reserved.ok()["reservation_id"]), "k");
    backend.agent("bob", "scout").post("/usage", foreign).await.fails(404, "not_found");
    assert_eq!(figures(&agent).await[2], 1.0);
}

#[tokio::test]
async fn the_client_reserves_reports_and_sets() {
    let backend = Backend::start().await;
    let put = PutBudget {
        user_id: Some("ann".into()),
        tenant_id: None,
        role: None,
        limit_usd: 1.0,
        period: Period::Day,
        warn_at: None,
    };
    assert_eq!(backend.service().put_budget(&put).await.unwrap().remaining_usd, 1.0);
    let client = backend.client("ann", "scout");
    let call = |usd, key: &str| Reserve {
        run_id: "r".into(),
        estimate_usd: usd,
        idempotency_key: key.into(),
    };
    let reserved = client.reserve(&call(0.9, "k1")).await.unwrap();
    assert!(client.reserve(&call(0.2, "k2")).await.unwrap_err().is_budget_exceeded());
    let usage = Usage {
        run_id: "r".into(),
        reservation_id: Some(reserved.reservation_id),
        role: "scout".into(),
        model: "m".into(),
        cost_usd: 0.25,
        idempotency_key: "u".into(),
        ..Usage::default()
    };
    for _ in 0..2 {
        client.report_usage(&usage).await.unwrap();
    }
    let budget = client.budget().await.unwrap();
    assert_eq!((budget.spent_usd, budget.remaining_usd), (0.25, Some(0.75)));
    assert_eq!(backend.service().on_behalf_of("ann").budget().await.unwrap(), budget);
}

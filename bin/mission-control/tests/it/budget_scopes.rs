//! Budgets of tenants, of roles and of combinations.

use mc_client::budgets::{BUDGET_WARNED, Budget, BudgetRefusal, BudgetWarned, ScopedBudget};
use mc_client::events::News;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::board::overview;
use crate::harness::{Answer, Backend, Caller};

/// Sets a budget of a month.
async fn limit(backend: &Backend, scope: Value, usd: f64, warn_at: Option<f64>) -> ScopedBudget {
    let mut body = json!({ "limit_usd": usd, "period": "month" });
    if let Some(warn_at) = warn_at {
        body["warn_at"] = json!(warn_at);
    }
    body.as_object_mut().unwrap().extend(scope.as_object().unwrap().clone());
    let set = backend.internal().put("/budget", body).await;
    serde_json::from_value(set.ok().clone()).unwrap()
}

async fn belongs(backend: &Backend, user: &str, tenant: &str) {
    let path = format!("/profile?user_id={user}");
    backend.internal().put(&path, json!({ "tenant_id": tenant })).await.ok();
}

async fn reserve(agent: &Caller, usd: f64, key: &str) -> Answer {
    let body = json!({ "run_id": "run", "estimate_usd": usd, "idempotency_key": key });
    agent.post("/budget/reserve", body).await
}

/// Books a call.
async fn book(agent: &Caller, role: &str, usd: f64, reservation: Option<&Value>, key: &str) {
    let body = json!({
        "run_id": "run", "reservation_id": reservation, "role": role, "model": "m",
        "prompt_tokens": 10, "completion_tokens": 5, "cost_usd": usd, "estimated": false,
        "idempotency_key": key
    });
    agent.post("/usage", body).await.ok();
}

async fn budgets(caller: &Caller) -> Vec<ScopedBudget> {
    let answer = caller.get("/budget").await;
    serde_json::from_value::<Budget>(answer.ok().clone()).unwrap().budgets
}

/// Scope, spent, reserved, remaining.
async fn figures(caller: &Caller) -> Vec<(String, f64, f64, f64)> {
    let all = budgets(caller).await.into_iter();
    all.map(|one| (one.scope.to_string(), one.spent_usd, one.reserved_usd, one.remaining_usd))
        .collect()
}

/// What was told of budgets that are nearly spent: scope and limit.
async fn warned(backend: &Backend) -> Vec<(String, f64)> {
    let rows = sqlx::query("SELECT data FROM events WHERE kind = 'budget.warned' ORDER BY id")
        .fetch_all(&mut backend.database().await)
        .await
        .unwrap();
    let event = |row: &sqlx::any::AnyRow| {
        let event: BudgetWarned = serde_json::from_str(row.get("data")).unwrap();
        (event.budget.scope.to_string(), event.budget.limit_usd)
    };
    rows.iter().map(event).collect()
}

#[tokio::test]
async fn each_combination_is_a_budget_of_its_own_and_a_call_must_fit_all() {
    let backend = Backend::start().await;
    belongs(&backend, "ann", "acme").await;
    belongs(&backend, "eve", "other").await;
    let (user, tenant, role) =
        (json!({ "user_id": "ann" }), json!({ "tenant_id": "acme" }), json!({ "role": "scout" }));
    let join = |parts: &[&Value]| {
        let parts = parts.iter().flat_map(|part| part.as_object().unwrap().clone());
        Value::Object(parts.collect())
    };
    // From the narrowest one, of which least is left, to the widest one.
    let scopes = [
        join(&[&user, &tenant, &role]),
        join(&[&user, &role]),
        join(&[&user, &tenant]),
        join(&[&tenant, &role]),
        user.clone(),
        tenant.clone(),
        role.clone(),
    ];
    let agent = backend.agent("ann", "scout");
    for (place, scope) in scopes.iter().enumerate() {
        let set = limit(&backend, scope.clone(), 1.0 + 0.1 * place as f64, None).await;
        assert_eq!(serde_json::to_value(&set.scope).unwrap(), *scope);
    }
    assert_eq!(budgets(&agent).await.len(), 7);
    // Other users, tenants and roles are in fewer.
    assert_eq!(budgets(&backend.agent("ann", "jarvis")).await.len(), 3);
    assert_eq!(budgets(&backend.agent("eve", "scout")).await.len(), 1);
    assert_eq!(budgets(&backend.agent("eve", "jarvis")).await.len(), 0);
    // A person's agents may have any role.
    assert_eq!(budgets(&backend.person("ann")).await.len(), 7);
    assert_eq!(budgets(&backend.person("eve")).await.len(), 1);
    // Each is the one that refuses, in its turn.
    for (place, scope) in scopes.iter().enumerate() {
        let refused = reserve(&agent, 1.05 + 0.1 * place as f64, "k").await;
        refused.fails(402, "budget_exceeded");
        let details: BudgetRefusal = serde_json::from_value(refused.body["details"].clone()).unwrap();
        let budget = details.budget.unwrap();
        assert_eq!(serde_json::to_value(&budget.scope).unwrap(), *scope, "{}", refused.text);
        assert_eq!(details.of_user.budgets.len(), 7);
        limit(&backend, scope.clone(), 5.0, None).await;
    }
    // What is reserved and booked counts in all of them.
    let held = reserve(&agent, 2.0, "k").await;
    assert!(reserve(&agent, 2.0, "k").await.replayed());
    assert!(figures(&agent).await.iter().all(|(_, spent, reserved, left)| {
        (*spent, *reserved, *left) == (0.0, 2.0, 3.0)
    }));
    for _ in 0..2 {
        book(&agent, "scout", 0.5, Some(&held.ok()["reservation_id"]), "u").await;
    }
    let all = figures(&agent).await;
    assert!(all.iter().all(|(_, spent, reserved, left)| (*spent, *reserved, *left) == (0.5, 0.0, 4.5)), "{all:?}");
    let of_others = figures(&backend.agent("eve", "scout")).await;
    assert_eq!(of_others, [("role \"scout\"".to_owned(), 0.5, 0.0, 4.5)]);
}

#[tokio::test]
async fn a_refusal_names_its_budget_in_words() {
    let backend = Backend::start().await;
    belongs(&backend, "ann", "acme").await;
    limit(&backend, json!({ "tenant_id": "acme" }), 1.0, None).await;
    limit(&backend, json!({ "user_id": "ann" }), 5.0, None).await;
    let refused = reserve(&backend.agent("ann", "scout"), 2.0, "k").await;
    refused.fails(402, "budget_exceeded");
    assert_eq!(refused.body["error"], "the budget of tenant \"acme\" is used up");
    let details = &refused.body["details"];
    // The user's own budget stays where it always was.
    assert_eq!((&details["remaining_usd"], &details["budget"]["tenant_id"]), (&json!(5.0), &json!("acme")));
    assert_eq!((&details["budget"]["limit_usd"], &details["budget"]["remaining_usd"]), (&json!(1.0), &json!(1.0)));
    assert!(details["budget"].get("user_id").is_none());
}

#[tokio::test]
async fn thirty_calls_at_once_never_reserve_more_than_a_tenant_has() {
    let backend = Backend::start().await;
    let users: Vec<_> = (0..6).map(|n| format!("user{n}")).collect();
    for user in &users {
        belongs(&backend, user, "acme").await;
    }
    limit(&backend, json!({ "tenant_id": "acme" }), 1.0, None).await;
    let another = backend.another().await;
    let calls: Vec<_> = (0..30)
        .map(|n| {
            let of = if n % 2 == 0 { &backend } else { &another };
            let agent = of.agent(&users[n % users.len()], if n % 3 == 0 { "scout" } else { "jarvis" });
            tokio::spawn(async move { reserve(&agent, 0.1, &format!("k{n}")).await })
        })
        .collect();
    let mut given = 0;
    for call in calls {
        let answer = call.await.unwrap();
        match answer.status.as_u16() {
            200 => given += 1,
            _ => {
                answer.fails(402, "budget_exceeded");
                assert_eq!(answer.body["details"]["budget"]["tenant_id"], "acme", "{}", answer.text);
            }
        }
    }
    assert_eq!(given, 10);
    let seen = figures(&backend.agent("user0", "scout")).await;
    assert_eq!(seen, [("tenant \"acme\"".to_owned(), 0.0, 1.0, 0.0)]);
    another.stop().await;
}

#[tokio::test]
async fn a_booking_that_reaches_the_mark_is_told_once_for_period_and_limit() {
    let backend = Backend::start().await;
    belongs(&backend, "ann", "acme").await;
    let mut events = backend.service().events(None);
    assert_eq!(events.next().await.unwrap(), News::Connected);
    let (tenant, user, role) =
        (json!({ "tenant_id": "acme" }), json!({ "user_id": "ann" }), json!({ "role": "scout" }));
    limit(&backend, tenant.clone(), 1.0, Some(0.8)).await;
    limit(&backend, user.clone(), 2.0, Some(0.5)).await;
    limit(&backend, role, 1.0, None).await;
    let another = backend.another().await;
    let (one, two) = (backend.agent("ann", "scout"), another.agent("ann", "scout"));
    book(&one, "scout", 0.79, None, "u1").await;
    assert_eq!(warned(&backend).await, []);
    // Exactly the mark counts; what others book at once says it no second time.
    tokio::join!(book(&one, "scout", 0.01, None, "u2"), book(&two, "scout", 0.01, None, "u3"));
    assert_eq!(warned(&backend).await, [("tenant \"acme\"".to_owned(), 1.0)]);
    let told = loop {
        if let News::Event(event) = events.next().await.unwrap()
            && event.kind == BUDGET_WARNED
        {
            break event.data;
        }
    };
    assert_eq!((&told["user_id"], &told["run_id"]), (&json!("ann"), &json!("run")));
    let of = &told["budget"];
    assert_eq!((&of["tenant_id"], &of["limit_usd"], &of["warn_at"]), (&json!("acme"), &json!(1.0), &json!(0.8)));
    assert!(of["spent_usd"].as_f64().unwrap() >= 0.8 && of["period_end"].is_string(), "{told}");
    // A raised limit is another one, and so is that of the user alone.
    limit(&backend, tenant.clone(), 1.5, Some(0.8)).await;
    book(&two, "scout", 0.2, None, "u4").await;
    let user_told = ("user \"ann\"".to_owned(), 2.0);
    let mut expected = vec![("tenant \"acme\"".to_owned(), 1.0), user_told];
    assert_eq!(warned(&backend).await, expected);
    book(&two, "scout", 0.3, None, "u5").await;
    expected.push(("tenant \"acme\"".to_owned(), 1.5));
    assert_eq!(warned(&backend).await, expected);
    // Back at the old one, it was told already.
    limit(&backend, tenant, 1.0, Some(0.8)).await;
    book(&one, "scout", 0.1, None, "u6").await;
    assert_eq!(warned(&backend).await, expected);
    another.stop().await;
}

#[tokio::test]
async fn a_new_period_begins_at_zero_and_warns_anew() {
    let backend = Backend::start().await;
    let role = json!({ "role": "scout" });
    limit(&backend, role.clone(), 1.0, Some(0.5)).await;
    let agent = backend.agent("ann", "scout");
    book(&agent, "scout", 1.0, None, "u1").await;
    reserve(&agent, 0.1, "k").await.fails(402, "budget_exceeded");
    for change in [
        "UPDATE budget_scopes SET counted_from = '2020-01-01T00:00:00.000000Z'",
        "UPDATE usage SET created_at = '2020-01-02T00:00:00.000000Z'",
        "UPDATE budget_warnings SET period_end = '2020-02-01T00:00:00.000000Z'",
    ] {
        sqlx::query(change).execute(&mut backend.database().await).await.unwrap();
    }
    let left = |spent: f64| [("role \"scout\"".to_owned(), spent, 0.0, 1.0 - spent)];
    assert_eq!(figures(&agent).await, left(0.0));
    book(&agent, "scout", 0.5, None, "u2").await;
    assert_eq!(figures(&agent).await, left(0.5));
    assert_eq!(warned(&backend).await.len(), 2);
    // What was spent in the period counts for a budget that is set later.
    limit(&backend, role, 1.0, None).await;
    assert_eq!(figures(&agent).await, left(0.5));
    limit(&backend, json!({ "user_id": "ann", "role": "scout" }), 1.0, None).await;
    assert_eq!(figures(&agent).await[0].1, 0.5);
}

#[tokio::test]
async fn a_call_is_booked_for_the_tenant_it_was_reserved_for() {
    let backend = Backend::start().await;
    belongs(&backend, "ann", "old").await;
    for tenant in ["old", "new"] {
        limit(&backend, json!({ "tenant_id": tenant }), 1.0, None).await;
    }
    let agent = backend.agent("ann", "scout");
    let held = reserve(&agent, 0.5, "k").await;
    belongs(&backend, "ann", "new").await;
    book(&agent, "scout", 0.25, Some(&held.ok()["reservation_id"]), "u1").await;
    book(&agent, "scout", 0.125, None, "u2").await;
    assert_eq!(figures(&agent).await, [("tenant \"new\"".to_owned(), 0.125, 0.0, 0.875)]);
    belongs(&backend, "ann", "old").await;
    assert_eq!(figures(&agent).await, [("tenant \"old\"".to_owned(), 0.25, 0.0, 0.75)]);
    // The tenant of a role is that of the role's profile.
    let path = "/profile?user_id=ann&role=scout";
    backend.internal().put(path, json!({ "tenant_id": "new" })).await.ok();
    assert_eq!(figures(&agent).await[0].0, "tenant \"new\"");
    assert_eq!(figures(&backend.agent("ann", "jarvis")).await[0].0, "tenant \"old\"");
    assert_eq!(figures(&backend.person("ann")).await.len(), 2);
}

#[tokio::test]
async fn only_a_service_sets_shared_budgets_and_what_is_wrong_is_named() {
    let backend = Backend::start().await;
    let body = json!({ "tenant_id": "acme", "limit_usd": 1.0, "period": "day" });
    backend.agent("ann", "scout").put("/budget", body.clone()).await.fails(403, "forbidden");
    backend.nobody().put("/budget", body.clone()).await.fails(401, "unauthorized");
    backend.person("ann").put("/budget", body.clone()).await.fails(403, "forbidden");
    let own = json!({ "user_id": "ann", "role": "scout", "limit_usd": 1.0, "period": "day" });
    backend.person("bob").put("/budget", own.clone()).await.fails(404, "not_found");
    backend.person("ann").put("/budget", own).await.ok();
    for (field, value) in [
        ("tenant_id", json!(null)),
        ("tenant_id", json!("")),
        ("tenant_id", json!(" ")),
        ("tenant_id", json!("x".repeat(129))),
        ("tenant_id", json!(7)),
        ("user_id", json!("a:b")),
        ("role", json!("")),
        ("role", json!("no role")),
        ("warn_at", json!(-0.1)),
        ("warn_at", json!(1.1)),
        ("warn_at", json!("0.5")),
        ("limit_usd", json!(-1)),
        ("period", json!("year")),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value.clone();
        let refused = backend.internal().put("/budget", wrong).await;
        refused.fails(400, "invalid_payload");
        let field = if value.is_null() { "user_id" } else { field };
        assert!(refused.body["details"]["fields"][field].is_string(), "{value} {}", refused.text);
    }
    backend.internal().put("/budget", body).await.ok();
    let acts = backend.internal().get("/audit?act=budget.set").await;
    let acts = acts.ok()["items"].as_array().unwrap().clone();
    assert_eq!(acts.len(), 2);
    assert_eq!(acts[1]["details"]["tenant_id"], "acme");
    assert_eq!(acts[0]["details"]["role"], "scout");
}

#[tokio::test]
async fn the_page_shows_shared_budgets_beside_the_users() {
    let backend = Backend::start().await;
    belongs(&backend, "ann", "acme").await;
    limit(&backend, json!({ "tenant_id": "acme" }), 4.0, None).await;
    let features = backend.agent("ann", "scout").get("/capabilities").await;
    assert_eq!(features.ok()["features"]["budget_scopes"], true);
    let page = overview(&backend).await;
    assert!(page.contains("tenant &quot;acme&quot; $0.0000 of $4.00"), "{page}");
}

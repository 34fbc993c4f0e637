//! Budgets of tenants, of roles and of combinations; a part of the chapter on limits.

use serde_json::{Value, json};

use super::encode;
use super::events::Stream;
use crate::answer::Answer;
use crate::caller::Caller;
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

async fn set(w: &World, budget: Value) -> Result<(), NotPassed> {
    w.service()?.put("/budget", budget).await?.ok().map(|_| ())
}

async fn reserve(w: &World, agent: &Caller<'_>, usd: f64) -> Result<Answer, NotPassed> {
    let body = json!({ "run_id": "r", "estimate_usd": usd, "idempotency_key": w.key() });
    agent.post("/budget/reserve", body).await
}

async fn book(w: &World, agent: &Caller<'_>, usd: f64) -> Result<(), NotPassed> {
    let usage = json!({
        "run_id": "r", "role": ROLE, "model": "m", "prompt_tokens": 10, "completion_tokens": 5,
        "cost_usd": usd, "estimated": false, "idempotency_key": w.key()
    });
    agent.post("/usage", usage).await?.created().map(|_| ())
}

/// Checks that a reservation is refused, by a budget with these fields.
fn refused_by(answer: &Answer, fields: &[(&str, Value)]) -> Result<(), NotPassed> {
    answer.fails_with(402, "budget_exceeded")?;
    let budget = &answer.body["details"]["budget"];
    let fits = fields.iter().all(|(name, value)| budget[*name] == *value);
    ensure(fits, || {
        format!("expected the budget of {fields:?} in details.budget, got {}", answer.text)
    })
}

pub(super) async fn run(suite: &mut Suite<'_>) {
    let sentence = "PUT /budget takes any of user_id, tenant_id and role: each combination is one budget; a reservation must fit all, else 402 with the one that it does not fit in details.budget; GET /budget adds budgets[]";
    suite
        .check("budget-scopes", &["budget_scopes"], sentence, async |w| {
            let user = w.fresh_user()?;
            set(w, json!({ "user_id": user, "limit_usd": 9.0, "period": "day" })).await?;
            set(w, json!({ "user_id": user, "role": ROLE, "limit_usd": 1.0, "period": "day" }))
                .await?;
            let agent = w.agent(&user);
            reserve(w, &agent, 0.75).await?.created()?;
            let over = reserve(w, &agent, 0.5).await?;
            refused_by(&over, &[("user_id", json!(user)), ("role", json!(ROLE))])?;
            let budget = agent.get("/budget").await?;
            let listed = budget.ok()?["budgets"].as_array().map_or(&[][..], Vec::as_slice);
            let held = |role: Value| {
                listed.iter().any(|one| {
                    one["user_id"] == json!(user)
                        && one["role"] == role
                        && one["reserved_usd"].as_f64() == Some(0.75)
                })
            };
            ensure(held(Value::Null) && held(json!(ROLE)), || {
                format!(
                    "expected both budgets with reserved_usd 0.75 in budgets[], got {}",
                    budget.text
                )
            })?;
            Ok("reserved in both, refused by one".to_owned())
        })
        .await;
    let sentence = "a call counts in the budget of the tenant that its user's profile names, whoever of its users makes it";
    suite
        .check("budget-of-a-tenant", &["budget_scopes", "profile"], sentence, async |w| {
            let (one, two) = (w.fresh_user()?, w.fresh_user()?);
            let tenant = format!("conformance-{}", w.fresh_user()?);
            for user in [&one, &two] {
                let path = format!("/profile?user_id={}", encode(user));
                w.service()?.put(&path, json!({ "tenant_id": tenant })).await?.ok()?;
            }
            set(w, json!({ "tenant_id": tenant, "limit_usd": 1.0, "period": "day" })).await?;
            reserve(w, &w.agent(&one), 0.75).await?.created()?;
            let over = reserve(w, &w.agent(&two), 0.5).await?;
            refused_by(&over, &[("tenant_id", json!(tenant)), ("user_id", Value::Null)])?;
            Ok("one user's reservation counts for the other".to_owned())
        })
        .await;
    let sentence = "a booking that reaches warn_at (0 to 1) of a limit sends the event budget.warned, once per period and limit";
    suite
        .check("budget-warned", &["budget_scopes", "events_sse"], sentence, async |w| {
            let user = w.fresh_user()?;
            let limit = |usd: f64| json!({ "user_id": user, "limit_usd": usd, "period": "month", "warn_at": 0.5 });
            set(w, limit(1.0)).await?;
            let agent = w.agent(&user);
            let mut stream = Stream::open(&agent, None).await?;
            for cost in [0.25, 0.25, 0.25] {
                book(w, &agent, cost).await?;
            }
            let first = stream.about("budget.warned", &user).await?;
            set(w, limit(2.0)).await?;
            book(w, &agent, 0.5).await?;
            let second = stream.about("budget.warned", &user).await?;
            let limits = [&first, &second].map(|event| event.data["budget"]["limit_usd"].as_f64());
            ensure(limits == [Some(1.0), Some(2.0)], || {
                format!("expected one warning for the limit 1 and one for 2, got {limits:?}")
            })?;
            Ok("once, and once more for a raised limit".to_owned())
        })
        .await;
    let sentence = "PUT /budget that names none of user_id, tenant_id and role, or whose warn_at is not from 0 to 1 → 400 invalid_payload";
    suite
        .check("budget-form", &["budget_scopes"], sentence, async |w| {
            let user = w.fresh_user()?;
            let service = w.service()?;
            for wrong in [
                json!({ "limit_usd": 1.0, "period": "day" }),
                json!({ "user_id": user, "limit_usd": 1.0, "period": "day", "warn_at": 1.5 }),
            ] {
                service.put("/budget", wrong).await?.fails_with(400, "invalid_payload")?;
            }
            Ok("400 invalid_payload".to_owned())
        })
        .await;
}

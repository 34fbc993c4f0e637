//! Session leases, budgets, and the backend's own tools.

use serde_json::json;

use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, ensure, failed};
use crate::world::World;

pub(crate) async fn run(suite: &mut Suite<'_>) {
    leases(suite).await;
    budgets(suite).await;
    super::budget_scopes::run(suite).await;
    tools(suite).await;
}

/// Acquires a lease; its path, id and fence.
async fn lease(w: &World, task: &str) -> Result<(String, String, i64), NotPassed> {
    let given = w.agent(&w.one).post("/sessions/lease", lease_request(w, task, "one")).await?;
    given.created()?;
    let id = given.text_at("lease_id")?.to_owned();
    let Some(fence) = given.body["fence"].as_i64() else {
        return failed(format!("expected a whole number in \"fence\", got {}", given.summary()));
    };
    Ok((format!("/sessions/lease/{id}"), id, fence))
}

fn lease_request(w: &World, task: &str, holder: &str) -> serde_json::Value {
    json!({ "session_key": w.session(&w.one), "task_id": task, "holder": holder, "ttl_secs": 60 })
}

async fn leases(suite: &mut Suite<'_>) {
    let sentence = "POST /sessions/lease → {lease_id, fence} or 409 session_busy with Retry-After; PUT renews, DELETE frees; fence grows by one";
    suite
        .check("turn", &["session_leases"], sentence, async |w| {
            let task = w.task(&w.one, "turn").await?;
            let (path, _, fence) = lease(w, &task).await?;
            // Sent without the retries of the suite, which would wait for the lease.
            let request = w.agent(&w.one).request(http::Method::POST, "/sessions/lease")?;
            // Another holder: the one that has it may be given it again.
            let busy = request.json(&lease_request(w, &task, "two")).send().await;
            let busy = busy.map_err(|error| NotPassed::Failed(error.without_url().to_string()))?;
            let (status, wait) = (busy.status(), busy.headers().contains_key("retry-after"));
            let body: serde_json::Value = busy.json().await.unwrap_or_default();
            let fits = status == 409 && body["code"] == "session_busy" && wait;
            ensure(fits, || format!("expected 409 session_busy with Retry-After while the lease is held, got {status}, Retry-After {}, {body}", if wait { "present" } else { "missing" }))?;
            w.agent(&w.one).put(&path, json!({ "ttl_secs": 60 })).await?.ok()?;
            let other = w.task(&w.one, "another turn").await?;
            let (others, _, _) = lease(w, &other).await?;
            for path in [&path, &others] {
                let freed = w.agent(&w.one).delete(path).await?;
                ensure(matches!(freed.status, 200 | 204), || freed.summary())?;
            }
            let (path, _, next) = lease(w, &task).await?;
            w.agent(&w.one).delete(&path).await?;
            ensure(next == fence + 1, || format!("expected the fence to grow from {fence} by one, got {next}"))?;
            Ok(format!("busy while it was held, fence {fence} and then {next}"))
        })
        .await;
    let sentence = "a write with an older fence → 409 stale_fence";
    suite
        .check("stale-fence", &["session_leases"], sentence, async |w| {
            let task = w.task(&w.one, "fence").await?;
            let (path, id, fence) = lease(w, &task).await?;
            let write = async |fence: &str| {
                let body = json!({ "task_id": task, "content": w.title("under a lease") });
                w.agent(&w.one).with("x-session-fence", fence).post("/messages", body).await
            };
            let own = format!("{id}:{fence}");
            write(&own).await?.created()?;
            w.agent(&w.one).delete(&path).await?;
            let (path, _, _) = lease(w, &task).await?;
            let seen = write(&own).await?.fails_with(409, "stale_fence")?;
            w.agent(&w.one).delete(&path).await?;
            Ok(seen)
        })
        .await;
}

async fn budgets(suite: &mut Suite<'_>) {
    let sentence = "PUT /budget; GET /budget → {limit_usd, spent_usd, remaining_usd, period_end}; reserve → {reservation_id} or 402 budget_exceeded; POST /usage settles";
    suite
        .check("budget", &["budgets"], sentence, async |w| {
            let user = w.fresh_user()?;
            let limit = json!({ "user_id": user, "limit_usd": 1.0, "period": "day" });
            w.service()?.put("/budget", limit).await?.ok()?;
            let agent = w.agent(&user);
            let reserve = |usd: f64| json!({ "run_id": "r", "estimate_usd": usd, "idempotency_key": w.key() });
            let held = agent.post("/budget/reserve", reserve(0.75)).await?;
            held.created()?;
            let id = held.text_at("reservation_id")?;
            let over = agent.post("/budget/reserve", reserve(0.5)).await?;
            over.fails_with(402, "budget_exceeded")?;
            let usage = json!({
                "run_id": "r", "reservation_id": id, "role": ROLE, "model": "m",
                "prompt_tokens": 10, "completion_tokens": 5, "cost_usd": 0.25, "estimated": false,
                "idempotency_key": w.key()
            });
            for _ in 0..2 {
                agent.post("/usage", usage.clone()).await?.created()?;
            }
            let budget = agent.get("/budget").await?;
            crate::answer::time_of(budget.ok()?, "period_end")?;
            let near = |name: &str, usd: f64| {
                budget.body[name].as_f64().is_some_and(|found| (found - usd).abs() < 1e-6)
            };
            let fits = near("limit_usd", 1.0) && near("spent_usd", 0.25) && near("remaining_usd", 0.75);
            ensure(fits, || format!("expected limit 1.00, spent 0.25 (usage sent twice under one key), remaining 0.75; got {}", budget.text))?;
            agent.post("/budget/reserve", reserve(0.5)).await?.created()?;
            Ok("reserved, refused, settled once".to_owned())
        })
        .await;
}

async fn tools(suite: &mut Suite<'_>) {
    let sentence = "GET /api/tools → {tools: [{name, description, parameters (JSON Schema)}]}; POST /api/tools/{name}";
    suite
        .check("tools", &["tools"], sentence, async |w| {
            let list = w.agent(&w.one).get("/api/tools").await?;
            let Some(tools) = list.ok()?["tools"].as_array() else {
                return failed(format!("expected {{tools: […]}}, got {}", list.summary()));
            };
            for tool in tools {
                let fits = ["name", "description"].iter().all(|name| tool[name].is_string())
                    && tool["parameters"].is_object();
                ensure(fits, || {
                    format!(
                        "expected {{name, description, parameters (a JSON Schema)}}, got {tool}"
                    )
                })?;
            }
            let path = format!("/api/tools/none-{}", uuid::Uuid::new_v4().simple());
            let unknown = w.agent(&w.one).post(&path, json!({ "arguments": {} })).await?;
            unknown.fails_as_one_of(&[400, 403, 404, 405, 422])?;
            Ok(format!(
                "{}; an unknown one answers {}",
                shown::counted(tools.len(), "tool"),
                unknown.status
            ))
        })
        .await;
}

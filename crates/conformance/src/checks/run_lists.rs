//! Lists of runs, and what people think of them.

use serde_json::{Value, json};

use crate::answer::{column, time_of};
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// A run that is over; its key and its reply's id.
async fn ended(w: &World, user: &str, facts: Value) -> Result<(String, String), NotPassed> {
    let (key, message) = (format!("r:{}", w.key()), format!("m-{}", uuid::Uuid::new_v4()));
    let path = format!("/runs/{}", super::encode(&key));
    let task = w.task(user, "a run of a list").await?;
    let begun = json!({ "session_key": w.session(user), "task_id": task, "status": "running", "workspace_digest": "d1" });
    w.agent(user).put(&path, begun).await?.ok()?;
    let mut over = json!({ "status": "completed", "message_id": message, "cost_usd": 0.25, "model": "m1", "provider": "p1" });
    if let (Some(over), Some(facts)) = (over.as_object_mut(), facts.as_object()) {
        over.extend(facts.clone());
    }
    w.agent(user).put(&path, over).await?.ok()?;
    Ok((key, message))
}

async fn keys(w: &World, user: &str, query: &str) -> Result<Vec<String>, NotPassed> {
    let list = w.agent(user).get(&format!("/runs?{query}")).await?;
    Ok(column(list.items()?, "run_key").into_iter().map(str::to_owned).collect())
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let features = ["runs_list", "run_journal"];
    let sentence = "GET /runs?user_id&role&status&model&digest&rating&label&from&to&q (A, P, S), newest first; reply (first 200), ratings{up, down}, labels; q: all words in message or reply";
    suite
        .check("listed", &features, sentence, async |w| {
            let user = &w.fresh_user()?;
            let word = format!("w{}", uuid::Uuid::new_v4().simple());
            let asked = json!({ "asked": format!("find the {word}"), "reply": format!("found {}", "x".repeat(300)) });
            let (old, _) = ended(w, user, asked).await?;
            let (new, _) = ended(w, user, json!({ "status": "failed", "error_code": "timeout", "model": "m2" })).await?;
            let both = keys(w, user, "limit=10").await?;
            ensure(both == [new.clone(), old.clone()], || format!("expected the newer run first, got {both:?}"))?;
            for (query, expected) in [
                ("status=completed".to_owned(), vec![&old]),
                ("model=m2".to_owned(), vec![&new]),
                ("digest=d1&rating=none".to_owned(), vec![&new, &old]),
                ("digest=d2".to_owned(), vec![]),
                ("label=none".to_owned(), vec![]),
                ("to=2020-01-01T00:00:00Z".to_owned(), vec![]),
                ("from=2020-01-01T00:00:00Z".to_owned(), vec![&new, &old]),
                (format!("q=FOUND%20{word}"), vec![&old]),
                (format!("q=lost%20{word}"), vec![]),
            ] {
                let got = keys(w, user, &query).await?;
                ensure(got.iter().collect::<Vec<_>>() == expected, || format!("{query}: expected {expected:?}, got {got:?}"))?;
            }
            let list = w.agent(user).get("/runs?status=completed").await?;
            let run = list.items()?.first().cloned().unwrap_or_default();
            let is_short = run["reply"].as_str().is_some_and(|reply| reply.chars().count() == 200);
            ensure(is_short, || format!("expected the first 200 characters of the reply, got {}", run["reply"]))?;
            let fits = run["cost_usd"] == 0.25 && run["model"] == "m1" && run["ratings"] == json!({ "up": 0, "down": 0 });
            ensure(fits && run["step_count"] == 0 && run["labels"] == json!([]), || format!("expected what was sent, and no ratings, got {run}"))?;
            let (begun, over) = (time_of(&run, "started_at")?, time_of(&run, "ended_at")?);
            ensure(begun <= over, || format!("expected started_at before ended_at, got {run}"))?;
            let others = keys(w, &w.two, "limit=200").await?;
            ensure(!others.contains(&old), || "another user sees the run".to_owned())?;
            w.agent(user).get("/runs?status=odd").await?.fails(400)?;
            Ok("two runs, by each of their properties".to_owned())
        })
        .await;
    let sentence = "GET /runs/summary?by=model|role|workspace|digest → runs, failed, up, down, cost_usd, p95_ms each";
    suite
        .check("totalled", &features, sentence, async |w| {
            let user = &w.fresh_user()?;
            for status in ["completed", "failed", "completed"] {
                ended(w, user, json!({ "status": status })).await?;
            }
            let totals = w.agent(user).get("/runs/summary?by=model").await?;
            let items = totals.items()?;
            let one = items.first().cloned().unwrap_or_default();
            let fits =
                items.len() == 1 && one["key"] == "m1" && one["runs"] == 3 && one["failed"] == 1;
            let fits = fits
                && one["cost_usd"] == 0.75
                && one["up"] == 0
                && one["down"] == 0
                && one["p95_ms"].is_u64();
            ensure(fits, || {
                format!(
                    "expected 3 runs of m1, 1 failed, 0.75 USD, and p95_ms, got {}",
                    totals.text
                )
            })?;
            w.agent(user).get("/runs/summary?by=colour").await?.fails(400)?;
            Ok(format!("3 runs, {} ms", one["p95_ms"]))
        })
        .await;
    let sentence = "POST /feedback {message_id | run_key, rating?: up|down, labels? ≤10, comment? ≤2,000} (P, S), GET /feedback?run_key: one per run and author, the newest holds";
    suite
        .check("feedback", &["feedback", "runs_list", "run_journal"], sentence, async |w| {
            let user = &w.fresh_user()?;
            let person = w.person(user).await?;
            let (key, message) = ended(w, user, json!({})).await?;
            let first = json!({ "message_id": message, "rating": "down", "labels": ["slow"], "comment": "Why?" });
            person.post("/feedback", first).await?.created()?;
            let then = json!({ "run_key": key, "rating": "up", "labels": ["right", "short"] });
            person.post("/feedback", then).await?.created()?;
            let path = format!("/feedback?run_key={}", super::encode(&key));
            let said = person.get(&path).await?;
            let items = said.items()?;
            let fits = items.len() == 1 && items[0]["rating"] == "up" && items[0].get("comment").is_none_or(Value::is_null);
            ensure(fits, || format!("expected only the newest feedback, got {}", said.text))?;
            for (query, expected) in [("rating=up", 1), ("rating=down", 0), ("label=short", 1), ("label=slow", 0), ("rating=none", 0)] {
                let got = keys(w, user, query).await?;
                ensure(got.len() == expected, || format!("{query}: expected {expected}, got {got:?}"))?;
            }
            w.agent(user).post("/feedback", json!({ "run_key": key, "rating": "up" })).await?.fails(403)?;
            let others = w.person(&w.two).await?;
            others.post("/feedback", json!({ "run_key": key, "rating": "up" })).await?.fails(404)?;
            person.post("/feedback", json!({ "run_key": key, "rating": "good" })).await?.fails(400)?;
            let many: Vec<_> = (0..11).map(|n| n.to_string()).collect();
            person.post("/feedback", json!({ "run_key": key, "labels": many })).await?.fails(400)?;
            Ok("the newest of one author holds".to_owned())
        })
        .await;
}

//! Creates happen at most once for an idempotency key.

use futures::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure, failed};
use crate::world::World;

const SAME: &str = "Same key, same body (compared as JSON): the first response again, 200, header Idempotent-Replayed: true.";
const OTHER: &str = "Same key, different body: 409 idempotency_conflict with details.original.";
const AT_ONCE: &str = "Of two concurrent requests one wins, and the other gets its result.";

/// How many call at once.
const CALLERS: usize = 8;

const ENDPOINTS: [&str; 3] = ["/tasks", "/messages", "/documents"];

async fn body(w: &World, path: &str, key: &str) -> Result<Value, NotPassed> {
    let title = w.title("once");
    Ok(match path {
        "/messages" => {
            let task = w.task(&w.one, "once").await?;
            json!({ "task_id": task, "content": title, "idempotency_key": key })
        }
        "/documents" => json!({ "title": title, "content": "text", "idempotency_key": key }),
        _ => json!({ "title": title, "metadata": { "a": 1, "b": [2] }, "idempotency_key": key }),
    })
}

fn other(mut body: Value, path: &str, text: &str) -> Value {
    body[if path == "/messages" { "content" } else { "title" }] = json!(text);
    body
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    for path in ENDPOINTS {
        let name = path.trim_start_matches('/');
        one_after_another(suite, path, name).await;
        at_once(suite, path, name).await;
    }
    keys(suite).await;
}

async fn one_after_another(suite: &mut Suite<'_>, path: &'static str, name: &str) {
    suite
        .required(&format!("replay-{name}"), SAME, async |w| {
            let body = body(w, path, &w.key()).await?;
            let first = w.agent(&w.one).post(path, body.clone()).await?;
            first.created()?;
            ensure(!first.replayed(), || {
                "expected no Idempotent-Replayed on the first response, got true".to_owned()
            })?;
            let second = w.agent(&w.one).post(path, body).await?;
            let same = second.ok()? == &first.body;
            ensure(same, || {
                format!("expected the original response {}, got {}", first.text, second.text)
            })?;
            ensure(second.replayed(), || {
                "expected the header Idempotent-Replayed: true on the repetition, got none"
                    .to_owned()
            })?;
            Ok("the original response, marked as a replay".to_owned())
        })
        .await;
    suite
        .required(&format!("conflict-{name}"), OTHER, async |w| {
            let body = body(w, path, &w.key()).await?;
            let first = w.agent(&w.one).post(path, body.clone()).await?;
            first.created()?;
            let body = other(body, path, &w.title("another"));
            let second = w.agent(&w.one).post(path, body).await?;
            let seen = second.fails_with(409, "idempotency_conflict")?;
            let original = &second.body["details"]["original"];
            ensure(*original == first.body, || {
                format!("expected the first response in details.original, got {original}")
            })?;
            Ok(seen)
        })
        .await;
}

async fn at_once(suite: &mut Suite<'_>, path: &'static str, name: &str) {
    suite
        .required(&format!("at-once-{name}"), AT_ONCE, async |w| {
            let body = body(w, path, &w.key()).await?;
            let agent = w.agent(&w.one);
            let calls = (0..CALLERS).map(|_| agent.post(path, body.clone()));
            let answers: Vec<_> =
                join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
            for answer in &answers {
                answer.created()?;
                let same = answer.body["id"] == answers[0].body["id"];
                ensure(same, || "expected one object for one key, got two".to_owned())?;
            }
            let first = answers.iter().filter(|answer| !answer.replayed()).count();
            ensure(first == 1, || format!("expected exactly one response without Idempotent-Replayed, got {first} of {CALLERS}"))?;
            Ok(format!("{CALLERS} at once: one object"))
        })
        .await;
    suite
        .required(&format!("at-once-conflicting-{name}"), AT_ONCE, async |w| {
            let body = body(w, path, &w.key()).await?;
            let agent = w.agent(&w.one);
            let calls = (0..CALLERS)
                .map(|_| agent.post(path, other(body.clone(), path, &w.title("rival"))));
            let answers: Vec<_> = join_all(calls).await.into_iter().collect::<Result<_, _>>()?;
            let winners: Vec<_> = answers.iter().filter(|answer| answer.status < 400).collect();
            let [winner] = winners[..] else {
                return failed(format!(
                    "expected one of {CALLERS} bodies to be accepted, got {}",
                    winners.len()
                ));
            };
            winner.created()?;
            for loser in answers.iter().filter(|answer| answer.status >= 400) {
                loser.fails_with(409, "idempotency_conflict")?;
                let sees = loser.body["details"]["original"] == winner.body;
                ensure(sees, || {
                    "expected the accepted object in details.original of each 409, got another"
                        .to_owned()
                })?;
            }
            Ok(format!("{CALLERS} at once: one wins, the others see it"))
        })
        .await;
}

async fn keys(suite: &mut Suite<'_>) {
    suite
        .required("as-values", SAME, async |w| {
            let (title, key) = (w.title("as-values"), w.key());
            let body = json!({ "title": title, "description": "d", "idempotency_key": key });
            let first = w.agent(&w.one).post("/tasks", body).await?;
            first.created()?;
            let same = format!(
                " {{ \"idempotency_key\":{},\n \"description\" : \"\\u0064\", \"title\":{} }} ",
                json!(key),
                json!(title)
            );
            let agent = w.agent(&w.one);
            let second = agent.text(Method::POST, "/tasks", Some("application/json"), same).await?;
            ensure(second.ok()? == &first.body, || {
                format!(
                    "expected the original response for the same JSON values, got {}",
                    second.summary()
                )
            })?;
            Ok("order, spaces and escapes make no difference".to_owned())
        })
        .await;
    suite
        .required("per-endpoint", "scoped to user and endpoint", async |w| {
            let key = w.key();
            let task = json!({ "title": w.title("per-endpoint"), "idempotency_key": key });
            w.agent(&w.one).post("/tasks", task).await?.created()?;
            let document = body(w, "/documents", &key).await?;
            let answer = w.agent(&w.one).post("/documents", document).await?;
            answer.created()?;
            Ok("the key of a task is free for a document".to_owned())
        })
        .await;
    suite
        .recommended("without-a-key", &[], "Only a key makes two creates one", async |w| {
            let body = json!({ "title": w.title("without-a-key") });
            let first = w.agent(&w.one).post("/tasks", body.clone()).await?;
            let second = w.agent(&w.one).post("/tasks", body).await?;
            let differ = first.text_at("id")? != second.text_at("id")?;
            ensure(differ, || {
                "expected two tasks from two creates without a key, got one".to_owned()
            })?;
            Ok("two tasks".to_owned())
        })
        .await;
}

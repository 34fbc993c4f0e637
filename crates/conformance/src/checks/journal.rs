//! The journal of runs, and tool requests.

use serde_json::json;

use crate::answer::Answer;
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure};
use crate::world::World;

/// Creates a run; its path, its key and its task.
async fn new_run(w: &World) -> Result<(String, String, String), NotPassed> {
    let task = w.task(&w.one, "run").await?;
    let key = format!("conformance-{}", uuid::Uuid::new_v4());
    let path = format!("/runs/{key}");
    let body = json!({ "session_key": w.session(&w.one), "task_id": task, "status": "running" });
    w.agent(&w.one).put(&path, body).await?.ok()?;
    Ok((path, key, task))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    steps(suite).await;
    states(suite).await;
    requests(suite).await;
}

async fn steps(suite: &mut Suite<'_>) {
    let sentence = "PUT /runs/{run_key}/steps/{index} → 200, also when the same step is put again, or 409 step_exists with details.step when another is there";
    suite
        .check("steps", &["run_journal"], sentence, async |w| {
            let (path, _, _) = new_run(w).await?;
            let step = |n: u32| json!({ "kind": "model", "payload": { "n": n, "ü": [1, null] } });
            for (index, n) in [(0, 0), (1, 1), (0, 0)] {
                let at = format!("{path}/steps/{index}");
                w.agent(&w.one).put(&at, step(n)).await?.ok()?;
            }
            let other = w.agent(&w.one).put(&format!("{path}/steps/1"), step(7)).await?;
            other.fails_with(409, "step_exists")?;
            let kept = &other.body["details"]["step"];
            ensure(kept["payload"] == step(1)["payload"], || {
                format!("expected the stored step in details.step, got {kept}")
            })?;
            let run = w.agent(&w.one).get(&path).await?;
            run.ok()?;
            run.has_fields(&[("status", json!("running"))])?;
            let steps = run.body["steps"].as_array().cloned().unwrap_or_default();
            let is_kept = |(n, found): (u32, &serde_json::Value)| {
                found["index"] == n
                    && found["kind"] == "model"
                    && found["payload"] == step(n)["payload"]
            };
            ensure(steps.len() == 2 && (0..).zip(&steps).all(is_kept), || {
                format!("expected both steps as they were written, in order, got {}", run.text)
            })?;
            Ok("kept in order; the same again changes nothing, another is refused".to_owned())
        })
        .await;
    suite
        .check("step-begins-a-run", &["run_journal"], "the first step creates the run", async |w| {
            let path = format!("/runs/conformance-{}", uuid::Uuid::new_v4());
            w.agent(&w.one).get(&path).await?.fails(404)?;
            let step = json!({ "kind": "begin", "payload": {} });
            w.agent(&w.one).put(&format!("{path}/steps/0"), step).await?.ok()?;
            let run = w.agent(&w.one).get(&path).await?;
            let steps = run.ok()?["steps"].as_array().map_or(0, Vec::len);
            ensure(steps == 1, || format!("expected a run with one step, got {}", run.text))?;
            Ok("404, then a run with one step".to_owned())
        })
        .await;
}

async fn states(suite: &mut Suite<'_>) {
    let sentence = "PUT /runs/{run_key} {status: running, completed, failed, interrupted, cancelled or awaiting_approval}";
    suite
        .check("states", &["run_journal"], sentence, async |w| {
            let (path, _, _) = new_run(w).await?;
            for status in ["awaiting_approval", "running", "interrupted", "running", "completed"] {
                w.agent(&w.one).put(&path, json!({ "status": status })).await?.ok()?;
                let run = w.agent(&w.one).get(&path).await?;
                ensure(run.ok()?["status"] == status, || {
                    format!("expected \"status\": \"{status}\", got {}", run.text)
                })?;
            }
            Ok("each status, and completed at last".to_owned())
        })
        .await;
    let other = "A status that is none of the contract's is refused";
    suite
        .recommended("other-state", &["run_journal"], other, async |w| {
            let (path, _, _) = new_run(w).await?;
            w.agent(&w.one).put(&path, json!({ "status": "lost" })).await?.refuses()
        })
        .await;
    let sentence =
        "POST /runs/{run_key}/cancel, after which each PUT answers with cancel_requested: true";
    suite
        .check("cancel", &["run_journal"], sentence, async |w| {
            let (path, _, _) = new_run(w).await?;
            let before = w.agent(&w.one).put(&path, json!({ "status": "running" })).await?;
            ensure(before.ok()?["cancel_requested"] != true, || {
                format!("expected no cancel_requested before the cancel, got {}", before.text)
            })?;
            let cancel = format!("{path}/cancel");
            cancelled(w, &cancel).await?.ok()?;
            let step = json!({ "kind": "model", "payload": {} });
            for (path, body) in
                [(format!("{path}/steps/0"), step), (path.clone(), json!({ "status": "running" }))]
            {
                let answer = w.agent(&w.one).put(&path, body).await?;
                ensure(answer.ok()?["cancel_requested"] == true, || {
                    format!(
                        "expected \"cancel_requested\": true after the cancel, got {}",
                        answer.text
                    )
                })?;
            }
            let nowhere = format!("/runs/conformance-{}/cancel", uuid::Uuid::new_v4());
            cancelled(w, &nowhere).await?.fails(404)
        })
        .await;
}

/// Cancels as the run's person; where people act on the backend's own pages, as its agent.
async fn cancelled(w: &World, path: &str) -> Result<Answer, NotPassed> {
    match w.person(&w.one).await {
        Ok(person) => person.post(path, json!({})).await,
        Err(NotPassed::Skipped(_)) => w.agent(&w.one).post(path, json!({})).await,
        Err(failed) => Err(failed),
    }
}

async fn new_request(w: &World) -> Result<(serde_json::Value, String), NotPassed> {
    let task = w.task(&w.one, "request").await?;
    let run = format!("conformance-{}", uuid::Uuid::new_v4());
    let body = json!({
        "task_id": task, "run_key": run, "session_key": w.session(&w.one), "tool": "send_mail",
        "arguments": { "to": "a@example.org" }, "reason": "why", "idempotency_key": w.key()
    });
    let made = w.agent(&w.one).post("/tool-requests", body.clone()).await?;
    made.created()?;
    made.has_fields(&[("status", json!("pending"))])?;
    Ok((body, made.text_at("id")?.to_owned()))
}

async fn requests(suite: &mut Suite<'_>) {
    let sentence = "POST /tool-requests → {id, status}; GET /tool-requests?status=, GET /tool-requests/{id}; PATCH by a person";
    suite
        .check("tool-request", &["tool_requests"], sentence, async |w| {
            let (body, id) = new_request(w).await?;
            let path = format!("/tool-requests/{id}");
            let found = w.agent(&w.one).get(&path).await?;
            found.ok()?;
            found.has_fields(&[
                ("tool", json!("send_mail")),
                ("arguments", body["arguments"].clone()),
                ("run_key", body["run_key"].clone()),
            ])?;
            let listed = w.agent(&w.one).all("/tool-requests?status=pending&limit=200").await?;
            let is_there = listed.iter().any(|one| one["id"] == id.as_str());
            ensure(is_there, || {
                "expected the request in ?status=pending, got a list without it".to_owned()
            })?;
            let approve = json!({ "status": "approved", "note": "go on" });
            w.agent(&w.one).patch(&path, approve.clone()).await?.fails(403)?;
            w.person(&w.two).await?.patch(&path, approve.clone()).await?.fails(404)?;
            w.person(&w.one).await?.patch(&path, approve).await?.ok()?;
            let denied = json!({ "status": "denied" });
            w.person(&w.one).await?.patch(&path, denied).await?.fails(409)
        })
        .await;
    let sentence = "repeated: the same request with its status as it is now";
    suite
        .check("repeated-tool-request", &["tool_requests"], sentence, async |w| {
            let (body, id) = new_request(w).await?;
            let path = format!("/tool-requests/{id}");
            let deny = json!({ "status": "denied", "note": "no" });
            w.person(&w.one).await?.patch(&path, deny).await?.ok()?;
            let again = w.agent(&w.one).post("/tool-requests", body).await?;
            again.created()?;
            again.has_fields(&[("id", json!(id)), ("status", json!("denied"))])?;
            Ok("the same request, with status denied".to_owned())
        })
        .await;
    let features = ["tool_requests", "notifications", "notifications_dispatch"];
    let sentence = "after which the session gets a notification whose delivery carries run_key";
    suite.check("told-of-the-decision", &features, sentence, decision_notifies).await;
}

async fn decision_notifies(w: &World) -> Verdict {
    let (body, id) = new_request(w).await?;
    let path = format!("/tool-requests/{id}");
    w.person(&w.one).await?.patch(&path, json!({ "status": "approved" })).await?.ok()?;
    let queue = w.service()?.undelivered("limit_users=1000&limit_notifications=1000").await?;
    let all = queue.ok()?["deliveries"].as_array().cloned().unwrap_or_default();
    let of_run = all.iter().find(|one| one["run_key"] == body["run_key"]);
    let Some(delivery) = of_run else {
        return Err(NotPassed::Failed(format!(
            "expected a delivery with the request's run_key, got {} deliveries without it",
            all.len()
        )));
    };
    let session = format!("user:{}:{ROLE}", w.one);
    ensure(delivery["session_key"] == session && delivery["task_id"] == body["task_id"], || {
        format!("expected the session and the task of the request, got {delivery}")
    })?;
    let id = delivery["notification_id"].as_str().unwrap_or_default();
    let path = format!("/dispatch/notifications/{id}/deliver?user_id={}", super::encode(&w.one));
    w.service()?.post(&path, json!({})).await?.done()?;
    Ok("a delivery for the session, with run_key".to_owned())
}

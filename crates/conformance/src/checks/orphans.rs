//! Runs that another instance takes up.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::run_stream::Telling;
use crate::answer::Answer;
use crate::suite::Suite;
use crate::token::ROLE;
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

/// How long a run whose instance died may take to be given out: five seconds of quiet, and some patience.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(20);

/// Between two looks for such a run.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Looks for an orphan until it is given out.
async fn given_out(w: &World, key: &str, since: Instant) -> Result<Value, NotPassed> {
    let service = w.service()?;
    loop {
        let body = json!({ "lease_seconds": 1, "limit": 1_000 });
        let answer = service.post("/dispatch/orphans", body).await?;
        let runs = answer.ok()?["runs"].as_array().cloned().unwrap_or_default();
        if let Some(run) = runs.into_iter().find(|run| run["run_key"] == key) {
            return Ok(run);
        }
        if since.elapsed() > ORPHAN_PATIENCE {
            return failed(format!(
                "expected the run within {} s, got answers without it",
                ORPHAN_PATIENCE.as_secs()
            ));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "POST /dispatch/orphans {lease_seconds, limit} → {runs: [{run_key, user_id, session_key, task_id, attempts}]}: detached runs that are interrupted, or running while nobody held the lease of their session for 5 s";
    let features = ["orphans", "run_journal", "session_leases"];
    suite.check("orphans", &features, sentence, taken_up).await;
    let sentence = "Nobody else gets a run while it is leased; a run that is not detached, or whose session's lease is held, is none";
    suite.check("orphans-once", &features, sentence, once).await;
}

async fn taken_up(w: &World) -> Verdict {
    let (user, begun) = (w.fresh_user()?, Instant::now());
    let run = Telling::begin(w, &user, 1).await?;
    let found = given_out(w, &run.key, begun).await?;
    ensure(begun.elapsed() >= Duration::from_secs(5), || {
        "expected five seconds without a lease first, got the run at once".to_owned()
    })?;
    let is_own = found["user_id"] == user.as_str()
        && found["session_key"] == format!("user:{user}:{ROLE}")
        && found["task_id"].as_str().is_some_and(|id| !id.is_empty())
        && found["attempts"] == 1;
    ensure(is_own, || format!("expected user, session, task and attempt 1, got {found}"))?;
    let again = given_out(w, &run.key, Instant::now()).await?;
    ensure(again["attempts"] == 2, || format!("expected attempt 2, got {again}"))?;
    let step = json!({ "kind": "model", "payload": {} });
    run.agent.put(&format!("{}/steps/0", run.path), step).await?.ok()?;
    let again = given_out(w, &run.key, Instant::now()).await?;
    ensure(again["attempts"] == 1, || format!("expected attempt 1 after a new step, got {again}"))?;
    run.agent.put(&run.path, json!({ "status": "completed" })).await?.ok()?;
    w.agent(&user)
        .post("/dispatch/orphans", json!({ "lease_seconds": 1, "limit": 1 }))
        .await?
        .fails_as_one_of(&[401, 403])
}

async fn once(w: &World) -> Verdict {
    let user = w.fresh_user()?;
    let run = Telling::begin(w, &user, 60).await?;
    let held = Telling::begin(w, &user, 60).await?;
    let attached = Telling::begin(w, &user, 60).await?;
    attached
        .agent
        .put(&attached.path, json!({ "detached": false, "status": "interrupted" }))
        .await?
        .ok()?;
    run.agent.put(&run.path, json!({ "status": "interrupted" })).await?.ok()?;
    let body = json!({ "lease_seconds": 60, "limit": 1_000 });
    let first = w.service()?.post("/dispatch/orphans", body.clone()).await?;
    let second = w.service()?.post("/dispatch/orphans", body).await?;
    let has = |answer: &Answer, key: &str| {
        let runs = answer.body["runs"].as_array().cloned().unwrap_or_default();
        runs.iter().any(|run| run["run_key"] == key)
    };
    first.ok()?;
    second.ok()?;
    ensure(has(&first, &run.key) && !has(&second, &run.key), || {
        "expected the interrupted run in the first answer only".to_owned()
    })?;
    ensure(!has(&first, &held.key) && !has(&first, &attached.key), || {
        format!("expected neither the run at work nor the attached one, got {}", first.text)
    })?;
    for run in [run, held, attached] {
        run.agent.put(&run.path, json!({ "status": "completed" })).await?.ok()?;
    }
    Ok("given out once".to_owned())
}

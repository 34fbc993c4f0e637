//! Long results of tools, which belong to a run.

use http::Method;
use serde_json::json;

use crate::answer::Answer;
use crate::caller::Caller;
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// A result, and its SHA-256.
const TEXT: &str = r#"[{"id":1,"name":"Seaview"},{"id":2,"name":"Größe"}]"#;
const HASH: &str = "cb35a45d149daf747beb98477bbbb3f9ea1787caa9cd129cf3576fbb5779c570";

const FEATURES: [&str; 2] = ["artifacts", "run_journal"];

async fn put(caller: &Caller<'_>, path: &str, text: &'static str) -> Result<Answer, NotPassed> {
    caller.text(Method::PUT, path, Some("application/json"), text).await
}

/// Creates a run of the suite's first user; the path of the result in it.
async fn path(w: &World) -> Result<String, NotPassed> {
    let task = w.task(&w.one, "long results").await?;
    let run = format!("/runs/conformance-{}", uuid::Uuid::new_v4());
    let body = json!({ "session_key": w.session(&w.one), "task_id": task, "status": "running" });
    w.agent(&w.one).put(&run, body).await?.ok()?;
    Ok(format!("{run}/artifacts/{HASH}"))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence =
        "the text, with its Content-Type → 201 {sha256, size, expires_at}; the same again: 200";
    suite
        .check("artifact", &FEATURES, sentence, async |w| {
            let (agent, path) = (w.agent(&w.one), path(w).await?);
            for status in [201, 200] {
                let made = put(&agent, &path, TEXT).await?;
                ensure(made.status == status, || {
                    format!("expected {status}, got {}", made.summary())
                })?;
                made.has_fields(&[("sha256", json!(HASH)), ("size", json!(TEXT.len()))])?;
                crate::answer::time_of(&made.body, "expires_at")?;
            }
            let kept = agent.get(&path).await?;
            ensure(kept.status == 200 && kept.text == TEXT, || {
                format!("expected the text as it was put, got {}", kept.summary())
            })?;
            Ok("kept once, and given back".to_owned())
        })
        .await;
    let sentence = "A body whose SHA-256 is not the one in the path is a 400";
    suite
        .check("artifact-hash", &FEATURES, sentence, async |w| {
            let (agent, path) = (w.agent(&w.one), path(w).await?);
            put(&agent, &path, "[]").await?.fails(400)?;
            agent.get(&path).await?.fails_with(404, "artifact_not_found")?;
            Ok("400, and nothing is kept".to_owned())
        })
        .await;
    let sentence =
        "One that is unknown, expired, or of another user's run is a 404 artifact_not_found";
    suite
        .check("anothers-artifact", &FEATURES, sentence, async |w| {
            let path = path(w).await?;
            w.agent(&w.one).get(&path).await?.fails_with(404, "artifact_not_found")?;
            put(&w.agent(&w.one), &path, TEXT).await?.done()?;
            w.agent(&w.two).get(&path).await?.fails_with(404, "artifact_not_found")?;
            put(&w.agent(&w.two), &path, TEXT).await?.fails(404)?;
            w.agent(&w.one).get(&path).await?.done()?;
            Ok("404 for another user, who can add none either".to_owned())
        })
        .await;
}

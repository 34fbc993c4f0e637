//! The audit log: its entries, its chain, and who may read it and write to it.

use http::Method;
use mc_client::audit::hash_of;
use serde_json::{Value, json};
use shown::counted;

use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// How many of the newest entries are followed.
const FOLLOWED: usize = 200;

/// Checks the form of an entry, and that it has its hash.
fn check_entry(entry: &Value) -> Result<(), NotPassed> {
    let wrong = |why: &str| NotPassed::Failed(format!("expected {why}, got {entry}"));
    let text = |name: &str| entry[name].as_str().ok_or_else(|| wrong(&format!("a text in {name}")));
    text("act")?;
    crate::answer::time_of(entry, "at")?;
    let kinds = ["person", "service", "agent", "system"];
    let kind = entry["actor"]["type"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) || !entry["details"].is_object() {
        return Err(wrong("actor.type person, service, agent or system, and an object in details"));
    }
    let hash = hash_of(text("prev")?, entry).map_err(|error| wrong(&error.to_string()))?;
    if hash != text("hash")? {
        return Err(wrong("hash = SHA-256(prev, newline, canonical entry)"));
    }
    Ok(())
}

fn record(act: &str) -> Value {
    json!({ "act": act, "details": { "note": "ü", "n": 1.5 } })
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "POST /audit {act: daemon.…} → the entry; GET /audit?act&user_id&from&to, oldest first; hash = SHA-256(prev, newline, canonical entry)";
    suite
        .check("entries", &["audit"], sentence, async |w| {
            let made = w.agent(&w.one).post("/audit", record("daemon.conformance")).await?;
            check_entry(made.created()?)?;
            let service = w.service()?;
            let list = service.get(&format!("/audit?user_id={}&limit=200", w.one)).await?;
            let items = list.items()?;
            ensure(items.iter().all(|entry| entry["user_id"] == *w.one), || {
                "expected only what concerns the user that user_id names, got more".to_owned()
            })?;
            items.iter().try_for_each(check_entry)?;
            let grows =
                items.windows(2).all(|pair| pair[0]["seq"].as_i64() < pair[1]["seq"].as_i64());
            ensure(grows, || "expected the oldest entry first, got another order".to_owned())?;
            let subjects: std::collections::BTreeSet<_> =
                items.iter().map(|entry| entry["subject"].as_str()).collect();
            ensure(subjects.len() == 1 && !subjects.contains(&Some(&*w.one)), || {
                format!("expected one subject that is not the user's id, got {}", json!(subjects))
            })?;
            let none =
                service.get("/audit?act=daemon.conformance&from=2999-01-01T00:00:00Z").await?;
            ensure(none.items()?.is_empty(), || "expected no entry of the future".to_owned())?;
            Ok(format!("{} of the user, each with its hash", counted(items.len(), "entry")))
        })
        .await;
    chain(suite).await;
    access(suite).await;
}

async fn chain(suite: &mut Suite<'_>) {
    let sentence = "seq grows by one, and prev is the hash of the entry before";
    suite
        .check("chain", &["audit"], sentence, async |w: &World| {
            let service = w.service()?;
            for _ in 0..3 {
                w.agent(&w.two).post("/audit", record("daemon.conformance")).await?.created()?;
            }
            let mut all: Vec<Value> = Vec::new();
            let mut path = "/audit?limit=200".to_owned();
            loop {
                let page = service.get(&path).await?;
                all.extend_from_slice(page.items()?);
                let (Some(next), true) = (page.body["next_cursor"].as_str(), all.len() < FOLLOWED)
                else {
                    break;
                };
                path = format!("/audit?limit=200&cursor={}", super::encode(next));
            }
            for pair in all.windows(2) {
                let follows = pair[1]["prev"] == pair[0]["hash"]
                    && pair[1]["seq"].as_i64() == pair[0]["seq"].as_i64().map(|seq| seq + 1);
                ensure(follows, || format!("expected {} to follow {}", pair[1], pair[0]))?;
            }
            Ok(format!("{}, each after the one before", counted(all.len(), "entry")))
        })
        .await;
}

async fn access(suite: &mut Suite<'_>) {
    let sentence = "GET /audit is for services and persons, who see theirs; an agent reads nothing (403) and records acts of the daemon only; nobody alters an entry";
    suite
        .check("access", &["audit"], sentence, async |w| {
            w.anonymous().get("/audit").await?.fails(401)?;
            w.agent(&w.one).get("/audit").await?.fails(403)?;
            for act in ["tool_request.approved", "login.succeeded", "daemon"] {
                w.agent(&w.one).post("/audit", record(act)).await?.fails_as_one_of(&[400, 403])?;
            }
            let act = record("daemon.conformance");
            let for_person = w.service()?.with("x-on-behalf-of", w.one.clone());
            for_person.post("/audit", act).await?.fails_as_one_of(&[401, 403])?;
            let theirs = w.person(&w.one).await?.get("/audit?limit=200").await?;
            let only = theirs.items()?.iter().all(|entry| entry["user_id"] == *w.one);
            ensure(only, || {
                "expected a person to see only what concerns them, got more".to_owned()
            })?;
            for method in [Method::PUT, Method::PATCH, Method::DELETE] {
                let answer = w.service()?.send(method, "/audit", Some(&json!({}))).await?;
                answer.fails_as_one_of(&[404, 405])?;
            }
            Ok("401, 403, and no way to alter an entry".to_owned())
        })
        .await;
}

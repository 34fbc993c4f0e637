//! What is kept of a user, its erasure, and for how long things are kept.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::Caller;
use crate::suite::Suite;
use crate::token::{ROLE, claims, now};
use crate::verdict::{NotPassed, Verdict, ensure, failed};
use crate::world::World;

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let features = ["erasure", "tasks_get"];
    let sentence = "DELETE /users/{id}/agent-data?messages=keep|delete&dry_run → {counts{kind}, kept{kind}}; with dry_run nothing goes";
    suite.check("erased", &features, sentence, erased).await;
    let sentence = "with messages=keep tasks, messages and documents stay, and all else goes";
    suite.check("kept", &features, sentence, kept).await;
    let sentence = "messages says keep or delete: else 400, and nothing goes";
    suite.check("form", &features, sentence, form).await;
    let sentence = "a person may do so for themselves, and a service for all; another user is a 404 for a person, an agent gets 403";
    suite.check("whose", &features, sentence, whose).await;
    let sentence =
        "agent tokens that were issued before are 401 from then on, with code user_erased";
    suite.check("tokens", &features, sentence, tokens).await;
    let sentence = "it cancels runs: who works on one learns so at the next write, and nothing of it is stored";
    suite.check("runs", &["erasure", "run_journal"], sentence, runs).await;
    let sentence =
        "GET /users/{id}/agent-data → NDJSON {kind, item}, of each kind as many as dry_run counts";
    suite.check("exported", &features, sentence, exported).await;
    let sentence =
        "data.erased and data.exported stand in the audit log, and name nobody after an erasure";
    suite.check("acts", &["erasure", "audit"], sentence, acts).await;
    let sentence =
        "GET /retention (service) → {days{kind}, counts{kind}}: how many of each kind have expired";
    suite.check("retention", &["retention"], sentence, retention).await;
}

fn data(user: &str, query: &str) -> String {
    format!("/users/{}/agent-data{query}", super::encode(user))
}

/// How many there are of each kind that there is.
fn counts(answer: &Answer, field: &str) -> Result<BTreeMap<String, u64>, NotPassed> {
    let all = serde_json::from_value::<BTreeMap<String, u64>>(answer.ok()?[field].clone());
    match all {
        Ok(all) => Ok(all.into_iter().filter(|(_, many)| *many > 0).collect()),
        Err(_) => failed(format!("expected numbers by kind in {field}, got {}", answer.summary())),
    }
}

/// A user with a task, a message and a document.
async fn user_with_data(w: &World) -> Result<(String, String), NotPassed> {
    let user = w.fresh_user()?;
    let task = w.task(&user, "to be erased").await?;
    let message = json!({
        "task_id": task, "content": "to be erased", "actor_type": "agent", "agent_role": ROLE,
        "idempotency_key": w.key(),
    });
    w.agent(&user).post("/messages", message).await?.created()?;
    let document = json!({ "task_id": task, "title": "to be erased", "content": "x" });
    w.agent(&user).post("/documents", document).await?.created()?;
    Ok((user, task))
}

async fn counted(w: &World, user: &str, messages: &str) -> Result<Answer, NotPassed> {
    w.service()?.delete(&data(user, &format!("?messages={messages}&dry_run"))).await
}

async fn erase(w: &World, user: &str, messages: &str) -> Result<Answer, NotPassed> {
    w.service()?.delete(&data(user, &format!("?messages={messages}"))).await
}

/// The user's agent with a new token, whose second of issue is a later one than that of the erasure.
async fn later<'w>(w: &'w World, user: &str) -> Result<Caller<'w>, NotPassed> {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let mut claims = claims(user, ROLE);
    claims.insert("iat".to_owned(), json!(now()));
    let token = w.keys.sign(&claims).map_err(|error| NotPassed::Failed(error.to_string()))?;
    Ok(w.token(&token))
}

async fn erased(w: &World) -> Verdict {
    let (user, task) = user_with_data(w).await?;
    let dry = counted(w, &user, "delete").await?;
    let before = counts(&dry, "counts")?;
    for kind in ["tasks", "messages", "documents"] {
        ensure(before.get(kind) == Some(&1), || {
            format!("expected one of {kind} in counts, got {}", json!(before))
        })?;
    }
    w.agent(&user).get(&format!("/tasks/{task}")).await?.ok()?;
    let done = counts(&erase(w, &user, "delete").await?, "counts")?;
    ensure(done == before, || {
        format!("expected the counts of dry_run, {}, got {}", json!(before), json!(done))
    })?;
    later(w, &user).await?.get(&format!("/tasks/{task}")).await?.fails(404)?;
    let again = counts(&erase(w, &user, "delete").await?, "counts")?;
    ensure(again.is_empty(), || format!("expected zeros the second time, got {}", json!(again)))?;
    Ok("counted, gone, and zeros the second time".to_owned())
}

async fn kept(w: &World) -> Verdict {
    let (user, task) = user_with_data(w).await?;
    let done = erase(w, &user, "keep").await?;
    let (gone, kept) = (counts(&done, "counts")?, counts(&done, "kept")?);
    for kind in ["tasks", "messages", "documents"] {
        ensure(kept.get(kind) == Some(&1) && !gone.contains_key(kind), || {
            format!("expected one of {kind} in kept only, got {}", done.summary())
        })?;
    }
    later(w, &user).await?.get(&format!("/tasks/{task}")).await?.ok()?;
    let left = counts(&counted(w, &user, "keep").await?, "counts")?;
    ensure(left.is_empty(), || format!("expected nothing else to be left, got {}", json!(left)))?;
    Ok("the thread stays, all else goes".to_owned())
}

async fn form(w: &World) -> Verdict {
    let (user, task) = user_with_data(w).await?;
    for wrong in ["", "?messages=all", "?messages=delete&dry_run=perhaps"] {
        w.service()?.delete(&data(&user, wrong)).await?.fails_with(400, "invalid_payload")?;
    }
    w.agent(&user).get(&format!("/tasks/{task}")).await?.ok()?;
    Ok("400 invalid_payload".to_owned())
}

async fn whose(w: &World) -> Verdict {
    let (user, task) = user_with_data(w).await?;
    let other = w.fresh_user()?;
    for query in ["?messages=delete", "?messages=delete&dry_run"] {
        w.agent(&user).delete(&data(&user, query)).await?.fails(403)?;
        w.person(&other).await?.delete(&data(&user, query)).await?.fails(404)?;
    }
    w.agent(&user).get(&data(&user, "")).await?.fails(403)?;
    w.person(&other).await?.get(&data(&user, "")).await?.fails(404)?;
    w.agent(&user).get(&format!("/tasks/{task}")).await?.ok()?;
    w.person(&user).await?.delete(&data(&user, "?messages=delete")).await?.ok()?;
    Ok("403 for agents, 404 for others, done for the person".to_owned())
}

async fn tokens(w: &World) -> Verdict {
    let (user, _) = user_with_data(w).await?;
    let (before, other) = (w.agent(&user), w.agent(&w.one));
    before.get("/tasks").await?.ok()?;
    erase(w, &user, "delete").await?;
    before.get("/tasks").await?.fails_with(401, "user_erased")?;
    before.post("/tasks", json!({ "title": w.title("late") })).await?.fails(401)?;
    other.get("/tasks").await?.ok()?;
    later(w, &user).await?.get("/tasks").await?.ok()?;
    Ok("401 with the old token, an answer with a new one".to_owned())
}

async fn runs(w: &World) -> Verdict {
    let (user, task) = user_with_data(w).await?;
    let path = format!("/runs/{}", super::encode(&format!("r:{}", w.key())));
    let run = json!({ "session_key": w.session(&user), "task_id": task, "status": "running" });
    w.agent(&user).put(&path, run).await?.ok()?;
    erase(w, &user, "keep").await?;
    let agent = later(w, &user).await?;
    let step = json!({ "kind": "llm", "payload": { "text": "late" } });
    let late = agent.put(&format!("{path}/steps/1"), step).await?;
    late.ok()?;
    late.has_fields(&[("status", json!("cancelled")), ("cancel_requested", json!(true))])?;
    agent.get(&path).await?.fails(404)?;
    Ok("cancelled, and nothing stored".to_owned())
}

async fn exported(w: &World) -> Verdict {
    let (user, _) = user_with_data(w).await?;
    let dry = counted(w, &user, "keep").await?;
    let mut expected = counts(&dry, "counts")?;
    expected.extend(counts(&dry, "kept")?);
    let answer = w.person(&user).await?.get(&data(&user, "")).await?;
    ensure(answer.status == 200, || format!("expected 200, got {}", answer.summary()))?;
    let mut lines = BTreeMap::<String, u64>::new();
    for line in answer.text.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let (Some(kind), true) = (line["kind"].as_str(), line["item"].is_object()) else {
            return failed(format!("expected {{kind, item}} on each line, got {line}"));
        };
        *lines.entry(kind.to_owned()).or_default() += 1;
    }
    ensure(lines == expected, || {
        format!(
            "expected as many lines as dry_run counts, {}, got {}",
            json!(expected),
            json!(lines)
        )
    })?;
    Ok(format!("{} kinds, as counted", lines.len()))
}

async fn acts(w: &World) -> Verdict {
    let (user, _) = user_with_data(w).await?;
    w.service()?.get(&data(&user, "")).await?;
    let of = format!("/audit?user_id={}&act=data.*&limit=200", super::encode(&user));
    let exported = w.service()?.get(&of).await?;
    let is_told = exported.items()?.iter().any(|entry| entry["act"] == "data.exported");
    ensure(is_told, || format!("expected data.exported, got {}", exported.summary()))?;
    let subject = exported.items()?.first().map(|entry| entry["subject"].clone());
    erase(w, &user, "delete").await?;
    let none = w.service()?.get(&of).await?;
    ensure(none.items()?.is_empty(), || {
        format!("expected no entry that names the user, got {}", none.summary())
    })?;
    let all = w.service()?.all("/audit?act=data.erased").await?;
    let told = all.iter().find(|entry| Some(&entry["subject"]) == subject.as_ref());
    ensure(told.is_some_and(|entry| entry.get("user_id").is_none()), || {
        "expected data.erased of the same subject, without the user's id".to_owned()
    })?;
    Ok("recorded, and nobody's name".to_owned())
}

async fn retention(w: &World) -> Verdict {
    let answer = w.service()?.get("/retention").await?;
    let (days, due) = (&answer.ok()?["days"], &answer.body["counts"]);
    let (Some(days), Some(due)) = (days.as_object(), due.as_object()) else {
        return failed(format!("expected {{days, counts}}, got {}", answer.summary()));
    };
    let is_whole = days.len() == due.len()
        && days
            .iter()
            .all(|(kind, many)| many.is_u64() && due.get(kind).is_some_and(Value::is_u64));
    ensure(is_whole, || format!("expected the same kinds in both, got {}", answer.summary()))?;
    w.agent(&w.one).get("/retention").await?.fails(403)?;
    w.person(&w.one).await?.get("/retention").await?.fails(403)?;
    Ok(format!("{} kinds", days.len()))
}

//! What is remembered: whose it is, what is found, and who may change it.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use crate::answer::{column, time_of};
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// How long a memory lives that is to expire, and how long it is waited for.
const LIFE: chrono::Duration = chrono::Duration::seconds(2);
const PATIENCE: Duration = Duration::from_secs(20);

fn memory(w: &World, text: &str) -> Value {
    json!({ "scope": "user", "text": w.title(text), "idempotency_key": w.key() })
}

/// Creates a memory of a user's agent; its id.
async fn remembered(w: &World, user: &str, body: Value) -> Result<String, NotPassed> {
    let made = w.agent(user).post("/memories", body).await?;
    made.created()?;
    made.text_at("id").map(str::to_owned)
}

async fn ids(w: &World, user: &str, query: &str) -> Result<Vec<String>, NotPassed> {
    let list = w.agent(user).get(&format!("/memories?{query}")).await?;
    Ok(column(list.items()?, "id").into_iter().map(str::to_owned).collect())
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    lists(suite).await;
    rights(suite).await;
}

async fn lists(suite: &mut Suite<'_>) {
    let sentence = "POST /memories {scope, task_id?, text, source?, expires_at?} → these, id, author{type, id}, created_at, updated_at; GET /memories?scope&task_id: newest first";
    suite
        .check("memory", &["memories"], sentence, async |w| {
            let user = &w.one;
            let task = w.task(user, "remembered").await?;
            let mut of_task = memory(w, "of the task");
            (of_task["scope"], of_task["task_id"]) = (json!("task"), json!(task));
            let made = w.agent(user).post("/memories", memory(w, "of the user")).await?;
            let body = made.created()?;
            made.has_fields(&[
                ("scope", json!("user")),
                ("author", json!({ "type": "agent", "id": crate::token::ROLE })),
            ])?;
            time_of(body, "created_at")?;
            time_of(body, "updated_at")?;
            let first = made.text_at("id")?.to_owned();
            let second = remembered(w, user, of_task).await?;
            let all = ids(w, user, "limit=200").await?;
            let place = |id: &String| all.iter().position(|one| one == id);
            let in_order =
                place(&second).zip(place(&first)).is_some_and(|(newer, older)| newer < older);
            ensure(in_order, || {
                format!("expected both memories, the newer one first, got {all:?}")
            })?;
            let own = ids(w, user, &format!("scope=task&task_id={}", super::encode(&task))).await?;
            ensure(own == [second.clone()], || {
                format!("expected only the task's memory {second}, got {own:?}")
            })?;
            let others = ids(w, &w.two, "limit=200").await?;
            ensure(!others.contains(&first), || "another user sees the memory".to_owned())?;
            Ok(format!("memories of this user: {}", all.len()))
        })
        .await;
    let sentence = "Same owner, same text after NFC, case and white-space folding → the old one, 200, deduplicated: true";
    suite
        .check("memory-again", &["memories"], sentence, async |w| {
            let text = w.title("likes caf\u{e9}s");
            let body =
                |text: &str| json!({ "scope": "user", "text": text, "idempotency_key": w.key() });
            let id = remembered(w, &w.one, body(&text)).await?;
            let again = text.to_uppercase().replace('\u{c9}', "E\u{301}").replace(' ', " \n ");
            let same = w.agent(&w.one).post("/memories", body(&again)).await?;
            same.created()?;
            same.has_fields(&[
                ("id", json!(id)),
                ("text", json!(text)),
                ("deduplicated", json!(true)),
            ])?;
            Ok("the first one again".to_owned())
        })
        .await;
    let sentence = "GET /memories?q (≤500, plain words): best first, no cursor";
    suite
        .check("memory-search", &["memories"], sentence, async |w| {
            let user = &w.one;
            let word = |n: u32| format!("w{}{n}", uuid::Uuid::new_v4().simple());
            let (rare, other) = (word(1), word(2));
            let both = remembered(w, user, memory(w, &format!("{rare} goes with {other}"))).await?;
            let one = remembered(w, user, memory(w, &format!("only {} here", rare.to_uppercase()))).await?;
            let q = super::encode(&format!("is \"{rare}\" AND ({other}: what?"));
            let found = w.agent(user).get(&format!("/memories?q={q}")).await?;
            let got = column(found.items()?, "id");
            ensure(got.first() == Some(&&*both) && got.contains(&&*one), || {
                format!("expected the memory with both words {both} first, and {one} behind it, got {got:?}")
            })?;
            ensure(found.next_cursor().is_none(), || "expected no next_cursor with q".to_owned())?;
            let none = ids(w, user, &format!("q={}", word(3))).await?;
            ensure(none.is_empty(), || format!("expected nothing for a word that is nowhere, got {none:?}"))?;
            Ok("the better one first".to_owned())
        })
        .await;
    let sentence = "GET /memories: never expired ones";
    suite
        .check("memory-expired", &["memories"], sentence, async |w| {
            let mut body = memory(w, "for a moment");
            body["expires_at"] = json!(Utc::now() + LIFE);
            let id = remembered(w, &w.one, body).await?;
            let begun = std::time::Instant::now();
            while ids(w, &w.one, "limit=200").await?.contains(&id) {
                ensure(begun.elapsed() < PATIENCE, || format!("{id} is listed {PATIENCE:?} after it was made, and should be gone after {LIFE}"))?;
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            let gone = w.agent(&w.one).patch(&format!("/memories/{id}"), json!({ "text": "again" })).await?;
            gone.fails(404)
        })
        .await;
}

async fn rights(suite: &mut Suite<'_>) {
    let sentence = "PATCH, DELETE /memories/{id}: A only what agents wrote (else 403); another user's object: 404";
    suite
        .check("memory-of-a-person", &["memories"], sentence, async |w| {
            let person = w.person(&w.one).await?;
            let made = person.post("/memories", memory(w, "said by a person")).await?;
            made.created()?;
            let path = format!("/memories/{}", made.text_at("id")?);
            let change = json!({ "text": w.title("said by an agent") });
            w.agent(&w.one).patch(&path, change.clone()).await?.fails(403)?;
            w.agent(&w.one).delete(&path).await?.fails(403)?;
            w.agent(&w.two).delete(&path).await?.fails(404)?;
            let changed = person.patch(&path, change.clone()).await?;
            changed.ok()?;
            changed.has_fields(&[("text", change["text"].clone())])?;
            person.delete(&path).await?.done()?;
            let own = remembered(w, &w.one, memory(w, "said by an agent")).await?;
            w.agent(&w.two).delete(&format!("/memories/{own}")).await?.fails(404)?;
            w.agent(&w.one).delete(&format!("/memories/{own}")).await?.done()?;
            Ok("kept from agents, and changed by the person".to_owned())
        })
        .await;
    let sentence = "scope: user, task, tenant (S only, with tenant_id); a field out of bounds: 400 invalid_payload";
    suite
        .check("memory-bounds", &["memories"], sentence, async |w| {
            let refused = async |change: Value| {
                let mut body = memory(w, "out of bounds");
                if let (Some(body), Some(change)) = (body.as_object_mut(), change.as_object()) {
                    body.extend(change.clone());
                }
                w.agent(&w.one).post("/memories", body).await
            };
            for change in [
                json!({ "text": "x".repeat(1_001) }),
                json!({ "text": " " }),
                json!({ "scope": "everybody" }),
                json!({ "scope": "task" }),
            ] {
                refused(change).await?.fails(400)?;
            }
            let long = format!("/memories?q={}", "x".repeat(501));
            w.agent(&w.one).get(&long).await?.fails(400)?;
            let nobodys = json!({ "scope": "task", "task_id": format!("none-{}", w.key()) });
            refused(nobodys).await?.fails(404)?;
            let tenant =
                json!({ "scope": "tenant", "tenant_id": format!("t-{}", uuid::Uuid::new_v4()) });
            refused(tenant.clone()).await?.fails(403)?;
            let mut body = memory(w, "for everybody");
            if let (Some(body), Some(tenant)) = (body.as_object_mut(), tenant.as_object()) {
                body.extend(tenant.clone());
            }
            let made = w.service()?.post("/memories", body).await?;
            made.created()?;
            let path = format!("/memories/{}", made.text_at("id")?);
            w.service()?.delete(&path).await?.done()?;
            Ok("refused".to_owned())
        })
        .await;
}

//! Tasks, messages and documents.

use serde_json::{Value, json};

use crate::answer::time_of;
use crate::suite::Suite;
use crate::token::{ROLE, claims};
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// Another role, for mentions.
const OTHER: &str = "conformance-other";

pub(crate) async fn run(suite: &mut Suite<'_>) {
    required(suite).await;
    tasks(suite).await;
    messages(suite).await;
    user_messages(suite).await;
}

async fn required(suite: &mut Suite<'_>) {
    let sentence = "A Task is {id, title, status, description?, metadata?, created_at, updated_at}";
    suite
        .required("task", sentence, async |w| {
            for status in ["pending", "in_progress", "blocked", "completed", "cancelled"] {
                let title = w.title("task ü 漢 🦡 <b>&amp;");
                let body = json!({
                    "title": title, "status": status, "description": "d", "metadata": { "a": [1] }
                });
                let made = w.agent(&w.one).post("/tasks", body).await?;
                made.created()?;
                made.text_at("id")?;
                made.has_fields(&[("title", json!(title)), ("status", json!(status))])?;
                time_of(&made.body, "created_at")?;
                time_of(&made.body, "updated_at")?;
            }
            Ok("all five statuses, titles as sent".to_owned())
        })
        .await;
    suite
        .recommended("task-details", &[], "A task keeps what it was made with", async |w| {
            let body = json!({
                "title": w.title("details"), "description": "d", "metadata": { "a": [1] }
            });
            let made = w.agent(&w.one).post("/tasks", body).await?;
            made.has_fields(&[("description", json!("d")), ("metadata", json!({ "a": [1] }))])?;
            Ok("description and metadata as sent".to_owned())
        })
        .await;
    let sentence = "{items: [Task], next_cursor?}; title may be ignored";
    suite
        .required("task-listed", sentence, async |w| {
            let title = w.title("task-listed");
            let made = w.agent(&w.one).post("/tasks", json!({ "title": title })).await?;
            made.created()?;
            let path = format!("/tasks?limit=200&title={}", super::encode(&title));
            let list = w.agent(&w.one).all(&path).await?;
            let found = list.iter().find(|task| task["id"] == made.body["id"]);
            ensure(found.is_some_and(|found| is_same(found, &made.body)), || {
                format!(
                    "expected the task as it was created, {}, in the list; got {}",
                    made.text,
                    json!(found)
                )
            })?;
            Ok("listed as it was made".to_owned())
        })
        .await;
    let sentence = "A Message is {id, task_id, content,";
    suite
        .required("message", sentence, async |w| {
            let (task, content) = (w.task(&w.one, "message").await?, w.title("said ü 🦡"));
            let body = json!({ "task_id": task, "content": content, "actor_type": "agent" });
            let made = w.agent(&w.one).post("/messages", body).await?;
            made.created()?;
            made.text_at("id")?;
            made.has_fields(&[("task_id", json!(task)), ("content", json!(content))])?;
            Ok(made.what)
        })
        .await;
    let sentence = "{id, title, doc_type, task_id}";
    suite
        .required("document", sentence, async |w| {
            let task = w.task(&w.one, "document").await?;
            for kind in ["plan", "research", "deliverable", "standup", "any other text"] {
                let title = w.title("document");
                let body = json!({
                    "title": title, "content": "# text", "doc_type": kind, "task_id": task
                });
                let made = w.agent(&w.one).post("/documents", body).await?;
                made.created()?;
                made.text_at("id")?;
                made.has_fields(&[
                    ("title", json!(title)),
                    ("doc_type", json!(kind)),
                    ("task_id", json!(task)),
                ])?;
            }
            Ok("known types and another one".to_owned())
        })
        .await;
}

/// Whether two answers tell of the same task. A list may have more fields than a create, and fewer of
/// those that a task need not have.
fn is_same(found: &Value, made: &Value) -> bool {
    ["id", "title", "status"].iter().all(|name| found[*name] == made[*name])
}

async fn tasks(suite: &mut Suite<'_>) {
    suite
        .check("get-task", &["tasks_get"], "GET /tasks/{id} → Task or 404", async |w| {
            let made = w.agent(&w.one).post("/tasks", json!({ "title": w.title("get") })).await?;
            let path = format!("/tasks/{}", made.text_at("id")?);
            let found = w.agent(&w.one).get(&path).await?;
            ensure(is_same(found.ok()?, &made.body), || {
                format!("expected the task as it was created, got {}", found.text)
            })?;
            let nowhere = format!("/tasks/{}", uuid::Uuid::new_v4());
            w.agent(&w.one).get(&nowhere).await?.fails(404)
        })
        .await;
    let sentence = "PATCH /tasks/{id} {status?, title?, description?, metadata?} → Task";
    suite
        .check("update-task", &["tasks_update"], sentence, async |w| {
            let path = format!("/tasks/{}", w.task(&w.one, "update").await?);
            let title = w.title("updated");
            for body in [json!({ "status": "blocked" }), json!({ "title": title })] {
                w.agent(&w.one).patch(&path, body).await?.ok()?;
            }
            let last = w.agent(&w.one).patch(&path, json!({ "description": "new" })).await?;
            last.ok()?;
            last.has_fields(&[("status", json!("blocked")), ("title", json!(title))])?;
            let kept = last.body.get("description").is_none_or(|text| *text == "new");
            ensure(kept, || format!("expected the new description, got {}", last.text))?;
            Ok("each field alone".to_owned())
        })
        .await;
    let sentence = "A status that is none of the contract's is refused";
    suite
        .recommended("update-status", &["tasks_update"], sentence, async |w| {
            let path = format!("/tasks/{}", w.task(&w.one, "update").await?);
            w.agent(&w.one).patch(&path, json!({ "status": "lost" })).await?.refuses()
        })
        .await;
}

async fn messages(suite: &mut Suite<'_>) {
    let sentence = "without a cursor the newest messages, oldest of them first; the cursor leads to older ones; unknown task → 404";
    suite
        .check("list-messages", &["messages_list"], sentence, async |w| {
            let task = w.task(&w.one, "list").await?;
            for text in ["1", "2", "3"] {
                let body = json!({
                    "task_id": task, "content": text, "actor_type": "agent", "agent_role": ROLE
                });
                w.agent(&w.one).post("/messages", body).await?.created()?;
            }
            let path = format!("/messages?task_id={task}&limit=2");
            let newest = w.agent(&w.one).get(&path).await?;
            let texts = crate::answer::column(newest.items()?, "content");
            // A page may end before its limit.
            ensure(texts == ["2", "3"] || texts == ["3"], || {
                format!("expected the newest two of 1, 2, 3, oldest first; got {}", json!(texts))
            })?;
            for message in newest.items()? {
                time_of(message, "created_at")?;
                let role = &message["agent_role"];
                let agent = message["actor_type"] == "agent" && (role.is_null() || *role == ROLE);
                ensure(agent, || {
                    format!("expected \"actor_type\": \"agent\", and no other role, got {message}")
                })?;
            }
            let mut texts: Vec<_> = texts.into_iter().map(str::to_owned).collect();
            let mut cursor = newest.next_cursor();
            while let (Some(next), true) = (cursor, texts.len() < 4) {
                let path = format!("{path}&cursor={}", super::encode(&next));
                let older = w.agent(&w.one).get(&path).await?;
                let page = crate::answer::column(older.items()?, "content");
                texts = page.into_iter().map(str::to_owned).chain(texts).collect();
                cursor = older.next_cursor();
            }
            ensure(texts == ["1", "2", "3"], || {
                format!("expected the cursor to lead to the older messages, got {}", json!(texts))
            })?;
            let nowhere = format!("/messages?task_id={}", uuid::Uuid::new_v4());
            w.agent(&w.one).get(&nowhere).await?.fails(404)
        })
        .await;
    message_data(suite).await;
    suite
        .check(
            "look-up",
            &["message_lookup"],
            "GET /messages?idempotency_key= → 0 or 1 item",
            async |w| {
                let (task, key) = (w.task(&w.one, "look-up").await?, w.key());
                let path = format!("/messages?idempotency_key={}", super::encode(&key));
                let before = w.agent(&w.one).get(&path).await?.items()?.len();
                let body =
                    json!({ "task_id": task, "content": w.title("x"), "idempotency_key": key });
                let made = w.agent(&w.one).post("/messages", body).await?;
                let after = w.agent(&w.one).get(&path).await?;
                let fits = before == 0 && after.items()?.len() == 1;
                ensure(fits, || {
                    format!(
                        "expected no item before and one after the create, got {before}, then {}",
                        after.text
                    )
                })?;
                let same = after.items()?[0]["id"] == made.body["id"];
                ensure(same, || {
                    "expected the message that was created under the key, got another".to_owned()
                })?;
                Ok("none before, then the one".to_owned())
            },
        )
        .await;
}

/// A typed result is kept with its message.
async fn message_data(suite: &mut Suite<'_>) {
    let features = ["message_data", "messages_list"];
    let sentence = "POST /messages with data → the message, and the thread, with the same data";
    suite
        .check("message-data", &features, sentence, async |w| {
            let task = w.task(&w.one, "data").await?;
            for (content, data) in [
                ("{\"sum\":7}", json!({ "sum": 7, "of": ["a", null, 1.5], "none": null })),
                ("[1]", json!([1])),
                ("false", json!(false)),
                ("\"hi\"", json!("hi")),
            ] {
                let body = json!({ "task_id": task, "content": content, "data": data,
                    "idempotency_key": w.key() });
                let made = w.agent(&w.one).post("/messages", body).await?;
                ensure(made.created()?["data"] == data, || {
                    format!("expected \"data\": {data}, got {}", made.text)
                })?;
                let thread = w.agent(&w.one).get(&format!("/messages?task_id={task}")).await?;
                let newest = thread.items()?.last().map(|message| message["data"].clone());
                ensure(newest.as_ref() == Some(&data), || {
                    format!("expected \"data\": {data} in the thread, got {}", thread.text)
                })?;
            }
            let plain = json!({ "task_id": task, "content": "x", "idempotency_key": w.key() });
            let made = w.agent(&w.one).post("/messages", plain).await?;
            ensure(made.created()?.get("data").is_none_or(serde_json::Value::is_null), || {
                format!("expected no data where none was given, got {}", made.text)
            })?;
            Ok("kept with the message".to_owned())
        })
        .await;
}
/// What a person said to an agent, which the daemon stores.
async fn user_messages(suite: &mut Suite<'_>) {
    let features = &["user_messages"];
    let sentence = "The token has the claim on_behalf_of, which is its user_id";
    suite
        .check("user-message", features, sentence, async |w| {
            let (task, key) = (w.task(&w.one, "user-message").await?, w.key());
            let body = json!({
                "task_id": task, "content": w.title("said"), "actor_type": "user", "idempotency_key": key
            });
            let token = on_behalf(w, &w.one)?;
            let made = w.token(&token).post("/messages", body.clone()).await?;
            made.created()?;
            let actor = made.body["actor_type"].as_str().unwrap_or("user");
            ensure(actor == "user", || format!("expected \"actor_type\": \"user\", got {actor}"))?;
            let again = w.token(&token).post("/messages", body).await?;
            ensure(again.ok()?["id"] == made.body["id"], || {
                format!("expected the first message again for the same key, got {}", again.text)
            })?;
            Ok("stored as the user's, once".to_owned())
        })
        .await;
    let sentence = "no other agent token may (403)";
    suite
        .check("user-message-by-an-agent", features, sentence, async |w| {
            let task = w.task(&w.one, "user-message-by-an-agent").await?;
            let body = json!({
                "task_id": task, "content": w.title("not said"), "actor_type": "user",
                "idempotency_key": w.key()
            });
            w.agent(&w.one).post("/messages", body.clone()).await?.fails(403)?;
            w.token(&on_behalf(w, &w.two)?).post("/messages", body).await?.fails(403)
        })
        .await;
    let sentence = "`idempotency_key` is required: once for each run";
    suite
        .check("user-message-key", features, sentence, async |w| {
            let task = w.task(&w.one, "user-message-key").await?;
            let body = json!({
                "task_id": task, "content": w.title("without a key"), "actor_type": "user"
            });
            w.token(&on_behalf(w, &w.one)?).post("/messages", body).await?.fails(400)
        })
        .await;
    let sentence = "`@role` in it notifies nobody";
    let features = &["user_messages", "notifications"];
    suite
        .check("user-message-mention", features, sentence, async |w| {
            let user = w.fresh_user()?;
            let task = w.task(&user, "user-message-mention").await?;
            let body = json!({
                "task_id": task, "content": format!("@{ROLE} and @{OTHER} look"),
                "actor_type": "user", "idempotency_key": w.key()
            });
            w.token(&on_behalf_of(w, &user, &user)?).post("/messages", body).await?.created()?;
            let list = w.agent(&user).get("/notifications").await?;
            ensure(list.items()?.is_empty(), || {
                format!("expected no notification for the token's own role, got {}", list.text)
            })?;
            let list = w.agent_as(&user, OTHER).get("/notifications").await?;
            ensure(list.items()?.is_empty(), || {
                format!("expected no notification for another role, got {}", list.text)
            })?;
            Ok("no role is notified".to_owned())
        })
        .await;
}

/// A token of the suite's first user that says on whose behalf it stores a message.
fn on_behalf(w: &World, of: &str) -> Result<String, NotPassed> {
    on_behalf_of(w, &w.one, of)
}

fn on_behalf_of(w: &World, user: &str, of: &str) -> Result<String, NotPassed> {
    let mut claims = claims(user, ROLE);
    claims.insert("on_behalf_of".to_owned(), json!(of));
    w.keys.sign(&claims).map_err(|error| NotPassed::Failed(error.to_string()))
}

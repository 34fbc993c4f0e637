//! Tenancy: no user sees or changes another user's objects.

use http::Method;
use serde_json::{Value, json};

use crate::answer::{Answer, column};
use crate::caller::Caller;
use crate::suite::Suite;
use crate::verdict::{NotPassed, Verdict, ensure};
use crate::world::World;

const SCOPED: &str = "Scope every read and write by the token's user_id.";
const AS_IF: &str = "Another user's object is a 404, as if it did not exist.";

/// Callers that are not the owner: the other user's agent and, if the suite has the internal token and
/// the backend takes persons, the other person.
async fn others<'w>(w: &'w World, other: &str) -> Result<Vec<Caller<'w>>, NotPassed> {
    let person = match w.person(other).await {
        Ok(person) => Some(person),
        Err(NotPassed::Skipped(_)) => None,
        Err(failed) => return Err(failed),
    };
    Ok(std::iter::once(w.agent(other)).chain(person).collect())
}

/// Owner and other user, both ways.
fn sides(w: &World) -> [(&str, &str); 2] {
    [(&w.one, &w.two), (&w.two, &w.one)]
}

/// A request that names another user's object must get the same answer as one with an unknown id.
async fn answers_as_unknown(
    caller: &Caller<'_>,
    method: Method,
    path: impl Fn(&str) -> String,
    id: &str,
    body: impl Fn(&str) -> Option<Value>,
) -> Verdict {
    let nobodys = uuid::Uuid::new_v4().to_string();
    let theirs = caller.send(method.clone(), &path(id), body(id).as_ref()).await?;
    let seen = theirs.fails(404)?;
    let unknown = caller.send(method, &path(&nobodys), body(&nobodys).as_ref()).await?;
    unknown.fails(404)?;
    let plain = |answer: &Answer| {
        let said = [&answer.body["code"], &answer.body["error"]].map(Value::to_string).concat();
        said.replace(id, "{id}").replace(&nobodys, "{id}")
    };
    ensure(plain(&theirs) == plain(&unknown), || {
        format!(
            "expected the same 404 for another user's object as for an unknown one, got {} and {}",
            theirs.text, unknown.text
        )
    })?;
    Ok(seen)
}

/// A list must not hold another user's object.
async fn excludes(caller: &Caller<'_>, path: &str, id: &str) -> Result<(), NotPassed> {
    let answer = caller.get(path).await?;
    // A list filtered by another user's object may answer 404.
    if answer.status == 404 && path.contains(id) {
        return answer.fails(404).map(drop);
    }
    let items = answer.items()?;
    let own = items.iter().any(|item| item["id"] == id || item["task_id"] == id);
    ensure(!own, || format!("GET {path}: expected no object of another user, got one"))
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    lists_and_creates(suite).await;
    users_and_keys(suite).await;
    tasks_and_messages(suite).await;
}

async fn lists_and_creates(suite: &mut Suite<'_>) {
    suite
        .required("list-tasks", SCOPED, async |w| {
            for (owner, other) in sides(w) {
                let task = w.task(owner, "list-tasks").await?;
                for caller in others(w, other).await? {
                    excludes(&caller, "/tasks?limit=200", &task).await?;
                }
            }
            Ok("neither user's list shows the other's task".to_owned())
        })
        .await;
    suite
        .required("find-by-title", SCOPED, async |w| {
            let title = w.title("find-by-title");
            for (owner, other) in sides(w) {
                let task = w.agent(owner).post("/tasks", json!({ "title": title })).await?;
                task.created()?;
                let path = format!("/tasks?limit=200&title={}", super::encode(&title));
                for caller in others(w, other).await? {
                    excludes(&caller, &path, task.text_at("id")?).await?;
                }
            }
            Ok("a title finds only one's own task".to_owned())
        })
        .await;
    suite
        .required("message-on-anothers-task", AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let task = w.task(owner, "message-on-anothers-task").await?;
                for caller in others(w, other).await? {
                    let text = w.title("intruder");
                    let body = |id: &str| Some(json!({ "task_id": id, "content": text }));
                    let path = |_: &str| "/messages".to_owned();
                    seen = answers_as_unknown(&caller, Method::POST, path, &task, body).await?;
                }
            }
            Ok(seen)
        })
        .await;
    suite
        .required("document-on-anothers-task", AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let task = w.task(owner, "document-on-anothers-task").await?;
                for caller in others(w, other).await? {
                    let title = w.title("intruder");
                    let body =
                        |id: &str| Some(json!({ "title": title, "content": "x", "task_id": id }));
                    let path = |_: &str| "/documents".to_owned();
                    seen = answers_as_unknown(&caller, Method::POST, path, &task, body).await?;
                }
            }
            Ok(seen)
        })
        .await;
}

async fn users_and_keys(suite: &mut Suite<'_>) {
    suite
        .required("user-in-the-body", SCOPED, async |w| {
            for (owner, other) in sides(w) {
                let body = json!({ "title": w.title("user-in-the-body"), "user_id": other, "tenant_id": other });
                let made = w.agent(owner).post("/tasks", body).await?;
                if made.status >= 400 {
                    made.fails_as_one_of(&[400, 403, 404])?;
                    continue;
                }
                let id = made.text_at("id")?;
                excludes(&w.agent(other), "/tasks?limit=200", id).await?;
            }
            Ok("a user_id in the body gives nothing to another user".to_owned())
        })
        .await;
    suite
        .required("person-named-by-an-agent", SCOPED, async |w| {
            for (owner, other) in sides(w) {
                let task = w.task(owner, "person-named-by-an-agent").await?;
                let agent = w.agent(other).with("x-on-behalf-of", owner);
                let answer = agent.get("/tasks?limit=200").await?;
                if answer.status >= 400 {
                    answer.fails_as_one_of(&[400, 401, 403])?;
                    continue;
                }
                let ids = column(answer.items()?, "id");
                ensure(!ids.contains(&task.as_str()), || {
                    "expected X-On-Behalf-Of beside an agent token to be ignored or refused, got that user's tasks".to_owned()
                })?;
            }
            Ok("X-On-Behalf-Of beside an agent token changes nothing".to_owned())
        })
        .await;
    let sentence = "scoped to user and endpoint";
    suite
        .required("same-key", sentence, async |w| {
            let body = json!({ "title": w.title("same-key"), "idempotency_key": w.key() });
            let first = w.agent(&w.one).post("/tasks", body.clone()).await?;
            let second = w.agent(&w.two).post("/tasks", body).await?;
            first.created()?;
            second.created()?;
            let differ = first.text_at("id")? != second.text_at("id")?;
            ensure(differ, || {
                "expected a task of the second user's own for the same key, got the first user's"
                    .to_owned()
            })?;
            ensure(!second.replayed(), || {
                "expected no Idempotent-Replayed for the second user, got true".to_owned()
            })?;
            Ok("one task each".to_owned())
        })
        .await;
}

async fn tasks_and_messages(suite: &mut Suite<'_>) {
    let none = |_: &str| None::<Value>;
    suite
        .check("get-task", &["tasks_get"], AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let task = w.task(owner, "get-task").await?;
                for caller in others(w, other).await? {
                    let path = |id: &str| format!("/tasks/{id}");
                    seen = answers_as_unknown(&caller, Method::GET, path, &task, none).await?;
                }
            }
            Ok(seen)
        })
        .await;
    suite
        .check("update-task", &["tasks_update"], AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let title = w.title("update-task");
                let task = w.agent(owner).post("/tasks", json!({ "title": title })).await?;
                let id = task.text_at("id")?;
                for caller in others(w, other).await? {
                    let path = |id: &str| format!("/tasks/{id}");
                    let body = |_: &str| Some(json!({ "title": "taken over" }));
                    seen = answers_as_unknown(&caller, Method::PATCH, path, id, body).await?;
                }
                let path = format!("/tasks?limit=200&title={}", super::encode(&title));
                let own = w.agent(owner).all(&path).await?;
                let kept = own.iter().any(|task| task["id"] == id && task["title"] == *title);
                ensure(kept, || {
                    "expected the task unchanged after the refused PATCH, got it changed".to_owned()
                })?;
            }
            Ok(seen)
        })
        .await;
    suite
        .check("list-messages", &["messages_list"], AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let task = w.task(owner, "list-messages").await?;
                for caller in others(w, other).await? {
                    let path = |id: &str| format!("/messages?task_id={id}");
                    seen = answers_as_unknown(&caller, Method::GET, path, &task, none).await?;
                }
            }
            Ok(seen)
        })
        .await;
    suite
        .check("look-up-message", &["message_lookup"], SCOPED, async |w| {
            for (owner, other) in sides(w) {
                let (task, key) = (w.task(owner, "look-up-message").await?, w.key());
                let body =
                    json!({ "task_id": task, "content": w.title("mine"), "idempotency_key": key });
                w.agent(owner).post("/messages", body).await?.created()?;
                let path = format!("/messages?idempotency_key={}", super::encode(&key));
                for caller in others(w, other).await? {
                    let found = caller.get(&path).await?;
                    let none = found.items()?.is_empty();
                    ensure(none, || {
                        "expected no item for another user's key, got the message".to_owned()
                    })?;
                }
            }
            Ok("another user's key finds nothing".to_owned())
        })
        .await;
    suite
        .check("documents", &["documents_list"], AS_IF, async |w| {
            let mut seen = String::new();
            for (owner, other) in sides(w) {
                let task = w.task(owner, "documents").await?;
                let body =
                    json!({ "title": w.title("mine"), "content": "secret", "task_id": task });
                let document = w.agent(owner).post("/documents", body).await?;
                document.created()?;
                let id = document.text_at("id")?;
                for caller in others(w, other).await? {
                    excludes(&caller, "/documents?limit=200", id).await?;
                    excludes(&caller, &format!("/documents?task_id={task}"), &task).await?;
                    let path = |id: &str| format!("/documents/{id}");
                    seen = answers_as_unknown(&caller, Method::GET, path, id, none).await?;
                }
            }
            Ok(seen)
        })
        .await;
}

//! Files of users, and messages that name them.

use http::Method;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::caller::Caller;
use crate::suite::Suite;
use crate::verdict::{NotPassed, ensure};
use crate::world::World;

/// A text, and its SHA-256.
const TEXT: &str = "a,b\n1,2\n";
const HASH: &str = "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470";

/// How every PNG begins.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

async fn put(
    caller: &Caller<'_>,
    name: &str,
    kind: &str,
    bytes: impl Into<reqwest::Body>,
) -> Result<Answer, NotPassed> {
    let path = format!("/files?name={}", super::encode(name));
    caller.text(Method::PUT, &path, Some(kind), bytes).await
}

/// Stores a text of the suite's first user under a name of its own; its answer and its path.
async fn stored(w: &World, bytes: String) -> Result<(Answer, String), NotPassed> {
    let made = put(&w.agent(&w.one), &w.title("file"), "text/csv", bytes).await?;
    ensure(made.status == 201, || format!("expected 201 for a new file, got {}", made.summary()))?;
    let path = format!("/files/{}", made.text_at("file_id")?);
    Ok((made, path))
}

fn attaching(task: &str, text: &str, ids: &[&Value]) -> Value {
    let files: Vec<_> = ids.iter().map(|id| json!({ "file_id": id })).collect();
    json!({ "task_id": task, "content": text, "attachments": files })
}

pub(crate) async fn run(suite: &mut Suite<'_>) {
    kept(suite).await;
    named(suite).await;
    inert(suite).await;
    owned(suite).await;
    deleted(suite).await;
    attached(suite).await;
}

async fn kept(suite: &mut Suite<'_>) {
    let sentence =
        "the bytes, with their Content-Type → 201 {file_id, name, media_type, size, sha256}";
    suite
        .check("file", &["files"], sentence, async |w| {
            let (agent, name) = (w.agent(&w.one), w.title("täble 漢.csv"));
            let made = put(&agent, &name, "text/csv", TEXT).await?;
            ensure(made.status == 201, || format!("expected 201, got {}", made.summary()))?;
            let id = made.text_at("file_id")?;
            let fields = [
                ("name", json!(name)),
                ("media_type", json!("text/csv")),
                ("size", json!(TEXT.len())),
                ("sha256", json!(HASH)),
            ];
            made.has_fields(&fields)?;
            let meta = agent.get(&format!("/files/{id}?meta=true")).await?;
            meta.ok()?;
            meta.has_fields(&[("file_id", json!(id))])?;
            meta.has_fields(&fields)?;
            let bytes = agent.get(&format!("/files/{id}")).await?;
            ensure(bytes.status == 200 && bytes.text == TEXT, || {
                format!("expected the bytes as they were put, got {}", bytes.summary())
            })?;
            Ok("stored, described, and given back".to_owned())
        })
        .await;
    let sentence = "where the user has one with equal bytes, name and type: 200 and that one";
    suite
        .check("equal-file", &["files"], sentence, async |w| {
            let (agent, name) = (w.agent(&w.one), w.title("equal.csv"));
            let first = put(&agent, &name, "text/csv", TEXT).await?;
            let id = first.text_at("file_id")?;
            let again = put(&agent, &name, "text/csv", TEXT).await?;
            ensure(again.status == 200, || format!("expected 200, got {}", again.summary()))?;
            again.has_fields(&[("file_id", json!(id))])?;
            for (name, bytes) in [(w.title("other.csv"), TEXT), (name, "a,b\n3,4\n")] {
                let other = put(&agent, &name, "text/csv", bytes).await?;
                let is_new = other.status == 201 && other.body["file_id"] != id;
                ensure(is_new, || format!("expected a new file, got {}", other.summary()))?;
            }
            Ok("the same file again, and others for another name and other bytes".to_owned())
        })
        .await;
    let sentence =
        "It is what Content-Type says, unless the bytes contradict it: then it is what they are";
    suite
        .check("media-type", &["files"], sentence, async |w| {
            let agent = w.agent(&w.one);
            let image = put(&agent, &w.title("words"), "text/plain", PNG).await?;
            image.has_fields(&[("media_type", json!("image/png"))])?;
            let page = "<!doctype html><script>1</script>";
            let words = put(&agent, &w.title("image"), "image/png", page).await?;
            ensure(words.body["media_type"] != "image/png", || {
                format!("expected another type than image/png for a page, got {}", words.text)
            })?;
            Ok("an image and a page are told from what they are said to be".to_owned())
        })
        .await;
}

async fn named(suite: &mut Suite<'_>) {
    let sentence = "A name that is empty, has more than 255 bytes, or holds /, \\ or a control character is a 400";
    suite
        .check("file-name", &["files"], sentence, async |w| {
            let agent = w.agent(&w.one);
            for name in ["", "a/b", "a\\b", "a\nb", &"x".repeat(256)] {
                put(&agent, name, "text/plain", "x").await?.fails(400)?;
            }
            put(&agent, &"x".repeat(255), "text/plain", "x").await?.created()?;
            Ok("400 for each, and not for 255 bytes".to_owned())
        })
        .await;
}

async fn inert(suite: &mut Suite<'_>) {
    let sentence = "A file is saved, never shown: Content-Disposition: attachment, X-Content-Type-Options: nosniff, Content-Security-Policy: sandbox";
    suite
        .check("inert-file", &["files"], sentence, async |w| {
            let (_, path) = stored(w, format!("<html>{}</html>", w.key())).await?;
            let file = w.agent(&w.one).get(&path).await?;
            file.done()?;
            for (name, part) in [
                ("content-disposition", "attachment"),
                ("x-content-type-options", "nosniff"),
                ("content-security-policy", "sandbox"),
            ] {
                let value = file.headers.get(name).and_then(|value| value.to_str().ok());
                let fits = value.is_some_and(|value| value.to_ascii_lowercase().contains(part));
                ensure(fits, || format!("expected {name} with {part}, got {value:?}"))?;
            }
            Ok("an attachment that nothing runs".to_owned())
        })
        .await;
}

async fn owned(suite: &mut Suite<'_>) {
    let sentence = "Another user's object is a 404, as if it did not exist.";
    suite
        .check("anothers-file", &["files"], sentence, async |w| {
            let (made, path) = stored(w, w.key()).await?;
            w.agent_as(&w.one, "conformance-other").get(&path).await?.done()?;
            let other = w.agent(&w.two);
            other.get(&path).await?.fails_with(404, "file_not_found")?;
            other.get(&format!("{path}?meta=true")).await?.fails_with(404, "file_not_found")?;
            let task = w.task(&w.two, "another's file").await?;
            let body = attaching(&task, &w.title("not mine"), &[&made.body["file_id"]]);
            other.post("/messages", body).await?.fails_with(404, "file_not_found")?;
            if let Ok(person) = w.person(&w.two).await {
                person.delete(&path).await?.fails_with(404, "file_not_found")?;
            }
            w.agent(&w.one).get(&path).await?.done()?;
            Ok("404 for the other user, and there for other roles of its own".to_owned())
        })
        .await;
}

async fn deleted(suite: &mut Suite<'_>) {
    let sentence = "by a person → 204; from then on it is a 404";
    suite
        .check("deleted-file", &["files"], sentence, async |w| {
            let (_, path) = stored(w, w.key()).await?;
            w.agent(&w.one).delete(&path).await?.fails(403)?;
            w.agent(&w.one).get(&path).await?.done()?;
            let person = w.person(&w.one).await?;
            let gone = person.delete(&path).await?;
            ensure(gone.status == 204, || format!("expected 204, got {}", gone.summary()))?;
            w.agent(&w.one).get(&path).await?.fails_with(404, "file_not_found")?;
            person.delete(&path).await?.fails_with(404, "file_not_found")?;
            Ok("403 for an agent, 204 for a person, then 404".to_owned())
        })
        .await;
}

async fn attached(suite: &mut Suite<'_>) {
    let sentence = "POST /messages takes attachments: [{file_id}], and the message has them as [{file_id, name, media_type, size, sha256}]";
    suite
        .check("attached-file", &["files", "messages_list"], sentence, async |w| {
            let agent = w.agent(&w.one);
            let task = w.task(&w.one, "attached").await?;
            let (one, path) = stored(w, w.key()).await?;
            let (two, _) = stored(w, w.key()).await?;
            let ids = [&two.body["file_id"], &one.body["file_id"]];
            let files = json!([two.body, one.body]);
            let made = agent.post("/messages", attaching(&task, "see", &ids)).await?;
            made.created()?;
            let has_both = |message: &Value| {
                let found =
                    message["attachments"].as_array().map(Vec::as_slice).unwrap_or_default();
                let fits = |(found, file): (&Value, &Value)| {
                    ["file_id", "name", "media_type", "size", "sha256"]
                        .iter()
                        .all(|name| found[*name] == file[*name])
                };
                found.len() == 2 && found.iter().zip([&two.body, &one.body]).all(fits)
            };
            ensure(has_both(&made.body), || {
                format!("expected \"attachments\": {files}, got {}", made.text)
            })?;
            if let Ok(person) = w.person(&w.one).await {
                person.delete(&path).await?.done()?;
            }
            let thread = agent.get(&format!("/messages?task_id={task}")).await?;
            ensure(thread.items()?.last().is_some_and(has_both), || {
                format!("expected \"attachments\": {files} in the thread, got {}", thread.text)
            })?;
            Ok("told in the message, and after a file was deleted".to_owned())
        })
        .await;
    let sentence = "One that is not there is a 404 file_not_found, and nothing is stored";
    suite
        .check("attached-nothing", &["files", "messages_list"], sentence, async |w| {
            let agent = w.agent(&w.one);
            let task = w.task(&w.one, "attached nothing").await?;
            let (made, _) = stored(w, w.key()).await?;
            let unknown = json!(uuid::Uuid::new_v4().to_string());
            let body = attaching(&task, "see", &[&made.body["file_id"], &unknown]);
            agent.post("/messages", body).await?.fails_with(404, "file_not_found")?;
            let thread = agent.get(&format!("/messages?task_id={task}")).await?;
            ensure(thread.items()?.is_empty(), || {
                format!("expected no message, got {}", thread.text)
            })?;
            Ok("404, and no message".to_owned())
        })
        .await;
}

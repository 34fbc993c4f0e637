//! Files of messages, over the contract and on the page.

use mc_client::types::FileMeta;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::files::{PNG, id, put};
use crate::harness::{Answer, Backend, send};

async fn open(backend: &Backend, path: &str) -> Answer {
    send(backend.nobody().raw(Method::GET, path).header("accept", "text/html")).await
}

async fn token(backend: &Backend) -> String {
    let page = open(backend, "/").await.text;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

fn message(task: &str, files: &[&str]) -> Value {
    let files: Vec<_> = files.iter().map(|id| json!({ "file_id": id })).collect();
    json!({ "task_id": task, "content": "see", "attachments": files, "idempotency_key": format!("{files:?}") })
}

#[tokio::test]
async fn a_message_holds_what_is_known_of_its_files() {
    let backend = Backend::start().await;
    let (agent, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let (one, two) =
        (put(&agent, "1.png", "image/png", PNG).await, put(&person, "2.txt", "text/plain", b"2").await);
    let files = json!([two.body, one.body]);
    let body = message(&task, &[id(&two), id(&one), id(&two)]);
    let written = agent.post("/messages", body.clone()).await;
    assert_eq!(written.ok()["attachments"], files);
    let thread = format!("/messages?task_id={task}");
    assert_eq!(person.get(&thread).await.items()[0]["attachments"], files);
    let by_key = agent.get("/messages?idempotency_key=nothing").await;
    assert!(by_key.items().is_empty());
    // Deleted later it is told of all the same, and a repetition is answered as before.
    person.delete(&format!("/files/{}", id(&one))).await;
    assert_eq!(agent.get(&thread).await.items()[0]["attachments"], files);
    let again = agent.post("/messages", body).await;
    assert!(again.replayed() && again.body == written.body, "{}", again.text);
    agent.get(&format!("/files/{}", id(&one))).await.fails(404, "file_not_found");
    let client = backend.client("ann", "scout");
    let page = client.list_messages(&task, 10, None).await.unwrap();
    let read: Vec<FileMeta> = page.items[0].files().cloned().collect();
    assert_eq!(json!(read), files);
    // Without files the field is left out.
    let plain = agent.post("/messages", json!({ "task_id": task, "content": "x" })).await;
    assert!(plain.ok().get("attachments").is_none(), "{}", plain.text);
}

#[tokio::test]
async fn a_message_that_names_what_is_not_there_is_not_stored() {
    let backend = Backend::start().await;
    let (agent, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("Work").await;
    let there = put(&agent, "a", "text/plain", b"a").await;
    let deleted = put(&agent, "b", "text/plain", b"b").await;
    person.delete(&format!("/files/{}", id(&deleted))).await;
    let foreign = put(&backend.agent("bob", "scout"), "c", "text/plain", b"c").await;
    for gone in [id(&deleted), id(&foreign), "unknown", ""] {
        for caller in [&agent, &person] {
            let answer = caller.post("/messages", message(&task, &[id(&there), gone])).await;
            answer.fails(404, "file_not_found");
            assert_eq!(answer.body["details"], json!({ "file_id": gone }));
        }
    }
    for wrong in [json!("x"), json!({}), json!([7]), json!([{}]), json!([{ "file_id": 7 }]), json!(["x"])] {
        let body = json!({ "task_id": task, "content": "x", "attachments": wrong });
        agent.post("/messages", body).await.fails(400, "invalid_payload");
    }
    let many = vec![id(&there); 101];
    agent.post("/messages", message(&task, &many)).await.fails(400, "invalid_payload");
    assert!(agent.get(&format!("/messages?task_id={task}")).await.items().is_empty());
    // A mention notifies nobody of a message that is not there.
    let mention = json!({ "task_id": task, "content": "@scout x", "attachments": [{ "file_id": "unknown" }] });
    person.post("/messages", mention).await.fails(404, "file_not_found");
    assert!(agent.get("/notifications").await.items().is_empty());
}

#[tokio::test]
async fn what_older_messages_have_attached_is_still_told() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    for text in ["first", "second"] {
        agent.post("/messages", json!({ "task_id": task, "content": text })).await.ok();
    }
    let mut database = backend.database().await;
    for (text, attached) in [("first", r#"[{"url":"x"},7]"#), ("second", r#"{"url":"y"}"#)] {
        let set = "UPDATE messages SET attachments = $1 WHERE content = $2";
        sqlx::query(set).bind(attached).bind(text).execute(&mut database).await.unwrap();
    }
    let thread = agent.get(&format!("/messages?task_id={task}")).await;
    assert_eq!(thread.items()[0]["attachments"], json!([{ "url": "x" }, 7]));
    assert_eq!(thread.items()[1]["attachments"], json!([{ "url": "y" }]));
}

#[tokio::test]
async fn the_page_shows_files_to_be_saved_or_deleted() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let page = put(&agent, "<b>\"x\".html", "text/html", b"<script>alert(1)</script>").await;
    let drawing = put(&agent, "a.svg", "image/svg+xml", b"<svg onload='alert(1)'/>").await;
    agent.post("/messages", message(&task, &[id(&page), id(&drawing)])).await.ok();
    let thread = format!("/tasks/{task}?user=ann");
    let shown = open(&backend, &thread).await.text;
    let link = format!("/files/{}?user=ann", id(&page));
    let entry = format!(
        "<a href=\"{link}\" download>&lt;b&gt;&quot;x&quot;.html</a> <span class=\"count\">text/html, 25 bytes</span>"
    );
    assert!(shown.contains(&entry), "{shown}");
    assert!(!shown.contains("<b>\"x\""), "{shown}");
    let saved = open(&backend, &link).await;
    assert_eq!((saved.status, &*saved.text), (StatusCode::OK, "<script>alert(1)</script>"));
    let one = |name: &str| {
        let mut all = saved.headers.get_all(name).iter();
        let first = all.next().unwrap().to_str().unwrap().to_owned();
        assert!(all.next().is_none(), "{name} comes twice");
        first
    };
    assert_eq!(one("content-security-policy"), "sandbox");
    assert_eq!(one("x-content-type-options"), "nosniff");
    assert_eq!(one("x-frame-options"), "DENY");
    assert!(one("content-disposition").starts_with("attachment; filename=\"<b>_x_.html\""));
    let others = open(&backend, &format!("/files/{}?user=bob", id(&page))).await;
    assert_eq!(others.status, StatusCode::NOT_FOUND);
    // Deleted by a person.
    let delete = async |token: &str| {
        let fields = [("token", token), ("user", "ann"), ("id", id(&page)), ("task", &task)];
        send(backend.nobody().raw(Method::POST, "/delete-file").form(&fields)).await
    };
    assert_eq!(delete("guess").await.status, StatusCode::FORBIDDEN);
    assert_eq!(open(&backend, &link).await.status, StatusCode::OK);
    let deleted = delete(&token(&backend).await).await;
    assert_eq!(deleted.status, StatusCode::SEE_OTHER, "{}", deleted.text);
    assert_eq!(deleted.headers["location"], thread);
    assert_eq!(open(&backend, &link).await.status, StatusCode::NOT_FOUND);
    let shown = open(&backend, &thread).await.text;
    assert!(shown.contains("25 bytes; it was deleted") && !shown.contains(&link), "{shown}");
    assert!(shown.contains(&format!("/files/{}?user=ann", id(&drawing))), "{shown}");
}

/// A part of a form: its name, the name and the type of a file, and what it holds.
type Part<'a> = (&'a str, Option<(&'a str, &'a str)>, &'a [u8]);

/// What a browser sends with a form that has files.
async fn send_form(backend: &Backend, parts: &[Part<'_>]) -> Answer {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        body.extend(format!("--xYx\r\nContent-Disposition: form-data; name=\"{name}\"").bytes());
        if let Some((name, kind)) = file {
            body.extend(format!("; filename=\"{name}\"\r\nContent-Type: {kind}").bytes());
        }
        body.extend(b"\r\n\r\n");
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--xYx--\r\n");
    let request = backend.nobody().raw(Method::POST, "/write").body(body);
    send(request.header("content-type", "multipart/form-data; boundary=xYx")).await
}

async fn write(backend: &Backend, token: &str, task: &str, files: &[Part<'_>]) -> Answer {
    let fields = [("token", token), ("user", "ann"), ("role", "scout"), ("task", task), ("text", "look at these")];
    let mut parts: Vec<Part<'_>> =
        fields.iter().map(|(name, value)| (*name, None, value.as_bytes())).collect();
    parts.extend_from_slice(files);
    send_form(backend, &parts).await
}

fn file<'a>(name: &'a str, kind: &'a str, bytes: &'a [u8]) -> Part<'a> {
    ("files", Some((name, kind)), bytes)
}

#[tokio::test]
async fn a_person_attaches_files_on_the_page() {
    let backend = Backend::start().await;
    let token = token(&backend).await;
    let large = vec![b'x'; 3 * 1024 * 1024];
    let parts = [
        file("C:/files/plan ü.csv", "text/csv", b"a,b"),
        file("large.txt", "text/plain", &large),
    ];
    let sent = write(&backend, &token, "", &parts).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{}", sent.text);
    let person = backend.person("ann");
    let task = person.get("/tasks").await.items()[0]["id"].as_str().unwrap().to_owned();
    let thread = person.get(&format!("/messages?task_id={task}")).await;
    let files = thread.items()[0]["attachments"].as_array().unwrap();
    assert_eq!(files[0]["name"], "plan ü.csv");
    assert_eq!(files[1]["size"], large.len());
    assert_eq!(thread.items()[0]["content"], "@scout look at these");
    let stored = person.get(&format!("/files/{}", files[0]["file_id"].as_str().unwrap())).await;
    assert_eq!(stored.text, "a,b");
    // What is left empty is sent by browsers, too.
    let none = write(&backend, &token, &task, &[file("", "application/octet-stream", b"")]).await;
    assert_eq!(none.status, StatusCode::SEE_OTHER, "{}", none.text);
    let thread = person.get(&format!("/messages?task_id={task}")).await;
    assert!(thread.items()[1].get("attachments").is_none());
}

#[tokio::test]
async fn a_form_with_files_that_is_not_the_pages_stores_nothing() {
    let backend = Backend::start().await;
    let token = token(&backend).await;
    let sent = write(&backend, "guess", "", &[file("a", "text/plain", b"x")]).await;
    assert_eq!(sent.status, StatusCode::FORBIDDEN);
    // The file before the token.
    let parts = [file("a", "text/plain", b"x"), ("token", None, token.as_bytes())];
    assert_eq!(send_form(&backend, &parts).await.status, StatusCode::FORBIDDEN);
    // Another field before the token.
    let parts = [("user", None, &b"ann"[..]), ("token", None, token.as_bytes())];
    assert_eq!(send_form(&backend, &parts).await.status, StatusCode::FORBIDDEN);
    // Many parts, one without a name that does not end, and one whose beginning does not.
    let parts = vec![("x", None, &b""[..]); 65];
    let sent = write(&backend, &token, "", &parts).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    let unnamed = vec![b'x'; 300_000];
    let sent = write(&backend, &token, "", &[file("", "text/plain", &unnamed)]).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    let name = "x".repeat(700_000);
    let sent = send_form(&backend, &[(&*name, None, b"")]).await;
    assert_eq!(sent.status, StatusCode::BAD_REQUEST);
    let foreign = backend.nobody().raw(Method::POST, "/write").header("origin", "http://evil.example");
    let foreign = foreign.header("content-type", "multipart/form-data; boundary=x").body("nonsense");
    assert_eq!(send(foreign).await.status, StatusCode::FORBIDDEN);
    let many = vec![file("a", "text/plain", b"x"); 17];
    assert_eq!(write(&backend, &token, "", &many).await.status, StatusCode::BAD_REQUEST);
    let wrong = backend.nobody().raw(Method::POST, "/write");
    let wrong = wrong.header("content-type", "multipart/form-data; boundary=x").body("nonsense");
    assert_eq!(send(wrong).await.status, StatusCode::BAD_REQUEST);
    let text = vec![b'x'; 300_000];
    let sent = send_form(&backend, &[("token", None, &text)]).await;
    assert_eq!(sent.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(backend.person("ann").get("/tasks").await.items().is_empty());
}

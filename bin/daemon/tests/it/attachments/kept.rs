//! A backend that keeps files: they are stored before the run, and any attempt fetches them again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mc_client::files::sha256_hex;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, path_regex};
use wiremock::{Mock, Request, ResponseTemplate};

use super::{PNG, asked, base64, inline, used, with};
use crate::harness::{MC, World, calls, message, refuses, says};
use crate::journaled::Journal;

/// The metadata of files, and their bytes, by their ids.
type ById = BTreeMap<String, (Value, Vec<u8>)>;

/// The files of the backend.
#[derive(Debug, Clone, Default)]
pub(super) struct Files(Arc<Mutex<ById>>);

impl Files {
    pub(super) async fn mount(world: &World) -> Self {
        let files = Self::default();
        let held = files.0.clone();
        let put = move |request: &Request| {
            let name = request.url.query_pairs().find(|(name, _)| name == "name").unwrap().1;
            let kind = request.headers["content-type"].to_str().unwrap();
            let sha256 = sha256_hex(&request.body);
            let id = format!("f-{}", &sha256_hex(format!("{name}{kind}{sha256}").as_bytes())[..8]);
            let meta = json!({ "file_id": id, "name": name, "media_type": kind,
                "size": request.body.len(), "sha256": sha256 });
            let mut held = held.lock().unwrap();
            let status = if held.contains_key(&id) { 200 } else { 201 };
            held.insert(id, (meta.clone(), request.body.clone()));
            ResponseTemplate::new(status).set_body_json(meta)
        };
        let held = files.0.clone();
        let get = move |request: &Request| {
            let held = held.lock().unwrap();
            let id = request.url.path().rsplit('/').next().unwrap();
            match held.get(id) {
                None => ResponseTemplate::new(404)
                    .set_body_json(json!({ "error": "no such file", "code": "file_not_found" })),
                Some((meta, _)) if request.url.query() == Some("meta=true") => {
                    ResponseTemplate::new(200).set_body_json(meta)
                }
                Some((_, bytes)) => ResponseTemplate::new(200)
                    .set_body_raw(bytes.clone(), "application/octet-stream"),
            }
        };
        let on_put = Mock::given(method("PUT")).and(path(format!("{MC}/files")));
        on_put.respond_with(put).with_priority(30).mount(&world.backend).await;
        let on_get = Mock::given(method("GET")).and(path_regex(format!("^{MC}/files/[^/]+$")));
        on_get.respond_with(get).with_priority(30).mount(&world.backend).await;
        files
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    fn add(&self, id: &str, name: &str, media_type: &str, bytes: &[u8]) -> Value {
        let meta = json!({ "file_id": id, "name": name, "media_type": media_type,
            "size": bytes.len(), "sha256": sha256_hex(bytes) });
        self.0.lock().unwrap().insert(id.to_owned(), (meta.clone(), bytes.to_vec()));
        meta
    }

    fn delete_all(&self) {
        self.0.lock().unwrap().clear();
    }
}

async fn world(features: Value) -> (World, Files) {
    let mut all = json!({ "files": true });
    all.as_object_mut().unwrap().extend(features.as_object().unwrap().clone());
    let world = World::with(&[], all).await;
    let files = Files::mount(&world).await;
    (world, files)
}

async fn journaled(features: &[&str]) -> (World, Files, Journal) {
    let (world, journal) = Journal::world_that_has(features, &[], Vec::new()).await;
    let none = ResponseTemplate::new(200).set_body_json(json!({ "items": [] }));
    let look_up = Mock::given(method("GET")).and(path(format!("{MC}/messages")));
    look_up.respond_with(none).with_priority(50).mount(&world.backend).await;
    let files = Files::mount(&world).await;
    (world, files, journal)
}

fn keyed(attachments: Value) -> Value {
    message(json!({ "attachments": attachments, "idempotency_key": "k" }))
}

/// What was stored as messages.
async fn stored(world: &World) -> Vec<Value> {
    let posts = world.backend_got("POST", "/messages").await;
    posts.iter().map(|post| serde_json::from_slice(&post.body).unwrap()).collect()
}

#[tokio::test]
async fn a_file_with_its_bytes_is_stored_and_the_users_message_names_it() {
    let (world, files) = world(json!({ "user_messages": true, "messages_list": true })).await;
    world.backend_says("GET", "/messages", 200, json!({ "items": [] })).await;
    world.model(vec![says("seen")]).await;
    // A declared type that the bytes contradict is not believed.
    let (status, answer) =
        world.daemon.send(&with(json!([inline("cat.jpg", "image/jpeg", PNG)]))).await;
    assert_eq!((status, used(&answer)), (200, vec!["image"]), "{answer}");
    assert_eq!(answer["attachments"][0]["file_id"], files.ids()[0]);
    assert_eq!(answer["attachments"][0]["media_type"], "image/png");
    let stored = stored(&world).await;
    assert_eq!(stored[0]["attachments"], json!([{ "file_id": files.ids()[0] }]), "{stored:?}");
    assert_eq!(stored[1].get("attachments"), None);
}

#[tokio::test]
async fn a_file_by_its_id_is_fetched_and_one_that_is_none_ends_it_before_the_run() {
    let (world, files) = world(json!({})).await;
    world.model(vec![says("seen")]).await;
    files.add("f1", "cat.png", "image/png", PNG);
    let (status, answer) = world.daemon.send(&with(json!([{ "file_id": "f1" }]))).await;
    assert_eq!((status, used(&answer)), (200, vec!["image"]), "{answer}");
    assert!(asked(&world).await.contains(&base64(PNG)));
    let count = world.model_got().await.len();
    let missing = json!({ "attachments": [{ "file_id": "f1" }, { "file_id": "gone" }],
        "task_id": null, "task_title": "T" });
    let (status, answer) = world.daemon.send(&message(missing)).await;
    assert_eq!((status, &answer["code"]), (404, &json!("file_not_found")), "{answer}");
    assert_eq!(answer["details"]["file_id"], "gone");
    assert!(world.backend_got("POST", "/tasks").await.is_empty());
    assert_eq!(world.model_got().await.len(), count);
}

#[tokio::test]
async fn files_by_id_count_for_the_limit_of_all_together() {
    let settings = [("WOMBAT_ATTACHMENTS_MAX_BYTES", "100")];
    let world = World::with(&settings, json!({ "files": true })).await;
    let files = Files::mount(&world).await;
    files.add("f1", "a.txt", "text/plain", &[b'x'; 60]);
    let both = json!([{ "file_id": "f1" }, inline("b.txt", "text/plain", &[b'y'; 60])]);
    let (status, answer) = world.daemon.send(&with(both)).await;
    assert_eq!((status, &answer["code"]), (413, &json!("payload_too_large")), "{answer}");
}

#[tokio::test]
async fn what_the_backend_does_not_take_is_told_before_the_run() {
    let (world, _) = world(json!({})).await;
    let quota =
        json!({ "error": "full", "code": "quota_exceeded", "details": { "quota_bytes": 7 } });
    let full = Mock::given(method("PUT")).and(path(format!("{MC}/files")));
    let full = full.respond_with(ResponseTemplate::new(413).set_body_json(quota));
    full.with_priority(1).mount(&world.backend).await;
    let (status, answer) = world.daemon.send(&with(json!([inline("a", "text/plain", b"x")]))).await;
    assert_eq!((status, &answer["code"]), (413, &json!("quota_exceeded")), "{answer}");
    assert_eq!(answer["details"]["quota_bytes"], 7);
    assert!(world.model_got().await.is_empty());
}

#[tokio::test]
async fn a_key_names_the_hashes_of_the_files() {
    let (world, files, journal) = journaled(&["files", "message_lookup"]).await;
    world.model(vec![refuses(400, "bad", "no"), says("seen")]).await;
    let cat = files.add("f1", "cat.png", "image/png", PNG);
    assert_eq!(
        world.daemon.send(&keyed(json!([inline("a.txt", "text/plain", b"one")]))).await.0,
        502
    );
    let recorded = journal.held().steps[&0].to_string();
    assert!(
        recorded.contains(&sha256_hex(b"one")) && !recorded.contains(&base64(b"one")),
        "{recorded}"
    );
    for other in [
        json!([inline("a.txt", "text/plain", b"two")]),
        json!([]),
        json!([{ "file_id": cat["file_id"] }]),
    ] {
        let (status, answer) = world.daemon.send(&keyed(other)).await;
        assert_eq!((status, &answer["code"]), (409, &json!("idempotency_conflict")), "{answer}");
    }
    // The same bytes are the same request, by id as well.
    let again = files.add("f2", "b.txt", "text/plain", b"one");
    let (status, answer) =
        world.daemon.send(&keyed(json!([{ "file_id": again["file_id"] }]))).await;
    assert_eq!((status, used(&answer)), (200, vec!["text"]), "{answer}");
}

#[tokio::test]
async fn a_repetition_stores_nothing_again_and_finds_what_was_deleted() {
    let (world, files, _) = journaled(&["files", "message_lookup"]).await;
    world.model(vec![refuses(400, "bad", "no"), says("I was told")]).await;
    let body = keyed(json!([inline("a.txt", "text/plain", b"one")]));
    assert_eq!(world.daemon.send(&body).await.0, 502);
    let by_id = keyed(json!([{ "file_id": files.ids()[0] }]));
    files.delete_all();
    let (status, answer) = world.daemon.send(&by_id).await;
    assert_eq!((status, used(&answer)), (200, vec!["gone"]), "{answer}");
    assert!(asked(&world).await.contains("no longer available"));
    assert!(files.ids().is_empty());
    // A replayed answer lists them, too.
    world
        .backend_says(
            "GET",
            "/messages",
            200,
            json!({ "items": [
        { "id": "m1", "task_id": "t1", "content": "I was told", "actor_type": "agent" }] }),
        )
        .await;
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, &answer["replayed"]), (200, &json!(true)), "{answer}");
    assert_eq!(used(&answer), ["gone"]);
    assert!(files.ids().is_empty());
}

#[tokio::test]
async fn without_files_a_resumed_run_says_that_they_are_gone() {
    let (world, journal) = Journal::world(&[], Vec::new()).await;
    let no = || refuses(503, "down", "no");
    world.model(vec![no(), no(), no(), says("ok")]).await;
    let body = keyed(json!([inline("cat.png", "image/png", PNG)]));
    assert_eq!(world.daemon.send(&body).await.0, 503);
    assert!(!json!(journal.held().steps).to_string().contains(&base64(PNG)));
    let resume = json!({ "resume_run_key": crate::journaled::run_key().as_str() });
    let (status, answer) = world.daemon.send(&message(resume)).await;
    assert_eq!((status, used(&answer)), (200, vec!["gone"]), "{answer}");
    assert!(asked(&world).await.contains("no longer available"));
}

#[tokio::test]
async fn a_repetition_brings_its_files_again() {
    let (world, _) = Journal::world(&[], Vec::new()).await;
    let no = || refuses(503, "down", "no");
    world.model(vec![no(), no(), no(), says("ok")]).await;
    let body = keyed(json!([inline("cat.png", "image/png", PNG)]));
    assert_eq!(world.daemon.send(&body).await.0, 503);
    let (status, answer) = world.daemon.send(&body).await;
    assert_eq!((status, used(&answer)), (200, vec!["image"]), "{answer}");
}

#[tokio::test]
async fn the_newest_files_of_the_thread_are_given_again_and_older_ones_named() {
    let settings = [("WOMBAT_HISTORY_FILES", "2")];
    let features = json!({ "files": true, "messages_list": true });
    let world = World::with(&settings, features).await;
    let files = Files::mount(&world).await;
    world.model(vec![says("ok")]).await;
    let file =
        |id: &str, text: &str| files.add(id, &format!("{id}.txt"), "text/plain", text.as_bytes());
    let said = |id: &str, actor: &str, content: &str, attachments: Vec<Value>| {
        json!({ "id": id, "task_id": "t1", "content": content, "actor_type": actor,
            "agent_role": "scout", "attachments": attachments })
    };
    let thread = json!([
        said("1", "user", "one", vec![file("old", "OLDEST TEXT")]),
        said("2", "agent", "made", vec![file("made", "MADE TEXT")]),
        said("3", "user", "two", vec![file("new", "NEWER TEXT")]),
        said("4", "agent", "ok", vec![]),
        said("5", "user", "hello", vec![file("own", "OWN TEXT")]),
    ]);
    world.backend_says("GET", "/messages", 200, json!({ "items": thread })).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    // The message that is answered is in the thread, with its file.
    assert_eq!(used(&answer), ["text"]);
    assert_eq!(answer["attachments"][0]["file_id"], "own");
    let asked = asked(&world).await;
    for shown in ["MADE TEXT", "NEWER TEXT", "OWN TEXT", "old.txt"] {
        assert_eq!(asked.matches(shown).count(), 1, "{shown}: {asked}");
    }
    assert!(!asked.contains("OLDEST TEXT"), "{asked}");
}

#[tokio::test]
async fn a_saved_file_is_attached_to_the_reply() {
    let (world, files, _) = journaled(&["files"]).await;
    world.write(
        "agent-config.json",
        r#"{"agents": [{"role": "scout", "tools": {"enable": ["save_file"]}}, {"role": "other"}]}"#,
    );
    let has_tool = |tools: &Value| tools["roles"].to_string().contains("save_file");
    world.daemon.until("/tools", has_tool).await;
    let save = |name: &str| {
        ("save_file", json!({ "name": name, "media_type": "text/csv", "content": "a,b\n1,2\n" }))
    };
    world.model(vec![calls(&[save("a.csv"), save("../b.csv"), save("a.csv")]), says("done")]).await;
    let (status, answer) = world.daemon.send(&message(json!({}))).await;
    assert_eq!(status, 200, "{answer}");
    let oks: Vec<_> = answer["steps"].as_array().unwrap().iter().map(|step| &step["ok"]).collect();
    assert_eq!(oks, [true, false, true], "{answer}");
    assert_eq!(files.ids().len(), 1);
    assert_eq!(answer["files"][0]["file_id"], files.ids()[0]);
    assert_eq!(answer["files"].as_array().unwrap().len(), 1, "{answer}");
    let reply = stored(&world).await.pop().unwrap();
    assert_eq!(reply["attachments"], json!([{ "file_id": files.ids()[0] }]));
    assert!(asked(&world).await.contains(&files.ids()[0]));
    // Only roles that enable it have it.
    let tools: Value = world.daemon.get("/tools").await.json().await.unwrap();
    assert_eq!(tools["roles"].to_string().matches("save_file").count(), 1, "{tools}");
}

//! Files of users: stored, found, refused, deleted, and gone.

use futures::stream;
use mc_client::files::sha256_hex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row as _;
use test_support::wait_for;
use wombat_mission_control::store::files::FileLimits;

use crate::harness::{Answer, Backend, Caller, Home, MC, Options, send};

pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";
const MIB: usize = 1024 * 1024;

pub(crate) async fn put(caller: &Caller, name: &str, kind: &str, bytes: &[u8]) -> Answer {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    let request = caller.raw(Method::PUT, &format!("{MC}/files?name={name}"));
    send(request.header("content-type", kind).body(bytes.to_vec())).await
}

pub(crate) fn id(stored: &Answer) -> &str {
    stored.body["file_id"].as_str().unwrap()
}

pub(crate) async fn bytes_of(caller: &Caller, id: &str) -> Vec<u8> {
    let answer = caller.raw(Method::GET, &format!("{MC}/files/{id}")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    answer.bytes().await.unwrap().to_vec()
}

async fn keeping(files: FileLimits) -> Backend {
    Backend::start_in(Home::new(), Options { files, ..Options::default() }).await
}

/// How many files and parts the database has.
async fn rows(backend: &Backend) -> (i64, i64) {
    let mut database = backend.database().await;
    let query = "SELECT (SELECT count(*) FROM files) AS files, (SELECT count(*) FROM file_parts) AS parts";
    let row = sqlx::query(query).fetch_one(&mut database).await.unwrap();
    (row.get("files"), row.get("parts"))
}

/// Bytes that no two parts have in common.
fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * n / 251) as u8).collect()
}

#[tokio::test]
async fn a_file_is_stored_found_and_deleted() {
    let backend = Backend::start().await;
    let (agent, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let stored = put(&agent, "naïve \"plan\".csv", "Text/CSV; charset=utf-8", b"a,b\n1,2\n").await;
    assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text);
    let expected = json!({
        "file_id": id(&stored), "name": "naïve \"plan\".csv", "media_type": "text/csv", "size": 8,
        "sha256": sha256_hex(b"a,b\n1,2\n"),
    });
    assert_eq!(stored.body, expected);
    let path = format!("/files/{}", id(&stored));
    for caller in [&agent, &person, &backend.agent("ann", "writer")] {
        assert_eq!(caller.get(&format!("{path}?meta=true")).await.ok(), &expected);
        let file = caller.get(&path).await;
        assert_eq!((file.status, &*file.text), (StatusCode::OK, "a,b\n1,2\n"));
        assert_eq!(file.headers["content-type"], "text/csv");
        assert_eq!(file.headers["content-length"], "8");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        assert_eq!(file.headers["content-security-policy"], "sandbox");
        assert_eq!(
            file.headers["content-disposition"],
            "attachment; filename=\"na_ve _plan_.csv\"; filename*=UTF-8''na%C3%AFve%20%22plan%22.csv"
        );
    }
    agent.get(&format!("{path}?meta=perhaps")).await.fails(400, "invalid_payload");
    agent.delete(&path).await.fails(403, "forbidden");
    let deleted = person.delete(&path).await;
    assert_eq!((deleted.status, &*deleted.text), (StatusCode::NO_CONTENT, ""));
    for answer in [
        person.delete(&path).await,
        agent.get(&path).await,
        agent.get(&format!("{path}?meta=true")).await,
    ] {
        answer.fails(404, "file_not_found");
    }
    assert_eq!(rows(&backend).await, (0, 0));
    let acts = backend.internal().get("/audit?act=file.*").await;
    let acts: Vec<_> = acts.items().iter().map(|entry| {
        assert_eq!(entry["object"], json!({ "type": "file", "id": id(&stored) }));
        assert_eq!(entry["details"], json!({ "size": 8 }));
        (entry["act"].as_str().unwrap(), entry["actor"]["type"].as_str().unwrap())
    }).collect();
    assert_eq!(acts, [("file.stored", "agent"), ("file.deleted", "person")]);
}

#[tokio::test]
async fn equal_bytes_with_equal_name_and_type_are_one_file() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let first = put(&agent, "a.txt", "text/plain", b"hello").await;
    let again = put(&backend.person("ann"), "a.txt", "text/plain", b"hello").await;
    assert_eq!((again.status, &again.body), (StatusCode::OK, &first.body));
    let mut ids = vec![id(&first).to_owned()];
    for (user, name, kind, bytes) in [
        ("ann", "b.txt", "text/plain", &b"hello"[..]),
        ("ann", "a.txt", "text/markdown", b"hello"),
        ("ann", "a.txt", "text/plain", b"hello!"),
        ("bob", "a.txt", "text/plain", b"hello"),
    ] {
        let other = put(&backend.agent(user, "scout"), name, kind, bytes).await;
        assert_eq!(other.status, StatusCode::CREATED);
        ids.push(id(&other).to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    // At once, too.
    let puts = (0..8).map(|_| put(&agent, "c.txt", "text/plain", b"at once"));
    let all = futures::future::join_all(puts).await;
    assert!(all.iter().all(|answer| id(answer) == id(&all[0])));
    let new = all.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert_eq!(new, 1);
}

#[tokio::test]
async fn a_file_is_what_its_bytes_are() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for (name, declared, bytes, kind) in [
        ("a.txt", "text/plain", PNG, "image/png"),
        ("a.png", "image/png", b"<script>alert(1)</script>", "text/html"),
        ("a.png", "image/png", b"just words", "text/plain"),
        ("a", "application/octet-stream", b"%PDF-1.7\n", "application/pdf"),
        ("a.foo", "application/x-foo", b"\0\x01\x02", "application/x-foo"),
        ("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    ] {
        let stored = put(&agent, name, declared, bytes).await;
        assert_eq!(stored.body["media_type"], kind, "{name} as {declared}: {}", stored.text);
    }
    let untold = agent.raw(Method::PUT, &format!("{MC}/files?name=a.md")).body("# Hi");
    assert_eq!(send(untold).await.body["media_type"], "text/markdown");
    put(&agent, "a", "nonsense", b"x").await.fails(400, "invalid_payload");
    let packed = agent.raw(Method::PUT, &format!("{MC}/files?name=a")).body("x");
    send(packed.header("content-encoding", "gzip")).await.fails(415, "unsupported_media_type");
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let long = "x".repeat(256);
    for wrong in ["", " ", "a/b", "a\\b", "a\nb", "\u{7f}", &long] {
        let answer = put(&agent, wrong, "text/plain", b"x").await;
        answer.fails(400, "invalid_payload");
        assert!(answer.body["details"]["fields"]["name"].is_string(), "{}", answer.text);
    }
    let nameless = agent.raw(Method::PUT, &format!("{MC}/files")).body("x");
    send(nameless).await.fails(400, "invalid_payload");
    let twice = agent.raw(Method::PUT, &format!("{MC}/files?name=a&name=b")).body("x");
    send(twice).await.fails(400, "invalid_payload");
    assert_eq!(rows(&backend).await, (0, 0));
    let longest = "ü".repeat(127) + "x";
    assert_eq!(put(&agent, &longest, "text/plain", b"").await.body["name"], longest.as_str());
}

#[tokio::test]
async fn a_file_of_many_parts_comes_back_as_it_was() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    for length in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 12_345] {
        let bytes = noise(length);
        let stored = put(&agent, "a.bin", "application/x-noise", &bytes).await;
        assert_eq!(stored.status, StatusCode::CREATED, "{}", stored.text);
        assert_eq!(stored.body["size"], length);
        assert_eq!(stored.body["sha256"], sha256_hex(&bytes));
        assert!(bytes_of(&agent, id(&stored)).await == bytes, "{length}");
        let again = put(&agent, "a.bin", "application/x-noise", &bytes).await;
        assert_eq!((again.status, id(&again)), (StatusCode::OK, id(&stored)));
    }
    assert_eq!(rows(&backend).await, (7, 1 + 1 + 1 + 1 + 2 + 3 + 4));
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_and_nothing_of_it_stays() {
    let backend = keeping(FileLimits { max_bytes: 3 * MIB as u64, ..FileLimits::default() }).await;
    let agent = backend.agent("ann", "scout");
    let whole = put(&agent, "a", "application/x-noise", &noise(3 * MIB)).await;
    assert_eq!(whole.status, StatusCode::CREATED);
    let large = noise(3 * MIB + 1);
    // Without a Content-Length it is noticed as it arrives.
    let chunks: Vec<_> = large.chunks(100_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    let streamed = agent.raw(Method::PUT, &format!("{MC}/files?name=b"));
    let streamed = streamed.body(reqwest::Body::wrap_stream(stream::iter(chunks)));
    for answer in [put(&agent, "a", "application/x-noise", &large).await, send(streamed).await] {
        answer.fails(413, "file_too_large");
        assert_eq!(answer.body["details"], json!({ "max_bytes": 3 * MIB }));
    }
    wait_for("the rest is deleted", async || (rows(&backend).await == (1, 3)).then_some(())).await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let broken = stream::iter([
        Ok(noise(2 * MIB + 1)),
        Err(std::io::Error::other("the client is gone")),
    ]);
    let request = agent.raw(Method::PUT, &format!("{MC}/files?name=a"));
    let sent = request.body(reqwest::Body::wrap_stream(broken)).send().await;
    assert!(sent.is_err(), "{sent:?}");
    wait_for("the rest is deleted", async || (rows(&backend).await == (0, 0)).then_some(())).await;
}

#[tokio::test]
async fn a_users_files_have_a_quota() {
    let backend = keeping(FileLimits { max_bytes: 80, quota_bytes: 100 }).await;
    let (ann, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let first = put(&ann, "a", "text/plain", &[b'a'; 60]).await;
    let full = put(&ann, "b", "text/plain", &[b'b'; 41]).await;
    full.fails(413, "quota_exceeded");
    assert_eq!(full.body["details"], json!({ "quota_bytes": 100, "used_bytes": 60 }));
    assert_eq!(put(&ann, "b", "text/plain", &[b'b'; 40]).await.status, StatusCode::CREATED);
    // What is there already takes no room, nor do other users.
    assert_eq!(put(&ann, "a", "text/plain", &[b'a'; 60]).await.status, StatusCode::OK);
    let other = put(&backend.agent("bob", "scout"), "a", "text/plain", &[b'a'; 80]).await;
    assert_eq!(other.status, StatusCode::CREATED);
    put(&ann, "c", "text/plain", b"c").await.fails(413, "quota_exceeded");
    person.delete(&format!("/files/{}", id(&first))).await;
    assert_eq!(put(&ann, "c", "text/plain", b"c").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn small_files_take_room_in_the_quota_too() {
    let limits = FileLimits { max_bytes: 80, quota_bytes: 256 * 1024 * 1024 };
    let backend = keeping(limits).await;
    let ann = backend.agent("ann", "scout");
    assert_eq!(put(&ann, "a", "text/plain", b"").await.status, StatusCode::CREATED);
    // As if the first one had all that is left but for half of what a small file counts.
    let mut database = backend.database().await;
    let most = i64::try_from(limits.quota_bytes - 512).unwrap();
    let set = sqlx::query("UPDATE files SET size = $1").bind(most);
    set.execute(&mut database).await.unwrap();
    put(&ann, "b", "text/plain", b"b").await.fails(413, "quota_exceeded");
    let set = sqlx::query("UPDATE files SET size = $1").bind(most - 512);
    set.execute(&mut database).await.unwrap();
    assert_eq!(put(&ann, "b", "text/plain", b"b").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn what_arrives_counts_before_it_is_whole() {
    let limits = FileLimits { max_bytes: 4 * MIB as u64, quota_bytes: 2 * MIB as u64 };
    let backend = keeping(limits).await;
    let agent = backend.agent("ann", "scout");
    let puts = (0..6).map(async |n| {
        put(&agent, &n.to_string(), "application/x-noise", &noise(4 * MIB)).await
    });
    for answer in futures::future::join_all(puts).await {
        answer.fails(413, "quota_exceeded");
    }
    wait_for("nothing stays", async || (rows(&backend).await == (0, 0)).then_some(())).await;
}

#[tokio::test]
async fn another_users_file_is_not_there() {
    let backend = Backend::start().await;
    let stored = put(&backend.agent("ann", "scout"), "a.txt", "text/plain", b"hers").await;
    let path = format!("/files/{}", id(&stored));
    for caller in [backend.agent("bob", "scout"), backend.person("bob")] {
        caller.get(&path).await.fails(404, "file_not_found");
        caller.get(&format!("{path}?meta=true")).await.fails(404, "file_not_found");
        let task = caller.task("Bob's").await;
        let named = json!({ "task_id": task, "content": "x", "attachments": [{ "file_id": id(&stored) }] });
        let answer = caller.post("/messages", named).await;
        answer.fails(404, "file_not_found");
        assert_eq!(answer.body["details"]["file_id"], id(&stored));
    }
    backend.person("bob").delete(&path).await.fails(404, "file_not_found");
    let nobody = backend.nobody();
    nobody.get(&path).await.fails(401, "unauthorized");
    put(&nobody, "a", "text/plain", b"x").await.fails(401, "unauthorized");
    nobody.delete(&path).await.fails(401, "unauthorized");
    assert_eq!(bytes_of(&backend.person("ann"), id(&stored)).await, b"hers");
}

#[tokio::test]
async fn a_write_under_a_lease_that_is_lost_stores_no_file() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let wish = json!({ "session_key": "user:ann:scout", "task_id": task, "holder": "one", "ttl_secs": 60 });
    let lease = agent.post("/sessions/lease", wish).await;
    let lease_id = lease.ok()["lease_id"].as_str().unwrap().to_owned();
    let fence = format!("{lease_id}:{}", lease.body["fence"]);
    let fenced = backend.agent("ann", "scout").with("x-session-fence", &fence);
    assert_eq!(put(&fenced, "a", "text/plain", b"x").await.status, StatusCode::CREATED);
    agent.delete(&format!("/sessions/lease/{lease_id}")).await.ok();
    put(&fenced, "b", "text/plain", b"y").await.fails(409, "stale_fence");
    put(&fenced, "c", "application/x-noise", &noise(2 * MIB)).await.fails(409, "stale_fence");
    wait_for("nothing of them stays", async || (rows(&backend).await == (1, 1)).then_some(())).await;
}

/// Makes all files so old.
async fn age(backend: &Backend, hours: i64, minutes: i64) {
    let at = chrono::Utc::now() - chrono::Duration::hours(hours) - chrono::Duration::minutes(minutes);
    let at = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let mut database = backend.database().await;
    sqlx::query("UPDATE files SET put_at = $1").bind(at).execute(&mut database).await.unwrap();
}

#[tokio::test]
async fn a_file_that_no_message_names_is_gone_after_a_day() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let named = put(&agent, "named", "text/plain", b"named").await;
    let unnamed = put(&agent, "unnamed", "text/plain", b"unnamed").await;
    let body = json!({ "task_id": task, "content": "x", "attachments": [{ "file_id": id(&named) }] });
    agent.post("/messages", body).await.ok();
    age(&backend, 23, 59).await;
    let path = format!("/files/{}", id(&unnamed));
    assert_eq!(agent.get(&path).await.status, StatusCode::OK);
    // Put again it is new.
    assert_eq!(put(&agent, "unnamed", "text/plain", b"unnamed").await.status, StatusCode::OK);
    let mut database = backend.database().await;
    let row = sqlx::query("SELECT min(put_at) AS oldest, max(put_at) AS newest FROM files")
        .fetch_one(&mut database).await.unwrap();
    assert_ne!(row.get::<String, _>("oldest"), row.get::<String, _>("newest"));
    age(&backend, 24, 1).await;
    agent.get(&path).await.fails(404, "file_not_found");
    backend.person("ann").delete(&path).await.fails(404, "file_not_found");
    let body = json!({ "task_id": task, "content": "x", "attachments": [{ "file_id": id(&unnamed) }] });
    agent.post("/messages", body).await.fails(404, "file_not_found");
    assert_eq!(bytes_of(&agent, id(&named)).await, b"named");
    let new = put(&agent, "unnamed", "text/plain", b"unnamed").await;
    assert_eq!(new.status, StatusCode::CREATED);
    assert_ne!(id(&new), id(&unnamed));
    age(&backend, 24, 1).await;
    // The bytes go at the next clean-up, of which there is one at start.
    let backend = backend.restart().await;
    wait_for("its bytes are deleted", async || (rows(&backend).await == (1, 1)).then_some(())).await;
    let acts = backend.internal().get("/audit?act=file.deleted").await;
    let by: Vec<_> = acts.items().iter().map(|entry| &entry["actor"]["type"]).collect();
    assert_eq!(by, ["system", "system"]);
    assert_eq!(acts.items()[0]["details"], json!({ "size": 7, "unreferenced": true }));
}

#[tokio::test]
async fn the_client_stores_and_reads_files() {
    let backend = Backend::start().await;
    let agent = backend.client("ann", "scout");
    let page = b"<!doctype html><html><body>a page</body></html>";
    let file = agent.put_file("a page.html", "text/html", page[..].into()).await.unwrap();
    assert_eq!(agent.file_meta(&file.file_id).await.unwrap(), file);
    assert_eq!(agent.file_bytes(&file, 1_000).await.unwrap(), page[..]);
    let too_much = agent.file_bytes(&file, 10).await.unwrap_err();
    assert!(too_much.to_string().contains("at most 10"), "{too_much}");
    let mut other = file.clone();
    other.sha256 = sha256_hex(b"other");
    assert!(agent.file_bytes(&other, 1_000).await.is_err());
    backend.person("ann").delete(&format!("/files/{}", file.file_id)).await;
    for error in [
        agent.file_meta(&file.file_id).await.unwrap_err(),
        agent.file_bytes(&file, 1_000).await.unwrap_err(),
    ] {
        assert!(error.is_file_not_found(), "{error}");
    }
    let refused: Value = serde_json::to_value(&file).unwrap();
    assert_eq!(refused["name"], "a page.html");
}

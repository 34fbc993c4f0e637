//! Erasing and exporting what is kept of a user: no table is forgotten, no byte stays.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mc_client::client::TaskQuery;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

use crate::erasing_tables::{fill, mentions, tables};
use crate::harness::{Backend, Caller, Home, on_postgres};

/// A word that is nowhere else. It comes after all times, so that nothing that holds it for one is due.
pub(crate) const CANARY: &str = "zq7canaryx9";

/// The user whose id holds it, too.
pub(crate) const USER: &str = "zq7canaryx9-ann";

fn data(user: &str, query: &str) -> String {
    format!("/users/{user}/agent-data{query}")
}

/// How many there are of each kind that there is.
fn counts(answer: &Value, field: &str) -> BTreeMap<String, u64> {
    let all: BTreeMap<String, u64> = serde_json::from_value(answer[field].clone()).unwrap();
    all.into_iter().filter(|(_, many)| *many > 0).collect()
}

/// How many lines of each kind an export has.
async fn exported(caller: &Caller, user: &str) -> (BTreeMap<String, u64>, Vec<Value>) {
    let answer = caller.get(&data(user, "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut kinds = BTreeMap::new();
    for line in &lines {
        *kinds.entry(line["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    (kinds, lines)
}

/// Something of most kinds, by calls. The keys of runs, which the daemon makes of hashes, stand in the audit log.
pub(crate) async fn use_it(backend: &Backend, user: &str, word: &str) -> String {
    let (agent, person, service) =
        (backend.agent(user, "scout"), backend.person(user), backend.internal());
    let task = agent.task(&format!("a task {word}")).await;
    let session = format!("user:{user}:scout");
    let message = json!({
        "task_id": task, "content": format!("says {word}"), "actor_type": "agent", "agent_role": "scout",
        "idempotency_key": format!("m-{word}"),
    });
    agent.post("/messages", message).await.ok();
    let document = json!({ "task_id": task, "title": format!("title {word}"), "content": word });
    agent.post("/documents", document).await.ok();
    for (key, status) in [("open", "running"), ("over", "completed")] {
        let run = json!({ "session_key": session, "task_id": task, "status": status, "asked": word });
        agent.put(&format!("/runs/{key}"), run).await.ok();
        let step = json!({ "kind": "request", "payload": { "message": word } });
        agent.put(&format!("/runs/{key}/steps/0"), step).await.ok();
    }
    let memory = json!({ "scope": "user", "text": format!("likes {word}") });
    person.post("/memories", memory).await.ok();
    let schedule = json!({
        "cron": "0 9 * * mon", "timezone": "Europe/Berlin", "role": "scout", "content": word,
    });
    person.post("/schedules", schedule).await.ok();
    let request = json!({
        "task_id": task, "run_key": "open", "session_key": session, "tool": "pay",
        "arguments": { "to": word }, "reason": format!("wants {word}"), "idempotency_key": "q",
    });
    let request = agent.post("/tool-requests", request).await;
    let id = request.ok()["id"].as_str().unwrap();
    let decision = json!({ "status": "denied", "note": format!("no {word}") });
    person.patch(&format!("/tool-requests/{id}"), decision).await.ok();
    let note = json!({ "user_id": user, "session_key": session, "content": word });
    service.post("/notifications", note).await.ok();
    let feedback = json!({ "run_key": "over", "rating": "up", "comment": word });
    person.post("/feedback", feedback).await.ok();
    let usage = json!({
        "run_id": "r", "role": "scout", "model": "m", "cost_usd": 1.5, "idempotency_key": "u",
        "prompt_tokens": 10, "completion_tokens": 5, "estimated": false,
    });
    let booked = agent.post("/usage", usage).await;
    assert_eq!(booked.status, 200, "{}", booked.text);
    let file = agent.raw(reqwest::Method::PUT, &format!("/api/mission-control/files?name={word}.txt"));
    let stored = crate::harness::send(file.body(format!("bytes of {word}"))).await;
    assert!(stored.status.is_success(), "{}", stored.text);
    service.put(&format!("/profile?user_id={user}"), json!({ "prompt_append": word })).await.ok();
    task
}

/// The files of the database.
fn files(home: &Home) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut folders = match home {
        Home::File(dir) => vec![dir.path().to_owned()],
        Home::Server(server) => vec![server.data().join("base"), server.data().join("global")],
    };
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { all.push(path) }
        }
    }
    all
}

/// The files in which a word is found.
fn found_in(home: &Home, word: &str) -> Vec<PathBuf> {
    let has = |path: &Path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(word.len()).any(|part| part == word.as_bytes())
    };
    files(home).into_iter().filter(|path| has(path)).collect()
}

/// Has all that was written in the files of the database.
async fn flush(database: &mut AnyConnection, is_whole: bool) {
    if !on_postgres() {
        return;
    }
    if is_whole {
        database.execute("VACUUM FULL").await.unwrap();
    }
    database.execute("CHECKPOINT").await.unwrap();
}

#[tokio::test]
async fn no_row_and_no_byte_of_any_table_is_left_and_all_of_others_is() {
    let backend = Backend::start().await;
    use_it(&backend, "bob", "bobsword").await;
    use_it(&backend, USER, CANARY).await;
    let mut database = backend.database().await;
    let tables = tables(&mut database).await;
    for table in &tables {
        fill(&mut database, table).await;
    }
    for table in &tables {
        assert!(mentions(&mut database, table, CANARY).await > 0, "nothing in {}", table.name);
    }
    let bobs = counts(backend.internal().delete(&data("bob", "?messages=delete&dry_run")).await.ok(), "counts");
    flush(&mut database, false).await;
    assert!(!found_in(&backend.home, CANARY).is_empty());

    let erased = backend.internal().delete(&data(USER, "?messages=delete")).await;
    assert!(counts(erased.ok(), "counts").len() > 25, "{}", erased.text);
    for table in &tables {
        assert_eq!(mentions(&mut database, table, CANARY).await, 0, "{}", table.name);
    }
    flush(&mut database, true).await;
    assert_eq!(found_in(&backend.home, CANARY), Vec::<PathBuf>::new());
    assert!(!found_in(&backend.home, "bobsword").is_empty());
    let left = backend.internal().delete(&data("bob", "?messages=delete&dry_run")).await;
    assert_eq!(counts(left.ok(), "counts"), bobs);
    drop(database);
    let home = backend.stop().await;
    assert_eq!(found_in(&home, CANARY), Vec::<PathBuf>::new());
    wombat_mission_control::audit::verify(&home.database(), None).await.unwrap();
}

#[tokio::test]
async fn an_export_has_a_line_for_every_row_of_every_table() {
    let backend = Backend::start().await;
    use_it(&backend, USER, CANARY).await;
    let mut database = backend.database().await;
    let tables = tables(&mut database).await;
    for table in &tables {
        fill(&mut database, table).await;
    }
    let person = backend.person(USER);
    let dry = person.delete(&data(USER, "?messages=keep&dry_run=true")).await;
    let mut expected = counts(dry.ok(), "counts");
    expected.extend(counts(dry.ok(), "kept"));
    let (kinds, lines) = exported(&person, USER).await;
    assert_eq!(kinds, expected);
    for table in tables {
        // The bytes of files are what the command writes beside the lines.
        let kind = match table.name.as_str() {
            "file_parts" | "audit_subjects" | "audit_reasons" => continue,
            "run_steps" => "steps",
            "run_deltas" => "deltas",
            "run_artifacts" => "artifacts",
            other => other,
        };
        assert!(kinds.contains_key(kind), "{kind} is not exported: {kinds:?}");
    }
    let of = |kind: &'static str| lines.iter().filter(move |line| line["kind"] == kind);
    let steps: Vec<_> = of("steps").filter(|line| line["item"]["payload"].is_object()).collect();
    assert_eq!(steps[0]["item"]["payload"], json!({ "message": CANARY }));
    assert_eq!(steps[0]["item"]["run_key"], "open");
    assert!(of("audit").any(|line| line["item"]["reason"] == format!("no {CANARY}")), "{lines:?}");
    let acts = person.get("/audit?act=data.exported").await;
    assert_eq!(acts.items().len(), 1);
}

#[tokio::test]
async fn what_goes_is_counted_before_and_nothing_the_second_time() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    let person = backend.person("ann");
    let dry = person.delete(&data("ann", "?messages=delete&dry_run")).await;
    let before = counts(dry.ok(), "counts");
    for kind in ["tasks", "messages", "documents", "runs", "steps", "files", "memories", "usage"] {
        assert!(before.contains_key(kind), "{kind}: {before:?}");
    }
    let erased = person.delete(&data("ann", "?messages=delete")).await;
    assert_eq!(erased.ok()["counts"], dry.body["counts"]);
    let again = person.delete(&data("ann", "?messages=delete")).await;
    assert_eq!(counts(again.ok(), "counts"), BTreeMap::new());
    assert_eq!(counts(&again.body, "kept"), BTreeMap::new());
    let (kinds, _) = exported(&person, "ann").await;
    assert_eq!(kinds, BTreeMap::new());
    let acts = backend.internal().get("/audit?act=data.erased").await;
    let entry = &acts.items()[0];
    assert_eq!(entry["details"]["messages"], "delete");
    assert_eq!(entry["details"]["counts"]["memories"], 1);
    assert!(entry.get("user_id").is_none() && entry["subject"].is_string(), "{entry}");
}

#[tokio::test]
async fn kept_messages_stay_readable_and_all_else_goes() {
    let backend = Backend::start().await;
    let task = use_it(&backend, "ann", "word").await;
    let person = backend.person("ann");
    let erased = person.delete(&data("ann", "?messages=keep")).await;
    let kept = counts(erased.ok(), "kept");
    assert_eq!((kept["tasks"], kept["documents"]), (1, 1), "{kept:?}");
    assert!(!counts(&erased.body, "counts").contains_key("messages"));
    let messages = person.get(&format!("/messages?task_id={task}")).await;
    assert_eq!(messages.items().len(), 1);
    assert!(person.get("/memories").await.items().is_empty());
    assert!(person.get("/runs").await.items().is_empty());
    let left = person.delete(&data("ann", "?messages=keep&dry_run")).await;
    assert_eq!(counts(left.ok(), "counts"), BTreeMap::new());
    let all = person.delete(&data("ann", "?messages=delete")).await;
    assert_eq!(counts(all.ok(), "counts").into_iter().collect::<Vec<_>>().len(), 3, "{}", all.text);
}

#[tokio::test]
async fn only_the_person_and_services_may_and_what_becomes_of_messages_must_be_said() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    let (agent, bob, service) =
        (backend.agent("ann", "scout"), backend.person("bob"), backend.internal());
    agent.delete(&data("ann", "?messages=delete")).await.fails(403, "forbidden");
    agent.get(&data("ann", "")).await.fails(403, "forbidden");
    agent.get("/retention").await.fails(403, "forbidden");
    bob.get("/retention").await.fails(403, "forbidden");
    bob.delete(&data("ann", "?messages=delete")).await.fails(404, "not_found");
    bob.get(&data("ann", "")).await.fails(404, "not_found");
    backend.nobody().delete(&data("ann", "?messages=delete")).await.fails(401, "unauthorized");
    for wrong in ["", "?messages=all", "?messages=delete&dry_run=maybe", "?dry_run"] {
        service.delete(&data("ann", wrong)).await.fails(400, "invalid_payload");
    }
    let left = service.delete(&data("ann", "?messages=delete&dry_run")).await;
    assert!(counts(left.ok(), "counts").len() > 10, "{}", left.text);
    let nobody = service.delete(&data("nobody", "?messages=delete")).await;
    assert_eq!(counts(nobody.ok(), "counts"), BTreeMap::new());
    // Of whom there is nothing, nothing is written down.
    assert!(service.get("/audit?act=data.erased").await.items().is_empty());
    let mut database = backend.database().await;
    for table in tables(&mut database).await {
        assert_eq!(mentions(&mut database, &table, "nobody").await, 0, "{}", table.name);
    }
}

/// A caller whose token is from a later second.
async fn later(backend: &Backend, user: &str) -> Caller {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    backend.agent(user, "scout")
}

#[tokio::test]
async fn tokens_from_before_are_refused_at_every_instance_and_after_a_restart() {
    let backend = Backend::start().await;
    let (agent, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    agent.task("before").await;
    let other = if on_postgres() { Some(backend.another().await) } else { None };
    let mut stream = agent.raw(reqwest::Method::GET, "/api/mission-control/events").send().await.unwrap();
    backend.internal().delete(&data("ann", "?messages=delete")).await.ok();
    // An open stream ends, too.
    let ended = async { while stream.chunk().await.is_ok_and(|chunk| chunk.is_some()) {} };
    tokio::time::timeout(std::time::Duration::from_secs(10), ended).await.expect("the stream ends");
    for backend in other.iter().chain([&backend]) {
        let old = agent.clone().at(&backend.url);
        let refused = old.get("/tasks").await;
        refused.fails(401, "user_erased");
        let ago = refused.body["details"]["erased_ms_ago"].as_u64().unwrap();
        assert!(ago < 60_000, "{ago}");
        assert!(refused.text.contains("issued before the data of its user was erased"));
        old.post("/tasks", json!({ "title": "x" })).await.fails(401, "user_erased");
    }
    bob.task("goes on").await;
    later(&backend, "ann").await.task("a new one").await;
    if let Some(other) = other {
        other.stop().await;
    }
    let backend = backend.restart().await;
    agent.at(&backend.url).get("/tasks").await.fails(401, "user_erased");
}

#[tokio::test]
async fn a_run_at_work_is_cancelled_and_writes_nothing_more() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    backend.person("ann").delete(&data("ann", "?messages=keep")).await.ok();
    let agent = later(&backend, "ann").await;
    let step = json!({ "kind": "llm", "payload": { "text": "late" } });
    let late = agent.put("/runs/open/steps/1", step.clone()).await;
    assert_eq!((&late.ok()["status"], &late.body["cancel_requested"]), (&json!("cancelled"), &json!(true)));
    let run = json!({ "session_key": "user:ann:scout", "task_id": "t", "status": "completed" });
    assert_eq!(agent.put("/runs/open", run.clone()).await.ok()["status"], "cancelled");
    // Nor does one that was over by then, and is told of once more.
    assert_eq!(agent.put("/runs/over", run).await.ok()["status"], "cancelled");
    agent.get("/runs/over").await.fails(404, "not_found");
    agent.get("/runs/open").await.fails(404, "not_found");
    // Another one is as new as any.
    assert_eq!(agent.put("/runs/new-run/steps/0", step).await.ok()["status"], "running");
    let acts = backend.internal().get("/audit?act=run.cancelled").await;
    assert_eq!(acts.items()[0]["object"]["id"], "open");
    assert!(acts.items()[0].get("user_id").is_none());
}

#[tokio::test]
async fn budgets_of_roles_count_on_without_the_name() {
    let backend = Backend::start().await;
    let service = backend.internal();
    let limit = json!({ "role": "scout", "limit_usd": 2.0, "period": "month" });
    service.put("/budget", limit).await.ok();
    use_it(&backend, "ann", "word").await;
    use_it(&backend, "bob", "wort").await;
    let spent = async || {
        let mut database = backend.database().await;
        let row = sqlx::query("SELECT CAST(sum(cost_nanos) AS BIGINT), count(*), count(DISTINCT user_id) FROM usage");
        let row = row.fetch_one(&mut database).await.unwrap();
        (row.get::<i64, _>(0), row.get::<i64, _>(1), row.get::<i64, _>(2))
    };
    assert_eq!(spent().await, (3_000_000_000, 2, 2));
    for user in ["ann", "bob"] {
        service.delete(&data(user, "?messages=delete")).await.ok();
    }
    assert_eq!(spent().await, (3_000_000_000, 1, 1));
    let limit = json!({ "role": "scout", "limit_usd": 3.5, "period": "month" });
    let budget = service.put("/budget", limit).await;
    assert_eq!(budget.ok()["spent_usd"], 3.0, "{}", budget.text);
}

#[tokio::test]
async fn an_erasure_that_was_interrupted_is_completed_after_a_restart() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    let begun = "INSERT INTO erasures (user_id, messages, begun_at) VALUES ('ann', 'delete', '2026-01-01T00:00:00.000000Z')";
    database.execute(begun).await.unwrap();
    drop(database);
    let backend = backend.restart().await;
    let mut database = backend.database().await;
    let sql = "SELECT count(*) FROM erasures";
    while sqlx::query(sql).fetch_one(&mut database).await.unwrap().get::<i64, _>(0) > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let left = backend.internal().delete(&data("ann", "?messages=delete&dry_run")).await;
    assert_eq!(counts(left.ok(), "counts"), BTreeMap::new());
}

#[tokio::test]
async fn what_an_operator_decided_for_others_does_not_name_them_any_more() {
    let backend = Backend::start().await;
    use_it(&backend, "bob", "word").await;
    let mut database = backend.database().await;
    let named = format!("{{\"type\":\"person\",\"id\":\"{USER}\"}}");
    for sql in [
        format!("UPDATE tool_requests SET decided_by = '{named}'"),
        format!("UPDATE events SET data = '{{\"decided_by\":{named}}}' WHERE kind = 'tool_request.denied'"),
    ] {
        let done = database.execute(AssertSqlSafe(sql)).await.unwrap();
        assert!(done.rows_affected() > 0);
    }
    backend.internal().delete(&data(USER, "?messages=delete")).await.ok();
    assert_eq!(found_in_rows(&mut database).await, 0);
    let requests = backend.person("bob").get("/tool-requests").await;
    assert_eq!(requests.items()[0]["decided_by"], json!({ "type": "person" }));
}

async fn found_in_rows(database: &mut AnyConnection) -> i64 {
    let mut found = 0;
    for table in tables(database).await {
        found += mentions(database, &table, USER).await;
    }
    found
}

#[tokio::test]
async fn the_command_writes_all_that_is_kept_and_the_files() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    use_it(&backend, "bob", "wort").await;
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("of-ann");
    let database = backend.home.database();
    let export = wombat_mission_control::person_export::export;
    let counts = export(&database, "ann", &out).await.unwrap();
    let (mut kinds, _) = exported(&backend.person("ann"), "ann").await;
    assert_eq!(counts, std::mem::take(&mut kinds));
    let text = std::fs::read_to_string(out.join("agent-data.ndjson")).unwrap();
    assert!(text.contains("says word") && !text.contains("wort"), "{text}");
    let files: Vec<_> = std::fs::read_dir(out.join("files")).unwrap().collect();
    let path = files[0].as_ref().unwrap().path();
    assert!(path.to_str().unwrap().ends_with("-word.txt"), "{path:?}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "bytes of word");
    let again = export(&database, "ann", &out).await.unwrap_err().to_string();
    assert!(again.contains("is not empty"), "{again}");
    let wrong = export(&database, "a:b", &dir.path().join("x")).await.unwrap_err().to_string();
    assert!(wrong.contains("is no user id"), "{wrong}");
}

#[tokio::test]
async fn what_began_before_gets_no_other_token_and_what_begins_after_does() {
    let backend = Backend::start().await;
    let auth = backend.client("ann", "scout");
    let work = auth.clone().of_work(std::time::SystemTime::now());
    work.list_tasks(&TaskQuery::default()).await.unwrap();
    backend.agent("ann", "scout").task("before").await;
    backend.internal().delete(&data("ann", "?messages=keep")).await.ok();
    for _ in 0..2 {
        let refused = work.list_tasks(&TaskQuery::default()).await.unwrap_err();
        assert!(refused.is_user_erased(), "{refused}");
    }
    // Its token is as new as the other one was.
    let next = auth.of_work(std::time::SystemTime::now());
    assert_eq!(next.list_tasks(&TaskQuery::default()).await.unwrap().items.len(), 1);
    let refused = work.list_tasks(&TaskQuery::default()).await.unwrap_err();
    assert!(refused.is_user_erased(), "{refused}");
}

#[tokio::test]
async fn one_that_was_begun_with_delete_deletes_whatever_is_asked_for_later() {
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    let mut database = backend.database().await;
    let begun = "INSERT INTO erasures (user_id, messages, begun_at) VALUES ('ann', 'delete', '2026-01-01T00:00:00.000000Z')";
    database.execute(begun).await.unwrap();
    let erased = backend.internal().delete(&data("ann", "?messages=keep")).await;
    assert_eq!(counts(erased.ok(), "counts")["tasks"], 1, "{}", erased.text);
    assert!(backend.person("ann").get("/tasks").await.items().is_empty());
}

#[tokio::test]
async fn what_was_interrupted_is_cleaned_away_though_others_were_cleaned_meanwhile() {
    let backend = Backend::start().await;
    // Known as clean.
    backend.internal().delete(&data(USER, "?messages=delete")).await.ok();
    later(&backend, USER).await;
    use_it(&backend, USER, CANARY).await;
    use_it(&backend, "bob", "bobsword").await;
    let mut database = backend.database().await;
    let begun = format!("INSERT INTO erasures (user_id, messages, begun_at) VALUES ('{USER}', 'delete', '2026-01-01T00:00:00.000000Z')");
    database.execute(AssertSqlSafe(begun)).await.unwrap();
    backend.internal().delete(&data("bob", "?messages=delete")).await.ok();
    drop(database);
    let backend = backend.restart().await;
    let mut database = backend.database().await;
    let sql = "SELECT (SELECT count(*) FROM erasures) + (SELECT count(*) FROM erased_users WHERE is_scrubbed <> 1)";
    test_support::wait_for("it is clean", async || {
        let left: i64 = sqlx::query(sql).fetch_one(&mut database).await.unwrap().get(0);
        (left == 0).then_some(())
    })
    .await;
    flush(&mut database, true).await;
    drop(database);
    let home = backend.stop().await;
    assert_eq!(found_in(&home, CANARY), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn who_reads_the_file_for_long_keeps_nobody_from_writing() {
    if on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    use_it(&backend, "ann", "word").await;
    let mut reader = backend.database().await;
    reader.execute("BEGIN").await.unwrap();
    reader.execute("SELECT count(*) FROM tasks").await.unwrap();
    let (bob, service) = (backend.agent("bob", "scout"), backend.internal());
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let erase = async {
        let answer = service.delete(&data("ann", "?messages=delete")).await;
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        answer
    };
    let write = async {
        let mut many = 0;
        while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
            let began = std::time::Instant::now();
            bob.task("goes on").await;
            assert!(began.elapsed() < std::time::Duration::from_secs(4), "{:?}", began.elapsed());
            many += 1;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        many
    };
    let (answer, many) = tokio::join!(erase, write);
    answer.fails(503, "unavailable");
    assert!(many > 3, "{many}");
    reader.execute("ROLLBACK").await.unwrap();
    let again = service.delete(&data("ann", "?messages=delete")).await;
    assert_eq!(counts(again.ok(), "counts"), BTreeMap::new());
}

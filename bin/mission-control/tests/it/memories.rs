//! What is remembered: whose it is, what is found, who may change it, and what is left of it.

use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::board::{act, overview, part};
use crate::harness::{Backend, Caller, column, on_postgres};

fn user(text: &str) -> Value {
    json!({ "scope": "user", "text": text })
}

async fn remember(caller: &Caller, body: Value) -> String {
    let made = caller.post("/memories", body).await;
    made.ok()["id"].as_str().unwrap().to_owned()
}

async fn texts(caller: &Caller, query: &str) -> Vec<String> {
    let list = caller.get(&format!("/memories?{query}")).await;
    column(list.items(), "text").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_memory_is_made_listed_changed_and_deleted() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = agent.task("t").await;
    let body = json!({
        "scope": "task", "task_id": task, "text": "The budget is 500.", "idempotency_key": "k",
        "source": { "run_key": "r1", "message_id": "m1" }, "expires_at": "2100-01-01T02:00:00+02:00"
    });
    let made = agent.post("/memories", body.clone()).await;
    let memory = made.ok().clone();
    assert_eq!(memory["author"], json!({ "type": "agent", "id": "scout" }));
    assert_eq!(memory["source"], json!({ "run_key": "r1", "message_id": "m1" }));
    assert_eq!(memory["expires_at"], "2100-01-01T00:00:00Z");
    assert!(memory["created_at"].is_string() && memory.get("deduplicated").is_none(), "{memory}");
    let again = agent.post("/memories", body).await;
    assert!(again.replayed());
    assert_eq!(again.ok(), &memory);

    remember(&ann, user("likes tea")).await;
    remember(&backend.agent("bob", "scout"), user("likes coffee")).await;
    for caller in [&agent, &ann, &backend.agent("ann", "other")] {
        assert_eq!(texts(caller, "").await, ["likes tea", "The budget is 500."]);
        assert_eq!(texts(caller, "scope=user").await, ["likes tea"]);
        assert_eq!(texts(caller, &format!("scope=task&task_id={task}")).await, ["The budget is 500."]);
        assert_eq!(texts(caller, "task_id=another").await, ["likes tea"]);
    }
    assert_eq!(texts(&backend.internal(), "limit=200").await.len(), 3);
    assert_eq!(texts(&backend.internal(), "user_id=bob").await, ["likes coffee"]);
    let first = ann.get("/memories?limit=1").await;
    let cursor = first.body["next_cursor"].as_str().unwrap();
    assert_eq!(texts(&ann, &format!("limit=1&cursor={cursor}")).await, ["The budget is 500."]);

    let path = format!("/memories/{}", memory["id"].as_str().unwrap());
    let changed = agent.patch(&path, json!({ "text": "The budget is 600.", "expires_at": null })).await;
    assert_eq!(changed.ok()["text"], "The budget is 600.");
    assert!(changed.body.get("expires_at").is_none(), "{}", changed.text);
    assert_eq!(texts(&ann, "q=600").await, ["The budget is 600."]);
    assert_eq!(texts(&ann, "q=500").await, Vec::<String>::new());
    for other in [backend.agent("bob", "scout"), backend.person("bob")] {
        other.patch(&path, json!({ "text": "x" })).await.fails(404, "not_found");
        other.delete(&path).await.fails(404, "not_found");
    }
    assert_eq!(agent.delete(&path).await.status, 204);
    agent.delete(&path).await.fails(404, "not_found");
    assert_eq!(texts(&ann, "q=budget").await, Vec::<String>::new());

    let acts = backend.internal().get("/audit?act=memory.*&user_id=ann").await;
    let acts = column(acts.items(), "act");
    assert_eq!(acts, ["memory.created", "memory.created", "memory.updated", "memory.deleted"]);
    let log = backend.internal().get("/audit?act=memory.*").await;
    assert!(!log.text.contains("budget"), "{}", log.text);
}

#[tokio::test]
async fn what_says_the_same_is_one_memory_of_its_owner() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let id = remember(&agent, user("Lives in  Straße 5, caf\u{e9}")).await;
    for same in ["lives IN strasse 5, CAFE\u{301}", " Lives in Straße 5,\n caf\u{e9}\t"] {
        let made = ann.post("/memories", user(same)).await;
        assert_eq!((&made.ok()["id"], &made.body["deduplicated"]), (&json!(id), &json!(true)));
        assert_eq!(made.body["text"], "Lives in  Straße 5, caf\u{e9}");
        assert_eq!(made.body["author"]["type"], "agent");
    }
    // Another owner's is another one.
    let task = agent.task("t").await;
    let of_task = json!({ "scope": "task", "task_id": task, "text": "lives in strasse 5, café" });
    assert_ne!(remember(&agent, of_task).await, id);
    assert_ne!(remember(&backend.agent("bob", "scout"), user("Lives in Straße 5, café")).await, id);
    let other = remember(&agent, user("Lives elsewhere")).await;
    let clash = agent.patch(&format!("/memories/{other}"), user("lives in straße 5, CAFÉ")).await;
    clash.fails(409, "memory_exists");
    assert_eq!(clash.body["details"]["id"], json!(id));
    // Its own text in another spelling is none of others.
    agent.patch(&format!("/memories/{id}"), json!({ "text": "lives in Strasse 5, café" })).await.ok();
}

#[tokio::test]
async fn the_best_come_first_and_words_are_no_query_language() {
    let backend = Backend::start().await;
    let (agent, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    for text in [
        "The user prefers window seats on trains",
        "The user's cat is called Mitzi",
        "Mitzi the cat eats salmon only, says the vet",
        "Zürich is where the parents live",
        "東京に行きたい",
    ] {
        remember(&agent, user(text)).await;
        remember(&bob, user(text)).await;
    }
    let found = async |q: &str| {
        let q: String = url::form_urlencoded::byte_serialize(q.as_bytes()).collect();
        texts(&agent, &format!("q={q}")).await
    };
    let salmon = found("what does the cat Mitzi eat? salmon?").await;
    assert_eq!(salmon[0], "Mitzi the cat eats salmon only, says the vet");
    assert_eq!(salmon.len(), 2);
    assert_eq!(found("preferred seat on a train").await, ["The user prefers window seats on trains"]);
    assert_eq!(found("ZURICH").await, ["Zürich is where the parents live"]);
    assert_eq!(found("東京").await, ["東京に行きたい"]);
    for nothing in ["", " "] {
        assert_eq!(found(nothing).await.len(), 5, "{nothing:?}");
    }
    for nowhere in ["zebra", "\"", "…", "* OR NOT", "words : window NEAR(", "!!! | & <->", "%"] {
        let found = found(nowhere).await;
        let is_seat = found == ["The user prefers window seats on trains"];
        assert!(found.is_empty() || (nowhere.contains("window") && is_seat), "{nowhere}: {found:?}");
    }
    let one = agent.get("/memories?q=cat&limit=1").await;
    assert_eq!((one.items().len(), one.body["next_cursor"].as_str()), (1, None));
    agent.get("/memories?q=cat&cursor=c1").await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn what_is_out_of_bounds_is_refused_by_its_name() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    remember(&agent, user(&"ü".repeat(1_000))).await;
    for (body, field) in [
        (user(&"ü".repeat(1_001)), "text"),
        (user(" "), "text"),
        (json!({ "scope": "user" }), "text"),
        (json!({ "scope": "all", "text": "x" }), "scope"),
        (json!({ "scope": "task", "text": "x" }), "task_id"),
        (json!({ "scope": "user", "task_id": "t", "text": "x" }), "task_id"),
        (json!({ "scope": "user", "tenant_id": "t", "text": "x" }), "tenant_id"),
        (json!({ "scope": "user", "text": "x", "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "scope": "user", "text": "x", "expires_at": "9999-12-31T23:59:59-01:00" }), "expires_at"),
        (json!({ "scope": "user", "text": "x", "source": { "run_key": "r".repeat(201) } }), "source.run_key"),
        (json!({ "scope": "user", "text": "x", "idempotency_key": " " }), "idempotency_key"),
    ] {
        let refused = agent.post("/memories", body).await;
        refused.fails(400, "invalid_payload");
        assert!(refused.body["details"]["fields"][field].is_string(), "{field}: {}", refused.text);
    }
    for query in ["scope=all".to_owned(), format!("q={}", "x".repeat(501)), "limit=0".to_owned()] {
        agent.get(&format!("/memories?{query}")).await.fails(400, "invalid_payload");
    }
    let nobodys = json!({ "scope": "task", "task_id": "none", "text": "x" });
    agent.post("/memories", nobodys).await.fails(404, "not_found");
    let others = json!({ "scope": "user", "user_id": "bob", "text": "x" });
    agent.post("/memories", others).await.fails(404, "not_found");
    agent.get("/memories?user_id=bob").await.fails(404, "not_found");
    backend.internal().post("/memories", user("x")).await.fails(400, "invalid_payload");
    backend.nobody().get("/memories").await.fails(401, "unauthorized");
    let id = remember(&agent, user("y")).await;
    let past = json!({ "expires_at": "2020-01-01T00:00:00Z" });
    agent.patch(&format!("/memories/{id}"), past).await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn an_agent_changes_only_what_agents_wrote() {
    let backend = Backend::start().await;
    let (agent, ann) = (backend.agent("ann", "scout"), backend.person("ann"));
    let said = remember(&ann, user("I am allergic to nuts")).await;
    let noted = remember(&agent, user("likes tea")).await;
    let service = json!({ "scope": "user", "user_id": "ann", "text": "is a gold customer" });
    let imported = remember(&backend.internal(), service).await;
    for id in [&said, &imported] {
        agent.patch(&format!("/memories/{id}"), json!({ "text": "x" })).await.fails(403, "forbidden");
        agent.delete(&format!("/memories/{id}")).await.fails(403, "forbidden");
    }
    // What a person has corrected is the person's word.
    let path = format!("/memories/{noted}");
    backend.agent("ann", "other").patch(&path, json!({ "text": "likes green tea" })).await.ok();
    let corrected = ann.patch(&path, json!({ "text": "likes black tea" })).await;
    assert_eq!(corrected.ok()["author"], json!({ "type": "person", "id": "ann" }));
    agent.patch(&path, json!({ "text": "likes green tea" })).await.fails(403, "forbidden");
    for id in [&said, &noted, &imported] {
        assert_eq!(ann.delete(&format!("/memories/{id}")).await.status, 204);
    }
}

#[tokio::test]
async fn an_owner_has_so_many_memories_and_no_more() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("t").await;
    let of_task = |n: usize| json!({ "scope": "task", "task_id": task, "text": format!("n{n}") });
    let first = remember(&agent, of_task(0)).await;
    for n in 1..100 {
        remember(&agent, of_task(n)).await;
    }
    let full = agent.post("/memories", of_task(100)).await;
    full.fails(409, "memory_full");
    assert_eq!(full.body["details"], json!({ "scope": "task", "most": 100 }));
    // What it has already, and what is another owner's, needs no place.
    assert_eq!(remember(&agent, of_task(0)).await, first);
    remember(&agent, user("n0")).await;
    assert_eq!(agent.delete(&format!("/memories/{first}")).await.status, 204);
    remember(&agent, of_task(100)).await;
}

#[tokio::test]
async fn what_has_expired_is_nowhere_and_in_nobodys_way() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let mut body = user("in a hurry");
    body["expires_at"] = json!(Utc::now() + chrono::Duration::milliseconds(1_200));
    let id = remember(&agent, body).await;
    assert_eq!(texts(&agent, "q=hurry").await, ["in a hurry"]);
    while !texts(&agent, "").await.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(texts(&agent, "q=hurry").await, Vec::<String>::new());
    assert_eq!(texts(&backend.internal(), "").await, Vec::<String>::new());
    let path = format!("/memories/{id}");
    agent.patch(&path, json!({ "text": "x" })).await.fails(404, "not_found");
    agent.delete(&path).await.fails(404, "not_found");
    let again = agent.post("/memories", user("IN A HURRY")).await;
    assert!(again.ok()["id"] != json!(id) && again.body.get("deduplicated").is_none());
}

/// A search index must not keep what nobody may see any more.
#[tokio::test]
async fn what_is_deleted_leaves_no_word_in_the_index() {
    if on_postgres() {
        return;
    }
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let id = remember(&agent, user("the password is xyzzycanary")).await;
    let mut database = backend.database().await;
    let words = async |database: &mut sqlx::AnyConnection| {
        sqlx::query("CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab(main, memories_fts, row)")
            .execute(&mut *database)
            .await
            .unwrap();
        let rows = sqlx::query("SELECT term FROM temp.terms").fetch_all(database).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>("term")).collect::<Vec<_>>()
    };
    assert!(words(&mut database).await.iter().any(|term| term == "xyzzycanari"));
    assert_eq!(agent.delete(&format!("/memories/{id}")).await.status, 204);
    assert_eq!(words(&mut database).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_person_sees_corrects_and_deletes_on_the_page() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    assert!(part(&overview(&backend).await, "memories").contains("Nothing yet."));
    let id = remember(&agent, user("likes <b>tea</b>")).await;
    let shown = overview(&backend).await;
    let shown = part(&shown, "memories");
    assert!(shown.contains("likes &lt;b&gt;tea&lt;/b&gt;") && shown.contains("by the agent scout"), "{shown}");
    for wrong in ["", " ", &"x".repeat(1_001)] {
        act(&backend, "/correct-memory", &id, &[("text", wrong)]).await.fails(400, "invalid_payload");
    }
    let corrected = act(&backend, "/correct-memory", &id, &[("text", "likes coffee")]).await;
    assert_eq!(corrected.status, 303);
    let list = agent.get("/memories").await;
    assert_eq!(list.items()[0]["text"], "likes coffee");
    assert_eq!(list.items()[0]["author"]["type"], "person");
    let others = remember(&backend.agent("bob", "scout"), user("likes milk")).await;
    act(&backend, "/forget-memory", &others, &[]).await.fails(404, "not_found");
    assert_eq!(act(&backend, "/forget-memory", &id, &[]).await.status, 303);
    assert!(part(&overview(&backend).await, "memories").contains("Nothing yet."));
    assert_eq!(texts(&agent, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_tenant_s_memories_are_its_users_and_no_one_user_s_to_change() {
    let backend = Backend::start().await;
    let service = backend.internal();
    for (user, tenant) in [("ann", "acme"), ("amy", "acme"), ("bob", "other")] {
        let profile = json!({ "tenant_id": tenant });
        service.put(&format!("/profile?user_id={user}"), profile).await.ok();
    }
    let ours = json!({ "scope": "tenant", "tenant_id": "acme", "text": "Invoices go to Linz" });
    let id = remember(&service, ours.clone()).await;
    assert_eq!(service.post("/memories", ours.clone()).await.ok()["deduplicated"], true);
    for caller in [backend.agent("ann", "scout"), backend.agent("amy", "other"), backend.person("amy")] {
        assert_eq!(texts(&caller, "").await, ["Invoices go to Linz"]);
        assert_eq!(texts(&caller, "scope=tenant&q=invoice").await, ["Invoices go to Linz"]);
        caller.post("/memories", ours.clone()).await.fails(403, "forbidden");
        caller.patch(&format!("/memories/{id}"), json!({ "text": "x" })).await.fails(403, "forbidden");
        caller.delete(&format!("/memories/{id}")).await.fails(403, "forbidden");
    }
    for caller in [backend.agent("bob", "scout"), backend.person("eve")] {
        assert_eq!(texts(&caller, "").await, Vec::<String>::new());
        assert_eq!(texts(&caller, "q=invoices").await, Vec::<String>::new());
        caller.delete(&format!("/memories/{id}")).await.fails(404, "not_found");
    }
    assert_eq!(texts(&service, "tenant_id=acme").await, ["Invoices go to Linz"]);
    service.patch(&format!("/memories/{id}"), json!({ "text": "Invoices go to Graz" })).await.ok();
    assert_eq!(service.delete(&format!("/memories/{id}")).await.status, 204);
}

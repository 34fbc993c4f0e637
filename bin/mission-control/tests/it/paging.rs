//! Paging, order and filters.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Backend, Caller, column, on_postgres};

/// All pages of a list, one column of each.
async fn pages(caller: &Caller, path: &str, name: &str) -> Vec<Vec<String>> {
    let (mut pages, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let path = match &cursor {
            None => path.to_owned(),
            Some(cursor) => format!("{path}&cursor={cursor}"),
        };
        let page = caller.get(&path).await;
        pages.push(column(page.items(), name).into_iter().map(str::to_owned).collect());
        assert!(pages.len() < 20, "the list does not end");
        cursor = page.body["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_list_over_many_pages_holds_each_task_once_in_order() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let titles: Vec<String> = (0..101).map(|n| format!("task {n}")).collect();
    for title in &titles {
        agent.task(title).await;
        // Another user's tasks in between are not counted.
        backend.agent("bob", "scout").task("other").await;
    }
    let found = pages(&agent, "/tasks?limit=50", "title").await;
    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 1]);
    assert_eq!(found.concat(), titles);
    assert_eq!(agent.get("/tasks").await.items().len(), 50);
    let all = agent.get("/tasks?limit=100000").await;
    assert_eq!(all.items().len(), 101);
    assert!(all.body.get("next_cursor").is_none());
    // A last page that is exactly full leads nowhere.
    let exact = agent.get("/tasks?limit=101").await;
    assert!(exact.body.get("next_cursor").is_none());
}

#[tokio::test]
async fn tasks_are_filtered_by_status_and_by_exact_title() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    agent.task("Plan").await;
    agent.task("plan").await;
    agent.task("Plan B").await;
    let blocked = agent.post("/tasks", json!({ "title": "Stuck", "status": "blocked" })).await;
    assert_eq!(blocked.ok()["status"], "blocked");
    let plans = agent.get("/tasks?title=Plan").await;
    assert_eq!(column(plans.items(), "title"), ["Plan"]);
    let stuck = agent.get("/tasks?status=blocked").await;
    assert_eq!(column(stuck.items(), "title"), ["Stuck"]);
    agent.get("/tasks?status=lost").await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn a_thread_shows_its_newest_messages_oldest_first_and_leads_back() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let (task, other) = (agent.task("Thread").await, agent.task("Other").await);
    for n in 0..7 {
        agent.post("/messages", json!({ "task_id": task, "content": format!("m{n}") })).await.ok();
        agent.post("/messages", json!({ "task_id": other, "content": "no" })).await.ok();
    }
    let found = pages(&agent, &format!("/messages?task_id={task}&limit=3"), "content").await;
    assert_eq!(found, [vec!["m4", "m5", "m6"], vec!["m1", "m2", "m3"], vec!["m0"]]);
    let first = &agent.get(&format!("/messages?task_id={task}&limit=1")).await.items()[0].clone();
    assert_eq!((&first["actor_type"], &first["agent_role"]), (&json!("agent"), &json!("scout")));
    assert!(first["created_at"].is_string());
    agent.get("/messages?task_id=nowhere").await.fails(404, "not_found");
    agent.get("/messages").await.fails(400, "invalid_payload");
}

#[tokio::test]
async fn a_run_finds_its_own_reply_by_its_key() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Thread").await;
    let key = "run:abc:reply";
    let lookup = format!("/messages?idempotency_key={key}");
    assert_eq!(agent.get(&lookup).await.ok(), &json!({ "items": [] }));
    let reply = json!({ "task_id": task, "content": "done", "idempotency_key": key });
    let reply = agent.post("/messages", reply).await;
    let found = agent.get(&lookup).await;
    assert_eq!(found.items(), [reply.ok().clone()]);
}

#[tokio::test]
async fn documents_are_listed_by_task_and_kind_without_text_and_read_with_it() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Thread").await;
    let plan = json!({ "title": "P", "content": "the plan", "doc_type": "plan", "task_id": task });
    let plan = agent.post("/documents", plan).await;
    let id = plan.ok()["id"].as_str().unwrap();
    assert_eq!((&plan.body["doc_type"], &plan.body["task_id"]), (&json!("plan"), &json!(task)));
    agent.post("/documents", json!({ "title": "R", "content": "x", "doc_type": "own" })).await.ok();
    for (path, titles) in [
        ("/documents".to_owned(), vec!["R", "P"]),
        (format!("/documents?task_id={task}"), vec!["P"]),
        ("/documents?doc_type=own".to_owned(), vec!["R"]),
        (format!("/documents?task_id={task}&doc_type=own"), vec![]),
    ] {
        assert_eq!(column(agent.get(&path).await.items(), "title"), titles, "{path}");
    }
    assert_eq!(agent.get("/documents").await.items()[0].get("content"), None);
    assert_eq!(agent.get(&format!("/documents/{id}")).await.ok()["content"], "the plan");
    let found = pages(&agent, "/documents?limit=1", "title").await;
    assert_eq!(found, [["R"], ["P"]]);
}

#[tokio::test]
async fn a_cursor_or_limit_that_was_never_given_out_is_refused() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("T").await;
    for list in [
        "/tasks?x=y".to_owned(),
        "/documents?x=y".to_owned(),
        "/notifications?x=y".to_owned(),
        format!("/messages?task_id={task}"),
    ] {
        for wrong in ["cursor=", "cursor=abc%00", "cursor=c-1", "limit=0", "limit=-1", "limit=x"] {
            let answer = agent.get(&format!("{list}&{wrong}")).await;
            assert_eq!(answer.status, 400, "{list}&{wrong}");
            answer.fails(400, "invalid_payload");
        }
    }
    let dead = backend.internal().get("/dispatch/dead?cursor=zz").await;
    dead.fails(400, "invalid_payload");
}

#[tokio::test]
async fn text_of_any_kind_comes_back_as_it_was() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann Müller/7", "scout");
    let mut title = "Ü <b>&amp; \u{202e} \u{0} 🦘 '; DROP TABLE tasks; --".to_owned();
    if on_postgres() {
        // The one character that PostgreSQL cannot keep.
        agent.post("/tasks", json!({ "title": title })).await.fails(400, "invalid_payload");
        title = title.replace('\0', "");
    }
    let title = title.as_str();
    let task = agent.task(title).await;
    assert_eq!(agent.get(&format!("/tasks/{task}")).await.ok()["title"], title);
    let path = "/api/mission-control/tasks";
    let found = agent.raw(Method::GET, path).query(&[("title", title)]);
    let found = crate::harness::send(found).await;
    assert_eq!(column(found.items(), "id"), [task]);
}

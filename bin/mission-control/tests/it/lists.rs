//! Tasks, threads, documents, and how lists are paged.

use serde_json::{Value, json};

use crate::backend::{Backend, Caller, each};

/// All pages of a list.
async fn pages(caller: &Caller<'_>, path: &str) -> Vec<Value> {
    let mut pages = vec![caller.get(path).await.ok()];
    while let Some(cursor) = pages.last().unwrap()["next_cursor"].as_str() {
        let next = caller.get(&format!("{path}&cursor={cursor}")).await.ok();
        pages.push(next);
    }
    pages
}

#[tokio::test]
async fn a_hundred_and_one_tasks_come_in_pages_without_gap_or_double() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    for n in 0..101 {
        ann.task(&format!("task {n:03}")).await;
    }
    let all = pages(&ann, "/tasks?limit=50").await;
    assert_eq!(
        all.iter().map(|page| page["items"].as_array().unwrap().len()).collect::<Vec<_>>(),
        [50, 50, 1]
    );
    let titles: Vec<_> = all.iter().flat_map(|page| each(page, "title")).collect();
    assert_eq!(titles, (0..101).map(|n| format!("task {n:03}")).collect::<Vec<_>>());
    assert_eq!(each(&ann.get("/tasks").await.ok(), "id").len(), 50);
    assert_eq!(each(&ann.get("/tasks?limit=1000").await.ok(), "id").len(), 101);
    assert_eq!(each(&ann.get("/tasks?title=task%20100").await.ok(), "title"), ["task 100"]);
}

#[tokio::test]
async fn a_task_is_changed_where_it_is_told_to_be() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let made = ann
        .post("/tasks", json!({ "title": "t", "description": "d", "metadata": { "a": 1 } }))
        .await
        .ok();
    assert_eq!(made["status"], "pending");
    let path = format!("/tasks/{}", made["id"].as_str().unwrap());
    let changed = ann.patch(&path, json!({ "status": "in_progress" })).await.ok();
    assert_eq!((&changed["status"], &changed["title"]), (&json!("in_progress"), &json!("t")));
    assert_eq!(changed["metadata"], json!({ "a": 1 }));
    assert!(changed["updated_at"].as_str() > made["updated_at"].as_str());
    assert_eq!(ann.patch(&path, json!({ "status": "later" })).await.status, 400);
    assert_eq!(ann.patch(&path, json!({ "title": "" })).await.status, 400);
    assert_eq!(each(&ann.get("/tasks?status=in_progress").await.ok(), "title"), ["t"]);
    assert_eq!(ann.get("/tasks?status=pending").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_thread_gives_the_newest_messages_first_and_older_ones_on_request() {
    let backend = Backend::start().await;
    let (ann, person) = (backend.agent("ann", "scout"), backend.person("ann"));
    let task = ann.task("t").await;
    for n in 0..7 {
        let caller = if n % 2 == 0 { &person } else { &ann };
        caller.post("/messages", json!({ "task_id": task, "content": format!("m{n}") })).await.ok();
    }
    let all = pages(&ann, &format!("/messages?task_id={task}&limit=3")).await;
    let contents: Vec<_> = all.iter().map(|page| each(page, "content")).collect();
    assert_eq!(contents, [vec!["m4", "m5", "m6"], vec!["m1", "m2", "m3"], vec!["m0"]]);
    assert_eq!(each(&all[0], "actor_type"), ["user", "agent", "user"]);
    assert_eq!(each(&all[0], "agent_role"), ["", "scout", ""]);
    assert_eq!(ann.get("/messages?task_id=none").await.status, 404);
    assert_eq!(ann.get("/messages").await.status, 400);
}

#[tokio::test]
async fn documents_are_listed_without_and_read_with_their_text() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let task = ann.task("t").await;
    let made = ann
        .post(
            "/documents",
            json!({ "title": "a", "content": "text", "doc_type": "plan", "task_id": task }),
        )
        .await
        .ok();
    ann.post("/documents", json!({ "title": "b", "content": "other" })).await.ok();
    assert_eq!(each(&ann.get("/documents").await.ok(), "title"), ["b", "a"]);
    for query in [format!("task_id={task}"), "doc_type=plan".to_owned()] {
        let page = ann.get(&format!("/documents?{query}")).await.ok();
        assert_eq!(each(&page, "title"), ["a"]);
        assert!(page["items"][0].get("content").is_none());
    }
    let whole = ann.get(&format!("/documents/{}", made["id"].as_str().unwrap())).await.ok();
    assert_eq!(whole["content"], "text");
}

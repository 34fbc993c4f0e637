//! The page, as a browser and as an attacker see it.

use serde_json::json;

use crate::backend::{Answer, Backend, read};

async fn page(backend: &Backend, path: &str) -> Answer {
    read(backend.http.get(format!("{}{path}", backend.url))).await
}

fn token_of(page: &Answer) -> String {
    let (_, rest) = page.text.split_once("name=\"token\" value=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_writes_to_an_agent_and_sees_the_thread() {
    let backend = Backend::start().await;
    let first = page(&backend, "/").await;
    assert_eq!(first.status, 200);
    let form = [
        ("token", token_of(&first)),
        ("user", "demo-user".into()),
        ("role", "scout".into()),
        ("task", String::new()),
        ("text", "find <b>two</b> schools".into()),
    ];
    let sent = read(backend.http.post(format!("{}/write", backend.url)).form(&form)).await;
    assert_eq!(sent.status, 303);
    let after = page(&backend, sent.headers["location"].to_str().unwrap()).await;
    assert!(after.text.contains("@scout find &lt;b&gt;two&lt;/b&gt; schools"), "{}", after.text);
    assert!(after.text.contains("user:demo-user:scout"), "{}", after.text);
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await.ok();
    assert_eq!(waiting["deliveries"][0]["content"], "@scout find <b>two</b> schools");
    // An answer in the same task, by its id.
    let task = waiting["deliveries"][0]["task_id"].as_str().unwrap();
    let form = [
        ("token", token_of(&after)),
        ("user", "demo-user".into()),
        ("role", "scout".into()),
        ("task", task.into()),
        ("text", "@jarvis you, too".into()),
    ];
    assert_eq!(
        read(backend.http.post(format!("{}/write", backend.url)).form(&form)).await.status,
        303
    );
    let thread = backend.person("demo-user").get(&format!("/messages?task_id={task}")).await.ok();
    assert_eq!(thread["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn hostile_content_stays_text_under_a_strict_policy() {
    let backend = Backend::start().await;
    let hostile = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>";
    let agent = backend.agent("demo-user", "scout");
    let task = agent.task(hostile).await;
    agent.post("/messages", json!({ "task_id": task, "content": hostile })).await.ok();
    let document = agent
        .post("/documents", json!({ "title": hostile, "content": hostile, "doc_type": hostile }))
        .await
        .ok();
    for path in ["/".to_owned(), format!("/documents/{}", document["id"].as_str().unwrap())] {
        let shown = page(&backend, &path).await;
        assert!(!shown.text.contains("<img") && !shown.text.contains("<script>"), "{}", shown.text);
        assert!(shown.text.contains("&lt;img"), "{}", shown.text);
        let policy = shown.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(shown.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn a_form_from_elsewhere_is_refused() {
    let backend = Backend::start().await;
    let token = token_of(&page(&backend, "/").await);
    let form = |token: &str| {
        [
            ("token", token.to_owned()),
            ("user", "demo-user".into()),
            ("role", "scout".into()),
            ("text", "x".into()),
        ]
    };
    let write = || backend.http.post(format!("{}/write", backend.url));
    assert_eq!(read(write().form(&form("guess"))).await.error().0, 403);
    assert_eq!(read(write().form(&form(""))).await.error().0, 403);
    assert_eq!(
        read(write().form(&form(&token)).header("sec-fetch-site", "cross-site")).await.error().0,
        403
    );
    for (role, user) in [("../x", "demo-user"), ("", "demo-user"), ("scout", "a:b"), ("scout", "")]
    {
        let form = [("token", token.as_str()), ("user", user), ("role", role), ("text", "x")];
        assert_eq!(read(write().form(&form)).await.error().0, 400, "{role} {user}");
    }
    assert_eq!(backend.person("demo-user").get("/tasks").await.ok()["items"], json!([]));
}

#[tokio::test]
async fn a_foreign_name_for_this_machine_gets_nothing() {
    let backend = Backend::start().await;
    for path in ["/", "/assets/board.js", "/documents/x"] {
        let foreign =
            read(backend.http.get(format!("{}{path}", backend.url)).header("host", "evil.example"))
                .await;
        assert_eq!(foreign.error(), (403, "forbidden".to_owned()));
    }
    for (asset, kind) in [("board.js", "text/javascript"), ("board.css", "text/css")] {
        let answer = page(&backend, &format!("/assets/{asset}")).await;
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(kind));
    }
    assert_eq!(page(&backend, "/assets/other").await.status, 404);
}

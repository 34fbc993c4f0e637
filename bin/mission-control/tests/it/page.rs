//! The page for people.

use reqwest::{Method, RequestBuilder};
use serde_json::json;

use crate::harness::{Answer, Backend, column, send};

async fn open(backend: &Backend, path: &str) -> Answer {
    send(backend.nobody().raw(Method::GET, path)).await
}

/// The token in the page's form.
async fn token(backend: &Backend) -> String {
    let page = open(backend, "/").await.text;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

/// What a browser sends with the form.
fn form(backend: &Backend, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = backend.nobody().raw(Method::POST, "/write").body(body);
    request.header("content-type", "application/x-www-form-urlencoded")
}

#[tokio::test]
async fn a_person_writes_to_an_agent_and_sees_it_on_the_page() {
    let backend = Backend::start().await;
    let token = token(&backend).await;
    let fields = [
        ("token", token.as_str()),
        ("user", "demo-user"),
        ("role", "scout"),
        ("task", ""),
        ("text", "find two schools"),
    ];
    let sent = send(form(&backend, &fields).header("sec-fetch-site", "same-origin")).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
    let there = sent.headers["location"].to_str().unwrap().to_owned();
    let thread = open(&backend, &there).await;
    assert_eq!(thread.status, 200);
    assert!(thread.text.contains("@scout find two schools"), "{}", thread.text);

    // On the same task, to another agent by mention.
    let person = backend.person("demo-user");
    let tasks = person.get("/tasks").await;
    let task = tasks.items()[0]["id"].as_str().unwrap();
    let fields = [
        ("token", token.as_str()),
        ("user", "demo-user"),
        ("role", "scout"),
        ("task", task),
        ("text", "@analyst compare them"),
    ];
    let sent = send(form(&backend, &fields)).await;
    assert_eq!(sent.headers["location"], there);
    let waiting = person.get("/notifications").await;
    let sessions = ["user:demo-user:scout", "user:demo-user:analyst"];
    assert_eq!(column(waiting.items(), "session_key"), sessions);
    assert_eq!(waiting.items()[1]["content"], "@analyst compare them");

    let page = open(&backend, "/").await.text;
    for text in ["find two schools", "messages: 2", "waiting", "user:demo-user:analyst"] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
}

#[tokio::test]
async fn a_form_that_does_not_come_from_the_page_is_refused() {
    let backend = Backend::start().await;
    let token = token(&backend).await;
    let fields = |token| [("token", token), ("user", "ann"), ("role", "scout"), ("text", "x")];
    let mut nearly = token.clone();
    nearly.pop();
    for wrong in ["", "guess", &nearly] {
        assert_eq!(send(form(&backend, &fields(wrong))).await.status, 403, "{wrong}");
    }
    assert_eq!(send(form(&backend, &fields(&token)[1..])).await.status, 403);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let sent = send(form(&backend, &fields(&token)).header(name, value)).await;
        assert_eq!(sent.status, 403, "{name}: {value}");
    }
    assert!(backend.person("ann").get("/tasks").await.items().is_empty());
    let sent = form(&backend, &fields(&token)).header("origin", &backend.url);
    assert_eq!(send(sent).await.status, 303);
}

#[tokio::test]
async fn a_form_that_makes_no_sense_is_answered_with_a_page() {
    let backend = Backend::start().await;
    let token = token(&backend).await;
    let task = backend.person("bob").task("Bob's").await;
    for (user, role, task, text, status) in [
        ("", "scout", "", "x", 400),
        ("a:b", "scout", "", "x", 400),
        ("ann", "", "", "x", 400),
        ("ann", "a b", "", "x", 400),
        ("ann", "scout", "", "  ", 400),
        ("ann", "scout", "nowhere", "x", 404),
        ("ann", "scout", task.as_str(), "x", 404),
    ] {
        let fields = [
            ("token", token.as_str()),
            ("user", user),
            ("role", role),
            ("task", task),
            ("text", text),
        ];
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        let sent = send(form(&backend, &fields).header("accept", browser)).await;
        assert_eq!(sent.status, status, "{fields:?}");
        assert_eq!(sent.headers["content-type"], "text/html; charset=utf-8");
        assert!(sent.headers.contains_key("content-security-policy"));
        assert!(sent.text.contains("That did not work"), "{}", sent.text);
    }
    let large = form(&backend, &[("token", &token), ("text", &"x".repeat(300_000))]);
    assert_eq!(send(large).await.status, 413);
}

#[tokio::test]
async fn hostile_text_is_shown_and_never_run() {
    let backend = Backend::start().await;
    let hostile = "</title><script>alert(1)</script><img src=x onerror='alert(2)'>\"&amp;";
    let person = backend.person("ann<script>");
    let task = json!({ "title": hostile, "description": hostile });
    let task = person.post("/tasks", task).await.ok()["id"].as_str().unwrap().to_owned();
    let said = json!({ "task_id": task, "content": format!("@scout {hostile}") });
    person.post("/messages", said).await.ok();
    let document =
        json!({ "title": hostile, "content": hostile, "doc_type": hostile, "task_id": task });
    let document = person.post("/documents", document).await.ok()["id"].clone();
    let waiting = backend.internal().post("/dispatch/undelivered", json!({})).await;
    let waiting = waiting.ok()["deliveries"][0]["notification_id"].clone();
    let path = format!(
        "/dispatch/notifications/{}/fail?user_id=ann%3Cscript%3E",
        waiting.as_str().unwrap()
    );
    let failure = json!({ "error": hostile, "attempts": 1, "dead": true });
    backend.internal().post(&path, failure).await.ok();

    let user = "user=ann%3Cscript%3E";
    for path in [
        format!("/?{user}"),
        format!("/tasks/{task}?{user}"),
        format!("/documents/{}?{user}", document.as_str().unwrap()),
    ] {
        let page = open(&backend, &path).await;
        assert_eq!(page.status, 200, "{path}");
        let shown = "&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=&#39;alert(2)&#39;";
        assert!(page.text.contains(shown), "{path}: {}", page.text);
        for markup in ["<script>", "<img", "</title><"] {
            assert!(!page.text.contains(markup), "{path}: {markup}");
        }
    }
    let reflected = open(&backend, "/?user=%22%3E%3Cscript%3Ealert(1)%3C/script%3E").await.text;
    assert!(!reflected.contains("<script>alert"));
}

#[tokio::test]
async fn the_page_shows_one_users_things_and_no_others() {
    let backend = Backend::start().await;
    let task = backend.person("ann").task("Ann's secret").await;
    assert!(open(&backend, "/?user=ann").await.text.contains("secret"));
    assert!(!open(&backend, "/?user=bob").await.text.contains("secret"));
    let path = format!("/tasks/{task}?user=bob");
    assert_eq!(open(&backend, &path).await.status, 404);
}

#[tokio::test]
async fn every_answer_of_the_page_forbids_what_it_does_not_need() {
    let backend = Backend::start().await;
    for path in ["/", "/assets/board.css", "/assets/board.js", "/tasks/nowhere", "/assets/x"] {
        let answer = open(&backend, path).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        for rule in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["referrer-policy"], "same-origin");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let page = open(&backend, "/").await.text;
    assert!(page.contains("<html lang=\"en\">"));
    assert!(!page.contains("://"), "nothing is loaded from elsewhere");
    assert!(!page.contains("style=") && !page.contains("onclick"), "nothing is inline");
    let kind = &open(&backend, "/assets/board.js").await.headers["content-type"];
    assert_eq!(kind, "text/javascript; charset=utf-8");
}

#[tokio::test]
async fn the_page_is_not_served_under_a_foreign_name() {
    let backend = Backend::start().await;
    for path in ["/", "/tasks/x", "/assets/board.js"] {
        for host in ["evil.example", "localhost.evil.example", "192.168.0.7:8000", ""] {
            let request = backend.nobody().raw(Method::GET, path).header("host", host);
            assert_eq!(send(request).await.status, 403, "{path} {host}");
        }
    }
    let request = backend.nobody().raw(Method::GET, "/").header("host", "localhost:1234");
    assert_eq!(send(request).await.status, 200);
}

#[tokio::test]
async fn without_the_page_the_contract_is_served_alone() {
    let backend = Backend::without_page().await;
    open(&backend, "/").await.fails(404, "not_found");
    open(&backend, "/assets/board.js").await.fails(404, "not_found");
    backend.agent("ann", "scout").task("T").await;
}

/// The value of the field `To`, and the roles that it offers.
fn roles(page: &str) -> (String, Vec<String>) {
    let (_, rest) = page.split_once("list=\"roles\" value=\"").unwrap();
    let (value, rest) = rest.split_once('"').unwrap();
    let (_, rest) = rest.split_once("<datalist id=\"roles\">").unwrap();
    let (offered, _) = rest.split_once("</datalist>").unwrap();
    let parts = offered.split("<option value=\"").skip(1);
    let names = parts.map(|part| part.split('"').next().unwrap().to_owned());
    (value.to_owned(), names.collect())
}

#[tokio::test]
async fn the_roles_that_have_been_at_work_are_offered() {
    let backend = Backend::without_demo().await;
    // While none is known, that of `wombat-daemon init`.
    let new = roles(&open(&backend, "/?user=ann").await.text);
    assert_eq!(new, ("agent".to_owned(), vec!["agent".to_owned()]));
    let agent = backend.agent("ann", "agent");
    let task = agent.task("Work").await;
    let run = json!({ "session_key": "user:ann:agent", "task_id": task });
    agent.put("/runs/r1", run).await.ok();
    let wake = json!({ "user_id": "ann", "role": "waker" });
    backend.agent("ann", "waker").post("/heartbeat", wake).await.ok();
    let seen = ("agent".to_owned(), vec!["agent".to_owned(), "waker".to_owned()]);
    for path in ["/?user=ann", &format!("/tasks/{task}?user=ann"), "/?user=new"] {
        assert_eq!(roles(&open(&backend, path).await.text), seen, "{path}");
    }

    // A role that the daemon does not serve comes last.
    let asking = backend.agent("wombat", "system").with("x-agent-roles", "scout, agent,no role");
    asking.get("/capabilities").await.ok();
    let (first, offered) = roles(&open(&backend, "/?user=ann").await.text);
    assert_eq!((&*first, offered.join(" ")), ("agent", "agent scout waker".to_owned()));
    // Only who asks for all is heard.
    backend.agent("ann", "agent").with("x-agent-roles", "evil").get("/capabilities").await.ok();
    assert!(!open(&backend, "/?user=ann").await.text.contains("evil"));
}

#[tokio::test]
async fn without_a_choice_the_page_opens_with_whoever_was_active_last() {
    let backend = Backend::start().await;
    // Nobody yet: whom the chat talks for.
    assert!(open(&backend, "/").await.text.contains("name=\"user\" value=\"local\""));
    let bob = backend.agent("bob", "scout").task("Work of bob").await;
    backend.agent("ann", "scout").task("Work of ann").await;
    let page = open(&backend, "/").await.text;
    assert!(page.contains("Work of ann") && !page.contains("Work of bob"), "{page}");
    let (_, known) = page.split_once("<nav id=\"known\"").unwrap();
    let (known, _) = known.split_once("</nav>").unwrap();
    assert!(known.contains("/?user=ann") && known.contains("/?user=bob"), "{known}");

    let words = json!({ "task_id": bob, "content": "done" });
    backend.agent("bob", "scout").post("/messages", words).await.ok();
    assert!(open(&backend, "/").await.text.contains("Work of bob"));
    let page = open(&backend, "/?user=ann").await.text;
    assert!(page.contains("Work of ann") && !page.contains("id=\"known\""), "{page}");
}

#[tokio::test]
async fn what_nobody_fetches_says_that_the_dispatcher_is_missing() {
    let backend = Backend::start().await;
    let new = json!({ "user_id": "ann", "session_key": "user:ann:agent", "content": "hello" });
    backend.internal().post("/notifications", new).await.ok();
    let told = async || open(&backend, "/?user=ann").await.text.contains("start wombat-dispatcher");
    assert!(!told().await);
    let mut database = backend.database().await;
    let earlier = "UPDATE notifications SET created_at = '2026-01-01T00:00:00.000Z'";
    sqlx::query(earlier).execute(&mut database).await.unwrap();
    assert!(told().await);
    backend.internal().post("/dispatch/undelivered", json!({})).await.ok();
    assert!(!told().await);
}

//! Whose things a person sees whom the proxy has named.

use reqwest::Method;
use serde_json::{Value, json};
use wombat_mission_control::ProxyLogin;

use crate::harness::{Answer, Backend, send};

const USER: &str = "x-forwarded-user";

/// Behind a proxy, with operators by name and by role.
async fn backend() -> Backend {
    let proxy = ProxyLogin::new(USER, "127.0.0.1").unwrap();
    let proxy = proxy.with_operators("olga").unwrap();
    Backend::behind_proxy(proxy.with_operator_role("x-groups", "support").unwrap()).await
}

async fn open(backend: &Backend, who: &str, path: &str) -> Answer {
    send(backend.nobody().with(USER, who).raw(Method::GET, path)).await
}

async fn form(backend: &Backend, who: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = backend.nobody().with(USER, who).raw(Method::POST, path).body(body);
    send(request.header("content-type", "application/x-www-form-urlencoded")).await
}

fn token(page: &Answer) -> &str {
    let (_, rest) = page.text.split_once("name=\"token\" value=\"").unwrap();
    rest.split_once('"').unwrap().0
}

/// What `bob` has: a task, a document, a run, a tool request.
async fn things(backend: &Backend) -> [String; 4] {
    let bob = backend.agent("bob", "scout");
    let task = bob.task("Secret of bob").await;
    let document = json!({ "title": "D", "content": "Secret of bob", "task_id": task });
    let document = bob.post("/documents", document).await.ok()["id"].clone();
    let run = json!({ "session_key": "user:bob:scout", "task_id": task });
    bob.put("/runs/r", run).await.ok();
    let wish = json!({
        "task_id": task, "run_key": "r", "session_key": "user:bob:scout", "tool": "pay",
        "arguments": {}, "idempotency_key": "k"
    });
    let wish = bob.post("/tool-requests", wish).await.ok()["id"].clone();
    let id = |value: Value| value.as_str().unwrap().to_owned();
    [task, id(document), "r".to_owned(), id(wish)]
}

#[tokio::test]
async fn a_person_sees_only_what_is_theirs() {
    let backend = backend().await;
    let [task, document, run, _] = things(&backend).await;
    backend.agent("ann", "scout").task("Work of ann").await;
    let own = open(&backend, "ann", "/").await;
    assert!(own.text.contains("Work of ann") && !own.text.contains("bob"), "{}", own.text);
    assert!(!own.text.contains("id=\"shown\"") && !own.text.contains("for=\"user\""));
    assert_eq!(open(&backend, "ann", "/?user=ann").await.status, 200);
    let pages = [
        "/".to_owned(),
        format!("/tasks/{task}"),
        format!("/documents/{document}"),
        format!("/runs/{run}"),
        "/live".to_owned(),
    ];
    for page in &pages {
        for other in ["bob", "BOB", "%62ob", "a:b", "demo-user", "ann&user=bob"] {
            let answer = open(&backend, "ann", &format!("{page}?user={other}")).await;
            answer.fails(403, "forbidden");
        }
        if page != "/" && page != "/live" {
            assert_eq!(open(&backend, "ann", page).await.status, 404, "{page}");
        }
    }
    // Those with an own name see their own without a choice.
    assert!(open(&backend, "bob", &pages[1]).await.text.contains("Secret of bob"));
}

#[tokio::test]
async fn a_person_does_nothing_in_anothers_name() {
    let backend = backend().await;
    let [_, _, run, wish] = things(&backend).await;
    let page = open(&backend, "ann", "/").await;
    let own = token(&page);
    let bob = backend.person("bob");
    let acts = [
        ("/decide", vec![("id", wish.as_str()), ("decision", "denied")]),
        ("/cancel", vec![("id", run.as_str())]),
        ("/requeue", vec![("id", "n")]),
        ("/write", vec![("role", "scout"), ("text", "forged")]),
    ];
    for (path, fields) in &acts {
        let mut fields = fields.clone();
        fields.extend([("token", own), ("user", "bob")]);
        form(&backend, "ann", path, &fields).await.fails(403, "forbidden");
        // The form of another person's page is not one's own.
        form(&backend, "bob", path, &fields).await.fails(403, "forbidden");
    }
    let fields = [("token", own), ("user", "ann"), ("id", &wish), ("decision", "denied")];
    form(&backend, "ann", "/decide", &fields).await.fails(404, "not_found");
    assert_eq!(bob.get(&format!("/tool-requests/{wish}")).await.ok()["status"], "pending");
    assert_eq!(bob.get("/tasks").await.items().len(), 1);
    let fields = [("token", own), ("role", "scout"), ("text", "mine")];
    assert_eq!(form(&backend, "ann", "/write", &fields).await.status, 303);
    assert_eq!(backend.person("ann").get("/tasks").await.items().len(), 1);
}

#[tokio::test]
async fn an_operator_chooses_whose_things_to_see() {
    let backend = backend().await;
    let [task, ..] = things(&backend).await;
    let page = open(&backend, "olga", "/").await;
    assert!(!page.text.contains("Secret of bob") && page.text.contains("value=\"bob\""));
    for path in ["/?user=bob".to_owned(), format!("/tasks/{task}?user=bob")] {
        assert!(open(&backend, "olga", &path).await.text.contains("Secret of bob"), "{path}");
        let by_role = backend.nobody().with(USER, "ann").with("x-groups", "users, support");
        assert_eq!(send(by_role.raw(Method::GET, &path)).await.status, 200, "{path}");
        let without = backend.nobody().with(USER, "ann").with("x-groups", "users");
        assert_eq!(send(without.raw(Method::GET, &path)).await.status, 403, "{path}");
        for near in ["Olga", "olg", "olga2"] {
            assert_eq!(open(&backend, near, &path).await.status, 403, "{near}");
        }
    }
    let fields = [("token", token(&page)), ("user", "bob"), ("role", "scout"), ("text", "hello")];
    assert_eq!(form(&backend, "olga", "/write", &fields).await.status, 303);
    assert_eq!(backend.person("bob").get("/tasks").await.items().len(), 2);
}

/// The acts of a kind in the audit log: who, of whom, about what.
async fn acts(backend: &Backend, kind: &str) -> Vec<(String, String, String)> {
    let found = backend.internal().get(&format!("/audit?act={kind}")).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let row = |entry: &Value| {
        assert_eq!(entry["actor"]["type"], "person", "{entry}");
        (text(&entry["actor_user_id"]), text(&entry["user_id"]), text(&entry["object"]["id"]))
    };
    found.items().iter().map(row).collect()
}

fn act(who: &str, whose: &str, about: &str) -> (String, String, String) {
    (who.to_owned(), whose.to_owned(), about.to_owned())
}

#[tokio::test]
async fn what_an_operator_sees_and_does_is_in_the_audit_log() {
    let backend = backend().await;
    let [task, document, run, wish] = things(&backend).await;
    for who in ["olga", "bob"] {
        // What is their own, and what is not there.
        open(&backend, who, "/").await;
        assert_ne!(open(&backend, who, "/tasks/nowhere?user=bob").await.status, 200);
    }
    let mut expected = Vec::new();
    assert_eq!(acts(&backend, "user.viewed").await, expected);
    for (path, about) in [
        ("/", ""),
        (&*format!("/tasks/{task}"), &*task),
        (&*format!("/documents/{document}"), &document),
        (&*format!("/runs/{run}"), &run),
        (&*format!("/tool-requests/{wish}/arguments"), &wish),
        ("/", ""),
    ] {
        let path = format!("{path}?user=bob");
        assert_eq!(open(&backend, "olga", &path).await.status, 200, "{path}");
        if path != "/?user=bob" || expected.is_empty() {
            expected.push(act("olga", "bob", about));
        }
        assert_eq!(acts(&backend, "user.viewed").await, expected);
        // A browser says what is a page that somebody opens, but not over plain HTTP.
        let opens = backend.nobody().with(USER, "olga").with("sec-fetch-dest", "document");
        assert_eq!(send(opens.raw(Method::GET, &path)).await.status, 200, "{path}");
        expected.push(act("olga", "bob", about));
        assert_eq!(acts(&backend, "user.viewed").await, expected);
        // The page fetches itself anew while it is open, and hears of changes.
        for _ in 0..2 {
            let again = backend.nobody().with(USER, "olga").with("sec-fetch-dest", "empty");
            assert_eq!(send(again.raw(Method::GET, &path)).await.status, 200, "{path}");
            assert_eq!(open(&backend, "olga", &path).await.status, 200, "{path}");
        }
    }
    let live = backend.nobody().with(USER, "olga").with("sec-fetch-dest", "empty");
    live.raw(Method::GET, "/live?user=bob").send().await.unwrap();
    assert_eq!(acts(&backend, "user.viewed").await, expected);

    let page = open(&backend, "olga", "/?user=bob").await;
    for (path, fields) in [
        ("/decide", [("id", wish.as_str()), ("decision", "approved")]),
        ("/cancel", [("id", run.as_str()), ("", "")]),
        ("/write", [("role", "scout"), ("text", "hello")]),
    ] {
        let fields = [&[("token", token(&page)), ("user", "bob")], &fields[..]].concat();
        assert_eq!(form(&backend, "olga", path, &fields).await.status, 303, "{path}");
    }
    let who = |kind| acts(&backend, kind);
    assert_eq!(who("tool_request.approved").await, [act("olga", "bob", &wish)]);
    assert_eq!(who("run.cancelled").await, [act("olga", "bob", &run)]);
    let written = who("message.created").await;
    assert!(matches!(&written[..], [(by, of, _)] if by == "olga" && of == "bob"), "{written:?}");
}

#[tokio::test]
async fn a_name_is_one_and_whole() {
    let backend = backend().await;
    for name in ["müller", "möller"] {
        backend.person(name).task(&format!("Work of {name}")).await;
    }
    let page = open(&backend, "müller", "/").await.text;
    assert!(page.contains("Work of müller") && !page.contains("möller"), "{page}");
    for other in ["müller\u{a0}", "\u{3000}müller"] {
        let page = open(&backend, other, "/").await;
        assert!(page.status == 200 && !page.text.contains("Work of müller"), "{}", page.text);
        let other = url::form_urlencoded::byte_serialize(other.as_bytes()).collect::<String>();
        open(&backend, "müller", &format!("/?user={other}")).await.fails(403, "forbidden");
        let page = open(&backend, "olga", &format!("/?user={other}")).await;
        assert!(page.status == 200 && !page.text.contains("Work of müller"), "{}", page.text);
    }
    let two = backend.nobody().with(USER, "ann").raw(Method::GET, "/").header(USER, "bob");
    send(two).await.fails(400, "invalid_payload");
    let latin = backend.nobody().raw(Method::GET, "/").header(USER, &b"m\xfcller"[..]);
    send(latin).await.fails(400, "invalid_payload");
    open(&backend, "a:b", "/").await.fails(400, "invalid_user");
    open(&backend, "", "/").await.fails(401, "unauthorized");
}

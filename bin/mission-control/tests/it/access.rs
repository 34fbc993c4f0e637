//! Who may do what, and how refusals look.

use reqwest::Method;
use serde_json::{Value, json};

use crate::backend::{Backend, INTERNAL, read, token};

#[tokio::test]
async fn who_says_nothing_or_lies_is_not_let_in() {
    let backend = Backend::start().await;
    let good = token("ann", "scout");
    let unsigned = "eyJhbGciOiJub25lIn0.eyJ0eXBlIjoiYWdlbnQiLCJ1c2VyX2lkIjoiYW5uIn0.";
    let cut = &good[..good.len() - 3];
    for headers in [
        vec![],
        vec![("x-agent-token", "nonsense")],
        vec![("x-agent-token", unsigned)],
        vec![("x-agent-token", cut)],
        vec![("authorization", good.as_str())],
        vec![("x-internal-token", "wrong"), ("x-on-behalf-of", "ann")],
        vec![("x-internal-token", ""), ("x-on-behalf-of", "ann")],
        vec![("x-on-behalf-of", "ann")],
        vec![("x-internal-token", INTERNAL)],
        vec![("x-internal-token", INTERNAL), ("x-on-behalf-of", "")],
    ] {
        let caller = backend.with(&headers);
        for path in ["/tasks", "/capabilities", "/notifications", "/api/schools/s1/profile"] {
            assert_eq!(
                caller.get(path).await.error(),
                (401, "unauthorized".to_owned()),
                "{headers:?} {path}"
            );
        }
    }
}

#[tokio::test]
async fn a_token_of_another_kind_is_no_agent_token() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    let backend = Backend::start().await;
    let now = jsonwebtoken::get_current_timestamp();
    let whole = json!({ "type": "agent", "user_id": "ann", "agent_role": "scout", "sub": "wombat:scout",
        "iss": "wombat", "iat": now, "exp": now + 60, "jti": "1" });
    let sign = |claims: &Value| {
        let key = EncodingKey::from_secret(crate::backend::SECRET.as_bytes());
        encode(&Header::default(), claims, &key).unwrap()
    };
    let ask = async |claims: &Value| {
        backend.with(&[("x-agent-token", &sign(claims))]).get("/tasks").await.status
    };
    assert_eq!(ask(&whole).await, 200);
    for (field, value) in [
        ("exp", json!(now - 3600)),
        ("exp", Value::Null),
        ("type", json!("user")),
        ("type", Value::Null),
        ("user_id", Value::Null),
        ("user_id", json!("")),
        ("agent_role", Value::Null),
        ("iss", json!("somebody")),
        ("iat", Value::Null),
        ("jti", Value::Null),
    ] {
        let mut claims = whole.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(field)),
            value => claims[field] = value,
        }
        assert_eq!(ask(&claims).await, 401, "{claims}");
    }
}

#[tokio::test]
async fn another_users_objects_do_not_exist() {
    let backend = Backend::start().await;
    let (ann, bob) = (backend.agent("ann", "scout"), backend.agent("bob", "scout"));
    let task = ann.task("Secret").await;
    let document =
        ann.post("/documents", json!({ "title": "d", "content": "c", "task_id": task })).await.ok();
    let document = document["id"].as_str().unwrap().to_owned();
    for (method, path, body) in [
        (Method::GET, format!("/tasks/{task}"), None),
        (Method::PATCH, format!("/tasks/{task}"), Some(json!({ "title": "mine" }))),
        (Method::GET, format!("/messages?task_id={task}"), None),
        (Method::GET, format!("/documents/{document}"), None),
        (Method::POST, "/messages".to_owned(), Some(json!({ "task_id": task, "content": "x" }))),
        (
            Method::POST,
            "/documents".to_owned(),
            Some(json!({ "title": "x", "content": "x", "task_id": task })),
        ),
        (Method::POST, "/heartbeat".to_owned(), Some(json!({ "user_id": "ann" }))),
        (Method::POST, "/standup".to_owned(), Some(json!({ "user_id": "ann", "timezone": "UTC" }))),
    ] {
        let answer = bob.call(method, &path, body.as_ref()).await;
        assert_eq!(answer.error(), (404, "not_found".to_owned()), "{path}");
    }
    for path in ["/tasks", "/documents", "/notifications"] {
        assert_eq!(bob.get(path).await.ok()["items"], json!([]), "{path}");
    }
    assert_eq!(ann.get(&format!("/tasks/{task}")).await.ok()["title"], "Secret");
}

#[tokio::test]
async fn an_agent_can_do_nothing_that_is_a_persons() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let task = ann.task("t").await;
    let message = |extra: Value| {
        let mut body = json!({ "task_id": task, "content": "x" });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let notification = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "x" });
    for (path, body) in [
        ("/messages", message(json!({ "actor_type": "user" }))),
        ("/messages", message(json!({ "agent_role": "jarvis" }))),
        ("/notifications", notification),
        ("/notifications/n/read", json!({})),
        ("/dispatch/undelivered", json!({})),
        ("/dispatch/notifications/n/deliver?user_id=ann", json!({})),
        ("/dispatch/notifications/n/requeue?user_id=ann", json!({})),
    ] {
        assert_eq!(ann.post(path, body).await.error(), (403, "forbidden".to_owned()), "{path}");
    }
    assert_eq!(ann.get("/dispatch/dead").await.status, 403);
    let as_agent = message(json!({ "actor_type": "agent" }));
    assert_eq!(backend.person("ann").post("/messages", as_agent).await.status, 403);
}

#[tokio::test]
async fn every_refusal_has_the_contracts_shape() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let invalid = |code: &str| (400, code.to_owned());
    for (path, body) in [
        ("/tasks", json!({})),
        ("/tasks", json!({ "title": " " })),
        ("/tasks", json!({ "title": 7 })),
        ("/tasks", json!({ "title": "t", "status": "someday" })),
        ("/messages", json!({ "content": "x" })),
        ("/documents", json!({ "title": "x" })),
        ("/standup", json!({ "timezone": "Mars" })),
        ("/heartbeat", json!({ "user_id": "ann", "slot": "noon" })),
        ("/api/schools/search", json!({ "level": "university" })),
        ("/api/schools/search", json!({ "limit": 0 })),
    ] {
        let answer = ann.post(path, body.clone()).await;
        assert_eq!(answer.error(), invalid("invalid_payload"), "{path} {body}");
        assert!(answer.json()["details"]["fields"].is_object(), "{answer:?}");
    }
    for query in ["cursor=zzz", "limit=x", "limit=0", "status=someday"] {
        assert_eq!(
            ann.get(&format!("/tasks?{query}")).await.error(),
            invalid("invalid_payload"),
            "{query}"
        );
    }
    let raw = |body: &str| {
        let request =
            backend.request(Method::POST, "/tasks").header("x-agent-token", token("ann", "scout"));
        request.header("content-type", "application/json").body(body.to_owned())
    };
    assert_eq!(read(raw("{")).await.error(), invalid("malformed_json"));
    assert_eq!(read(raw("[]")).await.error(), invalid("malformed_json"));
    let large = format!("{{\"title\":\"{}\"}}", "x".repeat(3 * 1024 * 1024));
    assert_eq!(read(raw(&large)).await.error().0, 413);
    let form =
        backend.request(Method::POST, "/tasks").header("x-agent-token", token("ann", "scout"));
    assert_eq!(read(form.body("title=x")).await.error().0, 415);
    assert_eq!(ann.get("/nothing").await.error(), (404, "not_found".to_owned()));
    assert_eq!(
        ann.call(Method::DELETE, "/tasks", None).await.error(),
        (405, "method_not_allowed".to_owned())
    );
}

#[tokio::test]
async fn the_demo_application_is_described_and_answers() {
    let backend = Backend::start().await;
    let ann = backend.agent("ann", "scout");
    let search = json!({ "level": "primary", "near": "beach", "limit": 2 });
    let found = ann.post("/api/schools/search", search).await.ok();
    assert_eq!(found["schools"].as_array().unwrap().len(), 2);
    assert!(found["total"].as_u64().unwrap() >= 2);
    let id = found["schools"][0]["id"].as_str().unwrap();
    let profile = ann.get(&format!("/api/schools/{id}/profile")).await.ok();
    assert_eq!(profile["name"], found["schools"][0]["name"]);
    assert_eq!(ann.get("/api/schools/none/profile").await.status, 404);
    let document = read(backend.http.get(format!("{}/openapi.json", backend.url))).await.ok();
    assert!(document["paths"]["/api/schools/search"]["post"].is_object());
    let capabilities = ann.get("/capabilities").await.ok();
    assert_eq!(capabilities["contract_version"], "v1");
    assert_eq!(capabilities["features"]["message_lookup"], true);
}

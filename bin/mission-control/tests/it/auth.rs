//! Who may do what.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Backend, INTERNAL, MC, SECRET, send};

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn claims() -> Value {
    json!({
        "type": "agent", "user_id": "ann", "agent_role": "scout", "sub": "wombat:scout",
        "iss": "wombat", "iat": now(), "exp": now() + 900, "jti": "one"
    })
}

pub(crate) fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

fn changed(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    signed(Algorithm::HS256, SECRET, &claims)
}

#[tokio::test]
async fn a_good_token_is_let_in_and_every_other_is_refused_the_same_way() {
    let backend = Backend::start().await;
    let good = signed(Algorithm::HS256, SECRET, &claims());
    let tasks = backend.nobody().with("x-agent-token", &good).get("/tasks").await;
    assert_eq!(tasks.ok(), &json!({ "items": [] }));

    let (head_and_claims, _) = good.rsplit_once('.').unwrap();
    let payload = head_and_claims.split_once('.').unwrap().1;
    let mut bad = vec![
        ("nothing".to_owned(), String::new()),
        ("no token".to_owned(), "nonsense".to_owned()),
        ("no signature".to_owned(), format!("{head_and_claims}.")),
        // {"alg":"none"} in base64url.
        ("algorithm none".to_owned(), format!("eyJhbGciOiJub25lIn0.{payload}.")),
        ("another secret".to_owned(), signed(Algorithm::HS256, &"x".repeat(32), &claims())),
        ("another algorithm".to_owned(), signed(Algorithm::HS512, SECRET, &claims())),
        // Clocks may differ by a minute.
        ("expired".to_owned(), changed("exp", json!(now() - 90))),
        ("from the future".to_owned(), changed("iat", json!(now() + 600))),
        ("another issuer".to_owned(), changed("iss", json!("elsewhere"))),
        ("another type".to_owned(), changed("type", json!("user"))),
        ("another subject".to_owned(), changed("sub", json!("wombat:jarvis"))),
        ("for another audience".to_owned(), changed("aud", json!("elsewhere"))),
        ("an empty user".to_owned(), changed("user_id", json!(""))),
        ("a user that is no text".to_owned(), changed("user_id", json!(7))),
    ];
    for name in ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        bad.push((format!("without {name}"), signed(Algorithm::HS256, SECRET, &claims)));
    }
    for (what, token) in bad {
        let answer = backend.nobody().with("x-agent-token", &token).get("/tasks").await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text);
        answer.fails(401, "unauthorized");
    }
}

#[tokio::test]
async fn every_endpoint_asks_who_calls() {
    let backend = Backend::start().await;
    for (method, path) in [
        (Method::GET, "/capabilities"),
        (Method::GET, "/tasks"),
        (Method::POST, "/tasks"),
        (Method::GET, "/tasks/x"),
        (Method::PATCH, "/tasks/x"),
        (Method::GET, "/messages?task_id=x"),
        (Method::POST, "/messages"),
        (Method::GET, "/documents"),
        (Method::POST, "/documents"),
        (Method::GET, "/documents/x"),
        (Method::GET, "/notifications"),
        (Method::POST, "/notifications"),
        (Method::POST, "/notifications/x/read"),
        (Method::POST, "/heartbeat"),
        (Method::POST, "/standup"),
        (Method::GET, "/dispatch/undelivered"),
        (Method::POST, "/dispatch/undelivered"),
        (Method::POST, "/dispatch/notifications/x/deliver?user_id=ann"),
        (Method::POST, "/dispatch/notifications/x/fail?user_id=ann"),
        (Method::POST, "/dispatch/notifications/x/requeue?user_id=ann"),
        (Method::GET, "/dispatch/dead"),
        (Method::GET, "/runs/x"),
        (Method::PUT, "/runs/x"),
        (Method::PUT, "/runs/x/steps/0"),
        (Method::POST, "/runs/x/cancel"),
        (Method::POST, "/sessions/lease"),
        (Method::PUT, "/sessions/lease/x"),
        (Method::DELETE, "/sessions/lease/x"),
        (Method::GET, "/budget"),
        (Method::PUT, "/budget"),
        (Method::POST, "/budget/reserve"),
        (Method::POST, "/usage"),
        (Method::GET, "/events"),
        (Method::POST, "/dispatch/deliver"),
        (Method::GET, "/tool-requests"),
        (Method::POST, "/tool-requests"),
        (Method::GET, "/tool-requests/x"),
        (Method::PATCH, "/tool-requests/x"),
    ] {
        let path = format!("{MC}{path}");
        let silent = send(backend.nobody().raw(method.clone(), &path)).await;
        assert_eq!(silent.status, 401, "{method} {path}");
        silent.fails(401, "unauthorized");
        let wrong =
            backend.nobody().with("x-internal-token", "wrong").with("x-on-behalf-of", "ann");
        let wrong = send(wrong.raw(method.clone(), &path)).await;
        assert_eq!(wrong.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn an_agent_can_do_nothing_that_a_person_or_a_service_does() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Mine").await;
    let body = json!({ "task_id": task, "content": "hello", "actor_type": "user" });
    agent.post("/messages", body).await.fails(403, "forbidden");
    let body = json!({ "task_id": task, "content": "hello", "agent_role": "jarvis" });
    agent.post("/messages", body).await.fails(403, "role_mismatch");
    let body = json!({ "user_id": "ann", "session_key": "user:ann:scout", "content": "x" });
    agent.post("/notifications", body).await.fails(403, "forbidden");
    agent.post("/notifications/x/read", json!({})).await.fails(403, "forbidden");
    agent.post("/dispatch/undelivered", json!({})).await.fails(403, "forbidden");
    agent.get("/dispatch/dead").await.fails(403, "forbidden");
    agent.post("/dispatch/deliver", json!({ "deliveries": [] })).await.fails(403, "forbidden");
    for verb in ["deliver", "requeue"] {
        let path = format!("/dispatch/notifications/x/{verb}?user_id=ann");
        agent.post(&path, json!({})).await.fails(403, "forbidden");
    }
    // Naming a person changes nothing while only the agent's token is shown.
    let agent = agent.with("x-on-behalf-of", "ann");
    agent.post("/notifications/x/read", json!({})).await.fails(403, "forbidden");
}

#[tokio::test]
async fn a_service_acts_for_the_person_that_it_names_and_for_nobody_without_a_name() {
    let backend = Backend::start().await;
    let person = backend.person("ann");
    let task = person.task("From a person").await;
    let message = json!({ "task_id": task, "content": "hello" });
    let message = person.post("/messages", message).await;
    assert_eq!(message.ok()["actor_type"], "user");
    let as_agent = json!({ "task_id": task, "content": "hello", "actor_type": "agent" });
    person.post("/messages", as_agent).await.fails(403, "forbidden");

    backend.internal().get("/tasks").await.fails(401, "unauthorized");
    for user in ["", " ", "ann:scout"] {
        backend.person(user).get("/tasks").await.fails(401, "unauthorized");
    }
    let nameless = backend.nobody().with("x-on-behalf-of", "ann");
    nameless.get("/tasks").await.fails(401, "unauthorized");
    let nearly = &INTERNAL[..INTERNAL.len() - 1];
    let nearly = backend.nobody().with("x-internal-token", nearly).with("x-on-behalf-of", "ann");
    nearly.get("/tasks").await.fails(401, "unauthorized");
}

#[tokio::test]
async fn an_agents_message_bears_the_role_of_its_token() {
    let backend = Backend::start().await;
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Mine").await;
    let message = agent.post("/messages", json!({ "task_id": task, "content": "found" })).await;
    let message = message.ok();
    assert_eq!(
        (&message["actor_type"], &message["agent_role"]),
        (&json!("agent"), &json!("scout"))
    );
}

#[tokio::test]
async fn the_capabilities_name_what_is_offered() {
    let backend = Backend::start().await;
    let capabilities = backend.agent("ann", "scout").get("/capabilities").await;
    assert_eq!(
        capabilities.ok(),
        &json!({ "contract_version": "v1", "features": {
            "agent_mentions": true, "approval_rules": true, "artifacts": true, "audit": true, "budget_scopes": true, "budgets": true, "decisions": true, "delivery_options": true, "dispatch_batch": true, "dispatch_leases": true, "documents_list": true, "erasure": true, "events_sse": true, "feedback": true, "files": true, "heartbeat": true, "heartbeat_notes": true, "memories": true,
            "message_data": true, "message_lookup": true, "messages_list": true, "notifications": true,
            "notifications_dispatch": true, "notifications_fail": true, "orphans": true, "profile": true, "retention": true, "run_journal": true, "run_stream": true, "runs_list": true, "schedules": true, "session_leases": true, "standup": true,
            "tasks_get": true, "tasks_update": true, "tool_requests": true, "tools": true, "user_messages": true
        }, "pages": { "task": "/tasks/{task_id}?user={user_id}" } })
    );
}

#[tokio::test]
async fn a_header_that_names_somebody_comes_once_and_in_utf8() {
    let backend = Backend::start().await;
    let person = backend.person("müller");
    person.task("Mine").await;
    assert_eq!(person.get("/tasks").await.ok()["items"].as_array().unwrap().len(), 1);
    let agent = backend.agent("müller", "scout");
    let path = format!("{MC}/tasks");
    for (name, value) in [
        ("x-on-behalf-of", b"ann".as_slice()),
        ("x-internal-token", b"other"),
        ("x-agent-token", b"\xff"),
        ("idempotency-key", b"m\xfcller"),
        ("x-session-fence", b"\xff:1"),
    ] {
        let value = http::HeaderValue::from_bytes(value).unwrap();
        let call = person.raw(Method::GET, &path).header(name, value.clone());
        send(call).await.fails(400, "invalid_header");
        let twice = agent.raw(Method::GET, &path).header(name, value.clone()).header(name, value);
        send(twice).await.fails(400, "invalid_header");
    }
}

#[tokio::test]
async fn a_token_on_behalf_of_its_user_stores_what_the_user_said_once() {
    let backend = Backend::start().await;
    let task = backend.agent("ann", "scout").task("Mine").await;
    let by = |of: &str| {
        let token = changed("on_behalf_of", json!(of));
        backend.nobody().with("x-agent-token", &token)
    };
    let said = json!({ "task_id": task, "content": "@scout and @jarvis look", "actor_type": "user",
        "idempotency_key": "run:x:message" });
    let made = by("ann").post("/messages", said.clone()).await;
    assert_eq!((&made.ok()["actor_type"], &made.ok()["agent_role"]), (&json!("user"), &Value::Null));
    let again = by("ann").post("/messages", said.clone()).await;
    assert!(again.replayed() && again.ok()["id"] == made.ok()["id"]);
    // The agent is answering already, and the call starts no other one.
    let person = backend.person("ann");
    assert!(person.get("/notifications").await.items().is_empty());
    // Ann's own words on the page do.
    let own = json!({ "task_id": task, "content": "@jarvis look" });
    person.post("/messages", own).await.ok();
    let told = person.get("/notifications").await;
    assert_eq!(crate::harness::column(told.items(), "session_key"), ["user:ann:jarvis"]);
    let without = |name: &str, value: Value| {
        let mut body = said.clone();
        body[name] = value;
        body
    };
    by("ann").post("/messages", without("idempotency_key", Value::Null)).await.fails(400, "invalid_payload");
    by("ann").post("/messages", without("agent_role", json!("jarvis"))).await.fails(403, "role_mismatch");
    by("ann").post("/messages", without("actor_id", json!("bob"))).await.fails(403, "forbidden");
    by("bob").post("/messages", said.clone()).await.fails(403, "forbidden");
    // Every other token is an agent's.
    let agent = backend.agent("ann", "scout").with("x-on-behalf-of", "ann");
    agent.post("/messages", said).await.fails(403, "forbidden");
    by("ann").post("/notifications/x/read", json!({})).await.fails(403, "forbidden");
}

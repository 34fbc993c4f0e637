//! A person's word on the page: other arguments, rules for further calls, answers.

use chrono::{Duration, Utc};
use reqwest::Method;
use serde_json::{Value, json};
use wombat_mission_control::ProxyLogin;

use crate::board::{act, open, overview, part};
use crate::harness::{Backend, Home, Options, send};

/// Stores a request of `ann`'s scout; its task and its id.
async fn ask(backend: &Backend, more: Value) -> (String, String) {
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let mut body = json!({
        "task_id": task, "run_key": "r1", "session_key": "user:ann:scout", "tool": "refund",
        "arguments": { "order": "o1", "amount": 40 }, "idempotency_key": task
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let made = agent.post("/tool-requests", body).await;
    let id = made.ok()["id"].as_str().unwrap().to_owned();
    (task, id)
}

/// A call of a tool whose arguments are known.
fn known() -> Value {
    json!({ "parameters": { "type": "object" } })
}

fn question(arguments: Value) -> Value {
    json!({ "kind": "question", "tool": "ask_user", "arguments": arguments })
}

async fn status(backend: &Backend, id: &str) -> Value {
    backend.agent("ann", "scout").get(&format!("/tool-requests/{id}")).await.ok().clone()
}

#[tokio::test]
async fn a_call_is_approved_with_other_arguments() {
    let backend = Backend::start().await;
    let parameters = json!({ "properties": { "amount": { "maximum": 100 } } });
    let (_, id) = ask(&backend, json!({ "parameters": parameters })).await;
    let page = overview(&backend).await;
    let waiting = part(&page, "approvals");
    assert!(waiting.contains("Approve with these arguments"), "{waiting}");
    let edited = |arguments: &'static str| [("decision", "edited"), ("note", "half"), ("arguments", arguments)];
    for (wrong, code) in [
        (r#"{"amount":500}"#, "arguments_mismatch"),
        ("[1]", "invalid_payload"),
        ("", "invalid_payload"),
        (r#"{"amount":1,"amount":2}"#, "arguments_mismatch"),
    ] {
        act(&backend, "/decide", &id, &edited(wrong)).await.fails(400, code);
    }
    assert_eq!(act(&backend, "/decide", &id, &edited(r#"{ "amount": 20 }"#)).await.status, 303);
    let decided = status(&backend, &id).await;
    assert_eq!(decided["edited"], json!({ "arguments": { "amount": 20 } }));
    assert_eq!((&decided["note"], &decided["decided_by"]), (&json!("half"), &json!({ "type": "person" })));
}

#[tokio::test]
async fn such_calls_are_allowed_from_now_on_until_that_is_taken_back() {
    let backend = Backend::start().await;
    let (_, id) = ask(&backend, known()).await;
    let page = overview(&backend).await;
    let form = part(&page, "approvals");
    assert!(form.contains("name=\"max_uses\" min=\"1\" value=\"10\""), "{form}");
    assert!(form.contains("&quot;eq&quot;: 40") && !form.contains("&quot;lte&quot;"), "{form}");
    assert!(part(&overview(&backend).await, "rules").contains("None."));
    let day = (Utc::now() + Duration::days(30)).format("%Y-%m-%d").to_string();
    let always = |when: &'static str, day: &'static str, uses: &'static str| {
        [("decision", "always"), ("when", when), ("until", day), ("max_uses", uses)]
    };
    for wrong in [
        always("{", "2099-01-01", ""),
        always(r#"{"amount":{"x":1}}"#, "2099-01-01", ""),
        always("", "2099-01-01", ""),
        always("", "soon", ""),
        always("", "2099-01-01", "many"),
    ] {
        act(&backend, "/decide", &id, &wrong).await.fails(400, "invalid_payload");
    }
    let right = [("decision", "always"), ("when", r#"{"amount":{"lte":50}}"#), ("until", &*day), ("max_uses", "3")];
    assert_eq!(act(&backend, "/decide", &id, &right).await.status, 303);
    let listed = backend.agent("ann", "scout").get("/approval-rules").await;
    let rule = &listed.items()[0];
    assert_eq!((&rule["max_uses"], &rule["when"]), (&json!(3), &json!({ "amount": { "lte": 50 } })));
    assert!(rule["expires_at"].as_str().unwrap().starts_with(&format!("{day}T23:59:59")));
    let page = overview(&backend).await;
    let shown = part(&page, "rules");
    assert!(shown.contains("refund") && shown.contains("used: 0 of 3") && shown.contains("lte"), "{shown}");
    let rule_id = rule["id"].as_str().unwrap();
    let foreign = [("token", "guess"), ("user", "ann"), ("id", rule_id)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(foreign).finish();
    let forged = backend.nobody().raw(Method::POST, "/revoke").body(body);
    let forged = forged.header("content-type", "application/x-www-form-urlencoded");
    send(forged).await.fails(403, "forbidden");
    assert_eq!(act(&backend, "/revoke", "nowhere", &[]).await.status, 404);
    assert_eq!(act(&backend, "/revoke", rule_id, &[]).await.status, 303);
    assert!(part(&overview(&backend).await, "rules").contains("None."));
}

#[tokio::test]
async fn a_question_is_answered_on_the_page_of_its_task() {
    let backend = Backend::start().await;
    let colours = json!({ "question": "Which *colour*?", "options": ["Red", "Dark blue"] });
    let (task, id) = ask(&backend, question(colours)).await;
    let page = open(&backend, &format!("/tasks/{task}?user=ann")).await;
    let waiting = part(&page, "approvals");
    assert!(waiting.contains("Which <em>colour</em>?") && waiting.contains("value=\"Dark blue\""), "{waiting}");
    assert!(part(&page, "thread").contains("question</span>"), "{page}");
    act(&backend, "/decide", &id, &[("option", "Green")]).await.fails(400, "answer_mismatch");
    let chosen = act(&backend, "/decide", &id, &[("option", "Dark blue"), ("task", &task)]).await;
    assert_eq!(chosen.status, 303);
    assert_eq!(chosen.headers["location"], format!("/tasks/{task}?user=ann"));
    assert_eq!(status(&backend, &id).await["answer"], "Dark blue");
    assert!(!open(&backend, &format!("/tasks/{task}?user=ann")).await.contains("id=\"approvals\""));

    let number = json!({ "question": "How many?", "schema": { "type": "integer" } });
    let (_, id) = ask(&backend, question(number)).await;
    let answer = |text: &'static str| [("decision", "answered"), ("answer", text)];
    act(&backend, "/decide", &id, &answer("a few")).await.fails(400, "answer_mismatch");
    act(&backend, "/decide", &id, &answer("")).await.fails(400, "answer_mismatch");
    assert_eq!(act(&backend, "/decide", &id, &answer(" 7 ")).await.status, 303);
    assert_eq!(status(&backend, &id).await["answer"], 7);

    let (_, id) = ask(&backend, question(json!({ "question": "Else?" }))).await;
    assert_eq!(act(&backend, "/decide", &id, &[("decision", "denied"), ("note", "no")]).await.status, 303);
    assert_eq!(status(&backend, &id).await["status"], "denied");
}

#[tokio::test]
async fn what_is_written_below_the_thread_answers_its_question() {
    let backend = Backend::start().await;
    let (task, id) = ask(&backend, question(json!({ "question": "Who?" }))).await;
    let write = [("task", task.as_str()), ("role", "scout"), ("text", "Mary")];
    assert_eq!(act(&backend, "/write", "", &write).await.status, 303);
    let answered = status(&backend, &id).await;
    assert_eq!((&answered["status"], &answered["answer"]), (&json!("answered"), &json!("Mary")));
    let page = open(&backend, &format!("/tasks/{task}?user=ann")).await;
    assert!(part(&page, "thread").contains("answer</span>"), "{page}");
}

/// A backend whose operators are these, and the roles that a proxy passes.
fn operators(names: Option<&str>, role: bool) -> Options {
    let mut proxy = ProxyLogin::new("x-user", "127.0.0.1").unwrap();
    if let Some(names) = names {
        proxy = proxy.with_operators(names).unwrap();
    }
    if role {
        proxy = proxy.with_operator_role("x-groups", "support").unwrap();
    }
    Options { proxy: Some(proxy), ..Options::default() }
}

/// Approves `ann`'s request as somebody else, with a rule.
async fn allow(backend: &Backend, who: &[(&'static str, &str)], id: &str) {
    let mut caller = backend.nobody();
    for (name, value) in who {
        caller = caller.with(name, value);
    }
    let page = send(caller.raw(Method::GET, "/?user=ann")).await.text;
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap();
    let token = rest.split_once('"').unwrap().0;
    let day = (Utc::now() + Duration::days(30)).format("%Y-%m-%d").to_string();
    let fields = [("token", token), ("user", "ann"), ("id", id), ("decision", "always"), ("until", &*day)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let sent = caller.raw(Method::POST, "/decide").body(body);
    let sent = send(sent.header("content-type", "application/x-www-form-urlencoded")).await;
    assert_eq!(sent.status, 303, "{}", sent.text);
}

/// Uses `ann`'s only rule.
async fn use_it(backend: &Backend, key: &str) -> crate::harness::Answer {
    let agent = backend.agent("ann", "scout");
    let listed = agent.get("/approval-rules").await;
    let path = format!("/approval-rules/{}/uses", listed.items()[0]["id"].as_str().unwrap());
    agent.post(&path, json!({ "run_key": "r1", "arguments": {}, "idempotency_key": key })).await
}

#[tokio::test]
async fn what_an_operator_allowed_is_void_once_they_are_none() {
    let backend = Backend::start_in(Home::new(), operators(Some("olga"), false)).await;
    let (_, id) = ask(&backend, known()).await;
    allow(&backend, &[("x-user", "olga")], &id).await;
    use_it(&backend, "u1").await.ok();
    let home = backend.stop().await;
    let backend = Backend::beside(home, operators(Some("oscar"), false)).await;
    let void = use_it(&backend, "u2").await;
    void.fails(409, "rule_void");
    assert_eq!(void.body["details"]["reason"], "author");
    assert!(use_it(&backend, "u1").await.replayed());
}

#[tokio::test]
async fn who_comes_without_the_operators_role_has_lost_the_right() {
    let backend = Backend::start_in(Home::new(), operators(None, true)).await;
    let (_, id) = ask(&backend, known()).await;
    allow(&backend, &[("x-user", "olga"), ("x-groups", "support")], &id).await;
    use_it(&backend, "u1").await.ok();
    send(backend.nobody().with("x-user", "olga").raw(Method::GET, "/")).await;
    let void = use_it(&backend, "u2").await;
    void.fails(409, "rule_void");
    assert_eq!(void.body["details"]["reason"], "author");
}

//! A person approves what is shown: all of the arguments, as they were sent.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Backend, MC, send};

/// Asks for a call with arguments in `ann`'s name; they are sent as they are.
async fn ask(backend: &Backend, key: &str, arguments: &str) -> Answer {
    let agent = backend.agent("ann", "scout");
    let task = agent.task("Work").await;
    let head = json!({
        "task_id": task, "run_key": "r", "session_key": "user:ann:scout", "tool": "pay",
        "reason": "asked\u{202e} to", "idempotency_key": key
    });
    let mut body = head.to_string();
    body.pop();
    let body = format!("{body},{arguments}}}");
    let request = agent.raw(Method::POST, &format!("{MC}/tool-requests")).body(body);
    send(request.header("content-type", "application/json")).await
}

async fn open(backend: &Backend, path: &str) -> Answer {
    send(backend.nobody().raw(Method::GET, path)).await
}

/// The decisions that wait for `ann`, and the token of the page's forms.
async fn waiting(backend: &Backend) -> (String, String) {
    let page = open(backend, "/?user=ann").await.text;
    let (_, rest) = page.split_once("<section id=\"approvals\"").unwrap();
    let (_, token) = page.split_once("name=\"token\" value=\"").unwrap();
    let token = token.split_once('"').unwrap().0.to_owned();
    (rest.split_once("</section>").unwrap().0.to_owned(), token)
}

async fn decide(backend: &Backend, id: &Value, decision: &str) -> Answer {
    let (_, token) = waiting(backend).await;
    let id = id.as_str().unwrap();
    let fields = [("token", &*token), ("user", "ann"), ("id", id), ("decision", decision)];
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = backend.nobody().raw(Method::POST, "/decide").body(body);
    send(request.header("content-type", "application/x-www-form-urlencoded")).await
}

#[tokio::test]
async fn arguments_are_shown_as_they_were_sent() {
    let backend = Backend::start().await;
    let arguments = r#""arguments":{"z":"x\u202ey\u200b", "a":12345678901234567890123,"m":[1.10]}"#;
    let made = ask(&backend, "k", arguments).await;
    let (shown, _) = waiting(&backend).await;
    let places = ["&quot;z&quot;", "&quot;a&quot;", "&quot;m&quot;"].map(|name| shown.find(name));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown}");
    for text in ["12345678901234567890123", "1.10", "x<mark>U+202E</mark>y<mark>U+200B</mark>"] {
        assert!(shown.contains(text), "{text} is not in {shown}");
    }
    assert!(!shown.contains(['\u{202e}', '\u{200b}']), "{shown}");
    assert_eq!(decide(&backend, &made.ok()["id"], "approved").await.status, 303);
}

#[tokio::test]
async fn what_cannot_be_shown_whole_is_downloaded_and_not_approved() {
    let backend = Backend::start().await;
    let large = format!("{{\"a\": 1,  \"text\":\"{}END\"}}", "x".repeat(60_000));
    for (key, arguments) in [("large", large.as_str()), ("twice", r#"{"to":"ann","to":"bob"}"#)] {
        let made = ask(&backend, key, &format!("\"arguments\": {arguments} ")).await;
        let id = &made.ok()["id"];
        let (shown, _) = waiting(&backend).await;
        assert!(!shown.contains("value=\"approved\"") && shown.contains("SHA-256"), "{shown}");
        let path = format!("/tool-requests/{}/arguments?user=", id.as_str().unwrap());
        assert!(shown.contains(&format!("{path}ann")), "{shown}");
        let file = open(&backend, &format!("{path}ann")).await;
        assert_eq!((file.status.as_u16(), file.text.as_str()), (200, arguments));
        assert!(file.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
        open(&backend, &format!("{path}bob")).await.fails(404, "not_found");
        decide(&backend, id, "approved").await.fails(409, "not_shown_whole");
        assert_eq!(decide(&backend, id, "denied").await.status, 303);
    }
    let (shown, _) = waiting(&backend).await;
    assert!(shown.contains("Nothing."), "{shown}");
}

#[tokio::test]
async fn a_page_takes_only_so_many_bytes_of_arguments() {
    let backend = Backend::start().await;
    for key in 0..4 {
        let text = "x".repeat(1_900_000);
        ask(&backend, &key.to_string(), &format!("\"arguments\":{{\"a\":\"{text}\"}}")).await.ok();
    }
    let (shown, _) = waiting(&backend).await;
    assert_eq!(shown.matches("value=\"denied\"").count(), 3);
    assert!(shown.contains("Newer ones are shown"), "{shown}");
}

#[tokio::test]
async fn arguments_are_given_once() {
    let backend = Backend::start().await;
    let twice = r#""arguments":{"to":"ann"},"argument\u0073":{"to":"bob"}"#;
    ask(&backend, "k", twice).await.fails(400, "invalid_payload");
    ask(&backend, "k", r#""arguments":[]"#).await.fails(400, "invalid_payload");
    ask(&backend, "k", r#""arguments":{"a":1e400}"#).await.fails(400, "malformed_json");
}

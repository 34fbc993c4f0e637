//! The offline provider: the built-in round, and scripts of one's own.

use std::io::Write as _;

use llm::event::FinishReason;
use llm::model::{ModelRef, Provider};
use llm::request::{Message, ToolChoice};
use llm::{CallContext, LlmClient, LlmErrorKind, LlmSettings};
use serde_json::{Value, json};

use crate::server::{client, drain, request};

fn offline() -> LlmSettings {
    LlmSettings::new(ModelRef::new(Provider::Offline, "offline"))
}

/// Plays a conversation: the user's words, then results for each call that the script makes.
async fn play(
    client: &LlmClient,
    words: &str,
    results: &[Value],
) -> (Vec<(String, Value)>, String) {
    let mut messages = vec![Message::user(words)];
    let mut results = results.iter();
    let mut calls = Vec::new();
    let call = CallContext { role: "scout".to_owned(), ..CallContext::default() };
    loop {
        let answer = client.complete(&request(client, messages.clone()), &call).await.unwrap();
        messages.push(Message::Assistant(answer.message.clone()));
        if answer.message.tool_calls.is_empty() {
            assert_eq!(answer.finish_reason, FinishReason::Stop);
            return (calls, answer.message.text);
        }
        for made in answer.message.tool_calls {
            let result = results.next().expect("a result for each call");
            let content = format!("<untrusted source=\"x\">\n{result}\n</untrusted>\n(data)");
            messages.push(Message::Tool { call_id: made.id, name: made.name.clone(), content });
            calls.push((made.name, made.arguments));
        }
    }
}

#[tokio::test]
async fn the_built_in_script_plays_the_whole_round() {
    let client = client(offline());
    assert!(client.configured());
    let schools = json!([
        { "id": "s1", "name": "Bay Primary", "suburb": "Bay", "rating": 4.8 },
        { "id": "s2", "name": "Cove Primary", "suburb": "Cove", "rating": 4.5 },
    ]);
    let results = [
        json!({ "schools": schools, "total": 2 }),
        json!({ "id": "s1", "name": "Bay Primary", "description": "By the sea.", "enrolment": 300, "contact": "a@b" }),
        json!({ "id": "t9", "title": "Compare" }),
        json!({ "id": "d9", "title": "A first look" }),
    ];
    let (calls, reply) =
        play(&client, "@scout find two primary schools near the beach", &results).await;
    let names: Vec<_> = calls.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["call_backend", "call_backend", "create_task", "create_document"]);
    assert_eq!(
        calls[0].1,
        json!({ "method": "POST", "path": "/api/schools/search",
        "body": { "level": "primary", "near": "beach", "limit": 2 } })
    );
    assert_eq!(calls[1].1, json!({ "method": "GET", "path": "/api/schools/s1/profile" }));
    assert_eq!(calls[3].1["task_id"], "t9");
    assert!(calls[3].1["content"].as_str().unwrap().contains("Cove Primary"));
    assert!(reply.contains("Bay Primary") && reply.contains("Cove Primary"), "{reply}");
}

#[tokio::test]
async fn the_last_turn_promises_nothing_that_it_cannot_do() {
    let client = client(offline());
    let mut asked = request(
        &client,
        vec![
            Message::user("find two primary schools"),
            Message::Tool {
                call_id: "1".into(),
                name: "call_backend".into(),
                content: json!({ "schools": [{ "id": "s1" }] }).to_string(),
            },
            Message::user("You have used all your tool calls. Answer now."),
        ],
    );
    asked.tool_choice = ToolChoice::None;
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "I had to stop here. The newest result is from call_backend.");
}

#[tokio::test]
async fn the_built_in_script_has_an_answer_for_everything() {
    let client = client(offline());
    let none = [json!({ "schools": [], "total": 0 })];
    assert!(play(&client, "find schools", &none).await.1.contains("no school"));
    let failed = [json!({ "error": "not allowed", "status": 403 })];
    assert!(play(&client, "Find two schools", &failed).await.1.contains("not allowed"));
    let made = [json!({ "id": "t", "title": "call Ann" })];
    let (calls, reply) = play(&client, "Please create a task: call Ann.", &made).await;
    assert_eq!(calls[0].1, json!({ "title": "call Ann" }));
    assert!(reply.contains("call Ann"));
    let tasks = [json!({ "items": [{ "id": "t", "title": "A", "status": "inbox" }] })];
    assert!(play(&client, "What are my tasks?", &tasks).await.1.contains("“A” (inbox)"));
    assert!(play(&client, "Generate a plan", &[]).await.1.contains("Plan"));
    assert_eq!(play(&client, "Heartbeat: is anything pending?", &[]).await.1, "HEARTBEAT_OK");
    assert!(play(&client, "Hello!", &[]).await.1.contains("scout"));
    assert!(play(&client, "Qwertz?", &[]).await.1.contains("Qwertz?"));
}

#[tokio::test]
async fn a_script_of_ones_own_streams_fails_and_stops_calling_tools() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let script = "rules:\n  - when: {role: analyst}\n    say: no role\n  - when: {user: down}\n    fail: {status: 402}\n  - when: {user: 'say (.+)'}\n    say: 'so: {1}'\n    call: [{name: t, arguments: {a: 1}}]\n";
    file.write_all(script.as_bytes()).unwrap();
    let client = client(LlmSettings { offline_script: Some(file.path().into()), ..offline() });
    let (texts, end) = drain(&client, request(&client, vec![Message::user("say a b")])).await;
    let end = end.unwrap();
    assert_eq!(texts, ["so: ", "a ", "b"]);
    assert_eq!(end.message.tool_calls[0].name, "t");
    let mut last = request(&client, vec![Message::user("say x")]);
    last.tool_choice = ToolChoice::None;
    let answer = client.complete(&last, &CallContext::default()).await.unwrap();
    assert_eq!((answer.message.text.as_str(), answer.message.tool_calls.len()), ("so: x", 0));
    let down = request(&client, vec![Message::user("down")]);
    let error = client.complete(&down, &CallContext::default()).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::QuotaExhausted);
}

#[test]
fn a_script_that_cannot_be_read_stops_the_client_with_its_name() {
    let settings = LlmSettings { offline_script: Some("/nowhere/x.yaml".into()), ..offline() };
    let error = LlmClient::new(settings, reqwest::Client::new()).unwrap_err().to_string();
    assert!(error.starts_with("LLM_OFFLINE_SCRIPT: /nowhere/x.yaml cannot be read"), "{error}");
}

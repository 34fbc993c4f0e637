//! Google's generateContent.

use llm::event::FinishReason;
use llm::model::Provider;
use llm::request::{Message, ToolChoice};
use llm::{CallContext, LlmErrorKind};
use serde_json::{Value, json};

use crate::server::{Reply, Server, ask, client, drain, hello, settings, weather};

fn gemini(server: &Server) -> llm::LlmClient {
    client(settings(Provider::Google, "gemini-3-pro-preview", &server.url))
}

fn piece(parts: &Value, reason: &str) -> String {
    let mut body = json!({ "candidates": [{ "content": { "role": "model", "parts": parts } }],
        "usageMetadata": { "promptTokenCount": 9, "candidatesTokenCount": 4 } });
    if !reason.is_empty() {
        body["candidates"][0]["finishReason"] = json!(reason);
    }
    format!("data: {body}")
}

#[tokio::test]
async fn signatures_come_back_with_the_results_and_without_tools_none_is_called() {
    let calls = [
        piece(&json!([{ "text": "I " }]), ""),
        piece(&json!([{ "text": "look.", "thoughtSignature": "text-sig" }]), ""),
        piece(
            &json!([
                { "functionCall": { "name": "weather", "args": { "place": "Perth" } }, "thoughtSignature": "sig" },
                { "functionCall": { "name": "weather" } },
            ]),
            "STOP",
        ),
    ];
    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
    let done = piece(&json!([{ "text": "Sunny." }]), "STOP");
    let server = Server::start_lenient([Reply::events(&calls), Reply::events(&[&done])]).await;
    let client = gemini(&server);
    let mut request = hello(&client);
    request.tools = vec![weather()].into();
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
    let results = answer.message.tool_calls.clone();
    let stored = serde_json::to_string(&Message::Assistant(answer.message)).unwrap();
    request.messages.push(serde_json::from_str(&stored).unwrap());
    for call in results {
        request.messages.push(Message::tool(call.id, call.name, "sun"));
    }
    request.messages.push(Message::system("Sum up."));
    request.tool_choice = ToolChoice::None;
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "Sunny.");
    let body = &server.asked()[1].body;
    assert_eq!(body["toolConfig"]["functionCallingConfig"]["mode"], "NONE");
    assert_eq!(
        body["contents"][1]["parts"],
        json!([
            { "text": "I " },
            { "text": "look.", "thoughtSignature": "text-sig" },
            { "functionCall": { "name": "weather", "args": { "place": "Perth" } }, "thoughtSignature": "sig" },
            { "functionCall": { "name": "weather", "args": {} } },
        ])
    );
    let results = body["contents"][2]["parts"].as_array().unwrap();
    assert!(
        results.len() == 2 && results.iter().all(|part| part.get("functionResponse").is_some())
    );
    assert!(body["contents"][3]["parts"][0]["text"].as_str().unwrap().contains("Sum up."));
}

#[tokio::test]
async fn an_end_that_is_not_good_is_asked_again_and_then_told() {
    for word in ["OTHER", "MALFORMED_FUNCTION_CALL", "A_NEW_ONE"] {
        let bad = piece(&json!([{ "text": "Half a" }]), word);
        let done = piece(&json!([{ "text": "All of it." }]), "STOP");
        let server = Server::start([Reply::events(&[&bad]), Reply::events(&[&done])]).await;
        assert_eq!(ask(&gemini(&server)).await.unwrap().message.text, "All of it.");
        let server = Server::start([Reply::events(&[&bad])]).await;
        let error = ask(&gemini(&server)).await.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::BadAnswer);
        assert!(error.message.contains(word), "{}", error.message);
        let (texts, end) = drain(&gemini(&server), hello(&gemini(&server))).await;
        assert!(texts == ["Half a"] && end.is_err());
    }
}

#[tokio::test]
async fn a_call_where_none_is_allowed_is_asked_again_as_text() {
    let call = piece(&json!([{ "functionCall": { "name": "weather" } }]), "UNEXPECTED_TOOL_CALL");
    let done = piece(&json!([{ "text": "Sunny." }]), "STOP");
    let server = Server::start([Reply::events(&[&call]), Reply::events(&[&done])]).await;
    let client = gemini(&server);
    let mut request = hello(&client);
    request.tools = vec![weather()].into();
    request.tool_choice = ToolChoice::None;
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "Sunny.");
    assert!(server.asked()[1].body.get("tools").is_none());
}

#[tokio::test]
async fn a_blocked_prompt_and_an_empty_answer_are_no_replies() {
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" } });
    let server = Server::start([Reply::events(&[&format!("data: {blocked}")])]).await;
    let answer = ask(&gemini(&server)).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::ContentFilter);
    for body in
        [json!({ "promptFeedback": { "blockReason": "OTHER" } }), json!({ "candidates": [] })]
    {
        let server = Server::start([Reply::events(&[&format!("data: {body}")])]).await;
        assert!(ask(&gemini(&server)).await.is_err(), "{body}");
        assert_eq!(server.asked().len(), 3, "{body}");
    }
}

//! OpenAI's Responses.

use llm::event::FinishReason;
use llm::model::Provider;
use llm::request::{Message, ToolChoice};
use llm::{CallContext, LlmErrorKind, LlmSettings, OpenAiApi};
use serde_json::{Value, json};

use crate::server::{Reply, Server, ask, client, drain, hello, settings, weather};

fn responses(server: &Server) -> llm::LlmClient {
    let url = format!("{}/v1", server.url);
    client(LlmSettings {
        openai_api: OpenAiApi::Responses,
        ..settings(Provider::OpenAi, "gpt-5-mini", &url)
    })
}

fn stream(events: &[Value]) -> Reply {
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}")).collect();
    Reply::events(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn end(status: &str, output: &Value) -> Value {
    json!({ "type": format!("response.{status}"), "response": { "status": status, "output": output,
        "usage": { "input_tokens": 9, "output_tokens": 4 } } })
}

fn text(text: &str) -> Value {
    json!([{ "type": "message", "role": "assistant",
        "content": [{ "type": "output_text", "text": text }] }])
}

#[tokio::test]
async fn reasoning_comes_back_with_the_results() {
    let output = json!([
        { "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed" },
        { "type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary",
            "content": [{ "type": "output_text", "text": "I look." }] },
        { "type": "function_call", "id": "fc_1", "call_id": "c", "name": "weather", "arguments": "{}" },
    ]);
    let server = Server::start_lenient([
        stream(&[end("completed", &output)]),
        stream(&[end("completed", &text("Sunny."))]),
    ])
    .await;
    let client = responses(&server);
    let mut request = hello(&client);
    request.tools = vec![weather()].into();
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
    let stored = serde_json::to_string(&Message::Assistant(answer.message)).unwrap();
    request.messages.push(serde_json::from_str(&stored).unwrap());
    request.messages.push(Message::tool("c", "weather", "sun"));
    request.tool_choice = ToolChoice::None;
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "Sunny.");
    let body = &server.asked()[1].body;
    assert_eq!(body["tool_choice"], "none");
    assert_eq!(
        body["input"].as_array().unwrap()[2..],
        [
            json!({ "type": "reasoning", "summary": [], "encrypted_content": "sealed" }),
            json!({
                "type": "message", "role": "assistant", "phase": "commentary",
                "id": "msg_3", "status": "completed",
                "content": [{ "type": "output_text", "text": "I look.", "annotations": [] }],
            }),
            json!({ "type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}" }),
            json!({ "type": "function_call_output", "call_id": "c", "output": "sun" }),
        ]
    );
}

#[tokio::test]
async fn a_text_that_only_the_last_event_tells_is_streamed_too() {
    // The server stays silent after the end: nothing more is waited for.
    let reply = stream(&[end("completed", &text("Hello"))]).silent();
    let server = Server::start([reply]).await;
    let client = responses(&server);
    let (texts, answer) = drain(&client, hello(&client)).await;
    assert_eq!(
        (texts, answer.unwrap().message.text),
        (vec!["Hello".to_owned()], "Hello".to_owned())
    );
}

#[tokio::test]
async fn an_end_that_is_not_good_is_asked_again_and_then_told() {
    let half =
        json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "Half a" });
    for status in ["cancelled", "incomplete"] {
        let bad = || stream(&[half.clone(), end(status, &json!([]))]);
        let server = Server::start([bad(), stream(&[end("completed", &text("All"))])]).await;
        assert_eq!(ask(&responses(&server)).await.unwrap().message.text, "All");
        let server = Server::start([bad()]).await;
        let error = ask(&responses(&server)).await.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::BadAnswer);
        assert!(error.message.contains(status), "{}", error.message);
        assert_eq!(server.asked().len(), 3);
    }
}

#[tokio::test]
async fn a_cut_that_is_called_complete_is_one_at_the_very_limit() {
    for (asked, used, reason) in [
        (None, 40, FinishReason::Stop),
        (Some(40), 40, FinishReason::Length),
        (Some(40), 39, FinishReason::Stop),
        // The server does not keep to it.
        (Some(40), 41, FinishReason::Stop),
        // Sixteen is sent.
        (Some(10), 12, FinishReason::Stop),
        (Some(10), 16, FinishReason::Length),
    ] {
        let mut event = end("completed", &text("Well"));
        event["response"]["usage"]["output_tokens"] = json!(used);
        let server = Server::start([stream(&[event])]).await;
        let client = responses(&server);
        let mut request = hello(&client);
        request.max_output_tokens = asked;
        let answer = client.complete(&request, &CallContext::default()).await.unwrap();
        assert_eq!(answer.finish_reason, reason, "{used} of {asked:?}");
    }
}

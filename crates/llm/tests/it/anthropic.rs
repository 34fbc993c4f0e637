//! Anthropic's Messages.

use llm::event::FinishReason;
use llm::model::Provider;
use llm::request::Message;
use llm::{CallContext, LlmErrorKind};
use serde_json::json;

use crate::server::{Reply, Server, ask, client, drain, hello, settings, weather};

fn claude(server: &Server) -> llm::LlmClient {
    client(settings(Provider::Anthropic, "claude-sonnet-4-5", &server.url))
}

#[tokio::test]
async fn a_tool_round_trip_and_its_usage() {
    let calls = json!({
        "id": "msg", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "stop_reason": "tool_use",
        "content": [
            { "type": "text", "text": "I look." },
            { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "place": "Perth" } },
        ],
        "usage": { "input_tokens": 20, "output_tokens": 5, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 0 },
    });
    let done = json!({
        "id": "msg", "type": "message", "role": "assistant", "stop_reason": "end_turn",
        "content": [{ "type": "text", "text": "Sunny." }],
        "usage": { "input_tokens": 1, "output_tokens": 1 },
    });
    let server = Server::start([Reply::json(200, &calls), Reply::json(200, &done)]).await;
    let client = claude(&server);
    let mut request = hello(&client);
    request.tools = vec![weather()].into();
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, "I look.");
    assert_eq!(answer.finish_reason, FinishReason::ToolCalls);
    // Cached tokens are part of the prompt.
    assert_eq!((answer.usage.prompt_tokens, answer.usage.cached_tokens), (50, 30));
    request.messages.push(Message::Assistant(answer.message));
    request.messages.push(Message::Tool {
        call_id: "toolu_1".into(),
        name: "weather".into(),
        content: "sun".into(),
    });
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(
        (answer.message.text.as_str(), answer.finish_reason),
        ("Sunny.", FinishReason::Stop)
    );
    let asked = &server.asked()[1];
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.headers["x-api-key"], "sk-canary");
    assert!(asked.body["system"].to_string().contains("Be kind."));
    let messages = asked.body["messages"].to_string();
    assert!(messages.contains("tool_use") && messages.contains("tool_result"), "{messages}");
}

#[tokio::test]
async fn a_stream_is_texts_and_then_the_whole_answer() {
    let server = Server::start([Reply::events(&[
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"x\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}",
        "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}",
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}",
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}",
    ])])
    .await;
    let client = claude(&server);
    let (texts, end) = drain(&client, hello(&client)).await;
    let end = end.unwrap();
    assert_eq!(texts, ["Hi"]);
    assert_eq!(end.finish_reason, FinishReason::Stop);
    assert_eq!((end.usage.prompt_tokens, end.usage.completion_tokens), (9, 4));
}

#[tokio::test]
async fn an_overload_passes_and_a_long_prompt_does_not() {
    let busy = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let done = json!({ "content": [{ "type": "text", "text": "now" }], "stop_reason": "end_turn", "role": "assistant",
        "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let server = Server::start([Reply::json(529, &busy), Reply::json(200, &done)]).await;
    assert_eq!(ask(&claude(&server)).await.unwrap().message.text, "now");
    let long = json!({ "type": "error", "error": { "type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum" } });
    let server = Server::start([Reply::json(400, &long)]).await;
    assert_eq!(ask(&claude(&server)).await.unwrap_err().kind, LlmErrorKind::ContextTooLong);
    assert_eq!(server.asked().len(), 1);
}

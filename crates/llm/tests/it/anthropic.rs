//! Anthropic's Messages.

use llm::event::FinishReason;
use llm::model::Provider;
use llm::request::{AssistantMessage, Message, ToolCall, ToolChoice};
use llm::{CallContext, LlmErrorKind};
use serde_json::{Value, json};

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
    request.messages.push(Message::tool("toolu_1", "weather", "sun"));
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

fn message(content: &Value, stop: &str) -> Value {
    json!({ "type": "message", "role": "assistant", "content": content, "stop_reason": stop,
        "usage": { "input_tokens": 9, "output_tokens": 4 } })
}

/// The events of a message that is streamed block by block, each in one delta.
fn events(content: &[Value], stop: &str) -> Reply {
    let mut events = vec![json!({ "type": "message_start", "message": {
        "content": [], "usage": { "input_tokens": 9, "output_tokens": 1 } } })];
    for (index, block) in content.iter().enumerate() {
        let delta = |kind: &str, field: &str, value: &Value| {
            json!({ "type": "content_block_delta", "index": index,
                "delta": { "type": kind, field: value } })
        };
        let mut start = block.clone();
        let deltas = match block["type"].as_str().unwrap() {
            "text" => {
                start["text"] = json!("");
                vec![delta("text_delta", "text", &block["text"])]
            }
            "thinking" => {
                start = json!({ "type": "thinking", "thinking": "", "signature": "" });
                vec![
                    delta("thinking_delta", "thinking", &block["thinking"]),
                    delta("signature_delta", "signature", &block["signature"]),
                ]
            }
            "tool_use" => {
                start["input"] = json!({});
                let input = json!(block["input"].to_string());
                vec![delta("input_json_delta", "partial_json", &input)]
            }
            _ => Vec::new(),
        };
        events
            .push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        events.extend(deltas);
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop },
        "usage": { "input_tokens": 0, "output_tokens": 4 } }));
    events.push(json!({ "type": "message_stop" }));
    let events: Vec<String> = events.iter().map(|event| format!("data: {event}")).collect();
    Reply::events(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn thinking_comes_back_unchanged_with_the_results() {
    let content = [
        json!({ "type": "thinking", "thinking": "The weather?", "signature": "sig-1" }),
        json!({ "type": "text", "text": "I look.\n" }),
        json!({ "type": "redacted_thinking", "data": "sealed" }),
        json!({ "type": "tool_use", "id": "toolu_1", "name": "weather", "input": { "place": "Perth" } }),
        json!({ "type": "thinking", "thinking": "", "signature": "sig-2" }),
        json!({ "type": "tool_use", "id": "toolu_2", "name": "weather", "input": { "place": "Ulm" } }),
    ];
    for first in
        [events(&content, "tool_use"), Reply::json(200, &message(&json!(content), "tool_use"))]
    {
        let done = json!([{ "type": "text", "text": "Sunny." }]);
        let server =
            Server::start_lenient([first, Reply::json(200, &message(&done, "end_turn"))]).await;
        let client = claude(&server);
        let mut request = hello(&client);
        request.tools = vec![weather()].into();
        let answer = client.complete(&request, &CallContext::default()).await.unwrap();
        assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (9, 4));
        let stored = serde_json::to_string(&Message::Assistant(answer.message)).unwrap();
        request.messages.push(serde_json::from_str(&stored).unwrap());
        for id in ["toolu_1", "toolu_2"] {
            request.messages.push(Message::tool(id, "weather", "sun"));
        }
        request.tool_choice = ToolChoice::None;
        client.complete(&request, &CallContext::default()).await.unwrap();
        let body = &server.asked()[1].body;
        assert_eq!(body["messages"][1], json!({ "role": "assistant", "content": content }));
        assert_eq!(body["messages"][2]["content"][1]["cache_control"]["type"], "ephemeral");
        assert_eq!(body["tool_choice"], json!({ "type": "none" }));
        assert_eq!(body["tools"][0]["name"], "weather");
    }
}

#[tokio::test]
async fn calls_of_a_cut_answer_are_unfinished() {
    let content = json!([
        { "type": "text", "text": "I look." },
        { "type": "tool_use", "id": "toolu_1", "name": "weather", "input": {} },
    ]);
    for reply in [
        Reply::json(200, &message(&content, "max_tokens")),
        events(content.as_array().unwrap(), "max_tokens"),
    ] {
        let server = Server::start([reply]).await;
        let answer = ask(&claude(&server)).await.unwrap();
        assert_eq!(answer.finish_reason, FinishReason::Length);
        assert_eq!(answer.message.tool_calls[0].arguments, json!(""));
    }
}

#[tokio::test]
async fn an_end_that_is_not_known_is_asked_again_and_then_told() {
    let half = json!([{ "type": "text", "text": "Half a" }]);
    for word in ["pause_turn", "abort", "network_error"] {
        let bad = || events(half.as_array().unwrap(), word);
        let done = json!([{ "type": "text", "text": "All of it." }]);
        let server = Server::start([bad(), Reply::json(200, &message(&done, "end_turn"))]).await;
        assert_eq!(ask(&claude(&server)).await.unwrap().message.text, "All of it.");
        let server = Server::start([bad()]).await;
        let error = ask(&claude(&server)).await.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::BadAnswer);
        assert!(error.message.contains(word), "{}", error.message);
        assert_eq!(server.asked().len(), 3);
    }
}

#[tokio::test]
async fn calls_without_tools_are_told_as_text() {
    let done = json!([{ "type": "text", "text": "Sunny." }]);
    let server = Server::start([Reply::json(200, &message(&done, "end_turn"))]).await;
    let client = claude(&server);
    let mut request = hello(&client);
    let call = ToolCall {
        id: "c".into(),
        name: "weather".into(),
        arguments: json!({ "place": "Perth" }),
        provider_state: None,
    };
    request.messages.push(Message::Assistant(AssistantMessage {
        tool_calls: vec![call],
        ..AssistantMessage::default()
    }));
    request.messages.push(Message::tool("c", "weather", "sun"));
    client.complete(&request, &CallContext::default()).await.unwrap();
    let body = server.asked()[0].body.to_string();
    assert!(!body.contains("tool_use") && !body.contains("tool_result"), "{body}");
    assert!(body.contains("Perth") && body.contains("sun"), "{body}");
}

#[tokio::test]
async fn thoughts_that_are_refused_are_left_out_of_that_request() {
    let refusal = json!({ "type": "error", "error": { "type": "invalid_request_error", "message":
        "messages.1.content.0: Invalid `signature` in `thinking` block. The block is bound to a different conversation." } });
    let first = json!([
        { "type": "thinking", "thinking": "hm", "signature": "sig" },
        { "type": "text", "text": "Hello." },
    ]);
    let server = Server::start_lenient([
        Reply::json(200, &message(&first, "end_turn")),
        Reply::json(400, &refusal),
        Reply::json(200, &message(&first, "end_turn")),
    ])
    .await;
    let client = claude(&server);
    let mut request = hello(&client);
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    request.messages.push(Message::Assistant(answer.message));
    request.messages.push(Message::user("And?"));
    for _ in 0..2 {
        client.complete(&request, &CallContext::default()).await.unwrap();
    }
    let has_thoughts = |n: usize| server.asked()[n].body.to_string().contains("thinking");
    assert_eq!([1, 2, 3].map(has_thoughts), [true, false, true]);
}

//! OpenAI's protocol, and what compatible servers make of it.

use llm::event::{FinishReason, StreamEvent};
use llm::model::Provider;
use llm::request::{AssistantMessage, Message, ToolCall, ToolChoice};
use llm::{CallContext, LlmErrorKind};
use serde_json::json;

use crate::server::{
    Reply, Server, ask, client, drain, hello, open_ai, request, settings, weather,
};

#[tokio::test]
async fn an_answer_comes_with_its_usage_and_its_reason() {
    let server = Server::start([Reply::chat("Hi there")]).await;
    let client = open_ai(&server);
    let call =
        CallContext { traceparent: Some("00-11-22-01".to_owned()), ..CallContext::default() };
    let answer = client.complete(&hello(&client), &call).await.unwrap();
    assert_eq!(answer.message.text, "Hi there");
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (100, 10));
    assert_eq!((answer.usage.total_tokens, answer.usage.cached_tokens), (110, 40));
    assert_eq!((answer.model.as_str(), answer.provider), ("gpt-4o-mini", Provider::OpenAi));
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.headers["authorization"], "Bearer sk-canary");
    assert_eq!(asked.headers["traceparent"], "00-11-22-01");
    assert_eq!(asked.body["model"], "gpt-4o-mini");
    assert_eq!(
        asked.body["messages"],
        json!([
            { "role": "system", "content": "Be kind." },
            { "role": "user", "content": "Hello" },
        ])
    );
    assert!(asked.body.get("tools").is_none() && asked.body.get("tool_choice").is_none());
}

#[tokio::test]
async fn tool_calls_go_out_and_their_results_go_back() {
    let calls = json!({
        "choices": [{ "finish_reason": "tool_calls", "message": { "role": "assistant", "content": null,
            "tool_calls": [
                { "id": "a", "type": "function", "function": { "name": "weather", "arguments": "{\"place\":\"Perth\"}" } },
                { "id": "b", "type": "function", "function": { "name": "weather", "arguments": "{\"place\":\"Hobart\"}" } },
            ] } }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    });
    let server = Server::start([Reply::json(200, &calls), Reply::chat("Sunny")]).await;
    let client = client(settings(Provider::Xai, "grok-4", &server.url));
    let mut request = hello(&client);
    request.tools = vec![weather()].into();
    let first = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(first.finish_reason, FinishReason::ToolCalls);
    assert_eq!(first.message.tool_calls[1].arguments, json!({ "place": "Hobart" }));
    request.messages.push(Message::Assistant(first.message));
    for id in ["a", "b"] {
        request.messages.push(Message::tool(id, "weather", "sun"));
    }
    request.tool_choice = ToolChoice::None;
    client.complete(&request, &CallContext::default()).await.unwrap();
    let body = &server.asked()[1].body;
    assert_eq!(body["tools"][0]["function"]["name"], "weather");
    assert_eq!(body["tool_choice"], "none");
    assert_eq!(body["messages"][2]["tool_calls"][0]["id"], "a");
    assert_eq!(
        body["messages"][2]["tool_calls"][1]["function"]["arguments"],
        "{\"place\":\"Hobart\"}"
    );
    assert_eq!(
        body["messages"][4],
        json!({ "role": "tool", "tool_call_id": "b", "content": "sun" })
    );
}

#[tokio::test]
async fn arguments_that_are_no_json_reach_the_caller_as_text() {
    let calls = json!({ "choices": [{ "finish_reason": "tool_calls", "message": { "content": "Well", "tool_calls": [
        { "id": "a", "type": "function", "function": { "name": "weather", "arguments": "{oops" } },
    ] } }] });
    let server = Server::start([Reply::json(200, &calls), Reply::chat("ok")]).await;
    let client = open_ai(&server);
    let answer = ask(&client).await.unwrap();
    assert_eq!(answer.message.text, "Well");
    assert_eq!(answer.message.tool_calls[0].arguments, json!("{oops"));
    // Back to the provider goes an object, which it can read.
    let turn = AssistantMessage {
        tool_calls: vec![ToolCall {
            arguments: json!("{oops"),
            ..answer.message.tool_calls[0].clone()
        }],
        ..AssistantMessage::default()
    };
    let tool = Message::tool("a", "weather", "wrong");
    let mut request = request(&client, vec![Message::user("x"), Message::Assistant(turn), tool]);
    request.tools = vec![weather()].into();
    client.complete(&request, &CallContext::default()).await.unwrap();
    let arguments =
        &server.asked()[1].body["messages"][1]["tool_calls"][0]["function"]["arguments"];
    assert_eq!(arguments, "{}");
}

#[tokio::test]
async fn a_stream_is_texts_and_then_the_whole_answer() {
    let server = Server::start([Reply::events(&[
        r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"content":"lo "}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"weather","arguments":"{\"pl"}}]}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"ace\":1}"}}]}}]}"#,
        r#"data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#,
        "data: [DONE]",
    ])])
    .await;
    let client = open_ai(&server);
    let (texts, end) = drain(&client, hello(&client)).await;
    let end = end.unwrap();
    assert_eq!(texts, ["Hel", "lo "]);
    assert_eq!(end.message.text, "Hello ");
    assert_eq!(end.message.tool_calls[0].arguments, json!({ "place": 1 }));
    assert_eq!(end.finish_reason, FinishReason::ToolCalls);
    assert_eq!(end.usage.total_tokens, 10);
    let body = &server.asked()[0].body;
    assert_eq!(
        (&body["stream"], &body["stream_options"]["include_usage"]),
        (&json!(true), &json!(true))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_after_its_first_text_is_an_error_and_is_not_tried_again() {
    let begin = r#"data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
    for reply in [Reply::events(&[begin]).cut(), Reply::events(&[begin])] {
        let server = Server::start([reply, Reply::chat("no")]).await;
        let client = open_ai(&server);
        let (texts, end) = drain(&client, hello(&client)).await;
        assert_eq!(texts, ["Hel"]);
        assert_eq!(end.unwrap_err().kind, LlmErrorKind::BadAnswer);
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_may_begin_anew_is_tried_again_and_says_so() {
    let begin = r#"data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}"#;
    let broken = || Reply::events(&[begin]).cut();
    let server =
        Server::start([broken(), Reply::json(503, &json!({})), Reply::chat("Hello")]).await;
    let client = open_ai(&server);
    let mut events = client.stream(hello(&client), CallContext::default()).that_begins_anew();
    let mut told = Vec::new();
    while let Some(event) = events.next().await {
        told.push(event.unwrap());
    }
    let text = |text: &str| StreamEvent::Text(text.to_owned());
    assert_eq!(told[..told.len() - 1], [text("Hel"), StreamEvent::Again, text("Hello")]);
    assert!(matches!(told.last(), Some(StreamEvent::Done(done)) if done.message.text == "Hello"));
    let server = Server::start([broken(), broken(), broken(), Reply::chat("no")]).await;
    let client = open_ai(&server);
    let mut events = client.stream(hello(&client), CallContext::default()).that_begins_anew();
    let mut last = None;
    while let Some(event) = events.next().await {
        last = Some(event);
    }
    assert!(last.unwrap().is_err());
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn what_is_no_answer_is_a_bad_answer() {
    let html = Reply::json(200, &json!("x")).header("x", "y");
    for reply in [html, Reply::json(200, &json!({ "hello": 1 }))] {
        let server = Server::start([reply]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap_err().kind, LlmErrorKind::BadAnswer);
    }
    let overloaded = json!({ "error": { "code": 503, "message": "no capacity" } });
    let server = Server::start([Reply::json(200, &overloaded), Reply::chat("now")]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "now");
}

#[tokio::test]
async fn a_name_that_ends_like_an_effort_is_sent_whole() {
    let server = Server::start([Reply::chat("ok")]).await;
    let client = client(settings(Provider::OpenAi, "tiny-model-low", &server.url));
    ask(&client).await.unwrap();
    let body = &server.asked()[0].body;
    assert_eq!(body["model"], "tiny-model-low");
    assert!(body.get("reasoning_effort").is_none(), "{body}");
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood_all_the_same() {
    let server = Server::start([Reply::chat("Hi there")]).await;
    let client = open_ai(&server);
    let (texts, end) = drain(&client, hello(&client)).await;
    assert_eq!((texts, end.unwrap().usage.prompt_tokens), (vec!["Hi there".to_owned()], 100));
}

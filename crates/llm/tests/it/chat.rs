//! What servers of OpenAI's protocol really send, and what they want back.

use llm::event::FinishReason;
use llm::model::Provider;
use llm::request::{AssistantMessage, LlmRequest, Message, ToolCall, ToolChoice};
use llm::{CallContext, LlmClient, LlmErrorKind};
use serde_json::{Value, json};

use crate::server::{
    Reply, Server, ask, client, drain, hello, open_ai, request, settings, weather,
};

fn event(delta: &Value, finish: &Value) -> String {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    format!("data: {}", json!({ "id": "c", "choices": [choice] }))
}

/// A stream of these deltas, which ends with a reason and `[DONE]`.
fn stream(deltas: &[Value], finish: &str) -> Reply {
    let mut events: Vec<String> = deltas.iter().map(|delta| event(delta, &Value::Null)).collect();
    events.push(event(&json!({}), &json!(finish)));
    events.push("data: [DONE]".to_owned());
    Reply::events(&events.iter().map(String::as_str).collect::<Vec<_>>())
}

fn call(arguments: &str) -> Value {
    json!({ "tool_calls": [{ "index": 0, "id": "a", "type": "function",
        "function": { "name": "weather", "arguments": arguments } }] })
}

/// A conversation with one call and its result, then a question.
fn used(client: &LlmClient) -> LlmRequest {
    let turn = AssistantMessage {
        text: "I look.".to_owned(),
        tool_calls: vec![ToolCall {
            id: "call00001".to_owned(),
            name: "weather".to_owned(),
            arguments: json!({ "place": "Perth" }),
            provider_state: None,
        }],
        thoughts: None,
    };
    let tool = Message::tool("call00001", "weather", "sun");
    let messages = vec![
        Message::system("Be kind."),
        Message::user("Hello"),
        Message::Assistant(turn),
        tool,
        Message::user("Sum up."),
    ];
    LlmRequest { tools: vec![weather()].into(), ..request(client, messages) }
}

fn of(provider: Provider, server: &Server) -> LlmClient {
    client(settings(provider, "some-model", &server.url))
}

async fn complete(client: &LlmClient, request: &LlmRequest) -> llm::event::Completion {
    client.complete(request, &CallContext::default()).await.unwrap()
}

#[tokio::test]
async fn half_a_text_with_a_bad_end_is_asked_again_and_then_told_by_its_word() {
    for word in ["insufficient_system_resource", "abort", "error", "network_error", "cancelled"] {
        let half = || stream(&[json!({ "content": "Half a sen" })], word);
        let server = Server::start([half(), Reply::chat("All of it.")]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "All of it.");
        let server = Server::start([half()]).await;
        let error = ask(&open_ai(&server)).await.unwrap_err();
        assert_eq!((error.kind, server.asked().len()), (LlmErrorKind::BadAnswer, 3));
        assert!(error.message.contains(word) && error.cause.contains(word), "{}", error.message);
        // A reader that has seen the half gets nothing more.
        let client = open_ai(&server);
        let (texts, end) = drain(&client, hello(&client)).await;
        assert_eq!(
            (texts, end.unwrap_err().kind),
            (vec!["Half a sen".to_owned()], LlmErrorKind::BadAnswer)
        );
        assert_eq!(server.asked().len(), 4);
    }
}

#[tokio::test]
async fn no_end_is_no_success() {
    let text = event(&json!({ "content": "Half" }), &Value::Null);
    let whole = json!({ "choices": [{ "message": { "content": "Half" }, "finish_reason": null }] });
    for reply in [
        Reply::events(&["data: [DONE]"]),
        Reply::events(&[&text, "data: [DONE]"]),
        Reply::json(200, &whole),
    ] {
        let server = Server::start([reply, Reply::chat("All")]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "All");
    }
}

#[tokio::test]
async fn what_came_garbled_is_asked_for_again() {
    for garbled in [
        Reply::events(&[r#"data: {"choices":[{"ind"#, "data: [DONE]"]),
        Reply::text(200, r#"{"choices":[{"ind"#),
    ] {
        let server = Server::start([garbled, Reply::chat("whole")]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "whole");
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn an_end_that_is_not_good_stays_so() {
    let chunk = |delta: Value, end: Value| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": end });
        format!("data: {}", json!({ "choices": [choice] }))
    };
    let call =
        json!({ "index": 0, "id": "c1", "function": { "name": "f", "arguments": "{\"a\":1}" } });
    let events = [
        chunk(json!({ "tool_calls": [call] }), json!("length")),
        chunk(json!({}), json!("stop")),
        "data: [DONE]".to_owned(),
    ];
    let events: Vec<&str> = events.iter().map(String::as_str).collect();
    let server = Server::start([Reply::events(&events)]).await;
    let answer = ask(&open_ai(&server)).await.unwrap();
    assert_eq!(answer.finish_reason, llm::event::FinishReason::Length);
}

#[tokio::test]
async fn a_reason_usage_and_a_clean_end_are_enough() {
    let text = event(&json!({ "content": "Hi" }), &json!("stop"));
    let usage = r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let whole = Reply::events(&[&text, usage]);
    let server = Server::start([whole.clone()]).await;
    let answer = ask(&open_ai(&server)).await.unwrap();
    assert_eq!((answer.message.text.as_str(), answer.usage.total_tokens), ("Hi", 10));
    for part in [whole.cut(), Reply::events(&[&text])] {
        let server = Server::start([part]).await;
        ask(&open_ai(&server)).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_error_in_a_stream_is_an_error() {
    let choice = json!({ "index": 0, "delta": { "content": "" }, "finish_reason": "error",
        "error": { "code": 502, "message": "upstream has gone" } });
    let failed = format!("data: {}", json!({ "choices": [choice] }));
    for failed in [
        failed.as_str(),
        r#"data: {"object":"error","message":"upstream has gone","type":"x","code":502}"#,
        "event: error\ndata: {\"code\":502,\"message\":\"upstream has gone\"}",
        "event: error\ndata: upstream has gone",
    ] {
        let reply = Reply::events(&[failed, "data: [DONE]"]);
        let server = Server::start([reply, Reply::chat("now")]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "now", "{failed}");
        let server = Server::start([Reply::events(&[failed, "data: [DONE]"])]).await;
        let error = ask(&open_ai(&server)).await.unwrap_err();
        assert!(error.cause.contains("upstream has gone"), "{failed}: {}", error.cause);
    }
}

#[tokio::test]
async fn a_call_that_was_cut_off_has_no_empty_arguments() {
    for (arguments, expected) in [("", json!("")), ("{\"pl", json!("{\"pl"))] {
        let server = Server::start([stream(&[call(arguments)], "length")]).await;
        let answer = ask(&open_ai(&server)).await.unwrap();
        assert_eq!(answer.finish_reason, FinishReason::Length);
        assert_eq!(answer.message.tool_calls[0].arguments, expected);
    }
}

#[tokio::test]
async fn usage_is_found_in_the_choice() {
    let choice = json!({ "index": 0, "delta": { "content": "Hi" }, "finish_reason": "stop",
        "usage": { "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 } });
    let text = format!("data: {}", json!({ "choices": [choice] }));
    let server = Server::start([Reply::events(&[&text, "data: [DONE]"])]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().usage.total_tokens, 10);
    let server = Server::start([stream(&[json!({ "content": "Hi" })], "stop")]).await;
    assert!(ask(&open_ai(&server)).await.unwrap().usage.is_unknown());
}

/// The assistant's message of the next request, after an answer of these deltas and a restart.
async fn sent_back(provider: Provider, model: &str, next: Provider, deltas: &[Value]) -> Value {
    let server = Server::start_lenient([stream(deltas, "tool_calls"), Reply::chat("ok")]).await;
    let first = client(settings(provider, model, &server.url));
    let mut asked = hello(&first);
    asked.tools = vec![weather()].into();
    let answer = complete(&first, &asked).await;
    let kept = serde_json::to_string(&Message::Assistant(answer.message.clone())).unwrap();
    asked.messages.push(serde_json::from_str(&kept).unwrap());
    for call in answer.message.tool_calls {
        asked.messages.push(Message::tool(call.id, call.name, "7"));
    }
    let second = client(settings(next, model, &server.url));
    asked.model = second.model(llm::Tier::Default).clone();
    complete(&second, &asked).await;
    server.asked()[1].body["messages"][2].clone()
}

#[tokio::test]
async fn thoughts_go_back_to_the_server_that_sent_them_and_to_no_other() {
    let (own, other) = (Provider::OpenAi, Provider::Ollama);
    let deltas =
        [json!({ "reasoning_content": "I " }), json!({ "reasoning_content": "plan" }), call("{}")];
    let back = sent_back(own, "kimi-k2-thinking", own, &deltas).await;
    assert_eq!(back["reasoning_content"], "I plan");
    assert_eq!(back["tool_calls"][0]["id"], "a");
    let back = sent_back(own, "kimi-k2-thinking", other, &deltas).await;
    assert!(back["tool_calls"].is_array() && back.get("reasoning_content").is_none(), "{back}");

    let block = |text: &str| json!({ "type": "reasoning.text", "text": text, "index": 0 });
    let deltas = [
        json!({ "reasoning": "I ", "reasoning_details": [block("I ")] }),
        json!({ "reasoning": "plan", "reasoning_details": [block("plan")] }),
        json!({ "reasoning_details": [{ "type": "reasoning.text", "signature": "c2ln", "index": 0 }] }),
        call("{}"),
    ];
    let back = sent_back(Provider::OpenRouter, "a/b", Provider::OpenRouter, &deltas).await;
    let signed =
        json!([{ "type": "reasoning.text", "text": "I plan", "signature": "c2ln", "index": 0 }]);
    assert_eq!((&back["reasoning"], &back["reasoning_details"]), (&json!("I plan"), &signed));

    let mut signed = call("{}");
    signed["tool_calls"][0]["extra_content"] = json!({ "google": { "thought_signature": "c2ln" } });
    let back = sent_back(own, "gemini-3-pro", own, std::slice::from_ref(&signed)).await;
    assert_eq!(back["tool_calls"][0]["extra_content"]["google"]["thought_signature"], "c2ln");
    let back = sent_back(own, "gemini-3-pro", other, &[signed]).await;
    assert!(back["tool_calls"][0].get("extra_content").is_none(), "{back}");

    let thinking =
        json!({ "type": "thinking", "thinking": [{ "type": "text", "text": "I plan" }] });
    let deltas = [json!({ "content": [thinking] }), json!({ "content": "Hi" }), call("{}")];
    let back = sent_back(Provider::Mistral, "magistral", Provider::Mistral, &deltas).await;
    assert_eq!(back["content"], json!([thinking, { "type": "text", "text": "Hi" }]));
}

#[tokio::test]
async fn thoughts_in_the_text_are_no_reply_and_go_back_in_the_text() {
    let deltas: Vec<Value> = ["<thi", "nk>plan</th", "ink>\n\nHel", "lo"]
        .iter()
        .map(|text| json!({ "content": text }))
        .collect();
    let server = Server::start([stream(&deltas, "stop")]).await;
    let client = open_ai(&server);
    let (texts, end) = drain(&client, hello(&client)).await;
    assert_eq!((texts.concat(), end.unwrap().message.text), ("Hello".into(), "Hello".into()));
    assert_eq!(ask(&client).await.unwrap().message.text, "Hello");
    let server = Server::start([Reply::chat("<think>plan</think>Hello")]).await;
    let (texts, _) = drain(&open_ai(&server), hello(&client)).await;
    assert_eq!(texts, ["Hello"]);
    // The opening tag was in the prompt.
    let server =
        Server::start([stream(&[json!({ "content": "plan</think>Hello" })], "stop")]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "Hello");

    let with_call = [&deltas[..], &[call("{}")]].concat();
    let back = sent_back(Provider::OpenAi, "minimax-m2", Provider::OpenAi, &with_call).await;
    assert_eq!(back["content"], "<think>plan</think>\n\nHello");
    let back = sent_back(Provider::OpenAi, "minimax-m2", Provider::Groq, &with_call).await;
    assert_eq!(back["content"], "Hello");
}

#[tokio::test]
async fn how_no_more_tools_is_said_depends_on_the_server() {
    for provider in [Provider::Ollama, Provider::Groq, Provider::OpenRouter, Provider::OpenAi] {
        let server = Server::start([Reply::chat("Sun.")]).await;
        let client = of(provider, &server);
        let asked = LlmRequest { tool_choice: ToolChoice::None, ..used(&client) };
        complete(&client, &asked).await;
        let body = &server.asked()[0].body;
        assert!(body.get("tools").is_none() && body.get("tool_choice").is_none(), "{body}");
        let messages = body["messages"].to_string();
        assert!(!messages.contains("tool_call") && !messages.contains("\"tool\""), "{messages}");
        assert!(
            messages.contains("[called weather with ") && messages.contains("sun"),
            "{messages}"
        );
    }
    for provider in [Provider::Xai, Provider::Mistral] {
        let server = Server::start([Reply::chat("Sun.")]).await;
        let client = of(provider, &server);
        let asked = LlmRequest { tool_choice: ToolChoice::None, ..used(&client) };
        complete(&client, &asked).await;
        let body = &server.asked()[0].body;
        assert!(body["tools"].is_array() && body["tool_choice"] == "none", "{body}");
        assert_eq!(body["messages"][3]["role"], "tool");
    }
}

#[tokio::test]
async fn a_call_although_none_is_allowed_is_dropped_or_asked_again_without_tools() {
    let with_text = [json!({ "content": "Sun." }), call("{}")];
    let server = Server::start([stream(&with_text, "tool_calls")]).await;
    let client = of(Provider::Xai, &server);
    let asked = LlmRequest { tool_choice: ToolChoice::None, ..used(&client) };
    let answer = complete(&client, &asked).await;
    assert_eq!((answer.message.text.as_str(), answer.finish_reason), ("Sun.", FinishReason::Stop));
    assert!(answer.message.tool_calls.is_empty());

    let only_call = || stream(&[call("{}")], "tool_calls");
    let server = Server::start([only_call(), Reply::chat("Sun.")]).await;
    let client = of(Provider::Xai, &server);
    assert_eq!(complete(&client, &asked).await.message.text, "Sun.");
    let (first, second) = (&server.asked()[0].body, &server.asked()[1].body);
    assert!(first["tools"].is_array() && second.get("tools").is_none(), "{second}");
    assert!(!second["messages"].to_string().contains("tool_call"), "{second}");
    // Once.
    for is_streamed in [false, true] {
        let server = Server::start([only_call()]).await;
        let client = of(Provider::Ollama, &server);
        let asked = LlmRequest { tool_choice: ToolChoice::None, ..used(&client) };
        let error = if is_streamed {
            drain(&client, asked).await.1.unwrap_err()
        } else {
            client.complete(&asked, &CallContext::default()).await.unwrap_err()
        };
        assert_eq!((error.kind, server.asked().len()), (LlmErrorKind::ForbiddenCall, 2));
    }
}

#[tokio::test]
async fn turns_have_the_order_that_the_server_wants() {
    let roles = async |provider: Provider| {
        let server = Server::start([Reply::chat("ok")]).await;
        let client = of(provider, &server);
        complete(&client, &used(&client)).await;
        let messages = server.asked()[0].body["messages"].as_array().unwrap().clone();
        messages
            .iter()
            .map(|m| m["role"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let bridged = "system user assistant tool assistant user";
    assert_eq!(roles(Provider::Mistral).await, bridged);
    assert_eq!(roles(Provider::Ollama).await, bridged);
    assert_eq!(roles(Provider::Groq).await, "system user assistant tool user");
}

#[tokio::test]
async fn json_is_a_whole_answer_whatever_the_header_says() {
    let whole = json!({ "choices": [{ "message": { "content": "Hi" }, "finish_reason": "stop" }] });
    for kind in ["text/event-stream", "text/plain", "application/octet-stream"] {
        let reply = Reply::of_kind(kind, &format!("\n {whole}"));
        let server = Server::start([reply]).await;
        assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "Hi", "{kind}");
    }
    let text = event(&json!({ "content": "Hi" }), &json!("stop"));
    let reply = Reply::of_kind("text/plain", &format!("{text}\n\ndata: [DONE]\n\n"));
    let server = Server::start([reply]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "Hi");
}

#[tokio::test]
async fn the_end_of_a_chat_is_what_the_server_says_first_if_that_is_bad() {
    let chunk = |text: &str, reason: Value| {
        format!(
            "data: {}",
            json!({ "choices": [{ "index": 0, "delta": { "content": text },
            "finish_reason": reason }], "usage": { "prompt_tokens": 9, "completion_tokens": 40 } })
        )
    };
    let (half, late) = (chunk("Half a", json!("error")), chunk("", json!("stop")));
    let server = Server::start([Reply::events(&[&half, &late, "data: [DONE]"])]).await;
    let failure = ask(&open_ai(&server)).await.unwrap_err();
    assert!(failure.to_string().contains("error"), "{failure}");
    // A limit says nothing about an answer whose end the server names.
    let whole = chunk("Whole.", json!("stop"));
    let server = Server::start([Reply::events(&[&whole, "data: [DONE]"])]).await;
    let client = open_ai(&server);
    let mut request = hello(&client);
    request.max_output_tokens = Some(40);
    let answer = client.complete(&request, &CallContext::default()).await.unwrap();
    assert_eq!(answer.finish_reason, FinishReason::Stop);
}

#[tokio::test]
async fn white_space_before_an_answer_says_nothing_of_its_kind() {
    let blanks = " \n".repeat(300_000);
    let answer = json!({ "choices": [{ "index": 0, "finish_reason": "stop",
        "message": { "role": "assistant", "content": "Hi" } }] });
    let whole = Reply::of_kind("text/event-stream", &format!("{blanks}{answer}"));
    let server = Server::start([whole]).await;
    assert_eq!(ask(&open_ai(&server)).await.unwrap().message.text, "Hi");
}

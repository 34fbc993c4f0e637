//! A model is held to a schema by the best form that its provider has, beside tools and without, and each
//! strict server takes it.

use std::sync::Arc;

use llm::event::StreamEvent;
use llm::request::{LlmRequest, Message, ResponseSchema, ToolChoice};
use llm::{CallContext, LlmClient};
use serde_json::{Value, json};
use test_support::strict::Profile;
use test_support::strict_llm::{Answer, StrictLlm};

use crate::server::{client, request, weather};
use crate::strict::settings_for;

/// How a body holds the model to a schema.
fn form_of(body: &Value) -> &'static str {
    let native =
        ["/response_format", "/text/format", "/output_config", "/generationConfig/responseSchema"];
    let is_native = native.iter().any(|place| body.pointer(place).is_some());
    let has_tool = body["tools"].to_string().contains("final_answer");
    match (is_native, has_tool) {
        (true, false) => "native",
        (false, true) => "tool",
        (false, false) => "prompt",
        (true, true) => "both",
    }
}

fn closed() -> Value {
    json!({ "type": "object", "properties": { "sum": { "type": "integer" } },
        "required": ["sum"], "additionalProperties": false })
}

fn asking(client: &LlmClient, schema: Value, with_tools: bool) -> LlmRequest {
    let mut asked = request(client, vec![Message::user("How much?")]);
    if with_tools {
        asked.tools = vec![weather()].into();
    }
    asked.response_schema = Some(Arc::new(ResponseSchema::new("bill", schema)));
    asked
}

#[tokio::test]
async fn each_provider_gets_its_best_form_with_tools_and_without() {
    for profile in Profile::ALL {
        let beside = match profile {
            Profile::OpenAi
            | Profile::Responses
            | Profile::Xai
            | Profile::Anthropic
            | Profile::Gemini => "native",
            Profile::Groq
            | Profile::Mistral
            | Profile::OpenRouter
            | Profile::Kimi
            | Profile::Ollama
            | Profile::Template => "tool",
        };
        let answers = || match beside {
            "tool" => vec![Answer::call("final_answer", json!({ "sum": 7 }))],
            _ => vec![Answer::text(r#"{"sum":7}"#)],
        };
        let server = StrictLlm::start(profile, answers()).await;
        let client = client(settings_for(profile, &server.base_url()));
        let asked = asking(&client, closed(), true);
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(answer.message.text, r#"{"sum":7}"#, "{}", profile.name());
        assert!(answer.message.tool_calls.is_empty(), "{}", profile.name());
        assert_eq!(answer.finish_reason.as_str(), "stop", "{}", profile.name());
        assert_eq!(form_of(&server.asked()[0].body), beside, "{}", profile.name());
        // Alone all of them have a form of their own.
        server.next([Answer::text(r#"{"sum":7}"#)]);
        let asked = asking(&client, closed(), false);
        client.complete(&asked, &CallContext::default()).await.unwrap();
        let alone = form_of(&server.asked().last().unwrap().body);
        assert_eq!(alone, "native", "{}", profile.name());
    }
}

#[tokio::test]
async fn a_schema_that_a_provider_cannot_hold_to_is_a_tool_and_without_tools_the_prompts() {
    let open =
        json!({ "type": "object", "properties": { "sum": { "type": "integer", "minimum": 1 } } });
    let list = json!({ "type": "array", "items": { "type": "integer" } });
    for (profile, schema, arguments, text) in [
        (Profile::Anthropic, open, json!({ "sum": 7 }), r#"{"sum":7}"#),
        (Profile::OpenAi, list.clone(), json!({ "result": [7] }), "[7]"),
        (Profile::Responses, list, json!({ "result": [7] }), "[7]"),
    ] {
        let server = StrictLlm::start(profile, [Answer::call("final_answer", arguments)]).await;
        let client = client(settings_for(profile, &server.base_url()));
        let mut asked = asking(&client, schema, true);
        let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(answer.message.text, text, "{}", profile.name());
        assert_eq!(form_of(&server.asked()[0].body), "tool", "{}", profile.name());
        server.next([Answer::text(text)]);
        asked.tool_choice = ToolChoice::None;
        client.complete(&asked, &CallContext::default()).await.unwrap();
        assert_eq!(form_of(&server.asked()[1].body), "prompt", "{}", profile.name());
    }
}

#[tokio::test]
async fn tools_are_called_before_the_answer_is_given_by_one() {
    let calls = [
        Answer::calls(&[("weather", json!({ "place": "Perth" })), ("final_answer", json!({}))]),
        Answer::call("final_answer", json!({ "sum": 7 })),
    ];
    let server = StrictLlm::start(Profile::Ollama, calls).await;
    let client = client(settings_for(Profile::Ollama, &server.base_url()));
    let mut asked = asking(&client, closed(), true);
    let answer = client.complete(&asked, &CallContext::default()).await.unwrap();
    // An answer that does not wait for the results is none.
    let names: Vec<_> = answer.message.tool_calls.iter().map(|call| call.name.clone()).collect();
    assert_eq!(names, ["weather"]);
    let call = answer.message.tool_calls[0].clone();
    asked.messages.push(Message::Assistant(answer.message));
    asked.messages.push(Message::tool(call.id, call.name, "sun"));
    let mut pieces = client.stream(asked, CallContext::default());
    let (mut told, mut end) = (String::new(), None);
    while let Some(piece) = pieces.next().await {
        match piece.unwrap() {
            StreamEvent::Text(text) => told.push_str(&text),
            StreamEvent::Again => unreachable!("nothing broke off"),
            StreamEvent::Done(done) => end = Some(done.message.text),
        }
    }
    assert_eq!((told.as_str(), end.as_deref()), (r#"{"sum":7}"#, Some(r#"{"sum":7}"#)));
}

#[tokio::test]
async fn what_a_model_says_before_the_call_of_the_tool_is_no_part_of_the_answer() {
    let chatty = json!({ "id": "c1", "object": "chat.completion", "model": "scripted",
        "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Here you are:", "tool_calls": [{ "id": "call_1",
                "type": "function", "function": { "name": "final_answer", "arguments": "{\"sum\":7}" } }] } }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 } });
    let server = StrictLlm::start(Profile::Ollama, [Answer::raw(200, chatty)]).await;
    let client = client(settings_for(Profile::Ollama, &server.base_url()));
    let answer =
        client.complete(&asking(&client, closed(), true), &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, r#"{"sum":7}"#);
}

#[tokio::test]
async fn a_turn_after_tools_in_which_none_may_be_called_still_has_a_form() {
    // Older Geminis refuse JSON beside functions: the calls are told as text instead.
    let server = StrictLlm::start(Profile::Gemini, [Answer::text(r#"{"sum":7}"#)]).await;
    let mut settings = settings_for(Profile::Gemini, &server.base_url());
    settings.default.name = "gemini-2.5-flash".to_owned();
    let client = client(settings);
    let mut asked = asking(&client, closed(), true);
    asked.messages.push(Message::Assistant(llm::request::AssistantMessage {
        tool_calls: vec![llm::request::ToolCall {
            id: "a".into(),
            name: "weather".into(),
            arguments: json!({}),
            provider_state: None,
        }],
        ..Default::default()
    }));
    asked.messages.push(Message::tool("a", "weather", "sun"));
    let auto = client.complete(&asked, &CallContext::default()).await.unwrap();
    assert_eq!(auto.message.text, r#"{"sum":7}"#);
    asked.tool_choice = ToolChoice::None;
    client.complete(&asked, &CallContext::default()).await.unwrap();
    let forms: Vec<_> = server.asked().iter().map(|asked| form_of(&asked.body)).collect();
    assert_eq!(forms, ["tool", "native"]);
    assert!(server.asked()[1].body["contents"].to_string().contains("[called weather]"));
}

#[tokio::test]
async fn a_fallback_gets_the_form_of_its_own_provider() {
    let first = StrictLlm::start(
        Profile::Anthropic,
        [Answer::raw(
            529,
            json!({
        "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } }),
        )],
    )
    .await;
    let tool = Answer::call("final_answer", json!({ "sum": 7 }));
    let second = StrictLlm::start(Profile::Ollama, [tool]).await;
    let mut settings = settings_for(Profile::Anthropic, &first.base_url());
    let other = settings_for(Profile::Ollama, &second.base_url());
    settings.endpoints.extend(other.endpoints);
    settings.fallback = Some(other.default);
    settings.retry.attempts = 1;
    let client = client(settings);
    let answer =
        client.complete(&asking(&client, closed(), true), &CallContext::default()).await.unwrap();
    assert_eq!(answer.message.text, r#"{"sum":7}"#);
    assert_eq!(form_of(&first.asked()[0].body), "native");
    assert_eq!(form_of(&second.asked()[0].body), "tool");
}

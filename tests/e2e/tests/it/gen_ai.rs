//! Traces in the form of OpenTelemetry's conventions for generative AI.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json};

use crate::otel::Collector;
use crate::traced_runs::{self, ANSWERED, ASKED, CALLS, DETACHED, EARLY, FAILS, WAITS};

/// The spans of the daemon in a trace, by name.
fn spans(all: &[(String, Span)], trace: &str) -> BTreeMap<String, Vec<Span>> {
    let mut found: BTreeMap<String, Vec<Span>> = BTreeMap::new();
    let id = u128::from_str_radix(trace, 16).unwrap().to_be_bytes();
    for (service, span) in all {
        if service.contains("wombat-daemon") && span.trace_id == id {
            found.entry(span.name.clone()).or_default().push(span.clone());
        }
    }
    for spans in found.values_mut() {
        spans.sort_by_key(|span| span.start_time_unix_nano);
    }
    found
}

/// An attribute: a text, number or truth as it is, of a list its only text.
fn attribute(span: &Span, key: &str) -> Value {
    let mut of_key = span.attributes.iter().filter(|kv| kv.key == key);
    let found = of_key.next().and_then(|kv| kv.value.clone()?.value);
    assert!(of_key.next().is_none(), "{key} stands twice");
    match found {
        None => Value::Null,
        Some(Any::StringValue(text)) => json!(text),
        Some(Any::IntValue(number)) => json!(number),
        Some(Any::BoolValue(is)) => json!(is),
        Some(Any::ArrayValue(list)) => match list.values.as_slice() {
            [only] => match &only.value {
                Some(Any::StringValue(text)) => json!([text]),
                other => panic!("{key}: {other:?}"),
            },
            other => panic!("{key}: {other:?}"),
        },
        other => panic!("{key}: {other:?}"),
    }
}

/// An attribute that holds JSON.
fn parsed(span: &Span, key: &str) -> Value {
    let text = attribute(span, key);
    serde_json::from_str(text.as_str().unwrap_or_else(|| panic!("{key} of {}", span.name))).unwrap()
}

fn has_failed(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32)
}

fn said(text: &str) -> Value {
    json!([{ "type": "text", "content": text }])
}

/// The run's own span, which says whose run it is.
fn run<'s>(spans: &'s BTreeMap<String, Vec<Span>>, conversation: &str) -> &'s Span {
    let [run] = &spans["invoke_agent scout"][..] else { panic!("{spans:?}") };
    assert_eq!(attribute(run, "gen_ai.operation.name"), "invoke_agent");
    assert_eq!(attribute(run, "gen_ai.agent.name"), "scout");
    assert_eq!(attribute(run, "user.id"), "ann");
    assert_eq!(attribute(run, "gen_ai.conversation.id"), conversation);
    let asked = json!([{ "role": "user", "parts": said(ASKED) }]);
    assert_eq!(parsed(run, "gen_ai.input.messages"), asked);
    run
}

#[tokio::test]
async fn runs_are_traced_as_the_conventions_say() {
    let collector = Collector::default();
    let traced = traced_runs::traced(collector.http().await, "").await;
    let (all, task) = (collector.spans(), traced.task_id.as_str());

    let spans_of = spans(&all, CALLS);
    let whole = run(&spans_of, task);
    // It is the root: what came before the run is below it, too.
    assert!(whole.parent_span_id.is_empty());
    assert_eq!(spans_of["read profile"][0].parent_span_id, whole.span_id);
    assert!(!has_failed(whole));
    let reply = json!([{ "role": "assistant", "parts": said(ANSWERED), "finish_reason": "stop" }]);
    assert_eq!(parsed(whole, "gen_ai.output.messages"), reply);
    assert_eq!(attribute(whole, "gen_ai.response.finish_reasons"), json!(["stop"]));
    assert_eq!(attribute(whole, "gen_ai.usage.input_tokens"), 2000);
    assert_eq!(attribute(whole, "gen_ai.usage.output_tokens"), 400);
    assert_eq!(attribute(whole, "gen_ai.usage.cache_read.input_tokens"), 800);
    let [first, second] = &spans_of["chat gpt-4o-mini"][..] else { panic!("{spans_of:?}") };
    check_chats(first, second, task);
    let [tool] = &spans_of["execute_tool create_task"][..] else { panic!("{spans_of:?}") };
    assert!(!has_failed(tool));
    assert_eq!(attribute(tool, "gen_ai.tool.type"), "function");
    assert_eq!(attribute(tool, "gen_ai.tool.call.id"), "call_1");
    assert_eq!(parsed(tool, "gen_ai.tool.call.arguments"), json!({ "title": "Buy bread" }));
    assert!(attribute(tool, "gen_ai.tool.call.result").to_string().contains("Buy bread"));

    let spans_of = spans(&all, FAILS);
    let failed = run(&spans_of, task);
    let [chat] = &spans_of["chat gpt-4o-mini"][..] else { panic!("{spans_of:?}") };
    for span in [failed, chat] {
        assert!(has_failed(span) && attribute(span, "error.type").is_string());
    }
    assert_eq!(attribute(chat, "gen_ai.response.finish_reasons"), json!(["error"]));
    assert_eq!(attribute(chat, "gen_ai.conversation.id"), task);

    let spans_of = spans(&all, WAITS);
    let waiting = run(&spans_of, task);
    assert_eq!(attribute(waiting, "wombat.ending"), "awaiting_approval");
    for span in spans_of.values().flatten() {
        assert!(!has_failed(span), "waiting is no failure: {span:?}");
    }
    let [tool] = &spans_of["execute_tool create_document"][..] else { panic!("{spans_of:?}") };
    assert_eq!(attribute(tool, "gen_ai.tool.call.result"), Value::Null);

    let spans_of = spans(&all, EARLY);
    assert!(has_failed(run(&spans_of, "user:ann:scout")));

    let spans_of = spans(&all, DETACHED);
    let detached = run(&spans_of, task);
    assert!(!has_failed(detached));
    assert_eq!(parsed(detached, "gen_ai.output.messages"), reply);
    assert_eq!(spans_of["chat gpt-4o-mini"].len(), 1);
}

/// The two model calls of a run that calls a tool between them.
fn check_chats(first: &Span, second: &Span, task: &str) {
    for (chat, id, why) in [(first, "chatcmpl-1", "tool_call"), (second, "chatcmpl-2", "stop")] {
        assert_eq!(attribute(chat, "gen_ai.response.id"), id);
        assert_eq!(attribute(chat, "gen_ai.response.finish_reasons"), json!([why]));
        assert_eq!(attribute(chat, "gen_ai.request.model"), "gpt-4o-mini");
        assert_eq!(attribute(chat, "gen_ai.provider.name"), "openai");
        assert_eq!(attribute(chat, "gen_ai.conversation.id"), task);
        assert_eq!(attribute(chat, "gen_ai.request.stream"), true);
        assert_eq!(attribute(chat, "gen_ai.usage.input_tokens"), 1000);
        assert_eq!(attribute(chat, "gen_ai.usage.output_tokens"), 200);
        assert_eq!(attribute(chat, "gen_ai.usage.cache_read.input_tokens"), 400);
        let instructions = parsed(chat, "gen_ai.system_instructions");
        assert_eq!(instructions[0]["type"], "text");
        assert!(instructions[0]["content"].as_str().unwrap().contains("Be brief."));
        let tools = parsed(chat, "gen_ai.tool.definitions");
        let mut tools = tools.as_array().unwrap().iter();
        let tool = tools.find(|tool| tool["name"] == "create_task").unwrap();
        assert_eq!(
            (&tool["type"], &tool["parameters"]["type"]),
            (&json!("function"), &json!("object"))
        );
        let input = parsed(chat, "gen_ai.input.messages");
        assert!(input.as_array().unwrap().iter().all(|message| message["role"] != "system"));
        assert!(input[0]["parts"][0]["content"].as_str().unwrap().contains(ASKED), "{input}");
    }
    let call = json!({ "type": "tool_call", "id": "call_1", "name": "create_task",
        "arguments": { "title": "Buy bread" } });
    let called = json!([{ "role": "assistant", "parts": [call], "finish_reason": "tool_call" }]);
    assert_eq!(parsed(first, "gen_ai.output.messages"), called);
    let input = parsed(second, "gen_ai.input.messages");
    let input = input.as_array().unwrap();
    let [.., asked, answered] = &input[..] else { panic!("{input:?}") };
    assert_eq!(asked, &json!({ "role": "assistant", "parts": [call] }));
    assert_eq!(answered["role"], "tool");
    let response = &answered["parts"][0];
    assert_eq!(
        (&response["type"], &response["id"]),
        (&json!("tool_call_response"), &json!("call_1"))
    );
    assert!(response["response"].as_str().unwrap().contains("Buy bread"), "{response}");
    let reply = json!([{ "role": "assistant", "parts": said(ANSWERED), "finish_reason": "stop" }]);
    assert_eq!(parsed(second, "gen_ai.output.messages"), reply);
}

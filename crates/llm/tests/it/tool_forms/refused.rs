//! Tools that a provider refuses for reasons of its own: each costs itself.

use std::collections::BTreeSet;

use llm::CallContext;
use serde_json::json;

use super::peer::OPENAI;
use super::{awkward, tool};
use crate::server::{Reply, Server, hello, open_ai};

#[tokio::test]
async fn a_tool_that_is_refused_for_a_reason_of_the_providers_own_costs_itself() {
    let refused = json!({ "error": { "message": "Invalid schema for function 'odd': no.",
        "type": "invalid_request_error", "param": "tools[7].parameters",
        "code": "invalid_function_parameters" } });
    let refuses = || Reply::json(400, &refused);
    let server = Server::start_lenient([refuses(), refuses(), Reply::chat("Hello")]).await;
    let client = open_ai(&server);
    let mut request = hello(&client);
    request.tools = awkward().into();
    for _ in 0..2 {
        let answer = client.complete(&request, &CallContext::default()).await.unwrap();
        assert_eq!(answer.message.text, "Hello");
    }
    let asked = server.asked();
    let sent: Vec<_> = asked.iter().map(|asked| OPENAI.tools(&asked.body)).collect();
    let counts: Vec<_> = sent.iter().map(Vec::len).collect();
    // In full, in simpler words, not at all; and remembered.
    assert_eq!(counts, [8, 8, 7, 7]);
    assert_ne!(sent[0][7].schema, sent[1][7].schema);
    assert_eq!(sent[0][3].schema, sent[2][3].schema, "the others are sent as before");
    let problems = client.tool_problems(&request.model, &request.tools);
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert!(
        told.iter().any(|told| told.starts_with("\"odd\": left out: the provider")),
        "{told:?}"
    );
}

#[tokio::test]
async fn tools_with_too_long_descriptions_are_shortened_not_lost() {
    // The limit is a server's own, and every tool is refused in its turn.
    let refused = |n: usize| {
        let message = format!(
            "Invalid 'tools[{n}].function.description': string too long. Expected a string with \
             maximum length 512."
        );
        Reply::json(
            400,
            &json!({ "error": { "message": message, "code": "string_above_max_length" } }),
        )
    };
    let replies = (0..9).map(refused).chain([Reply::chat("Hello")]);
    let server = Server::start_lenient(replies).await;
    let client = open_ai(&server);
    let mut request = hello(&client);
    let long = |n: usize| tool(&format!("t{n}"), &"A long sentence. ".repeat(60), json!({}));
    request.tools = (0..9).map(long).collect::<Vec<_>>().into();
    for _ in 0..2 {
        client.complete(&request, &CallContext::default()).await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 11);
    for asked in &asked[9..] {
        let sent = OPENAI.tools(&asked.body);
        assert_eq!(sent.len(), 9);
        assert!(sent.iter().all(|tool| tool.description.chars().count() <= 512));
    }
}

#[tokio::test]
async fn tools_that_are_refused_without_end_are_left_out_at_the_next_call() {
    // Simpler words make no difference to these tools, so that each is left out at once.
    let refused = |n: usize| {
        let message = format!("Invalid schema for function 't{n}': no. Key: sk-canary-0123456789");
        Reply::json(400, &json!({ "error": { "message": message } }))
    };
    let server = Server::start_lenient((0..20).map(refused).chain([Reply::chat("Hello")])).await;
    let client = open_ai(&server);
    let mut request = hello(&client);
    let plain = |n: usize| tool(&format!("t{n}"), "Does it.", json!({ "type": "object" }));
    request.tools = (0..24).map(plain).collect::<Vec<_>>().into();
    client.complete(&request, &CallContext::default()).await.unwrap_err();
    assert_eq!(server.asked().len(), 17);
    client.complete(&request, &CallContext::default()).await.unwrap();
    let asked = server.asked();
    let counts: Vec<_> = asked.iter().map(|asked| OPENAI.tools(&asked.body).len()).collect();
    assert_eq!(
        counts,
        [24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4]
    );
    // What the provider said is told without its secrets.
    let problems = client.tool_problems(&request.model, &request.tools);
    assert_eq!(problems.len(), 20);
    for problem in problems {
        let told = problem.to_string();
        assert!(told.contains("Invalid schema") && !told.contains("canary"), "{told}");
    }
    // A tool with another definition is another tool, whatever its name.
    request.tools = vec![tool("t0", "Does it well.", json!({ "type": "object" }))].into();
    assert!(client.tool_problems(&request.model, &request.tools).is_empty());
}

#[tokio::test]
async fn an_error_that_means_something_else_or_repeats_the_request_refuses_no_tool() {
    for error in [
        json!({ "error": { "message": "Failed to call a function.", "code": "tool_use_failed",
            "failed_generation": "Invalid schema for function 'odd', tools[0].x" } }),
        json!({ "error": { "message": "Prompt is too long: tools[0].parameters" } }),
        json!({ "detail": [{ "type": "missing", "loc": ["body", "messages", 1, "content"],
            "msg": "Field required", "input": { "content": "see tools[0].x" } }] }),
    ] {
        let server = Server::start_lenient([Reply::json(400, &error)]).await;
        let client = open_ai(&server);
        let mut request = hello(&client);
        request.tools = awkward().into();
        client.complete(&request, &CallContext::default()).await.unwrap_err();
        let lists = server.asked().into_iter().map(|asked| asked.body["tools"].to_string());
        let lists: BTreeSet<_> = lists.collect();
        assert_eq!(lists.len(), 1, "{error}");
    }
}

#[tokio::test]
async fn an_error_that_names_no_tool_is_not_repeated() {
    let error = json!({ "error": { "message": "'tools' : maximum number of items is 128" } });
    let server = Server::start([Reply::json(400, &error)]).await;
    let client = open_ai(&server);
    let mut request = hello(&client);
    request.tools = awkward().into();
    client.complete(&request, &CallContext::default()).await.unwrap_err();
    assert_eq!(server.asked().len(), 1);
}

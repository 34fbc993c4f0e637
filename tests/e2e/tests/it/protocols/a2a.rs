use serde_json::{Value, json};
use test_support::llm::Reply;

use super::{World, new_document, new_task};
use crate::peers;

async fn round(binding: &str) {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    let replies = vec![
        Reply::sse_calls(&[new_task("One")]),
        Reply::sse_text("It is done."),
        Reply::sse_calls(&[new_task("Two")]),
        Reply::sse_text("All of it is done."),
        Reply::json(400, refusal),
        Reply::sse_calls(&[new_document("Report")]),
        Reply::text("The report is there."),
        Reply::never(),
    ];
    let world = World::new("a2a", replies).await;
    let part = async |part: &str, mut with: Value| {
        with["binding"] = json!(binding);
        world.client(&python, "a2a_client.py", part, &with).await
    };

    let card = part("card", json!({})).await;
    assert_eq!((&card["first"], &card["skills"]), (&json!("helper"), &json!(["weather"])));
    assert_eq!(card["bindings"], json!(["JSONRPC", "HTTP+JSON"]));
    for wrong in ["nobody", "stranger"] {
        assert_eq!(card[wrong]["kind"], "AgentCardResolutionError", "{card}");
    }

    let whole = part("whole", json!({})).await;
    assert_eq!(whole["status"]["state"], "TASK_STATE_COMPLETED", "{whole}");
    assert_eq!(whole["artifacts"][0]["parts"][0]["text"], "It is done.");
    assert_eq!(whole["metadata"]["steps"][0]["name"], "create_task");
    let again = part("whole", json!({})).await;
    assert_eq!(again["metadata"]["message_id"], whole["metadata"]["message_id"], "{again}");
    assert_eq!(again["id"], whole["id"]);
    assert_eq!(world.titles("/tasks").await, ["Do it. (m1)", "One"]);

    let streamed = part("stream", json!({ "task_id": whole["id"] })).await;
    assert_eq!(streamed["first"], json!(["task"]), "{streamed}");
    assert_eq!(streamed["notes"][0], "calls create_task");
    assert_eq!(streamed["notes"][1], "create_task is done");
    let pieces = streamed["pieces"].as_array().unwrap();
    let (last, words) = pieces.split_last().unwrap();
    let words: String = words.iter().filter_map(Value::as_str).collect();
    assert_eq!((words.as_str(), last), ("All of it is done.", &json!("All of it is done.")));
    // Words that wait together are told together.
    let appended = streamed["appended"].as_array().unwrap();
    let (last, words) = appended.split_last().unwrap();
    let (first, more) = words.split_first().unwrap();
    assert_eq!((first, last), (&json!(false), &json!(false)), "{streamed}");
    assert!(more.iter().all(|piece| *piece == json!(true)), "{streamed}");
    assert_eq!(streamed["states"].as_array().unwrap().last(), Some(&json!("TASK_STATE_COMPLETED")));

    let bad = part("bad", json!({ "task_id": whole["id"] })).await;
    for (what, kind) in [
        ("no_text", "InvalidParamsError"),
        ("a_picture", "ContentTypeNotSupportedError"),
        ("an_agent", "InvalidParamsError"),
        ("no_task", "TaskNotFoundError"),
        ("dots", "TaskNotFoundError"),
        ("ask_in_no_task", "TaskNotFoundError"),
        ("anothers", "TaskNotFoundError"),
        ("ask_in_anothers", "TaskNotFoundError"),
        ("cancel_anothers", "TaskNotFoundError"),
        ("ask_what_has_ended", "UnsupportedOperationError"),
        ("another_context", "InvalidParamsError"),
        ("cancel_what_has_ended", "TaskNotCancelableError"),
        ("push", "InvalidParamsError"),
        ("push_inside", "InvalidParamsError"),
        ("push_with_token", "PushNotificationNotSupportedError"),
        ("push_with_credentials", "PushNotificationNotSupportedError"),
        ("push_in_anothers", "TaskNotFoundError"),
        ("no_push", "TaskNotFoundError"),
        ("subscribe_to_what_has_ended", "UnsupportedOperationError"),
    ] {
        assert_eq!(bad[what]["kind"], kind, "{what}: {bad}");
    }
    assert_eq!(world.llm.asked().len(), 4, "the model was not bothered");

    let failed = part("whole", json!({ "id": "m2", "task_id": whole["id"] })).await;
    assert_eq!(failed["status"]["state"], "TASK_STATE_FAILED", "{failed}");
    assert_eq!(failed["metadata"]["code"], "llm_rejected");

    let waiting = part("whole", json!({ "id": "m3", "task_id": whole["id"] })).await;
    assert_eq!(waiting["status"]["state"], "TASK_STATE_INPUT_REQUIRED", "{waiting}");
    let run_key = &waiting["metadata"]["run_key"];
    let tasks = part("tasks", json!({ "task_id": whole["id"] })).await;
    assert_eq!(tasks["waiting"], json!([run_key]), "{tasks}");
    assert_eq!(tasks["all"]["Do it. (m1)"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(tasks["all"]["One"], "TASK_STATE_SUBMITTED");
    world.decide("Report", "approved").await;
    let resumed =
        part("whole", json!({ "id": "m4", "task_id": whole["id"], "resume": run_key })).await;
    assert_eq!(resumed["status"]["state"], "TASK_STATE_COMPLETED", "{resumed}");
    assert_eq!(resumed["artifacts"][0]["parts"][0]["text"], "The report is there.");

    let tasks = part("tasks", json!({ "task_id": whole["id"] })).await;
    assert_eq!(tasks["one"]["status"]["state"], "TASK_STATE_COMPLETED", "{tasks}");
    let said: Vec<_> = tasks["one"]["history"].as_array().unwrap().iter().collect();
    // The client's messages are in it, each once.
    let roles: Vec<_> = said.iter().map(|turn| turn["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["ROLE_USER", "ROLE_AGENT"].repeat(3), "{tasks}");
    assert_eq!(said[5]["parts"][0]["text"], "The report is there.");
    assert_eq!(tasks["replies"], json!(["The report is there."]));
    assert_eq!((&tasks["paged"], &tasks["strangers"]), (&json!(3), &json!(0)), "{tasks}");

    let cancelled = part("cancel", json!({ "task_id": whole["id"] })).await;
    assert_eq!(
        cancelled,
        json!({ "begun": "TASK_STATE_WORKING", "live": "TASK_STATE_WORKING", "first": ["task"],
            "last": "TASK_STATE_CANCELED", "cancelled": "TASK_STATE_CANCELED" })
    );
    world.is_idle().await;
}

#[tokio::test]
async fn the_official_client_does_a_whole_round_over_json_rpc() {
    round("JSONRPC").await;
}

#[tokio::test]
async fn the_official_client_does_a_whole_round_over_http_and_json() {
    round("HTTP+JSON").await;
}

/// What the requirements of the protocol's compatibility kit say of lists, contexts and streams.
#[tokio::test]
async fn lists_contexts_and_streams_are_as_the_compatibility_kit_wants_them() {
    let Some(python) = peers::protocols("a2a.client, httpx") else { return };
    let asked = json!({ "question": "Which colour?", "options": ["red", "blue"] });
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let mut replies: Vec<_> = (0..4).map(|_| Reply::text("It is done.")).collect();
        replies.push(Reply::sse_calls(&[("ask_user", asked.clone())]));
        replies.push(Reply::text("Red it is."));
        let scout = json!({ "role": "scout", "tools": { "enable": ["ask_user"] } });
        let world = World::with("a2a", replies, scout).await;
        let with = json!({ "binding": binding });
        let seen = world.client(&python, "a2a_client.py", "lists", &with).await;
        assert_eq!(seen["contexts"], json!(["talk 0", "talk 1", "talk 2", "talk 0"]), "{seen}");
        assert_eq!(seen["same_task"], true, "{seen}");
        assert_eq!(seen["has_message"], json!([false, false, false, false]), "{seen}");
        // The newest state first.
        let all = json!(["talk 0", "talk 2", "talk 1"]);
        assert_eq!((&seen["all"], &seen["paged"]), (&all, &all), "{seen}");
        assert_eq!((&seen["totals"], &seen["end"]), (&json!([3, 3]), &json!("")), "{seen}");
        assert_eq!(seen["since_newest"], json!(["talk 0"]), "{seen}");
        assert_eq!(seen["one"], json!(["talk 1"]), "{seen}");
        assert_eq!(seen["working"], json!([]), "{seen}");
        assert_eq!(seen["other_page"]["kind"], "InvalidParamsError", "{seen}");

        let seen = world.client(&python, "a2a_client.py", "waits", &with).await;
        assert_eq!(seen["first"], "TASK_STATE_INPUT_REQUIRED", "{seen}");
        let states = seen["states"].as_array().unwrap();
        assert!(states.contains(&json!("TASK_STATE_INPUT_REQUIRED")), "{seen}");
        assert_eq!(states.last(), Some(&json!("TASK_STATE_COMPLETED")), "{seen}");
        world.is_idle().await;
    }
}

use serde_json::{Value, json};
use test_support::llm::Reply;
use test_support::wait_for;

use super::{World, new_document, new_task, node};

#[tokio::test]
async fn the_official_client_does_a_whole_round() {
    let Some(node) = node(&["@ag-ui/client"]) else { return };
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    let replies = vec![
        Reply::sse_calls(&[new_task("One")]),
        Reply::sse_text("It is done."),
        Reply::json(400, refusal),
        Reply::sse_calls(&[new_document("Report")]),
        Reply::text("The report is there."),
        Reply::sse_calls(&[new_document("Not wanted")]),
        Reply::never(),
    ];
    let world = World::new("ag-ui", replies).await;
    let task = world.person.post("/tasks", &json!({ "title": "Work" })).await.unwrap();
    let part = async |part: &str, with: Value| world.client(&node, "ag_ui.mjs", part, &with).await;

    let with = json!({ "thread": task["id"], "run": "r1" });
    let told = part("run", with.clone()).await;
    let types: Vec<_> =
        told["types"].as_array().unwrap().iter().map(|kind| kind.as_str().unwrap()).collect();
    let wanted = [
        "RUN_STARTED",
        "STATE_SNAPSHOT",
        "STEP_STARTED",
        "TOOL_CALL_START",
        "TOOL_CALL_ARGS",
        "TOOL_CALL_END",
        "TOOL_CALL_RESULT",
        "STEP_FINISHED",
        "STEP_STARTED",
        "TEXT_MESSAGE_START",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_CONTENT",
        "TEXT_MESSAGE_END",
        "STEP_FINISHED",
        "STATE_SNAPSHOT",
        "RUN_FINISHED",
    ];
    assert_eq!(types, wanted, "{told}");
    assert_eq!(told["text"], "It is done.");
    assert_eq!((&told["outcome"], &told["calls"]), (&json!("success"), &json!(["create_task"])));
    assert_eq!(told["state"]["wombat"]["task_id"], task["id"], "{told}");
    assert_eq!(told["state"]["page"], 7, "the client's own state stays");
    let asked = world.llm.asked()[0].to_string();
    assert!(asked.contains("The person is on the page: 7"), "{asked}");
    let again = part("run", with).await;
    assert_eq!((&again["text"], &again["message_id"]), (&told["text"], &told["message_id"]));
    assert_eq!(world.titles("/tasks").await, ["One", "Work"]);

    let bad = part("bad", json!({})).await;
    assert_eq!(bad["no_role"], json!(["RUN_ERROR unknown_role"]), "{bad}");
    for what in ["no_user", "no_messages", "no_question", "an_image"] {
        assert_eq!(bad[what], json!(["RUN_ERROR invalid_payload"]), "{what}: {bad}");
    }
    assert_eq!(bad["wrong_key"]["status"], 401, "{bad}");
    assert_eq!(bad["wrong_key"]["code"], "invalid_daemon_key");
    assert_eq!(world.llm.asked().len(), 2, "the model was not bothered");

    let failed = part("run", json!({ "thread": "New", "run": "r2" })).await;
    assert_eq!(failed["error"], "llm_rejected", "{failed}");
    assert_eq!(world.titles("/tasks").await, ["New", "One", "Work"]);

    let waiting = part("run", json!({ "thread": "New", "run": "r3" })).await;
    assert_eq!(waiting["outcome"], "interrupt", "{waiting}");
    let interrupt = &waiting["interrupts"][0];
    assert_eq!(interrupt["metadata"]["tool"], "create_document");
    let resume = |interrupt: &Value, status: &str, run: &str| json!({ "thread": "New", "run": run, "resume": [{ "interruptId": interrupt["id"], "status": status }] });
    let early = part("run", resume(interrupt, "resolved", "r4")).await;
    assert_eq!(early["outcome"], "interrupt", "the client's word is not a person's: {early}");
    assert!(world.titles("/documents").await.is_empty());
    world.decide("Report", "approved").await;
    let resumed = part("run", resume(interrupt, "resolved", "r5")).await;
    assert_eq!(
        (&resumed["outcome"], &resumed["text"]),
        (&json!("success"), &json!("The report is there."))
    );
    assert_eq!(world.titles("/documents").await, ["Report"]);

    let waiting = part("run", json!({ "thread": "New", "run": "r6" })).await;
    let given_up = resume(&waiting["interrupts"][0], "cancelled", "r7");
    let cancelled = part("run", given_up).await;
    assert_eq!(cancelled["outcome"], "cancelled", "{cancelled}");
    let path =
        format!("/runs/{}", waiting["interrupts"][0]["metadata"]["run_key"].as_str().unwrap());
    wait_for("the cancelled run", async || {
        let run = world.person.get(&path).await.unwrap();
        (run["status"] == "cancelled" || run["cancel_requested"] == true).then_some(())
    })
    .await;

    let left = world.client_leaves(&node, "ag_ui.mjs", "leave").await;
    assert_eq!(left["left"], true);
}

/// The oldest version that is supported, the first one that takes no keys it does not know, and the one that
/// the newest `@copilotkit/runtime` comes with.
const OLDER: [&str; 3] = ["ag-ui-client-0.0.45", "ag-ui-client-0.0.54", "ag-ui-client-0.0.59"];

#[tokio::test]
async fn older_clients_take_every_event() {
    let Some(node) = node(&OLDER) else { return };
    let refusal = json!({ "error": { "message": "no", "type": "invalid_request_error" } });
    for package in OLDER {
        let replies = vec![
            Reply::sse_calls(&[new_task("One")]),
            Reply::sse_text("It is done."),
            Reply::json(400, refusal.clone()),
            Reply::sse_calls(&[new_document("Report")]),
        ];
        let world = World::new("ag-ui", replies).await;
        let part = async |runs: Value| {
            let with = json!({ "package": package, "runs": runs });
            world.client(&node, "ag_ui.mjs", "older", &with).await
        };
        let seen = part(json!({
            "done": { "run": "r1" }, "failed": { "run": "r2" }, "waits": { "run": "r3" }
        }))
        .await;
        let ends = |name: &str| seen[name]["types"].as_array().unwrap().last().cloned();
        for name in ["done", "waits"] {
            assert_eq!(seen[name].get("thrown"), None, "{package}: {seen}");
            assert_eq!(ends(name), Some(json!("RUN_FINISHED")), "{package}: {seen}");
        }
        assert_eq!(seen["done"]["text"], "It is done.", "{package}: {seen}");
        assert_eq!(ends("failed"), Some(json!("RUN_ERROR")), "{package}: {seen}");
        assert_eq!(seen["failed"]["error"], "llm_rejected", "{package}: {seen}");

        let asked = world.person.list("/tool-requests").await.unwrap();
        let resume = json!([{ "interruptId": asked[0]["id"], "status": "cancelled" }]);
        let seen = part(json!({ "given_up": { "run": "r4", "resume": resume } })).await;
        let given_up = &seen["given_up"];
        // The first one knows no interrupts, and sends no such decision.
        if package != OLDER[0] {
            assert_eq!(given_up.get("thrown"), None, "{package}: {seen}");
            assert_eq!(given_up["types"], json!(["RUN_STARTED", "RUN_FINISHED"]), "{package}");
        }
    }
}

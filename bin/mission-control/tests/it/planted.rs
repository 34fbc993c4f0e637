//! What a planted fault does to an answer of a real backend.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::harness::SECRET;

/// Plants a fault into a response.
pub(crate) fn alter(
    fault: &str,
    path: &str,
    status: &mut StatusCode,
    headers: &mut HeaderMap,
    body: &mut Value,
) {
    let own = StatusCode::NOT_FOUND;
    match fault {
        "says v2" if path.ends_with("/capabilities") => body["contract_version"] = json!("v2"),
        "takes messages on any task" if *status == own && path.ends_with("/messages") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "takes documents on any task" if *status == own && path.ends_with("/documents") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "errors of another shape" if matches!(status.as_u16(), 400 | 404) => {
            *body = json!({ "detail": "Not Found" });
        }
        "creates without a title" if *status == 400 && path.ends_with("/tasks") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "pages of 20 that lead nowhere" => {
            body.as_object_mut().map(|fields| fields.remove("next_cursor"));
        }
        "lists without status" => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["status"] = Value::Null);
        }
        "answers that are no JSON" if *status == 200 => *body = json!("<html>yes</html>"),
        "messages of another role" => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["agent_role"] = json!("another"));
        }
        "says yes with a 401" if *status == own => *status = StatusCode::UNAUTHORIZED,
        "another size" if path.contains("/artifacts/") && body["size"].is_number() => {
            body["size"] = json!(0);
        }
        "takes any artifact" if *status == 400 && path.contains("/artifacts/") => {
            (*status, *body) = (StatusCode::CREATED, json!({ "size": 2 }));
        }
        "artifacts for everybody" if *status == own && path.contains("/artifacts/") => {
            (*status, *body) = (StatusCode::OK, json!("x"));
        }
        "another hash" if path.contains("/files") => body["sha256"] = json!("00"),
        "a file each time" if *status == 200 && path.ends_with("/files") => {
            (*status, body["file_id"]) = (StatusCode::CREATED, json!(uuid::Uuid::new_v4()));
        }
        "believes what it is told" if body["media_type"] == "text/html" => {
            body["media_type"] = json!("image/png");
        }
        "takes any name" if *status == 400 && path.ends_with("/files") => {
            (*status, *body) = (StatusCode::CREATED, json!({ "file_id": "x" }));
        }
        "shows files" => drop(headers.remove("content-disposition")),
        "runs files" => drop(headers.remove("content-security-policy")),
        "files for everybody" if *status == own && path.contains("/files/") => {
            (*status, *body) = (StatusCode::OK, json!({ "file_id": "x" }));
        }
        "lets agents delete" if *status == 403 && path.contains("/files/") => {
            (*status, *body) = (StatusCode::NO_CONTENT, Value::Null);
        }
        "forgets attachments" => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["attachments"] = Value::Null);
        }
        "attaches nothing" if *status == own && path.ends_with("/messages") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "a lease for everybody" if body["code"] == "session_busy" => {
            (*status, *body) = (StatusCode::OK, json!({ "lease_id": "l", "fence": 1 }));
        }
        "any priority" if *status == 400 && path.ends_with("/notifications") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "mentions can wait" => {
            if let Some(all) = body["deliveries"].as_array_mut() {
                all.retain(|one| !one["content"].as_str().unwrap_or_default().contains('@'));
            }
        }
        "any hours" if *status == 400 && path.ends_with("/quiet-hours") => {
            (*status, *body) = (StatusCode::OK, json!({}));
        }
        "hours for everybody" if *status == own && path.ends_with("/quiet-hours") => {
            (*status, *body) = (StatusCode::OK, json!({}));
        }
        "counts one" if path.ends_with("/dead-letters") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["count"] = json!(1));
        }
        "erases for anybody" if matches!(status.as_u16(), 403 | 404) && path.ends_with("/agent-data") => {
            (*status, *body) = (StatusCode::OK, json!({ "counts": {}, "kept": {} }));
        }
        "forgets that it cancelled" if path.contains("/steps/") => body["status"] = json!("running"),
        "remembers whom it erased" if path.ends_with("/audit") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            for item in items.into_iter().flatten().filter(|item| item["act"] == "data.erased") {
                item["user_id"] = json!("ann");
            }
        }
        "expires without a count" if path.ends_with("/retention") => {
            body.as_object_mut().map(|fields| fields.remove("counts"));
        }
        "the newest first" => {
            if let Some(all) = body["deliveries"].as_array_mut() {
                all.reverse();
            }
        }
        "a dead letter of another id" if path.ends_with("/dead") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            for item in items.into_iter().flatten() {
                item["cause"] = item["notification_id"].take();
            }
        }
        "titles that are no text" if path.ends_with("/tasks") => body["title"] = json!(7),
        "knows all it is told" if path.ends_with("/deliver") => body["not_found"] = json!([]),
        "hears no mention" if body["items"].is_array() => body["items"] = json!([]),
        "keeps its dead" if path.ends_with("/dead") => body["items"] = json!([]),
        "counts nothing that waits" => body["pending"] = json!({ "notifications": 0, "tasks": 0 }),
        "blocks nothing" if path.ends_with("/standup") => body["blocked"] = json!([]),
        "any step again" if body["code"] == "step_exists" => {
            (*status, *body) = (StatusCode::OK, json!({ "cancel_requested": false }));
        }
        "any event again" if body["code"] == "seq_conflict" => {
            (*status, *body) = (StatusCode::OK, json!({ "last_seq": 1 }));
        }
        "lets anybody tell" if *status == 403 && path.ends_with("/deltas") => {
            (*status, *body) = (StatusCode::OK, json!({ "last_seq": 1 }));
        }
        "events without a number" if path.ends_with("/deltas") => {
            let events = body.get_mut("events").and_then(Value::as_array_mut);
            events.into_iter().flatten().for_each(|event| event["id"] = Value::Null);
        }
        "takes whatever comes" if *status == 429 => {
            (*status, *body) = (StatusCode::OK, json!({ "last_seq": 1 }));
        }
        "counts no attempts" if path.ends_with("/orphans") => {
            let runs = body.get_mut("runs").and_then(Value::as_array_mut);
            runs.into_iter().flatten().for_each(|run| run["attempts"] = json!(1));
        }
        "cancels in secret" if path.contains("/runs/") => body["cancel_requested"] = json!(false),
        "the request as it was" if path.ends_with("/tool-requests") => {
            body["status"] = json!("pending");
        }
        "loses run_key" if path.ends_with("/undelivered") => {
            for delivery in body["deliveries"].as_array_mut().unwrap() {
                delivery.as_object_mut().unwrap().remove("run_key");
            }
        }
        "lets children work on" if body["parent_run_key"].is_string() => {
            body["status"] = json!("running");
        }
        "a question in secret" if path.ends_with("/messages") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["tool_request_id"] = Value::Null);
        }
        "takes any answer" if *status == 400 && path.ends_with("/decision") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "decides again" if body["code"] == "already_decided" => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "stores what does not fit" if body["code"] == "answer_mismatch" => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "agents decide" if *status == 403 && path.ends_with("/decision") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "ends in secret" if path.ends_with("/undelivered") => body["deliveries"] = json!([]),
        "rules without end" if body["code"] == "rule_void" => {
            (*status, *body) = (StatusCode::OK, json!({ "rule_id": "x" }));
        }
        "any condition" if *status == 400 && path.ends_with("/approval-rules") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "rules for any tool" if path.ends_with("/approval-rules") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["parameters_sha256"] = Value::Null);
        }
        "slots without their time" if path.ends_with("/undelivered") => {
            for delivery in body["deliveries"].as_array_mut().unwrap() {
                delivery["metadata"]["slot"] = Value::Null;
            }
        }
        "knows no summer" | "stops before its end" if body["slots"].is_array() => {
            drop(body["slots"].as_array_mut().unwrap().pop());
        }
        "any line" if body["code"] == "invalid_cron" => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "any zone" if *status == 400 && path.ends_with("/schedules") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "as often as it likes" if body["code"] == "too_often" => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "schedules without end" if body["code"] == "schedule_limit" => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "never pauses" if body["status"] == "paused" => body["status"] = json!("active"),
        "schedules for everybody" if *status == own && path.contains("/schedules/") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "busy without a time" => drop(headers.remove("retry-after")),
        "spends without end" if *status == 402 => {
            (*status, *body) = (StatusCode::OK, json!({ "reservation_id": "x" }));
        }
        "refuses without a name" if *status == 402 => {
            body["details"].as_object_mut().map(|details| details.remove("budget"));
        }
        "spends another one's" if body["details"]["budget"]["tenant_id"].is_string() => {
            (*status, *body) = (StatusCode::OK, json!({ "reservation_id": "x" }));
        }
        "budgets of anything" if *status == 400 && path.ends_with("/budget") => {
            (*status, *body) = (StatusCode::OK, json!({ "limit_usd": 1.0 }));
        }
        "profiles without a tag" => drop(headers.remove("etag")),
        "profiles for everybody" if *status == own && path.ends_with("/profile") => {
            (*status, *body) = (StatusCode::OK, json!({}));
        }
        "profiles without end" if *status == 400 && path.ends_with("/profile") => {
            (*status, *body) = (StatusCode::OK, json!({}));
        }
        "any tool" if *status == own && path.contains("/api/tools/") => {
            (*status, *body) = (StatusCode::OK, json!({}));
        }
        "a secret on its page for the lost" if path.ends_with("/no-such-endpoint") => {
            body["details"] = json!(SECRET);
        }
        "never says that it replays" => drop(headers.remove("idempotent-replayed")),
        "a conflict without the original" if *status == 409 => body["details"] = Value::Null,
        "forgets updated_at" | "forgets doc_type" => {
            let name = fault.trim_start_matches("forgets ");
            body.as_object_mut().map(|fields| fields.remove(name));
        }
        "the oldest first" | "ranks nothing" if path.ends_with("/memories") => {
            if let Some(items) = body["items"].as_array_mut() {
                items.reverse();
            }
        }
        "remembers twice" if body["deduplicated"] == true => {
            body["id"] = json!(uuid::Uuid::new_v4());
        }
        "never forgets" if *status == own && path.contains("/memories/") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "lets agents correct people" if *status == 403 && path.contains("/memories/") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "remembers for everybody" if *status == 403 && path.ends_with("/memories") => {
            (*status, *body) = (StatusCode::OK, json!({ "id": "x" }));
        }
        "whole replies" if path.ends_with("/runs") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["reply"] = json!("x".repeat(300)));
        }
        "counts no failures" if path.ends_with("/summary") => {
            let items = body.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| item["failed"] = json!(0));
        }
        "lets agents praise" if *status == 403 && path.ends_with("/feedback") => {
            (*status, *body) = (StatusCode::OK, json!({ "run_key": "x" }));
        }
        _ => {}
    }
}

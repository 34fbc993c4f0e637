//! Capabilities: the contract's version and the optional features.

use serde_json::Value;

use crate::suite::Suite;
use crate::verdict::{ensure, failed};

/// The optional features of the contract. A backend may announce others of its own.
const KNOWN: [&str; 29] = [
    "tasks_get",
    "messages_list",
    "message_lookup",
    "message_data",
    "user_messages",
    "agent_mentions",
    "tasks_update",
    "documents_list",
    "files",
    "notifications",
    "notifications_dispatch",
    "notifications_fail",
    "dispatch_leases",
    "dispatch_batch",
    "events_sse",
    "heartbeat",
    "heartbeat_notes",
    "standup",
    "tool_requests",
    "decisions",
    "approval_rules",
    "run_journal",
    "run_stream",
    "artifacts",
    "orphans",
    "tools",
    "session_leases",
    "budgets",
    "audit",
];

pub(crate) async fn run(suite: &mut Suite<'_>) {
    let sentence = "{contract_version: \"v1\", features: {name: bool}}";
    suite
        .required("version", sentence, async |w| {
            let answer = w.agent(&w.one).get("/capabilities").await?;
            let version = &answer.ok()?["contract_version"];
            // The contract is additive within v1.
            let text = version.as_str().unwrap_or_default();
            ensure(text == "v1" || text.starts_with("v1."), || {
                format!("expected \"contract_version\": \"v1\", got {version}")
            })?;
            Ok(format!("contract_version is {text}"))
        })
        .await;
    let sentence = "a list of names is accepted, too";
    suite
        .required("features", sentence, async |w| {
            let answer = w.agent(&w.one).get("/capabilities").await?;
            let body = answer.ok()?;
            let names = |value: &Value| match value {
                Value::Object(flags) => flags.values().all(Value::is_boolean),
                Value::Array(names) => names.iter().all(Value::is_string),
                _ => false,
            };
            let listed = match (&body["features"], &body["features_list"]) {
                (Value::Null, Value::Null) => {
                    return failed("expected \"features\": {name: bool} in the response, got none");
                }
                (Value::Null, list) | (list, _) => list,
            };
            ensure(names(listed), || {
                format!("expected flags by name or a list of names in \"features\", got {listed}")
            })?;
            let offered: Vec<_> = KNOWN.into_iter().filter(|name| w.features.has(name)).collect();
            Ok(format!("{} of {} offered: {}", offered.len(), KNOWN.len(), offered.join(", ")))
        })
        .await;
    let sentence = "the dispatcher asks for the capabilities, too, with X-Internal-Token";
    suite
        .check("for-the-dispatcher", &["notifications_dispatch"], sentence, async |w| {
            let answer = w.service()?.get("/capabilities").await?;
            answer.ok()?;
            Ok(answer.summary())
        })
        .await;
}

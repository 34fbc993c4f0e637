//! The contract as an OpenAPI 3.1 document, generated from the types that client and backend share:
//! `docs/contract.openapi.json`. Where it differs from docs/CONTROL_PLANE_CONTRACT.md, the latter
//! counts.

mod endpoints;
mod operation;

use mc_client::{
    approval_rules, artifacts, audit, budgets, delivery_options, deltas, leases, memories, orphans,
    owned_data, profiles, run_lists, runs, schedules, tool_requests, tools, types,
};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use self::endpoints::endpoints;
use self::operation::operation;

#[derive(OpenApi)]
#[openapi(components(schemas(
    types::Task,
    types::CreateTask,
    types::UpdateTask,
    types::Message,
    types::CreateMessage,
    types::FileMeta,
    types::FileRef,
    types::Document,
    types::CreateDocument,
    types::Notification,
    types::CreateNotification,
    types::Capabilities,
    types::Pages,
    types::Delivery,
    types::DeliverMany,
    types::DeliveryFailure,
    types::DeadLetter,
    delivery_options::QuietHours,
    delivery_options::DeadLetterGroup,
    types::HeartbeatRequest,
    types::HeartbeatAnswer,
    types::StandupRequest,
    types::StandupAnswer,
    types::ErrorBody,
    runs::Run,
    runs::RunNote,
    runs::PutRun,
    runs::PutStep,
    artifacts::Artifact,
    deltas::PostDeltas,
    deltas::DeltasNote,
    deltas::Deltas,
    orphans::LeaseOrphans,
    orphans::Orphans,
    tool_requests::ToolRequest,
    tool_requests::CreateToolRequest,
    tool_requests::Decision,
    tool_requests::Decide,
    tool_requests::Question,
    approval_rules::ApprovalRule,
    approval_rules::CreateApprovalRule,
    approval_rules::UseRule,
    approval_rules::RuleUse,
    schedules::Schedule,
    schedules::CreateSchedule,
    schedules::UpdateSchedule,
    memories::Memory,
    memories::CreateMemory,
    memories::UpdateMemory,
    run_lists::ListedRun,
    run_lists::RunTotals,
    run_lists::RunFacts,
    run_lists::CreateFeedback,
    run_lists::Feedback,
    owned_data::Erasure,
    owned_data::OwnedItem,
    owned_data::Retention,
    leases::Lease,
    leases::LeaseRequest,
    leases::RenewLease,
    budgets::Budget,
    budgets::PutBudget,
    budgets::ScopedBudget,
    budgets::BudgetRefusal,
    budgets::BudgetWarned,
    budgets::Reserve,
    budgets::Reservation,
    budgets::Usage,
    profiles::Profile,
    tools::BackendTool,
    audit::AuditEntry,
    audit::RecordAct,
)))]
struct Components;

/// Schemas and their text fields that must not be blank.
const FILLED: [(&str, &str); 23] = [
    ("CreateTask", "title"),
    ("UpdateTask", "title"),
    ("CreateMessage", "task_id"),
    ("CreateMessage", "content"),
    ("CreateDocument", "title"),
    ("CreateDocument", "content"),
    ("CreateNotification", "user_id"),
    ("CreateNotification", "session_key"),
    ("CreateNotification", "content"),
    ("LeaseRequest", "task_id"),
    ("LeaseRequest", "holder"),
    ("CreateToolRequest", "task_id"),
    ("CreateToolRequest", "tool"),
    ("CreateToolRequest", "run_key"),
    ("CreateToolRequest", "idempotency_key"),
    ("UseRule", "idempotency_key"),
    ("CreateSchedule", "content"),
    ("UpdateSchedule", "content"),
    ("CreateMemory", "text"),
    ("PutStep", "kind"),
    ("Reserve", "run_id"),
    ("Usage", "run_id"),
    ("Usage", "model"),
];

/// The document.
pub fn document() -> Value {
    let components = serde_json::to_value(Components::openapi().components).unwrap_or_default();
    let mut schemas = components["schemas"].clone();
    for (schema, field) in FILLED {
        let property = &mut schemas[schema]["properties"][field];
        property["pattern"] = json!(r"\S");
    }
    let ttl = json!({ "type": "integer", "minimum": 1, "maximum": 3600 });
    schemas["LeaseRequest"]["properties"]["ttl_secs"] = ttl.clone();
    schemas["RenewLease"]["properties"]["ttl_secs"] = ttl;
    let lease = &mut schemas["LeaseOrphans"]["properties"];
    lease["lease_seconds"] = json!({ "type": "integer", "minimum": 1, "maximum": 3600 });
    lease["limit"] = json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX });
    let attempts = &mut schemas["Orphan"]["properties"]["attempts"];
    attempts["format"] = json!("int64");
    attempts["maximum"] = json!(u32::MAX);
    let post = &mut schemas["PostDeltas"]["properties"];
    post["seq"]["minimum"] = json!(1);
    post["events"]["maxItems"] = json!(mc_client::deltas::MAX_EVENTS);
    for schema in ["CreateSchedule", "UpdateSchedule"] {
        let schedule = &mut schemas[schema]["properties"];
        schedule["content"]["maxLength"] = json!(mc_client::schedules::MAX_CONTENT);
        schedule["max_runs"]["minimum"] = json!(1);
    }
    schemas["CreateMessage"]["properties"]["attachments"]["maxItems"] = json!(100);
    for memory in ["CreateMemory", "UpdateMemory"] {
        schemas[memory]["properties"]["text"]["maxLength"] = json!(mc_client::memories::MAX_TEXT);
    }
    let notification = &mut schemas["CreateNotification"]["properties"];
    let key = &mut notification["collapse_key"];
    key["pattern"] = json!(r"\S");
    key["maxLength"] = json!(types::MAX_COLLAPSE_KEY);
    let hours = &mut schemas["QuietHours"]["properties"];
    for name in ["from", "to"] {
        hours[name]["pattern"] = json!("^([01][0-9]|2[0-3]):[0-5][0-9]$");
    }
    let mut paths = Map::new();
    for endpoint in endpoints() {
        let prefix = if endpoint.path.starts_with("/api/") { "" } else { "/api/mission-control" };
        let path = paths.entry(format!("{prefix}{}", endpoint.path)).or_insert_with(|| json!({}));
        path[endpoint.method] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mission Control, the control plane contract of Wombat",
            "description": "What a backend offers so that Wombat can work beside it. The tag of an operation is the feature under which `GET /capabilities` announces it; `required` is what every backend has.",
            "version": mc_client::types::CONTRACT_VERSION,
            "license": { "name": "MIT", "identifier": "MIT" }
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "agent": { "type": "apiKey", "in": "header", "name": "X-Agent-Token", "description": "A short-lived JWT for one user and role." },
                "internal": { "type": "apiKey", "in": "header", "name": "X-Internal-Token", "description": "A service that holds the internal token." },
                "person": { "type": "apiKey", "in": "header", "name": "X-On-Behalf-Of", "description": "Beside the internal token: the user on whose behalf the service acts." }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// As the file has it.
    fn text() -> String {
        serde_json::to_string_pretty(&document()).unwrap() + "\n"
    }

    #[test]
    fn the_file_says_what_the_types_say() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/contract.openapi.json");
        let file = std::fs::read_to_string(file).unwrap_or_default();
        assert!(file == text(), "docs/contract.openapi.json is out of date: make contract");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_id_is_one() {
        let document = document();
        let text = document.to_string();
        for name in text.split("#/components/schemas/").skip(1) {
            let name = name.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
        let ids: BTreeSet<_> = endpoints().map(|endpoint| endpoint.id).collect();
        assert_eq!(ids.len(), endpoints().count());
        for (schema, field) in FILLED {
            let there = &document["components"]["schemas"][schema]["properties"][field]["type"];
            assert!(!there.is_null(), "{schema}.{field}");
        }
    }
}

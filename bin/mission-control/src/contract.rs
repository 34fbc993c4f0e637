//! The contract as an OpenAPI 3.1 document, made of the types that client and backend share:
//! `docs/contract.openapi.json`. Where a word of it and docs/CONTROL_PLANE_CONTRACT.md differ, the
//! latter counts.

mod endpoints;

use mc_client::{budgets, leases, runs, tool_requests, tools, types};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use self::endpoints::{Answer, Endpoint, LINKS, Who, endpoints};

#[derive(OpenApi)]
#[openapi(components(schemas(
    types::Task,
    types::CreateTask,
    types::UpdateTask,
    types::Message,
    types::CreateMessage,
    types::Document,
    types::CreateDocument,
    types::Notification,
    types::CreateNotification,
    types::Capabilities,
    types::Delivery,
    types::DeliverMany,
    types::DeliveryFailure,
    types::DeadLetter,
    types::HeartbeatRequest,
    types::HeartbeatAnswer,
    types::StandupRequest,
    types::StandupAnswer,
    types::ErrorBody,
    runs::Run,
    runs::RunNote,
    runs::PutRun,
    runs::PutStep,
    tool_requests::ToolRequest,
    tool_requests::CreateToolRequest,
    tool_requests::Decision,
    leases::Lease,
    leases::LeaseRequest,
    leases::RenewLease,
    budgets::Budget,
    budgets::PutBudget,
    budgets::Reserve,
    budgets::Reservation,
    budgets::Usage,
    tools::BackendTool,
)))]
struct Components;

/// Texts that must have something in them.
const FILLED: [(&str, &str); 20] = [
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
    ("PutStep", "kind"),
    ("PutBudget", "user_id"),
    ("Reserve", "run_id"),
    ("Usage", "run_id"),
    ("Usage", "model"),
];

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn json_content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn schema_of(answer: &Answer) -> Value {
    match answer {
        Answer::One(schema) => reference(schema),
        Answer::Page(schema) => json!({
            "type": "object", "required": ["items"],
            "properties": {
                "items": { "type": "array", "items": reference(schema) },
                "next_cursor": { "type": "string", "description": "Where the next page starts; absent on the last." }
            }
        }),
        Answer::List(name, schema) => json!({
            "type": "object", "required": [name],
            "properties": { *name: { "type": "array", "items": reference(schema) } }
        }),
        Answer::Batch => json!({
            "type": "object", "required": ["not_found"],
            "properties": {
                "delivered": { "type": "integer", "minimum": 0 },
                "not_found": { "type": "array", "items": { "type": "string" }, "description": "The ids that are none of their users'." }
            }
        }),
        Answer::Status => json!({
            "type": "object", "required": ["status"], "properties": { "status": { "type": "string" } }
        }),
        Answer::Any | Answer::Events => json!({}),
    }
}

/// What else may be answered.
fn failures(endpoint: &Endpoint) -> Map<String, Value> {
    let error = json_content(&reference("ErrorBody"));
    let of = |text: &str| json!({ "description": text, "content": error });
    let mut all = Map::new();
    let mut add = |status: &str, text: &str| all.insert(status.to_owned(), of(text));
    add("401", "The caller has not said who it is.");
    if endpoint.may_fail() {
        add("400", "Something in the request is wrong; `details.fields` says what.");
    }
    if endpoint.who != Who::Anybody {
        add("403", "The caller may not do this.");
    }
    if endpoint.may_be_missing() {
        add("404", "There is no such object, or it is another tenant's.");
    }
    if endpoint.body.is_some() {
        add("409", "It conflicts with what is there; `code` says how.");
        add("413", "The body is too large.");
        add("415", "The body is not JSON.");
    }
    if endpoint.path == "/budget/reserve" {
        add("402", "The budget is spent.");
    }
    for (status, text) in [("429", "Too many calls"), ("503", "Not at the moment")] {
        let mut response = of(&format!("{text}; `Retry-After` says when to come back."));
        response["headers"] = json!({ "Retry-After": { "schema": { "type": "string" } } });
        all.insert(status.to_owned(), response);
    }
    all
}

fn operation(endpoint: &Endpoint) -> Value {
    let content = match endpoint.answer {
        Answer::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        ref answer => json_content(&schema_of(answer)),
    };
    let mut success = json!({ "description": "Done.", "content": content });
    if endpoint.is_create() {
        success["headers"] = json!({ "Idempotent-Replayed": {
            "description": "`true` when it had been made before under the same key.",
            "schema": { "type": "string" }
        } });
    }
    let links: Map<_, _> = LINKS
        .iter()
        .filter(|(from, ..)| *from == endpoint.id)
        .map(|(_, to, name, place)| {
            let link = json!({ "operationId": to, "parameters": { *name: place } });
            ((*to).to_owned(), link)
        })
        .collect();
    if !links.is_empty() {
        success["links"] = json!(links);
    }
    let mut responses = failures(endpoint);
    responses.insert("200".to_owned(), success);
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{'));
    let in_path = in_path.map(|name| {
        let name = name.trim_end_matches('}');
        let schema = match name {
            "index" => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            "run_key" => {
                json!({ "type": "string", "minLength": 1, "maxLength": 200, "pattern": r"\S" })
            }
            _ => json!({ "type": "string", "minLength": 1 }),
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = endpoint.query.iter().map(|(name, required)| {
        let schema = match *name {
            "limit" => json!({ "type": "integer", "minimum": 1, "default": 50, "description": "At most 200 are given." }),
            "limit_users" | "limit_notifications" | "lease_seconds" => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            "unread" => json!({ "type": "boolean" }),
            "status" if endpoint.path == "/tasks" => reference("TaskStatus"),
            "status" => reference("ToolRequestStatus"),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "query", "required": required, "schema": schema })
    });
    let fence = endpoint.is_fenced().then(|| {
        json!({
            "name": "X-Session-Fence", "in": "header", "required": false,
            "description": "`{lease_id}:{fence}` of the turn that the write belongs to (session_leases).",
            "schema": { "type": "string" }
        })
    });
    let parameters: Vec<_> = in_path.chain(in_query).chain(fence).collect();
    let mut operation = json!({
        "operationId": endpoint.id,
        "summary": endpoint.summary,
        "tags": [endpoint.feature],
        "security": endpoint.who.security(),
        "parameters": parameters,
        "responses": responses,
    });
    if let Some(body) = endpoint.body {
        let required = endpoint.needs_body();
        operation["requestBody"] = json!({ "required": required, "content": json_content(&match body {
            "" => json!({ "type": "object" }),
            schema => reference(schema),
        }) });
    }
    operation
}

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
                "internal": { "type": "apiKey", "in": "header", "name": "X-Internal-Token", "description": "A service of the backend's own side." },
                "person": { "type": "apiKey", "in": "header", "name": "X-On-Behalf-Of", "description": "Beside the internal token: the user for whom the service speaks." }
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

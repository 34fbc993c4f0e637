//! One endpoint as an operation of OpenAPI.

use serde_json::{Map, Value, json};

use super::endpoints::{Answer, BYTES, Endpoint, LINKS, Who};

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn json_content(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn schema_of(answer: &Answer) -> Value {
    match answer {
        Answer::One(schema) | Answer::New(schema) => reference(schema),
        Answer::Page(schema) => json!({
            "type": "object", "required": ["items"],
            "properties": {
                "items": { "type": "array", "items": reference(schema) },
                "next_cursor": { "type": "string", "description": "The cursor of the next page; absent on the last page." }
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
                "not_found": { "type": "array", "items": { "type": "string" }, "description": "The ids that their users do not have." }
            }
        }),
        Answer::Status => json!({
            "type": "object", "required": ["status"], "properties": { "status": { "type": "string" } }
        }),
        Answer::Any | Answer::Events | Answer::Lines(_) | Answer::Bytes(_) | Answer::Nothing => {
            json!({})
        }
    }
}

/// The error responses of an endpoint.
fn failures(endpoint: &Endpoint) -> Map<String, Value> {
    let error = json_content(&reference("ErrorBody"));
    let of = |text: &str| json!({ "description": text, "content": error });
    let mut all = Map::new();
    let mut add = |status: &str, text: &str| all.insert(status.to_owned(), of(text));
    add("401", "The caller is not authenticated.");
    if endpoint.may_fail() {
        add("400", "Something in the request is wrong; `details.fields` says what.");
    }
    let is_narrow = endpoint.who != Who::Anybody || endpoint.feature == "profile";
    if is_narrow || endpoint.is_fenced() {
        add("403", "The caller may not do this.");
    }
    if endpoint.may_be_missing() {
        add("404", "There is no such object, or it is another tenant's.");
    }
    if endpoint.body.is_some() {
        add("409", "It conflicts with what is stored; `code` says how.");
        add("413", "The body is too large.");
        add(
            "415",
            match endpoint.body {
                Some(BYTES) => "The body is compressed.",
                Some(_) | None => "The body is not JSON.",
            },
        );
    }
    if endpoint.path == "/budget/reserve" {
        add("402", "The budget is spent.");
    }
    for (status, text) in [("429", "Too many calls"), ("503", "Temporarily unavailable")] {
        let mut response = of(&format!("{text}; retry after `Retry-After`."));
        response["headers"] = json!({ "Retry-After": { "schema": { "type": "string" } } });
        all.insert(status.to_owned(), response);
    }
    all
}

/// An endpoint as OpenAPI describes it.
pub(super) fn operation(endpoint: &Endpoint) -> Value {
    let content = match endpoint.answer {
        Answer::Events => json!({ "text/event-stream": { "schema": { "type": "string" } } }),
        Answer::Lines(schema) => {
            let told = format!("{schema} as JSON on each line.");
            json!({ "application/x-ndjson": { "schema": { "type": "string", "description": told } } })
        }
        // A file may be of any type, and not what that type wants: nothing is promised of its form.
        Answer::Bytes(_) => Value::Null,
        ref answer => json_content(&schema_of(answer)),
    };
    let mut success = json!({ "description": "Done.", "content": content });
    if let Answer::Bytes(schema) = endpoint.answer {
        let meta = format!("; with `meta=true` {schema} as JSON");
        let meta = if schema.is_empty() { "" } else { &*meta };
        let told = format!("The bytes, of any type{meta}.");
        success = json!({ "description": told });
    }
    if endpoint.is_create() {
        success["headers"] = json!({ "Idempotent-Replayed": {
            "description": "`true` when it was created before under the same key.",
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
    match endpoint.answer {
        Answer::New(_) => {
            let mut new = success.clone();
            new["description"] = json!("It is new.");
            responses.insert("201".to_owned(), new);
            responses.insert("200".to_owned(), success);
        }
        Answer::Nothing => {
            responses.insert("204".to_owned(), json!({ "description": "Done." }));
        }
        _ => {
            responses.insert("200".to_owned(), success);
        }
    }
    if endpoint.id == "get_profile" {
        let same = json!({ "description": "It is still the one of `If-None-Match`." });
        responses.insert("304".to_owned(), same);
    }
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
            "limit" if endpoint.id == "get_deltas" => json!({ "type": "integer", "minimum": 1, "default": 256, "description": "At most 1000 are given." }),
            "after" => json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_i64, "default": 0, "description": "The id of the last event that is known." }),
            "steps" => json!({ "type": "boolean", "default": true, "description": "`false` leaves out the journal." }),
            "run_key" if endpoint.path == "/events" => json!({ "type": "string", "minLength": 1, "maxLength": 200, "description": "A run whose `run.delta` events are sent, too (feature `run_stream`); they are not saved." }),
            "limit" => json!({ "type": "integer", "minimum": 1, "default": 50, "description": "At most 200 are given." }),
            "limit_users" | "limit_notifications" | "lease_seconds" => {
                json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
            }
            "from" | "to" => json!({ "type": "string", "format": "date-time" }),
            "role" if endpoint.path == "/profile" => json!({ "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$", "description": "The role." }),
            "role" if endpoint.feature == "schedules" => json!({ "type": "string" }),
            "role" if endpoint.path == "/approval-rules" => json!({ "type": "string", "description": "Only the rules of this role; an agent may name its own only." }),
            "role" => json!({ "type": "string", "description": "The role whose run is meant, for people where several have one with this key, and for roles that lead others; an agent means its own." }),
            "unread" => json!({ "type": "boolean" }),
            "meta" => json!({ "type": "boolean", "default": false, "description": "`true` asks for what is known of the file instead of its bytes." }),
            "name" if endpoint.id == "put_file" => json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^/\\\x00-\x1f\x7f-\x9f]*\S[^/\\\x00-\x1f\x7f-\x9f]*$", "description": "At most 255 bytes of UTF-8." }),
            "status" if endpoint.path == "/tasks" => reference("TaskStatus"),
            "status" if endpoint.path == "/schedules" => reference("ScheduleStatus"),
            "status" if endpoint.path.starts_with("/runs") => reference("RunStatus"),
            "status" => reference("ToolRequestStatus"),
            "messages" => json!({ "type": "string", "enum": ["keep", "delete"], "description": "What becomes of tasks, messages and documents." }),
            "dry_run" => json!({ "type": "boolean", "default": false, "description": "Whether it is only counted." }),
            "slots" => json!({ "type": "integer", "minimum": 0, "maximum": 100 }),
            "scope" => reference("MemoryScope"),
            "rating" => json!({ "type": "string", "enum": ["up", "down", "none"] }),
            "by" => json!({ "type": "string", "enum": ["model", "role", "workspace", "digest"] }),
            "q" => json!({ "type": "string", "maxLength": 500 }),
            "label" => json!({ "type": "string", "maxLength": 100 }),
            _ => json!({ "type": "string" }),
        };
        json!({ "name": name, "in": "query", "required": required, "schema": schema })
    });
    let fence = endpoint.is_fenced().then(|| {
        json!({
            "name": "X-Session-Fence", "in": "header", "required": endpoint.needs_fence(),
            "description": "`{lease_id}:{fence}` of the session lease that the write belongs to (session_leases).",
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
        let content = match body {
            BYTES => json!({ "*/*": { "schema": { "type": "string", "format": "binary" } } }),
            "" => json_content(&json!({ "type": "object" })),
            schema => json_content(&reference(schema)),
        };
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    operation
}

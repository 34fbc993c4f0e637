//! The application's own tools, as a backend may offer them to agents: `GET /api/tools` and
//! `POST /api/tools/{name}` (docs/CONTROL_PLANE_CONTRACT.md, feature `tools`).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::HeaderMap;
use mc_client::tools::BackendTool;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{SCHOOLS, School, shortlist};
use crate::app::App;
use crate::auth::{Tenant, Writer};
use crate::error::ApiError;
use crate::extract::{Body, Id, deserialize};
use crate::headers::idempotency_key;
use crate::routes::created;

/// The most schools of one comparison.
const MAX_COMPARED: usize = 5;

/// The longest note.
const MAX_NOTE: usize = 500;

/// `POST /api/tools/{name}`.
#[derive(Debug, Deserialize)]
struct ToolCall {
    #[serde(default)]
    arguments: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Compare {
    school_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shortlist {
    school_id: String,
    note: Option<String>,
}

/// Schools beside each other, with who leads in what.
#[derive(Debug, Serialize)]
struct Comparison {
    schools: Vec<School>,
    best_rated: String,
    lowest_fees: String,
    nearest_to_beach: String,
}

/// The tools' endpoints, with the tools of the demo application where it is served, else without any.
pub(crate) fn router() -> Router<App> {
    Router::new().route("/api/tools", get(list)).route("/api/tools/{name}", post(call))
}

fn catalogue() -> Vec<BackendTool> {
    let tool = |name: &str, description: &str, properties: Value, required: Value| BackendTool {
        name: name.to_owned(),
        description: description.to_owned(),
        parameters: json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false
        }),
    };
    vec![
        tool(
            "list_shortlist",
            "The schools on the user's shortlist, with the notes on them.",
            json!({}),
            json!([]),
        ),
        tool(
            "shortlist_school",
            "Put a school on the user's shortlist, or change the note on it.",
            json!({
                "school_id": { "type": "string", "description": "From the search." },
                "note": {
                    "type": "string", "maxLength": MAX_NOTE,
                    "description": "Why it is worth a look, one sentence."
                }
            }),
            json!(["school_id"]),
        ),
        tool(
            "compare_schools",
            "Everything about some schools beside each other, with who leads in what.",
            json!({
                "school_ids": {
                    "type": "array", "items": { "type": "string" },
                    "minItems": 2, "maxItems": MAX_COMPARED, "uniqueItems": true
                }
            }),
            json!(["school_ids"]),
        ),
    ]
}

async fn list(_tenant: Tenant, State(app): State<App>) -> Json<Value> {
    let tools = if app.config.demo { catalogue() } else { Vec::new() };
    Json(json!({ "tools": tools }))
}

async fn call(
    State(app): State<App>,
    writer: Writer,
    Id(name): Id,
    headers: HeaderMap,
    body: Body<ToolCall>,
) -> Result<Response, ApiError> {
    let arguments = body.value.arguments;
    match name.as_str() {
        _ if !app.config.demo => Err(ApiError::not_found("tool")),
        "list_shortlist" => {
            let Nothing {} = parse_arguments(arguments)?;
            let schools = shortlist::of(&app.store, writer.scope().user_id).await?;
            Ok(Json(json!({ "schools": schools })).into_response())
        }
        "shortlist_school" => {
            let Shortlist { school_id, note } = parse_arguments(arguments)?;
            school(&school_id)?;
            let note = note.as_deref().map(str::trim).filter(|note| !note.is_empty());
            if note.is_some_and(|note| note.chars().count() > MAX_NOTE) {
                return Err(ApiError::field("arguments.note", "has over 500 characters"));
            }
            let key = idempotency_key(&headers);
            let scope = writer.scope();
            let make = async |tx: &mut _| shortlist::put(tx, scope.user_id, &school_id, note).await;
            let made = app.store.create(scope, "tools/shortlist_school", key, &body.raw, make);
            Ok(created(made.await?))
        }
        "compare_schools" => {
            let Compare { school_ids } = parse_arguments(arguments)?;
            compare(&school_ids).map(|comparison| Json(comparison).into_response())
        }
        _ => Err(ApiError::not_found("tool")),
    }
}

/// Checks the arguments of a tool.
fn parse_arguments<T: DeserializeOwned>(arguments: Map<String, Value>) -> Result<T, ApiError> {
    deserialize(&Value::Object(arguments), "arguments.")
}

fn school(id: &str) -> Result<&'static School, ApiError> {
    let school = SCHOOLS.iter().find(|school| school.summary.id == id);
    school.ok_or_else(|| ApiError::not_found("school"))
}

fn compare(ids: &[String]) -> Result<Comparison, ApiError> {
    let twice = ids.iter().enumerate().any(|(place, id)| ids[..place].contains(id));
    if !(2..=MAX_COMPARED).contains(&ids.len()) || twice {
        return Err(ApiError::field("arguments.school_ids", "must be 2 to 5 different schools"));
    }
    let schools = ids.iter().map(|id| school(id)).collect::<Result<Vec<_>, _>>()?;
    let lead = |better: fn(&School, &School) -> bool| {
        let first = schools.iter().copied().reduce(|a, b| if better(b, a) { b } else { a });
        first.map(|school| school.summary.id.clone()).unwrap_or_default()
    };
    Ok(Comparison {
        best_rated: lead(|a, b| a.summary.rating > b.summary.rating),
        lowest_fees: lead(|a, b| a.summary.fees_per_year < b.summary.fees_per_year),
        nearest_to_beach: lead(|a, b| {
            a.summary.distance_to_beach_km < b.summary.distance_to_beach_km
        }),
        schools: schools.into_iter().cloned().collect(),
    })
}

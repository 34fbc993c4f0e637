//! `POST /compact`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Extension, State};
use daemon_api::ErrorBody;
use llm::request::Message;
use serde_json::{Value, json};
use service::trace::TraceId;
use utoipa::ToSchema;

use super::error::ApiError;
use super::extract::JsonObject;
use super::fields::Fields;
use super::send::read_history;
use super::shapes::CompactedShape;
use crate::model_task::compact::{Compaction, compact as summarise};
use crate::run::answer_json::{cost_to_wire, usage_to_wire};
use crate::state::App;

/// How many of the newest turns are kept by default.
const KEEP_RECENT: u64 = 2;

/// The documented form of the body.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which is read field by field")]
pub(super) struct CompactBody {
    /// At least one turn, `{role: user, assistant or system, content}`, the oldest first.
    messages: Vec<Value>,
    /// What the summary must keep in particular.
    instructions: Option<String>,
    /// How many of the newest turns are kept; 2 when absent.
    keep_recent: Option<u64>,
}

/// Compacts a long conversation.
#[utoipa::path(
    post, path = "/compact", tag = "models", request_body = CompactBody,
    responses((status = 200, body = CompactedShape), (status = "4XX", body = ErrorBody), (status = "5XX", body = ErrorBody))
)]
pub(super) async fn compact(
    State(app): State<App>,
    Extension(trace): Extension<TraceId>,
    JsonObject(body): JsonObject,
) -> Result<Json<Value>, ApiError> {
    let mut problems = BTreeMap::new();
    let mut fields = Fields::new(&body, "", &mut problems);
    let messages = match fields.array("messages") {
        Some(turns) if !turns.is_empty() => read_history(turns, &mut fields),
        Some(_) | None => {
            fields.problem("messages", "at least one message is required");
            Vec::new()
        }
    };
    let instructions = fields.non_blank_text("instructions");
    let keep_recent = fields.integer("keep_recent", 0).unwrap_or(KEEP_RECENT);
    if !problems.is_empty() {
        return Err(ApiError::fields("invalid_payload", problems));
    }
    let original_count = messages.len();
    let keep_recent = usize::try_from(keep_recent).unwrap_or(usize::MAX);
    let asked = Compaction { messages, instructions, keep_recent };
    let done = summarise(&app, &trace, asked).await?;
    Ok(Json(json!({
        "status": "ok",
        "compacted_messages": done.messages.iter().map(turn).collect::<Vec<_>>(),
        "usage": usage_to_wire(&done.usage),
        "cost": cost_to_wire(&done.cost),
        "original_count": original_count,
        "compacted_count": done.messages.len(),
    })))
}

fn turn(message: &Message) -> Value {
    let (role, content) = match message {
        Message::System { content } => ("system", content),
        Message::User { content, .. } => ("user", content),
        Message::Assistant(turn) => ("assistant", &turn.text),
        Message::Tool { content, .. } => ("tool", content),
    };
    json!({ "role": role, "content": content })
}

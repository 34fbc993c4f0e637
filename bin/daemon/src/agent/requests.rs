//! What a run asks a person for, as its callers are told.

use chrono::SecondsFormat;
use daemon_api::{RequestKind, RunOfRole};
use mc_client::tool_requests::{ToolRequest, ToolRequestKind};
use serde_json::{Value, json};

/// A request of the backend as callers see it.
pub(crate) fn told(asked: ToolRequest) -> daemon_api::ToolRequest {
    let question = match asked.kind {
        ToolRequestKind::Question => asked.question(),
        ToolRequestKind::Approval => None,
    };
    let expires_at = asked.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let (kind, parameters) = match &question {
        Some(question) => {
            let schema = match (&question.schema, &question.options) {
                (Some(schema), _) => schema.clone(),
                (None, Some(options)) => json!({ "enum": options }),
                (None, None) => json!({ "type": "string", "minLength": 1 }),
            };
            (RequestKind::Question, Some(schema))
        }
        None => (RequestKind::Approval, asked.parameters),
    };
    let (question, options) =
        question.map_or((None, None), |asked| (Some(asked.question), asked.options));
    daemon_api::ToolRequest {
        id: asked.id,
        kind,
        tool: asked.tool,
        arguments: Value::Object(asked.arguments),
        question,
        options,
        parameters,
        expires_at,
        asked_by: asked.asked_by.map(|by| RunOfRole { run_key: by.run_key, role: by.role }),
    }
}

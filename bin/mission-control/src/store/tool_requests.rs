//! Tool requests: calls that need a person's approval, and questions.

use chrono::{DateTime, Duration, Utc};
use mc_client::approval_rules::parameters_sha256;
use mc_client::tool_requests::{
    CreateToolRequest, DEFAULT_TTL_SECS, Edited, Question, ToolRequest, ToolRequestKind,
    ToolRequestStatus,
};
use mc_client::types::{CreateMessage, Page};
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::Act;
use super::error::StoreError;
use super::messages::Author;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{
    Scope, Store, audit, events, json_of, messages, new_id, now, run_rows, session_of,
    session_role, stamp, tasks, time,
};

/// The name of a tool request's id in events.
const ID: &str = "tool_request_id";

/// Which tool requests to list.
#[derive(Debug, Default)]
pub struct ToolRequestFilter {
    /// Only of this status.
    pub status: Option<ToolRequestStatus>,
    /// Only of this run.
    pub run_key: Option<String>,
    /// Only on this task.
    pub task_id: Option<String>,
}

pub(super) fn tool_request(row: &AnyRow) -> ToolRequest {
    ToolRequest {
        id: row.get("id"),
        kind: row.get::<&str, _>("kind").parse().unwrap_or_default(),
        status: row.get("status"),
        task_id: row.get("task_id"),
        run_key: row.get("run_key"),
        session_key: row.get("session_key"),
        tool: row.get("tool"),
        arguments: json_of(row.get("arguments")).unwrap_or_default(),
        reason: row.get("reason"),
        note: row.get("note"),
        created_at: time(row.get("created_at")),
        decided_at: row.get::<Option<&str>, _>("decided_at").and_then(time),
        parameters: json_of(row.get("parameters")),
        edited: json_of(row.get("edited")).map(|arguments| Edited { arguments }),
        answer: row
            .get::<Option<&str>, _>("answer")
            .and_then(|text| serde_json::from_str(text).ok()),
        decided_by: json_of(row.get("decided_by")),
        asked_by: json_of(row.get("asked_by")),
        expires_at: row.get::<Option<&str>, _>("expires_at").and_then(time),
        rule_id: row.get("rule_id"),
    }
}

/// Until when a question waits.
fn expires_at(new: &CreateToolRequest) -> DateTime<Utc> {
    let seconds = new.ttl_secs.unwrap_or(DEFAULT_TTL_SECS);
    let ttl = Duration::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 2_000));
    new.expires_at.unwrap_or_else(|| Utc::now() + ttl)
}

/// Creates a tool request; of a question, with the agent's message that asks it. `arguments` are those of the
/// request as they were sent: JSON text.
pub async fn insert(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    new: &CreateToolRequest,
    arguments: &str,
) -> Result<ToolRequest, StoreError> {
    let user_id = scope.user_id;
    tasks::ensure_exists(tx, user_id, &new.task_id).await?;
    let role = session_role(user_id, &new.session_key).unwrap_or_default();
    run_rows::check_waits(tx, user_id, role, &new.run_key).await?;
    let question = match new.kind {
        ToolRequestKind::Approval => None,
        ToolRequestKind::Question => {
            Some(Question::deserialize(Value::Object(new.arguments.clone()))?)
        }
    };
    let parameters = question.as_ref().map(Question::answer_schema).or(new.parameters.clone());
    let expires_at = question.as_ref().map(|_| stamp(expires_at(new)));
    let row = sqlx::query(
        "INSERT INTO tool_requests (id, user_id, task_id, run_key, session_key, tool, arguments, reason, status, created_at, \
         kind, parameters, asked_by, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING *",
    )
    .bind(new_id())
    .bind(user_id)
    .bind(&new.task_id)
    .bind(&new.run_key)
    .bind(&new.session_key)
    .bind(&new.tool)
    .bind(arguments)
    .bind(&new.reason)
    .bind(ToolRequestStatus::Pending.as_str())
    .bind(now())
    .bind(new.kind.as_str())
    .bind(parameters.map(|schema| schema.to_string()))
    .bind(new.asked_by.as_ref().map(serde_json::to_string).transpose()?)
    .bind(expires_at)
    .fetch_one(&mut *tx)
    .await?;
    let made = tool_request(&row);
    record(tx, scope, &made, made.reason.as_deref()).await?;
    if let Some(question) = question {
        let message = CreateMessage {
            task_id: new.task_id.clone(),
            content: question.question,
            tool_request_id: Some(made.id.clone()),
            ..CreateMessage::default()
        };
        // In the session's name: who asks for another role does not speak as that one.
        messages::insert(tx, user_id, Author::Agent(role), &message).await?;
    }
    Ok(made)
}

/// Records what a tool request has become, as an event and in the audit log.
pub(super) async fn record(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    request: &ToolRequest,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let status = match request.status.as_str() {
        "pending" => "created",
        status => status,
    };
    let name = format!("tool_request.{status}");
    let role = session_role(scope.user_id, &request.session_key);
    events::record_of(tx, scope.user_id, role, &name, ID, request).await?;
    let act = Act::new(scope.by, &name).of(scope.user_id).about("tool_request", &request.id);
    let act = act.with("role", role).with("run_key", &*request.run_key);
    let mut act = act.with("tool", &*request.tool);
    if request.kind == ToolRequestKind::Question {
        act = act.with("kind", request.kind.as_str());
    }
    if let Some(edited) = &request.edited {
        // What was called instead can be proven by it, without being told in the log.
        let arguments = Value::Object(edited.arguments.clone());
        act = act.with("edited_sha256", parameters_sha256(&arguments));
    }
    if let Some(rule_id) = &request.rule_id {
        act = act.with("rule_id", &**rule_id);
    }
    audit::record(tx, &act.because(reason)).await?;
    Ok(())
}

/// Cancels the pending tool requests of a role's cancelled run.
pub(super) async fn cancel_pending(
    tx: &mut AnyConnection,
    scope: Scope<'_>,
    role: &str,
    run_key: &str,
) -> Result<(), StoreError> {
    let rows = sqlx::query(
        "UPDATE tool_requests SET status = $1, decided_at = $2 WHERE run_key = $3 AND status = $4 AND session_key = $5 RETURNING *",
    )
    .bind(ToolRequestStatus::Cancelled.as_str())
    .bind(now())
    .bind(run_key)
    .bind(ToolRequestStatus::Pending.as_str())
    .bind(session_of(scope.user_id, role))
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        let request = tool_request(row);
        record(tx, scope, &request, None).await?;
    }
    Ok(())
}

/// The session whose tool requests a call may see; `None` for all of the user's.
fn session(scope: Scope<'_>) -> Option<String> {
    scope.role.map(|role| session_of(scope.user_id, role))
}

impl Store {
    /// The user's tool requests, oldest first.
    pub async fn tool_requests(
        &self,
        scope: Scope<'_>,
        filter: &ToolRequestFilter,
        limit: u32,
        after: Option<i64>,
    ) -> Result<Page<ToolRequest>, StoreError> {
        let rows = Sql::new("SELECT * FROM tool_requests WHERE user_id = ?", scope.user_id)
            .and(" AND session_key = ?", session(scope))
            .and(" AND status = ?", filter.status.map(ToolRequestStatus::as_str))
            .and(" AND run_key = ?", filter.run_key.as_ref())
            .and(" AND task_id = ?", filter.task_id.as_ref())
            .and(" AND seq > ?", after)
            .and(" ORDER BY seq LIMIT ?", Some(rows_for(limit)))
            .fetch(&self.reader);
        page(rows, limit, tool_request).await
    }

    /// One tool request.
    pub async fn tool_request(
        &self,
        scope: Scope<'_>,
        id: &str,
    ) -> Result<ToolRequest, StoreError> {
        let row = sqlx::query("SELECT * FROM tool_requests WHERE id = $1 AND user_id = $2 AND $3 IN ('', session_key)")
            .bind(id)
            .bind(scope.user_id)
            .bind(session(scope).unwrap_or_default())
            .fetch_optional(&self.reader)
            .await?;
        row.as_ref().map(tool_request).ok_or_else(|| StoreError::NotFound("tool request"))
    }
}

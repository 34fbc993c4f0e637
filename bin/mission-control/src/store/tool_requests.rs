//! Tool requests: calls that need a person's approval.

use mc_client::tool_requests::{CreateToolRequest, Decision, ToolRequest, ToolRequestStatus};
use mc_client::types::{CreateNotification, Page};
use serde_json::{Map, Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::audit::Act;
use super::error::{Conflict, StoreError};
use super::notifications::Extras;
use super::paging::{page, rows_for};
use super::sql::Sql;
use super::{
    Scope, Store, audit, events, json_of, new_id, notifications, now, run_rows, session_of,
    session_role, tasks, time,
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

fn tool_request(row: &AnyRow) -> ToolRequest {
    ToolRequest {
        id: row.get("id"),
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
    }
}

/// Creates a tool request. `arguments` are those of the request as they were sent: JSON text.
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
    let row = sqlx::query(
        "INSERT INTO tool_requests (id, user_id, task_id, run_key, session_key, tool, arguments, reason, status, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING *",
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
    .fetch_one(&mut *tx)
    .await?;
    let made = tool_request(&row);
    record(tx, scope, &made, made.reason.as_deref()).await?;
    Ok(made)
}

/// Records what a tool request has become, as an event and in the audit log.
async fn record(
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
    audit::record(tx, &act.with("tool", &*request.tool).because(reason)).await?;
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

/// The text of the notification about a decision.
fn sentence(request: &ToolRequest) -> String {
    let note = request.note.as_deref().map(str::trim).filter(|note| !note.is_empty());
    let said = format!("The call of {} was {}.", request.tool, request.status);
    note.map_or(said.clone(), |note| format!("{said} {note}"))
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

    /// Records a person's decision, once, and notifies the session in the same transaction. A
    /// repetition under the same idempotency key changes nothing.
    pub async fn decide(
        &self,
        scope: Scope<'_>,
        id: &str,
        decision: &Decision,
        arguments: Option<&Value>,
        key: Option<&str>,
    ) -> Result<ToolRequest, StoreError> {
        let mut tx = self.write(scope).await?;
        let user_id = scope.user_id;
        let row = sqlx::query("SELECT * FROM tool_requests WHERE id = $1 AND user_id = $2")
            .bind(id)
            .bind(user_id)
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| StoreError::NotFound("tool request"))?;
        let known = tool_request(&row);
        if arguments.is_some_and(|given| *given != Value::Object(known.arguments.clone())) {
            let why = "are not those of the request, and cannot be changed: deny it with a note";
            return Err(StoreError::Invalid { field: "arguments", why });
        }
        if known.known_status() != Some(ToolRequestStatus::Pending) {
            let same_key = key.is_some() && row.get::<Option<&str>, _>("decision_key") == key;
            if same_key && known.status == decision.status.as_str() {
                return Ok(known);
            }
            return Err(Conflict::AlreadyDecided { status: known.status }.into());
        }
        let row = sqlx::query(
            "UPDATE tool_requests SET status = $1, note = $2, decision_key = $3, decided_at = $4 WHERE id = $5 RETURNING *",
        )
        .bind(decision.status.as_str())
        .bind(&decision.note)
        .bind(key)
        .bind(now())
        .bind(id)
        .fetch_one(&mut *tx)
        .await?;
        let decided = tool_request(&row);
        record(&mut tx, scope, &decided, decided.note.as_deref()).await?;
        let notification = CreateNotification {
            user_id: user_id.to_owned(),
            session_key: decided.session_key.clone(),
            content: sentence(&decided),
            task_id: Some(decided.task_id.clone()),
            idempotency_key: None,
        };
        let role = session_role(user_id, &decided.session_key).unwrap_or_default();
        let of_run = run_rows::find_of(&mut tx, user_id, role, &decided.run_key).await?;
        let mut metadata = Map::from_iter([
            ("tool_request_id".to_owned(), json!(decided.id)),
            ("tool_request_status".to_owned(), json!(decided.status)),
        ]);
        if of_run.is_some_and(|found| found.run.detached) {
            metadata.insert("detached".to_owned(), json!(true));
        }
        let extras = Extras { run_key: Some(&decided.run_key), metadata: Some(metadata) };
        notifications::insert(&mut tx, &notification, extras).await?;
        tx.commit().await?;
        Ok(decided)
    }
}

//! The resources: tasks, threads and documents of the caller's user.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mc_client::client::AgentClient;
use mc_client::client::TaskQuery;
use mc_client::error::McError;
use serde_json::{Value, json};
use wombat_core::session::UserId;

use super::super::error::ApiError;
use super::super::header::USER_HEADER;
use super::super::protocol_request::roles;
use super::Incoming;
use super::rpc::{Fault, RESOURCE_NOT_FOUND};
use crate::run::error::RunError;

const SCHEME: &str = "mission-control://";
/// The largest file that is read.
const MAX_FILE: usize = 20 * 1024 * 1024;
/// The page size of tasks, and the number of messages of a thread.
const PAGE: u32 = 50;
/// The cursor of the documents, which follow the last page of tasks.
const DOCUMENTS: &str = "documents";
/// The prefix of cursors that hold the backend's cursor for documents.
const MORE_DOCUMENTS: &str = "documents:";
/// The prefix of cursors that hold the backend's cursor for tasks.
const TASKS: &str = "tasks:";

/// `resources/templates/list`.
pub(super) fn templates() -> Value {
    let template = |path: &str, name: &str, kind: &str| json!({ "uriTemplate": format!("{SCHEME}{path}"), "name": name, "mimeType": kind });
    json!({ "resourceTemplates": [
        template("tasks/{id}", "task", "application/json"),
        template("tasks/{id}/messages", "thread of a task", "application/json"),
        template("documents/{id}", "document", "text/markdown"),
        template("files/{id}", "file", "application/octet-stream"),
    ] })
}

/// The backend as the caller's user. The token is minted for the first role of the workspace, since
/// it is only used to read.
fn backend(incoming: &Incoming<'_>) -> Result<AgentClient, Fault> {
    let user = UserId::parse(&incoming.user())
        .map_err(|error| Fault::params(format!("{USER_HEADER}: {error}")))?;
    let roles = roles(&incoming.app).map_err(|error| Fault::from(&error))?;
    let role = roles.first().ok_or_else(|| Fault::params("the workspace has no role"))?;
    let client = incoming.app.backend.agent(user.as_str(), role.role.as_str());
    Ok(client.map_err(|error| backend_fault(&error))?.with_trace(&incoming.trace.traceparent()))
}

fn backend_fault(error: &McError) -> Fault {
    Fault::from(&ApiError::from(RunError::backend(error)))
}

async fn has(incoming: &Incoming<'_>, feature: &str) -> Result<bool, Fault> {
    let trace = incoming.trace.traceparent();
    let capabilities = incoming.app.backend.capabilities(&trace).await;
    Ok(capabilities.map_err(|error| backend_fault(&error))?.has(feature))
}

/// `resources/list`: the pages of tasks, then the documents.
pub(super) async fn list(incoming: &Incoming<'_>) -> Result<Value, Fault> {
    let client = backend(incoming)?;
    let cursor = match incoming.params.get("cursor") {
        None | Some(Value::Null) => None,
        Some(Value::String(cursor)) if cursor == DOCUMENTS => {
            return documents(&client, None).await;
        }
        Some(Value::String(cursor)) if cursor.starts_with(MORE_DOCUMENTS) => {
            return documents(&client, Some(&cursor[MORE_DOCUMENTS.len()..])).await;
        }
        Some(Value::String(cursor)) if cursor.starts_with(TASKS) => {
            Some(cursor[TASKS.len()..].to_owned())
        }
        Some(_) => return Err(Fault::params("cursor: is not a cursor of this server")),
    };
    let query = TaskQuery { limit: Some(PAGE), cursor, ..TaskQuery::default() };
    let page = client.list_tasks(&query).await.map_err(|error| backend_fault(&error))?;
    let tasks: Vec<_> = page
        .items
        .iter()
        .filter(|task| is_uri_safe(&task.id))
        .map(|task| {
            json!({
                "uri": format!("{SCHEME}tasks/{}", task.id), "name": task.title,
                "description": task.description.as_deref().unwrap_or(&task.status),
                "mimeType": "application/json",
            })
        })
        .collect();
    let next = match page.next_cursor.filter(|cursor| !cursor.is_empty()) {
        Some(cursor) => Some(format!("{TASKS}{cursor}")),
        None => has(incoming, "documents_list").await?.then(|| DOCUMENTS.to_owned()),
    };
    Ok(match next {
        Some(next) => json!({ "resources": tasks, "nextCursor": next }),
        None => json!({ "resources": tasks }),
    })
}

/// A page of the documents.
async fn documents(client: &AgentClient, cursor: Option<&str>) -> Result<Value, Fault> {
    let page = client.list_documents(None, None, cursor).await;
    let page = page.map_err(|error| backend_fault(&error))?;
    let listed = page.items.iter().filter(|document| is_uri_safe(&document.id)).map(|document| {
        json!({
            "uri": format!("{SCHEME}documents/{}", document.id), "name": document.title,
            "description": document.doc_type.as_deref().unwrap_or("document"),
            "mimeType": "text/markdown",
        })
    });
    let mut list = json!({ "resources": listed.collect::<Vec<_>>() });
    // The same page again would never end.
    let next = page.next_cursor.filter(|next| !next.is_empty() && Some(next.as_str()) != cursor);
    if let Some(next) = next {
        list["nextCursor"] = json!(format!("{MORE_DOCUMENTS}{next}"));
    }
    Ok(list)
}

/// Whether an id can be put into a URI, and into a path of the backend, without escaping.
fn is_uri_safe(id: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_~.".contains(c);
    !id.is_empty() && id.chars().all(plain) && !id.chars().all(|c| c == '.')
}

/// `resources/read`.
pub(super) async fn read(incoming: &Incoming<'_>) -> Result<Value, Fault> {
    let uri = incoming.params.get("uri").and_then(Value::as_str);
    let uri = uri.ok_or_else(|| Fault::params("uri: is required"))?;
    let none = || Fault {
        code: RESOURCE_NOT_FOUND,
        message: "there is no such resource".to_owned(),
        data: json!({ "uri": uri }),
    };
    let client = backend(incoming)?;
    let path = uri.strip_prefix(SCHEME).ok_or_else(none)?;
    let parts: Vec<_> = path.split('/').collect();
    if let ["files", id] = parts.as_slice() {
        return match is_uri_safe(id) && has(incoming, "files").await? {
            true => file(&client, uri, id).await?.ok_or_else(none),
            false => Err(none()),
        };
    }
    let found = match parts.as_slice() {
        ["tasks", id] if is_uri_safe(id) => client.get_task(id).await.map(|task| json!(task)),
        ["tasks", id, "messages"] if is_uri_safe(id) => {
            client.list_messages(id, PAGE, None).await.map(|page| json!(page.items))
        }
        ["documents", id] if is_uri_safe(id) => {
            let document = client.get_document(id).await;
            document.map(|document| json!(document.content.unwrap_or_default()))
        }
        _ => return Err(none()),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) if error.is_not_found() => return Err(none()),
        Err(error) => return Err(backend_fault(&error)),
    };
    let (kind, text) = match found {
        Value::String(text) => ("text/markdown", text),
        other => ("application/json", other.to_string()),
    };
    Ok(json!({ "contents": [{ "uri": uri, "mimeType": kind, "text": text }] }))
}

/// The address of a file.
pub(super) fn file_uri(id: &str) -> String {
    format!("{SCHEME}files/{id}")
}

/// A file's contents: text where it is text.
async fn file(client: &AgentClient, uri: &str, id: &str) -> Result<Option<Value>, Fault> {
    let read = async {
        let meta = client.file_meta(id).await?;
        let bytes = client.file_bytes(&meta, MAX_FILE).await?;
        Ok::<_, McError>((meta, bytes))
    };
    let (meta, bytes) = match read.await {
        Ok(found) => found,
        Err(error) if error.is_not_found() || error.is_file_not_found() => return Ok(None),
        Err(error) => return Err(backend_fault(&error)),
    };
    let kind = &*meta.media_type;
    let is_text =
        kind.starts_with("text/") || ["application/json", "image/svg+xml"].contains(&kind);
    let text = std::str::from_utf8(&bytes).ok().filter(|_| is_text);
    let content = match text {
        Some(text) => json!({ "uri": uri, "mimeType": kind, "text": text }),
        None => json!({ "uri": uri, "mimeType": kind, "blob": STANDARD.encode(&bytes) }),
    };
    Ok(Some(json!({ "contents": [content] })))
}

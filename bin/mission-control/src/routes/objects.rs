//! Tasks, messages, documents, notifications.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use mc_client::types::{
    ActorType, CreateDocument, CreateMessage, CreateNotification, CreateTask, Document,
    MAX_COLLAPSE_KEY, Message, Notification, Page, Task, TaskStatus, UpdateTask,
};

use super::answering::find_answer;
use super::created;
use crate::app::App;
use crate::auth::{Agent, Internal, Person, Tenant, Writer, check_session};
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, paging, require_filled, require_key, require_short};
use crate::mentions::is_role;
use crate::store::answering::insert;
use crate::store::audit::{Actor, By};
use crate::store::messages::Author;
use crate::store::notifications::Extras;
use crate::store::tasks::TaskFilter;
use crate::store::{Scope, documents, notifications, tasks};

/// The most roles that one message of an agent notifies.
const MAX_MENTIONS: usize = 50;

/// The longest chain of agents that have notified each other.
const MAX_CHAIN: usize = 100;

/// The longest key of a run.
const MAX_RUN_KEY: usize = 200;

/// How many files a message may have.
const MAX_ATTACHMENTS: usize = 100;

pub(super) async fn list_tasks(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<Task>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let status = params.get("status").cloned();
    if status.as_ref().is_some_and(|status| status.parse::<TaskStatus>().is_err()) {
        return Err(ApiError::field(
            "status",
            "must be pending, in_progress, blocked, completed or cancelled",
        ));
    }
    let filter = TaskFilter { status, title: params.get("title").cloned() };
    Ok(Json(app.store.tasks(tenant.user_id(), &filter, limit, after).await?))
}

pub(super) async fn create_task(
    State(app): State<App>,
    writer: Writer,
    body: Body<CreateTask>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[("title", &new.title)])?;
    require_key(new.idempotency_key.as_deref())?;
    let (scope, key) = (writer.scope(), new.idempotency_key.as_deref());
    let user = scope.user_id;
    let made = app
        .store
        .create(scope, "tasks", key, &body.raw, async |tx| tasks::insert(tx, user, &new).await);
    Ok(created(made.await?))
}

pub(super) async fn get_task(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<Task>, ApiError> {
    Ok(Json(app.store.task(tenant.user_id(), &id).await?))
}

pub(super) async fn update_task(
    State(app): State<App>,
    writer: Writer,
    Id(id): Id,
    body: Body<UpdateTask>,
) -> Result<Json<Task>, ApiError> {
    if let Some(title) = &body.value.title {
        require_filled(&[("title", title)])?;
    }
    Ok(Json(app.store.update_task(writer.scope(), &id, &body.value).await?))
}

pub(super) async fn list_messages(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<Message>>, ApiError> {
    let user = tenant.user_id();
    if let Some(key) = params.get("idempotency_key") {
        return Ok(Json(app.store.message_by_key(tenant.scope(), key).await?));
    }
    let (limit, before) = paging(&params)?;
    let task_id = params.get("task_id").ok_or_else(|| ApiError::field("task_id", "is required"))?;
    Ok(Json(app.store.messages(user, task_id, limit, before).await?))
}

pub(super) async fn create_message(
    State(app): State<App>,
    writer: Writer,
    body: Body<CreateMessage>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[("task_id", &new.task_id), ("content", &new.content)])?;
    require_key(new.idempotency_key.as_deref())?;
    if new.attachments.len() > MAX_ATTACHMENTS {
        return Err(ApiError::field("attachments", "are more than 100"));
    }
    if new.tool_request_id.is_some()
        && matches!(
            (&writer.tenant, new.actor_type),
            (Tenant::Agent(_), Some(ActorType::Agent) | None)
        )
    {
        let why = "is for what a person says: a question makes its own message";
        return Err(ApiError::field("tool_request_id", why));
    }
    let author = match (&writer.tenant, new.actor_type) {
        (Tenant::Agent(agent), Some(ActorType::User)) => told(agent, &new)?,
        (Tenant::Agent(agent), Some(ActorType::Agent) | None) => {
            let named = new.agent_role.as_ref().is_none_or(|role| *role == agent.role);
            if !named {
                return Err(ApiError::role_mismatch("agent_role", &agent.role));
            }
            Author::Agent(&agent.role)
        }
        (Tenant::Person(_), Some(ActorType::User) | None) => Author::Person,
        (Tenant::Person(_), Some(ActorType::Agent)) => {
            return Err(ApiError::forbidden("only an agent token writes as an agent"));
        }
    };
    check_mentions(author, &new)?;
    let (scope, key) = (writer.scope(), new.idempotency_key.as_deref());
    let answering = find_answer(&app, scope, author, &new).await?;
    let make = async |tx: &mut _| insert(tx, scope, author, &new, answering.as_ref()).await;
    Ok(created(app.store.create(scope, "messages", key, &body.raw, make).await?))
}

/// Refuses mentions that are no roles, and those of a person, whose text says whom it mentions.
fn check_mentions(author: Author<'_>, new: &CreateMessage) -> Result<(), ApiError> {
    let is_agents = matches!(author, Author::Agent(_));
    for (name, is_there) in [("mentions", new.mentions.is_some()), ("chain", new.chain.is_some())] {
        if is_there && !is_agents {
            return Err(ApiError::field(name, "is for messages of agents; a person writes @role"));
        }
    }
    let mentions = new.mentions.as_deref().unwrap_or_default();
    if mentions.len() > MAX_MENTIONS || !mentions.iter().all(|role| is_role(role)) {
        return Err(ApiError::field("mentions", "must be at most 50 names of roles"));
    }
    let Some(chain) = &new.chain else { return Ok(()) };
    let key = &chain.root_run_key;
    if key.trim().is_empty() || key.len() > MAX_RUN_KEY {
        return Err(ApiError::field("chain.root_run_key", "must be the key of a run"));
    }
    if chain.roles.len() > MAX_CHAIN || !chain.roles.iter().all(|role| is_role(role)) {
        return Err(ApiError::field("chain.roles", "must be at most 100 names of roles"));
    }
    Ok(())
}

/// What the user said to an agent, which the daemon stores: with a token for that, and once for each run.
fn told(agent: &Agent, new: &CreateMessage) -> Result<Author<'static>, ApiError> {
    if !agent.speaks_for_user {
        return Err(ApiError::forbidden("an agent cannot write as the user"));
    }
    if new.agent_role.as_ref().is_some_and(|role| *role != agent.role) {
        return Err(ApiError::role_mismatch("agent_role", &agent.role));
    }
    if new.actor_id.as_ref().is_some_and(|id| *id != agent.user_id) {
        return Err(ApiError::forbidden("an agent cannot write as another user than its own"));
    }
    if new.idempotency_key.is_none() {
        return Err(ApiError::field(
            "idempotency_key",
            "is required: a run stores its message once",
        ));
    }
    Ok(Author::Told)
}

pub(super) async fn list_documents(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<Document>>, ApiError> {
    let (limit, before) = paging(&params)?;
    let (task_id, doc_type) = (params.get("task_id"), params.get("doc_type"));
    Ok(Json(app.store.documents(tenant.user_id(), task_id, doc_type, limit, before).await?))
}

pub(super) async fn create_document(
    State(app): State<App>,
    writer: Writer,
    body: Body<CreateDocument>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[("title", &new.title), ("content", &new.content)])?;
    require_key(new.idempotency_key.as_deref())?;
    let (scope, key) = (writer.scope(), new.idempotency_key.as_deref());
    let user = scope.user_id;
    let make = async |tx: &mut _| documents::insert(tx, user, &new).await;
    Ok(created(app.store.create(scope, "documents", key, &body.raw, make).await?))
}

pub(super) async fn get_document(
    State(app): State<App>,
    tenant: Tenant,
    Id(id): Id,
) -> Result<Json<Document>, ApiError> {
    Ok(Json(app.store.document(tenant.user_id(), &id).await?))
}

pub(super) async fn list_notifications(
    State(app): State<App>,
    tenant: Tenant,
    Query(params): Params,
) -> Result<Json<Page<Notification>>, ApiError> {
    let (limit, after) = paging(&params)?;
    let unread = params.get("unread").is_some_and(|unread| unread == "true");
    Ok(Json(app.store.notifications(tenant.scope(), unread, limit, after).await?))
}

pub(super) async fn create_notification(
    State(app): State<App>,
    _internal: Internal,
    body: Body<CreateNotification>,
) -> Result<Response, ApiError> {
    let new = body.value;
    require_filled(&[
        ("user_id", &new.user_id),
        ("session_key", &new.session_key),
        ("content", &new.content),
    ])?;
    require_key(new.idempotency_key.as_deref())?;
    require_filled(&[("collapse_key", new.collapse_key.as_deref().unwrap_or("-"))])?;
    require_short(&[("collapse_key", new.collapse_key.as_deref(), MAX_COLLAPSE_KEY)])?;
    check_session(&new.user_id, &new.session_key)?;
    let key = new.idempotency_key.as_deref();
    let scope = Scope::of(&new.user_id).by(By::new(Actor::Service));
    let make = async |tx: &mut _| notifications::insert(tx, &new, Extras::default()).await;
    Ok(created(app.store.create(scope, "notifications", key, &body.raw, make).await?))
}

pub(super) async fn read_notification(
    State(app): State<App>,
    person: Person,
    Id(id): Id,
) -> Result<Json<Notification>, ApiError> {
    Ok(Json(app.store.read_notification(&person.user_id, &id).await?))
}

//! Mission Control: what Wombat asks of a backend. Five endpoints; three more make it comfortable.
//! The types are the ones that the daemon itself speaks.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use chrono::Utc;
use mc_client::types::{
    ActorType, CONTRACT_VERSION, Capabilities, CreateDocument, CreateMessage, CreateTask, Document,
    Message, Page, Task, TaskStatus,
};
use serde::Deserialize;
use uuid::Uuid;

use crate::App;
use crate::auth::Me;
use crate::error::ApiError;
use crate::extract::{Body, Id, Params, require};
use crate::store::{Created, Paging, Store};

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/capabilities", get(capabilities))
        .route("/tasks", get(list_tasks).post(create_task))
        .route("/tasks/{id}", get(get_task))
        .route("/messages", get(list_messages).post(create_message))
        .route("/documents", axum::routing::post(create_document))
}

async fn capabilities(_me: Me) -> Json<Capabilities> {
    let features = ["tasks_get", "messages_list", "message_lookup"];
    let features = BTreeMap::from(features.map(|name| (name.to_owned(), true)));
    Json(Capabilities {
        contract_version: CONTRACT_VERSION.to_owned(),
        features,
        ..Capabilities::default()
    })
}

#[derive(Deserialize)]
struct TaskFilter {
    status: Option<TaskStatus>,
    title: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

async fn list_tasks(
    State(app): State<App>,
    me: Me,
    Params(wanted): Params<TaskFilter>,
) -> Result<Json<Page<Task>>, ApiError> {
    let fits = |task: &Task| {
        wanted.status.is_none_or(|status| task.status == status.as_str())
            && wanted.title.as_ref().is_none_or(|title| task.title == *title)
    };
    app.store.tasks.page(me.user_id(), &wanted.paging, false, fits).map(Json)
}

async fn create_task(
    State(app): State<App>,
    me: Me,
    Body { raw, value: new }: Body<CreateTask>,
) -> Result<Created<Task>, ApiError> {
    let key = new.idempotency_key.as_deref();
    require(&[("title", Some(&new.title)), ("idempotency_key", key)])?;
    let now = Some(Utc::now());
    let task = Task {
        id: Uuid::new_v4().to_string(),
        title: new.title,
        status: new.status.unwrap_or(TaskStatus::Pending).as_str().to_owned(),
        description: new.description,
        metadata: new.metadata,
        created_at: now,
        updated_at: now,
    };
    Ok(app.store.tasks.create(me.user_id(), key, &raw, task)?)
}

async fn get_task(State(app): State<App>, me: Me, Id(id): Id) -> Result<Json<Task>, ApiError> {
    task(&app.store, &me, &id).map(Json)
}

/// A task of the user's; another's is not there, as if it did not exist.
fn task(store: &Store, me: &Me, id: &str) -> Result<Task, ApiError> {
    let found = store.tasks.find(me.user_id(), |task| task.id == id);
    found.ok_or_else(|| ApiError::not_found("task"))
}

#[derive(Deserialize)]
struct MessageFilter {
    task_id: Option<String>,
    idempotency_key: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

async fn list_messages(
    State(app): State<App>,
    me: Me,
    Params(wanted): Params<MessageFilter>,
) -> Result<Json<Page<Message>>, ApiError> {
    let messages = &app.store.messages;
    if let Some(key) = wanted.idempotency_key {
        let items = messages.by_key(me.user_id(), &key).into_iter().collect();
        return Ok(Json(Page { items, next_cursor: None }));
    }
    let needed = "task_id or idempotency_key is needed";
    let id = wanted.task_id.ok_or_else(|| ApiError::invalid(needed))?;
    task(&app.store, &me, &id)?;
    let fits = |message: &Message| message.task_id == id;
    messages.page(me.user_id(), &wanted.paging, true, fits).map(Json)
}

async fn create_message(
    State(app): State<App>,
    me: Me,
    Body { raw, value: new }: Body<CreateMessage>,
) -> Result<Created<Message>, ApiError> {
    let key = new.idempotency_key.as_deref();
    require(&[("content", Some(&new.content)), ("idempotency_key", key)])?;
    let actor = match (me.role(), new.actor_type) {
        (Some(_), Some(ActorType::User)) => {
            return Err(ApiError::forbidden("an agent does not write as the user"));
        }
        (None, Some(ActorType::Agent)) => {
            return Err(ApiError::forbidden("only an agent writes as one"));
        }
        (Some(_), Some(ActorType::Agent) | None) => "agent",
        (None, Some(ActorType::User) | None) => "user",
    };
    task(&app.store, &me, &new.task_id)?;
    let message = Message {
        id: Uuid::new_v4().to_string(),
        task_id: new.task_id,
        content: new.content,
        actor_type: Some(actor.to_owned()),
        // What the token says, not what the body says.
        agent_role: me.role().map(str::to_owned),
        actor_id: new.actor_id,
        attachments: new.attachments,
        // Of feature `message_data`, which this backend does not have.
        data: None,
        // Of feature `decisions`, neither.
        tool_request_id: None,
        created_at: Some(Utc::now()),
    };
    Ok(app.store.messages.create(me.user_id(), key, &raw, message)?)
}

async fn create_document(
    State(app): State<App>,
    me: Me,
    Body { raw, value: new }: Body<CreateDocument>,
) -> Result<Created<Document>, ApiError> {
    let key = new.idempotency_key.as_deref();
    require(&[
        ("title", Some(&new.title)),
        ("content", Some(&new.content)),
        ("idempotency_key", key),
    ])?;
    if let Some(id) = &new.task_id {
        task(&app.store, &me, id)?;
    }
    let document = Document {
        id: Uuid::new_v4().to_string(),
        title: new.title,
        content: Some(new.content),
        doc_type: new.doc_type,
        task_id: new.task_id,
        created_at: Some(Utc::now()),
    };
    Ok(app.store.documents.create(me.user_id(), key, &raw, document)?)
}

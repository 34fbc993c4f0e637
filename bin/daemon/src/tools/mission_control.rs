//! The built-in tools on Mission Control's own objects. Each write carries its idempotency key.

use mc_client::client::TaskQuery;
use mc_client::types::{ActorType, CreateDocument, CreateMessage, CreateTask, UpdateTask};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::context::ToolContext;
use super::reply::ToolReply;
use crate::protocols::OWN_METADATA;

/// Deserialises arguments that match the schema.
fn read<T: DeserializeOwned>(arguments: &Value) -> Result<T, ToolReply> {
    T::deserialize(arguments)
        .map_err(|error| ToolReply::NotMade(format!("the arguments could not be read: {error}")))
}

/// Refuses metadata that are not a model's to write.
fn check_metadata(metadata: Option<&Map<String, Value>>) -> Result<(), ToolReply> {
    let Some(metadata) = metadata else { return Ok(()) };
    match OWN_METADATA.into_iter().find(|field| metadata.contains_key(*field)) {
        None => Ok(()),
        Some(field) => Err(ToolReply::NotMade(format!(
            "metadata.{field}: is the daemon's own; leave it out, and what the task has there stays"
        ))),
    }
}

/// The tool `create_task`.
pub(super) async fn create_task(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let task = match read::<CreateTask>(arguments) {
        Ok(task) => CreateTask { idempotency_key: Some(key), ..task },
        Err(reply) => return reply,
    };
    if let Err(reply) = check_metadata(task.metadata.as_ref()) {
        return reply;
    }
    match context.client.create_task(&task).await {
        Ok(task) => ToolReply::data(&task),
        Err(error) => ToolReply::failed(&error),
    }
}

/// The tool `list_tasks`.
pub(super) async fn list_tasks(context: &ToolContext<'_>, arguments: &Value) -> ToolReply {
    let text = |name: &str| arguments[name].as_str().map(str::to_owned);
    let query = TaskQuery {
        limit: arguments["limit"].as_u64().and_then(|limit| u32::try_from(limit).ok()),
        cursor: text("cursor"),
        status: text("status"),
        title: text("title"),
    };
    match context.client.list_tasks(&query).await {
        Ok(mut page) => {
            // A backend may ignore the filter on the title.
            if let Some(title) = &query.title {
                page.items.retain(|task| task.title == *title);
            }
            ToolReply::data(&page)
        }
        Err(error) => ToolReply::failed(&error),
    }
}

/// The tool `update_task`.
pub(super) async fn update_task(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let id = arguments["task_id"].as_str().unwrap_or_default();
    let mut update = match read::<UpdateTask>(arguments) {
        Ok(update) => update,
        Err(reply) => return reply,
    };
    if let Err(reply) = check_metadata(update.metadata.as_ref()) {
        return reply;
    }
    if let Some(metadata) = &mut update.metadata {
        match own_metadata(context, id).await {
            Ok(own) => metadata.extend(own),
            Err(reply) => return reply,
        }
    }
    match context.client.update_task(id, &update, Some(&key)).await {
        Ok(task) => ToolReply::data(&task),
        Err(error) => ToolReply::failed(&error),
    }
}

/// What of a task's metadata an update keeps, which would replace it.
async fn own_metadata(
    context: &ToolContext<'_>,
    id: &str,
) -> Result<Map<String, Value>, ToolReply> {
    let metadata = match context.client.get_task(id).await {
        Ok(task) => task.metadata.unwrap_or_default(),
        // There is no such task, as the update will say, or the backend reads none and so keeps none.
        Err(error) if matches!(error.status(), Some(404 | 405 | 501)) => Map::new(),
        Err(error) => {
            let why = format!("the task could not be read, so nothing was changed: {error}");
            return Err(ToolReply::NotMade(why));
        }
    };
    let own = |(field, _): &(String, Value)| OWN_METADATA.contains(&field.as_str());
    Ok(metadata.into_iter().filter(own).collect())
}

/// The tool `post_message`.
pub(super) async fn post_message(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let chain = context.mentions.filter(|mentions| !mentions.named.is_empty());
    let message = CreateMessage {
        task_id: task_id(context, arguments),
        content: arguments["content"].as_str().unwrap_or_default().to_owned(),
        mentions: context.mentions.map(|mentions| mentions.named.clone()),
        chain: chain.map(|mentions| mentions.chain.clone()),
        actor_type: Some(ActorType::Agent),
        agent_role: Some(context.profile.role.as_str().to_owned()),
        idempotency_key: Some(key),
        ..CreateMessage::default()
    };
    match context.client.post_message(&message).await {
        Ok(message) => ToolReply::data(&message),
        Err(error) => ToolReply::failed(&error),
    }
}

/// The tool `create_document`.
pub(super) async fn create_document(
    context: &ToolContext<'_>,
    arguments: &Value,
    key: String,
) -> ToolReply {
    let document = match read::<CreateDocument>(arguments) {
        Ok(document) => CreateDocument {
            task_id: Some(task_id(context, arguments)),
            idempotency_key: Some(key),
            ..document
        },
        Err(reply) => return reply,
    };
    match context.client.create_document(&document).await {
        Ok(document) => ToolReply::data(&document),
        Err(error) => ToolReply::failed(&error),
    }
}

/// The tool `list_notifications`.
pub(super) async fn list_notifications(context: &ToolContext<'_>) -> ToolReply {
    match context.client.notifications(true).await {
        Ok(page) => ToolReply::data(&page),
        Err(error) => ToolReply::failed(&error),
    }
}

/// The task that the model names, else the run's own.
fn task_id(context: &ToolContext<'_>, arguments: &Value) -> String {
    arguments["task_id"].as_str().unwrap_or(context.task_id).to_owned()
}

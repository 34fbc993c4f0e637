//! Contexts: a task is its own, unless its client has made one up. Such a one is kept in its task's metadata, and
//! stands behind a prefix in its title, so that it is no other task's title by chance.

use mc_client::types::{Capabilities, Task};
use serde_json::json;

use super::fault::{Fault, Kind};
use super::methods::{Caller, backend};
use super::send_message::SendMessage;
use super::stored;
use crate::protocols::A2A_CONTEXT;
pub(super) use crate::protocols::a2a_context as of;

/// The longest context that a client can make up.
const MAX: usize = 200;

/// What the titles of tasks of such contexts begin with.
const PREFIX: &str = "a2a:";

/// The task of a context, where there is one. A task that only has the title is none.
pub(super) async fn task_of(
    caller: &Caller,
    capabilities: &Capabilities,
    context: &str,
) -> Result<Option<Task>, Fault> {
    if context.len() > MAX {
        return Err(Fault::new(Kind::Params, format!("contextId: has at most {MAX} bytes")));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_~".contains(c);
    if context.chars().all(is_plain) {
        match stored::task(caller, capabilities, context).await {
            Ok(task) => return Ok(Some(task)),
            Err(fault) if fault.kind == Kind::TaskNotFound => {}
            Err(fault) => return Err(fault),
        }
    }
    // As the run finds its task.
    let found = caller.client.find_task(&title(context)).await.map_err(|error| backend(&error))?;
    match found {
        Some(task) if of(&task) != context => {
            let why = format!(
                "contextId: the task {:?} has its title and is not of that context; rename it, or choose another \
                 context",
                task.id
            );
            Err(Fault::new(Kind::Params, why))
        }
        found => Ok(found),
    }
}

fn title(context: &str) -> String {
    format!("{PREFIX}{context}")
}

/// Finds the task of the context that a message names, or lets one be created for it. Returns the context of
/// the message's task, where that is not the task itself.
pub(super) async fn resolve(
    caller: &Caller,
    asked: &mut SendMessage,
) -> Result<Option<String>, Fault> {
    let capabilities = caller.capabilities().await?;
    let knows_tasks = capabilities.has("tasks_get");
    match (&asked.task_id, &asked.context_id) {
        (Some(task), context) if knows_tasks => {
            let task = stored::task(caller, &capabilities, task).await?;
            let own = of(&task);
            if context.as_deref().is_some_and(|context| context != own && context != task.id) {
                let why = format!("message.contextId: the task's is {own:?}");
                return Err(Fault::new(Kind::Params, why));
            }
            Ok(Some(own.to_owned()).filter(|own| *own != task.id))
        }
        (Some(task), Some(context)) if task != context => {
            let why = "message.contextId: differs from taskId; here a task is its own context";
            Err(Fault::new(Kind::Params, why))
        }
        (None, Some(context)) if knows_tasks => {
            let found = task_of(caller, &capabilities, context).await?;
            asked.known_task = found.as_ref().map(|task| task.id.clone());
            // The same message again has to name its task in the same way, so that one with a context that
            // was made up goes by its title even once there is a task.
            if let Some(task) = found.filter(|task| task.id == *context) {
                return Ok(Some(of(&task).to_owned()).filter(|own| *own != task.id));
            }
            asked.request.task_id = None;
            asked.request.task_title = Some(title(context));
            asked.request.task_metadata =
                Some([(A2A_CONTEXT.to_owned(), json!(context))].into_iter().collect());
            Ok(Some(context.clone()))
        }
        _ => Ok(None),
    }
}

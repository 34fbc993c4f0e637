//! Configurations of push notifications: addresses of clients that want to hear how a task's runs end. They
//! are kept in the task's metadata, so that every instance knows them.

use mc_client::types::{Capabilities, Task, UpdateTask};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::fault::{Fault, Kind};
use super::methods::{Caller, backend};
use super::params::texts;
use super::{runs, stored};
use crate::run::standing::Standing;
use crate::webhook::push::{MOST, PushTarget, TargetsOf};

/// The longest id and address of a configuration.
const MAX_TEXT: usize = 2_000;

/// What the backend has to have.
const NEEDS: [&str; 2] = ["tasks_get", "tasks_update"];

/// Whether the backend can keep configurations.
fn check(capabilities: &Capabilities) -> Result<(), Fault> {
    match NEEDS.into_iter().find(|feature| !capabilities.has(feature)) {
        None => Ok(()),
        Some(missing) => {
            let why = format!("push notifications need the backend's feature {missing}");
            Err(Fault::new(Kind::PushNotSupported, why))
        }
    }
}

/// Reads a configuration: its id, where it has one, and its address, which has been checked.
pub(super) async fn read(
    caller: &Caller,
    config: &Map<String, Value>,
) -> Result<PushTarget, Fault> {
    check(&*caller.capabilities().await?)?;
    let [id, url, token] = texts(config, ["id", "url", "token"])?;
    let has_credentials = match config.get("authentication") {
        None | Some(Value::Null) => false,
        Some(Value::Object(how)) => {
            how.values().any(|value| *value != json!("") && !value.is_null())
        }
        Some(_) => true,
    };
    if token.is_some() || has_credentials {
        let why = "push notifications: no token and no authentication can be kept, since task and journal \
                   hold no secrets; where WOMBAT_WEBHOOK_SECRET is set, it signs each notification";
        return Err(Fault::new(Kind::PushNotSupported, why));
    }
    let url = url.ok_or_else(|| Fault::new(Kind::Params, "url: is required"))?;
    if [&url].into_iter().chain(&id).any(|text| text.len() > MAX_TEXT) {
        let why = format!("id and url: have at most {MAX_TEXT} bytes");
        return Err(Fault::new(Kind::Params, why));
    }
    let checked = caller.app.webhooks.check(&url).await;
    let url = checked.map_err(|why| Fault::new(Kind::Params, format!("url: {why}")))?;
    let url = String::from(url);
    Ok(PushTarget { id: id.unwrap_or_else(|| id_for(&url)), url })
}

/// The id of a configuration that has none: the same address again is the same one.
fn id_for(url: &str) -> String {
    let hash = Sha256::digest(url);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Adds a configuration, or replaces the one with its id.
pub(super) fn add(all: &mut Vec<PushTarget>, new: PushTarget) -> Result<(), Fault> {
    all.retain(|there| there.id != new.id);
    if all.len() >= MOST {
        let why = format!("a task has at most {MOST} configurations of push notifications");
        return Err(Fault::new(Kind::Params, why));
    }
    all.push(new);
    Ok(())
}

/// The addresses of the caller's role in a task.
pub(super) fn targets_of<'a>(caller: &'a Caller, task_id: &'a str) -> TargetsOf<'a> {
    let keys = &*caller.app.settings.journal_keys;
    TargetsOf { keys, session: &caller.session, task_id }
}

fn wire(task_id: &str, target: &PushTarget) -> Value {
    json!({ "taskId": task_id, "id": target.id, "url": target.url })
}

async fn write(caller: &Caller, task: Task, all: &[PushTarget]) -> Result<(), Fault> {
    let mut metadata = task.metadata.unwrap_or_default();
    targets_of(caller, &task.id).write(&mut metadata, all);
    let update = UpdateTask { metadata: Some(metadata), ..UpdateTask::default() };
    let written = caller.client.update_task(&task.id, &update, None).await;
    written.map(drop).map_err(|error| backend(&error))
}

/// The task that `taskId` names, and its configurations.
async fn of_task(
    caller: &Caller,
    params: &Map<String, Value>,
) -> Result<(Task, Vec<PushTarget>), Fault> {
    let capabilities = caller.capabilities().await?;
    check(&capabilities)?;
    let [id] = texts(params, ["taskId"])?;
    let id = id.ok_or_else(|| Fault::new(Kind::Params, "taskId: is required"))?;
    let task = stored::task(caller, &capabilities, &id).await?;
    let all = targets_of(caller, &task.id).read(task.metadata.as_ref());
    Ok((task, all))
}

fn none(id: &str) -> Fault {
    let why = format!("the task has no configuration {id:?} of push notifications");
    Fault::new(Kind::TaskNotFound, why)
}

fn id_of(params: &Map<String, Value>) -> Result<String, Fault> {
    let [id] = texts(params, ["id"])?;
    id.ok_or_else(|| Fault::new(Kind::Params, "id: is required"))
}

/// `CreateTaskPushNotificationConfig`.
pub(super) async fn create(caller: &Caller, params: &Map<String, Value>) -> Result<Value, Fault> {
    let (task, mut all) = of_task(caller, params).await?;
    let new = read(caller, params).await?;
    add(&mut all, new.clone())?;
    let made = wire(&task.id, &new);
    let capabilities = caller.capabilities().await?;
    let newest = runs::newest(caller, &capabilities, &task).await?;
    let live = newest.filter(|found| !Standing::of(&found.run).is_over());
    let id = task.id.clone();
    write(caller, task, &all).await?;
    if let Some(live) = live {
        runs::tell_if_over(caller, &id, live.key.as_str(), new).await;
    }
    Ok(made)
}

/// `GetTaskPushNotificationConfig`.
pub(super) async fn get(caller: &Caller, params: &Map<String, Value>) -> Result<Value, Fault> {
    let (task, all) = of_task(caller, params).await?;
    let id = id_of(params)?;
    let found = all.iter().find(|target| target.id == id).ok_or_else(|| none(&id))?;
    Ok(wire(&task.id, found))
}

/// `ListTaskPushNotificationConfigs`.
pub(super) async fn list(caller: &Caller, params: &Map<String, Value>) -> Result<Value, Fault> {
    let (task, all) = of_task(caller, params).await?;
    let configs: Vec<_> = all.iter().map(|target| wire(&task.id, target)).collect();
    Ok(json!({ "configs": configs, "nextPageToken": "" }))
}

/// `DeleteTaskPushNotificationConfig`; one that is not there is deleted already.
pub(super) async fn delete(caller: &Caller, params: &Map<String, Value>) -> Result<Value, Fault> {
    let (task, mut all) = of_task(caller, params).await?;
    let (id, before) = (id_of(params)?, all.len());
    all.retain(|target| target.id != id);
    if all.len() < before {
        write(caller, task, &all).await?;
    }
    Ok(json!({}))
}

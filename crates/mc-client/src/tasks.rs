//! Tasks and capabilities.

use std::collections::HashSet;

use http::HeaderName;

use crate::call::{Call, IDEMPOTENCY_KEY};
use crate::caller::Caller;
use crate::client::{AgentClient, InternalClient};
use crate::error::McError;
use crate::types::{Capabilities, CreateTask, Page, Task, TaskQuery, UpdateTask};
use crate::url::{path, with_query};

/// The most pages that a search goes through: 2 million tasks.
const MAX_PAGES: usize = 10_000;

/// The largest page size of the contract.
const MAX_LIMIT: u32 = 200;

/// Where backends of the TypeScript original tell their capabilities, if not where the contract says.
const FORMER_CAPABILITIES: &str = "/api/capabilities";

/// The header with the roles that a daemon serves, so that the backend's page can offer them.
const AGENT_ROLES: HeaderName = HeaderName::from_static("x-agent-roles");

/// The capabilities, or why they are not known.
async fn capabilities(caller: &Caller, roles: Option<&str>) -> Result<Capabilities, McError> {
    let mut call = Call::get(&path(&["capabilities"]));
    if let Some(roles) = roles {
        call = call.header(AGENT_ROLES, roles)?;
    }
    let missing = match caller.fetch(call).await {
        Err(error) if error.is_not_found() => error,
        asked => return asked,
    };
    match caller.fetch::<Capabilities>(Call::get(FORMER_CAPABILITIES)).await {
        Ok(former) if !former.contract_version.is_empty() => Ok(former),
        Err(error) if error.is_retryable() => Err(error),
        // Whatever else is there is no word on the contract.
        Ok(_) | Err(_) => Err(missing),
    }
}

impl AgentClient {
    /// The backend's capabilities.
    pub async fn capabilities(&self) -> Result<Capabilities, McError> {
        capabilities(&self.caller, None).await
    }

    /// The same, telling which roles the daemon serves: their names with commas between.
    pub async fn capabilities_for(&self, roles: &str) -> Result<Capabilities, McError> {
        capabilities(&self.caller, Some(roles)).await
    }

    /// A page of the user's tasks.
    pub async fn list_tasks(&self, query: &TaskQuery) -> Result<Page<Task>, McError> {
        let url = with_query(
            path(&["tasks"]),
            &[
                ("limit", query.limit.map(|limit| limit.to_string())),
                ("cursor", query.cursor.clone()),
                ("status", query.status.clone()),
                ("title", query.title.clone()),
            ],
        );
        self.caller.fetch(Call::get(&url)).await
    }

    /// The user's first task with exactly this title, on whichever page it is.
    pub async fn find_task(&self, title: &str) -> Result<Option<Task>, McError> {
        let mut query = TaskQuery {
            limit: Some(MAX_LIMIT),
            title: Some(title.to_owned()),
            ..TaskQuery::default()
        };
        let mut seen = HashSet::new();
        for _ in 0..MAX_PAGES {
            let page = self.list_tasks(&query).await?;
            if let Some(task) = page.items.into_iter().find(|task| task.title == title) {
                return Ok(Some(task));
            }
            match page.next_cursor {
                Some(cursor) if !cursor.is_empty() && seen.insert(cursor.clone()) => {
                    query.cursor = Some(cursor);
                }
                // A repeated cursor would loop for ever.
                Some(_) | None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// One task (feature `tasks_get`).
    pub async fn get_task(&self, id: &str) -> Result<Task, McError> {
        self.caller.fetch(Call::get(&path(&["tasks", id]))).await
    }

    /// Creates a task.
    pub async fn create_task(&self, task: &CreateTask) -> Result<Task, McError> {
        let key = task.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["tasks"]), task, key)?).await
    }

    /// Updates a task (feature `tasks_update`).
    pub async fn update_task(
        &self,
        id: &str,
        update: &UpdateTask,
        key: Option<&str>,
    ) -> Result<Task, McError> {
        let call = Call::new(http::Method::PATCH, &path(&["tasks", id])).json(update)?;
        let call = match key {
            Some(key) => call.header(IDEMPOTENCY_KEY, key)?,
            None => call,
        };
        self.caller.fetch(call.repeatable()).await
    }
}

impl InternalClient {
    /// The backend's capabilities.
    pub async fn capabilities(&self) -> Result<Capabilities, McError> {
        capabilities(&self.caller, None).await
    }
}

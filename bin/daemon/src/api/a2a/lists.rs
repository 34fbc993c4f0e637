//! `ListTasks`: the user's tasks with their states, those first whose state is the newest.

use std::cmp::Reverse;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use mc_client::client::TaskQuery;
use mc_client::tool_requests::ToolRequest;
use mc_client::types::{Capabilities, Task};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::contexts;
use super::fault::{Fault, Kind};
use super::methods::{Caller, backend};
use super::open_tasks::{CANCELED, COMPLETED, FAILED, INPUT_REQUIRED, WORKING};
use super::params::{flag, number, texts};
use super::stored::{self, HISTORY, Include, SUBMITTED, describe};

/// The size of a page of which none is asked for.
const PAGE: u32 = 50;
/// The largest page.
const MOST: u32 = 100;
/// How many tasks are looked at for one page: each costs two calls of the backend. The next page goes on behind them.
const MOST_TASKS: usize = 200;
/// The most pages of the backend's tasks, and their size. They are read to find those that were changed last.
const PAGES: (usize, u32) = (50, 200);
/// How many tasks are loaded concurrently.
const CONCURRENCY: usize = 8;

/// The states that can be asked for; the last two never are a task's here.
const STATES: [&str; 8] = [
    SUBMITTED,
    WORKING,
    COMPLETED,
    FAILED,
    CANCELED,
    INPUT_REQUIRED,
    "TASK_STATE_REJECTED",
    "TASK_STATE_AUTH_REQUIRED",
];

/// Where a task stands in the list: the time of its state, and its id.
type Place = (String, String);
/// Where it stands among the backend's: when it was changed, and its id.
type Changed = (Option<DateTime<Utc>>, String);

/// Where a page ended.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Token {
    /// The last of the tasks that were looked at before, all of which have been told.
    looked_at: Option<Changed>,
    /// The last one of those looked at now that has been told.
    behind: Option<Place>,
}

/// What a client asks for.
struct Asked {
    context: Option<String>,
    state: Option<String>,
    after: Option<DateTime<Utc>>,
    /// Where the page before ended.
    token: Token,
    size: u32,
    include: Include,
}

impl Asked {
    fn read(params: &Map<String, Value>) -> Result<Self, Fault> {
        let wrong = |name: &str, why: &str| Fault::new(Kind::Params, format!("{name}: {why}"));
        let [context, state, token, after] =
            texts(params, ["contextId", "status", "pageToken", "statusTimestampAfter"])?;
        let state = state.filter(|state| state != "TASK_STATE_UNSPECIFIED");
        if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
            return Err(wrong("status", &format!("must be one of {}", STATES.join(", "))));
        }
        let after = match after.map(|after| DateTime::parse_from_rfc3339(&after)) {
            None => None,
            Some(Ok(after)) => Some(after.to_utc()),
            Some(Err(_)) => return Err(wrong("statusTimestampAfter", "must be a time (RFC 3339)")),
        };
        let token = match token.as_deref().map(Token::read) {
            None => Token::default(),
            Some(Some(token)) => token,
            Some(None) => return Err(wrong("pageToken", "is none that ListTasks has returned")),
        };
        let size = number(params, "pageSize")?.unwrap_or(PAGE);
        if size == 0 {
            return Err(wrong("pageSize", "must be at least 1"));
        }
        let include = Include {
            history: number(params, "historyLength")?.unwrap_or(0).min(HISTORY),
            artifacts: flag(params, "includeArtifacts"),
            files: false,
        };
        Ok(Self { context, state, after, token, size: size.min(MOST), include })
    }

    fn wants(&self, task: &Value) -> bool {
        let status = &task["status"];
        let has_state = self.state.as_deref().is_none_or(|state| status["state"] == state);
        let is_new = || {
            let Some(after) = self.after else { return true };
            let at = status["timestamp"].as_str();
            at.and_then(|at| DateTime::parse_from_rfc3339(at).ok()).is_some_and(|at| at >= after)
        };
        has_state && is_new()
    }
}

/// A page of the user's tasks.
pub(super) async fn list(caller: &Caller, params: &Map<String, Value>) -> Result<Value, Fault> {
    let asked = Asked::read(params)?;
    let capabilities = caller.capabilities().await?;
    let mut tasks = match &asked.context {
        Some(context) => {
            let task = contexts::task_of(caller, &capabilities, context).await?;
            task.into_iter().filter(|task| contexts::of(task) == context).collect()
        }
        None => all(caller).await?,
    };
    let listed = tasks.len();
    tasks.sort_by_cached_key(|task| Reverse(changed(task)));
    if let Some(before) = &asked.token.looked_at {
        tasks.retain(|task| changed(task) < *before);
    }
    let goes_on = tasks.len() > MOST_TASKS;
    tasks.truncate(MOST_TASKS);
    let last_looked_at = tasks.last().filter(|_| goes_on).map(changed);
    let pending = stored::pending(caller, &capabilities).await?;
    let look = Include { history: 0, artifacts: false, files: false };
    let found = load(caller, &capabilities, &pending, tasks, look).await?;
    let mut found: Vec<_> = found.into_iter().filter(|(_, told)| asked.wants(told)).collect();
    found.sort_by_cached_key(|(_, told)| Reverse(place(told)));
    let filters = asked.state.is_some() || asked.after.is_some() || asked.context.is_some();
    let total = if filters { found.len() } else { listed };
    if let Some(behind) = &asked.token.behind {
        found.retain(|(_, told)| place(told) < *behind);
    }
    let size = asked.size as usize;
    let has_more = found.len() > size;
    found.truncate(size);
    if asked.include.history > 0 || asked.include.artifacts {
        let tasks = found.into_iter().map(|(task, _)| task).collect();
        found = load(caller, &capabilities, &pending, tasks, asked.include).await?;
    }
    let last = found.last().filter(|_| has_more);
    let next = match last.map(|(_, told)| place(told)) {
        Some(last) => Some(Token { looked_at: asked.token.looked_at, behind: Some(last) }),
        None => last_looked_at.map(|last| Token { looked_at: Some(last), behind: None }),
    };
    let next = next.map(|next| next.write()).unwrap_or_default();
    let tasks: Vec<_> = found.into_iter().map(|(_, told)| told).collect();
    Ok(json!({ "tasks": tasks, "nextPageToken": next, "pageSize": size, "totalSize": total }))
}

/// All tasks of the user.
async fn all(caller: &Caller) -> Result<Vec<Task>, Fault> {
    let (most_pages, limit) = PAGES;
    let mut query = TaskQuery { limit: Some(limit), ..TaskQuery::default() };
    let mut tasks = Vec::new();
    for _ in 0..most_pages {
        let page = caller.client.list_tasks(&query).await.map_err(|error| backend(&error))?;
        tasks.extend(page.items);
        let next = page.next_cursor.filter(|next| !next.is_empty());
        // A repeated cursor would loop for ever.
        if next.is_none() || next == query.cursor {
            break;
        }
        query.cursor = next;
    }
    Ok(tasks)
}

/// Tasks as the protocol has them, in the same order.
async fn load(
    caller: &Caller,
    capabilities: &Capabilities,
    pending: &[ToolRequest],
    tasks: Vec<Task>,
    include: Include,
) -> Result<Vec<(Task, Value)>, Fault> {
    let one = async |task: Task| {
        let mut told = describe(caller, capabilities, &task, pending, include).await?;
        if let Some(open) = caller.open_task(&task.id) {
            // This instance runs the task, so it knows better than the backend.
            told["status"] = open.snapshot()["status"].clone();
        }
        Ok::<_, Fault>((task, told))
    };
    let all: Vec<_> = tasks.into_iter().map(one).collect();
    stream::iter(all).buffered(CONCURRENCY).try_collect().await
}

fn changed(task: &Task) -> Changed {
    (task.updated_at.max(task.created_at), task.id.clone())
}

fn place(task: &Value) -> Place {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&task["status"]["timestamp"]), text(&task["id"]))
}

impl Token {
    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(self).to_string())
    }

    fn read(token: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_to_where_it_was_made() {
        let place = ("2026-01-01T00:00:00.000Z".to_owned(), "t 1".to_owned());
        let changed = (Some(Utc::now()), "t 2".to_owned());
        for token in [
            Token { looked_at: None, behind: Some(place.clone()) },
            Token { looked_at: Some(changed), behind: Some(place) },
        ] {
            assert_eq!(Token::read(&token.write()), Some(token));
        }
        assert_eq!(Token::read("c1"), None);
    }

    #[test]
    fn what_cannot_be_asked_for_is_named() {
        for (name, value) in [
            ("status", json!("working")),
            ("pageSize", json!(0)),
            ("pageToken", json!("c1")),
            ("statusTimestampAfter", json!("yesterday")),
        ] {
            let params = [(name.to_owned(), value)].into_iter().collect();
            let fault = Asked::read(&params).err().unwrap();
            assert!(format!("{fault:?}").contains(name), "{fault:?}");
        }
    }
}

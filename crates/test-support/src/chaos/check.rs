//! Checks the backend's records at the end.

use futures::StreamExt as _;
use serde_json::Value;
use tokio::time::{Duration, Instant, sleep};

use super::{AT_ONCE, Plan, jobs, person};
use crate::program::ProgramError;

/// Interval between two checks of what is delivered.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until every notification of every session is delivered. The backend may be down meanwhile.
pub(super) async fn all_delivered(
    backend_url: &str,
    sessions: usize,
    deadline: Instant,
) -> Result<(), ProgramError> {
    let mut waiting: Vec<usize> = (0..sessions).collect();
    while let Some(session) = waiting.last().copied() {
        if Instant::now() > deadline {
            return Err(ProgramError(format!("{} sessions still wait", waiting.len())));
        }
        // One look at a time: the programs need the machine.
        if is_delivered(backend_url, session).await {
            waiting.pop();
        } else {
            sleep(LOOK_EVERY).await;
        }
    }
    Ok(())
}

async fn is_delivered(backend_url: &str, session: usize) -> bool {
    match all(backend_url, session, "/notifications?limit=200").await {
        Ok(items) => items.iter().all(|item| item["delivered"] == true),
        Err(_) => false,
    }
}

/// Checks that each notification has one reply, in order, and that there is no dead letter; counts
/// the replies.
pub(super) async fn replies(
    backend_url: &str,
    plan: &Plan,
    tasks: &[String],
) -> Result<usize, ProgramError> {
    let dead = person(backend_url, 0).list("/dispatch/dead").await?;
    if let Some(letter) = dead.first() {
        return Err(ProgramError(format!("{} were given up, such as {letter}", dead.len())));
    }
    let sessions = tasks.iter().enumerate().map(|(session, task)| async move {
        let mut thread =
            all(backend_url, session, &format!("/messages?limit=200&task_id={task}")).await?;
        // Pages lead to older messages.
        thread.sort_by(|a, b| a["created_at"].as_str().cmp(&b["created_at"].as_str()));
        let said: Vec<_> = thread
            .iter()
            .filter(|message| message["actor_type"] == "agent")
            .filter_map(|message| message["content"].as_str())
            .collect();
        let expected: Vec<_> =
            (0..jobs(plan, session)).map(|job| format!("did {session}-{job}")).collect();
        if said == expected {
            return Ok(said.len());
        }
        Err(ProgramError(format!("session {session} holds {said:?}, not {expected:?}")))
    });
    let mut counts = futures::stream::iter(sessions).buffered(AT_ONCE);
    let mut sum = 0;
    while let Some(count) = counts.next().await {
        sum += count?;
    }
    Ok(sum)
}

/// All items of a list, from all pages.
async fn all(backend_url: &str, session: usize, path: &str) -> Result<Vec<Value>, ProgramError> {
    let person = person(backend_url, session);
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let mut page = person.get(&format!("{path}{cursor}")).await?;
        match page["items"].take() {
            Value::Array(more) => items.extend(more),
            _ => return Err(ProgramError(format!("{path} is no list"))),
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(items),
        }
    }
}

//! Stores the reply of a run, and the plan of a kickoff.

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::types::{ActorType, CreateDocument, CreateMessage, Document, Message};

use crate::run::request::{Kickoff, RunRequest};

/// The title of a plan when the caller gives none.
const PLAN_TITLE: &str = "Plan";

/// A stored reply.
pub(super) struct Stored {
    pub(super) message: Message,
    /// Whether another run with the same key had stored its reply first; that one is valid.
    pub(super) was_there: bool,
}

/// Stores the reply under the run's key.
pub(super) async fn reply(
    client: &AgentClient,
    request: &RunRequest,
    run_key: &RunKey,
    task_id: &str,
    text: &str,
) -> Result<Stored, McError> {
    let message = CreateMessage {
        task_id: task_id.to_owned(),
        content: text.to_owned(),
        actor_type: Some(ActorType::Agent),
        agent_role: Some(request.session.role().as_str().to_owned()),
        idempotency_key: Some(run_key.reply_key()),
        ..CreateMessage::default()
    };
    match client.post_message(&message).await {
        Ok(message) => Ok(Stored { message, was_there: false }),
        Err(error) => match error.conflicting_original() {
            Some(message) => Ok(Stored { message, was_there: true }),
            None => Err(error),
        },
    }
}

/// Stores the plan document of a kickoff under the run's key.
pub(super) async fn plan(
    client: &AgentClient,
    kickoff: &Kickoff,
    run_key: &RunKey,
    task_id: &str,
    text: &str,
) -> Result<Document, McError> {
    let document = CreateDocument {
        title: kickoff.title.clone().unwrap_or_else(|| PLAN_TITLE.to_owned()),
        content: text.to_owned(),
        doc_type: Some("plan".to_owned()),
        task_id: Some(task_id.to_owned()),
        idempotency_key: Some(run_key.plan_key()),
    };
    match client.create_document(&document).await {
        Err(error) => error.conflicting_original().ok_or(error),
        document => document,
    }
}

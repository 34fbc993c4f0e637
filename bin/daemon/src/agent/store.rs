//! Stores the reply of a run, and the plan of a kickoff.

use std::time::Duration;

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::idempotency::RunKey;
use mc_client::types::{
    ActorType, CreateDocument, CreateMessage, Document, FileRef, HeartbeatRequest, Message,
};
use serde_json::Value;

use crate::run::request::{Kickoff, RunRequest};
use crate::tools::Mentions;

/// The most characters of a heartbeat's note. What it says is short; its blanks and marks may not be.
const MAX_NOTE: usize = 1_000;

/// How long the answer of a silent heartbeat may wait for its note to be stored.
const NOTE_TIMEOUT: Duration = Duration::from_secs(5);

/// The title of a plan when the caller gives none.
const PLAN_TITLE: &str = "Plan";

/// A stored reply.
pub(super) struct Stored {
    pub(super) message: Message,
    /// Whether another run with the same key had stored its reply first; that one is valid.
    pub(super) was_there: bool,
}

/// A reply to be stored.
pub(super) struct Reply<'a> {
    /// Its text.
    pub(super) text: &'a str,
    /// Its data, where the backend keeps that.
    pub(super) data: Option<Value>,
    /// The files that the agent has made.
    pub(super) files: Vec<FileRef>,
    /// The roles that it names, where it may name any.
    pub(super) mentions: Option<&'a Mentions>,
}

/// Stores the reply under the run's key.
pub(super) async fn reply(
    client: &AgentClient,
    request: &RunRequest,
    run_key: &RunKey,
    task_id: &str,
    Reply { text, data, files, mentions }: Reply<'_>,
) -> Result<Stored, McError> {
    let chain = mentions.filter(|mentions| !mentions.named.is_empty());
    let message = CreateMessage {
        task_id: task_id.to_owned(),
        content: text.to_owned(),
        data,
        attachments: files,
        mentions: mentions.map(|mentions| mentions.named.clone()),
        chain: chain.map(|mentions| mentions.chain.clone()),
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

/// Stores what the user said, as the user and under the run's key. A file that is gone by now is not
/// attached.
pub(super) async fn message(
    client: &AgentClient,
    request: &RunRequest,
    run_key: &RunKey,
    task_id: &str,
) -> Result<Message, McError> {
    let files = request.attachments.iter().filter_map(|attached| attached.file.file_id.clone());
    let mut message = CreateMessage {
        task_id: task_id.to_owned(),
        attachments: files.map(|file_id| FileRef { file_id }).collect(),
        // Databases store no U+0000, and no person types it.
        content: request.message.replace('\0', ""),
        actor_type: Some(ActorType::User),
        idempotency_key: Some(run_key.message_key()),
        ..CreateMessage::default()
    };
    loop {
        let error = match client.post_user_message(&message).await {
            Err(error) if error.is_file_not_found() => error,
            stored => return stored,
        };
        let before = message.attachments.len();
        match missing_file(&error) {
            Some(gone) => message.attachments.retain(|file| file.file_id != gone),
            None => message.attachments.clear(),
        }
        if message.attachments.len() == before {
            return Err(error);
        }
    }
}

/// The file that a message names, and that there is none of.
fn missing_file(error: &McError) -> Option<String> {
    let McError::Status { details: Some(details), .. } = error else { return None };
    details["file_id"].as_str().map(str::to_owned)
}

/// Stores what a silent heartbeat said with the agent's last heartbeat. Without it the heartbeat has
/// done its work all the same, so that a failure is logged and no more.
pub(super) async fn note(client: &AgentClient, request: &RunRequest, text: &str) {
    let heartbeat = HeartbeatRequest {
        user_id: request.session.user().as_str().to_owned(),
        role: Some(request.session.role().as_str().to_owned()),
        slot: None,
        note: Some(text.chars().take(MAX_NOTE).collect()),
    };
    let stored = tokio::time::timeout(NOTE_TIMEOUT, client.heartbeat(&heartbeat)).await;
    let why = match stored {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the backend did not answer in time".to_owned(),
    };
    tracing::warn!("the note of a heartbeat was not stored: {why}");
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

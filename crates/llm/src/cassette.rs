//! Recorded answers: each exchange as a readable file, and answers from such files instead of from
//! providers (docs/CONFIGURATION.md, "Recorded answers").
//!
//! An answer is looked up by the model, the user's and the model's turns, the response schema, and the test that
//! asks, where one does.
//! What differs from run to run (the time, ids in tool results) and what one wants to change while
//! the answers stay (the workspace) is not part of the key.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::context::CallContext;
use crate::error::LlmErrorKind;
use crate::event::Completion;
use crate::media::Media;
use crate::provider::{Answer, Failure};
use crate::request::{LlmRequest, Message, ToolSpec};

/// The content of a recording.
#[derive(Debug, Serialize, Deserialize)]
struct Exchange {
    request: RecordedRequest,
    completion: Completion,
}

/// The request, for people to read. It never contains an API key.
#[derive(Debug, Serialize, Deserialize)]
struct RecordedRequest {
    model: String,
    messages: Vec<Message>,
    tools: Vec<ToolSpec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response_schema: Option<Value>,
}

/// A folder of recordings.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A folder to record to; created if it does not exist.
    pub(crate) fn to_record(path: &Path) -> Result<Self, String> {
        let describe = |error: std::io::Error| {
            format!("LLM_RECORD_DIR: {} cannot be written to: {error}", path.display())
        };
        std::fs::create_dir_all(path).map_err(describe)?;
        let probe = path.join(".writable");
        std::fs::write(&probe, "").and_then(|()| std::fs::remove_file(&probe)).map_err(describe)?;
        Ok(Self(path.to_owned()))
    }

    /// A folder to replay from.
    pub(crate) fn to_replay(path: &Path) -> Result<Self, String> {
        std::fs::read_dir(path).map_err(|error| {
            format!("LLM_REPLAY_DIR: {} cannot be read: {error}", path.display())
        })?;
        Ok(Self(path.to_owned()))
    }

    /// Records an exchange. A failure is logged and does not fail the call.
    pub(crate) async fn record(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        completion: &Completion,
    ) {
        let path = self.file(request, call);
        let exchange = Exchange {
            request: RecordedRequest {
                model: request.model.to_string(),
                messages: request.messages.clone(),
                tools: request.tools.to_vec(),
                response_schema: request
                    .response_schema
                    .as_ref()
                    .map(|wanted| wanted.schema.clone()),
            },
            completion: completion.clone(),
        };
        let written = write(&path, &exchange).await;
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), %error, "recording a model call failed");
        }
    }

    /// The recorded answer.
    pub(crate) async fn replay(
        &self,
        request: &LlmRequest,
        call: &CallContext,
    ) -> Result<Completion, Failure> {
        let path = self.file(request, call);
        let refuse = |why: String| Failure::new(LlmErrorKind::InvalidRequest, why);
        let mut text = tokio::fs::read_to_string(&path).await;
        if call.case.is_some() && text.is_err() {
            // What was recorded outside of tests answers them, too.
            let other = self.0.join(format!("{}.json", key(request, call, None)));
            text = tokio::fs::read_to_string(other).await.or(text);
        }
        let text = text.map_err(|error| {
            refuse(format!(
                "no recorded answer for this request: {} ({error}); record it first",
                path.display()
            ))
        })?;
        let exchange: Exchange = serde_json::from_str(&text)
            .map_err(|error| refuse(format!("{} cannot be read: {error}", path.display())))?;
        Ok(exchange.completion)
    }

    fn file(&self, request: &LlmRequest, call: &CallContext) -> PathBuf {
        self.0.join(format!("{}.json", key(request, call, call.case.as_deref())))
    }
}

async fn write(path: &Path, exchange: &Exchange) -> std::io::Result<()> {
    let text = serde_json::to_string_pretty(exchange)? + "\n";
    // Atomic: the whole file or none of it. Two writers at once write the same.
    static WRITERS: AtomicUsize = AtomicUsize::new(0);
    let nth = WRITERS.fetch_add(1, Ordering::Relaxed);
    let fresh = path.with_extension(format!("{}-{nth}.new", std::process::id()));
    tokio::fs::write(&fresh, text).await?;
    tokio::fs::rename(&fresh, path).await
}

/// The key that an answer is looked up by: 32 hexadecimal digits.
fn key(request: &LlmRequest, call: &CallContext, case: Option<&str>) -> String {
    let newest =
        request.messages.iter().rposition(|message| matches!(message, Message::User { .. }));
    let said: Vec<Value> = request
        .messages
        .iter()
        .enumerate()
        .filter_map(|(at, message)| match message {
            Message::User { content, media } => {
                // The newest turn opens with the time.
                let own = call.user_text.as_ref().filter(|_| Some(at) == newest);
                let mut turn = json!({ "user": own.unwrap_or(content) });
                if !media.is_empty() {
                    turn["media"] = media.iter().map(Media::sha256).collect();
                }
                Some(turn)
            }
            Message::Assistant(turn) => Some(json!({ "assistant": turn })),
            Message::System { .. } | Message::Tool { .. } => None,
        })
        .collect();
    let schema = request.response_schema.as_ref().map(|wanted| &wanted.schema);
    let mut all = json!([request.model.to_string(), call.role, said, schema]).to_string();
    if let Some(case) = case {
        all.push('\n');
        all.push_str(case);
    }
    Sha256::digest(all.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A recorded answer as if a provider had sent it.
pub(crate) fn answer(completion: Completion) -> Answer {
    Answer {
        message: completion.message,
        finish_reason: completion.finish_reason,
        usage: completion.usage,
    }
}

//! Results that are too long for the model (docs/RUNS.md, "Large results"): it gets the beginning, and `read_result` reads
//! on. The whole is kept in the backend (feature `artifacts`), else in memory within bounds; what is not there any more is
//! fetched again where that only reads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm::request::ToolCall;
use mc_client::files::sha256_hex;
use mc_client::steps::KeptResult;

use super::attempts::Attempt;
use super::context::RunContext;
use super::journal::ToolStep;
use crate::tools::{READ_RESULT, ReadRequest, RequestedCall, ToolContext, ToolReply, read_result};

/// How much of its results a run keeps in memory, bytes.
const MOST_OF_RUN: usize = 16 * 1024 * 1024;

/// How much all runs keep in memory, bytes.
const MOST: usize = 256 * 1024 * 1024;

/// The feature of a backend that keeps them.
const FEATURE: &str = "artifacts";

/// How many digits of its hash name a result.
const ID_DIGITS: usize = 12;

/// What all runs keep in memory, bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The long results of a run.
#[derive(Debug, Default)]
pub(super) struct KeptResults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// The newest last.
    texts: VecDeque<(String, Arc<str>)>,
    bytes: usize,
    /// All that the journal names.
    known: Vec<(KeptResult, ToolCall)>,
}

impl Inner {
    fn forget_oldest(&mut self) -> bool {
        let Some((_, text)) = self.texts.pop_front() else { return false };
        self.bytes -= text.len();
        HELD.fetch_sub(text.len(), Ordering::Relaxed);
        true
    }

    /// Keeps a text, in place of older ones where there is no room.
    fn keep(&mut self, id: &str, text: Arc<str>) {
        if self.texts.iter().any(|(known, _)| known == id) || text.len() > MOST_OF_RUN {
            return;
        }
        while self.bytes + text.len() > MOST_OF_RUN && self.forget_oldest() {}
        if HELD.fetch_add(text.len(), Ordering::Relaxed) + text.len() > MOST {
            HELD.fetch_sub(text.len(), Ordering::Relaxed);
            return;
        }
        self.bytes += text.len();
        self.texts.push_back((id.to_owned(), text));
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        while self.forget_oldest() {}
    }
}

impl KeptResults {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the journal names, so that it can be read.
    pub(super) fn note(&self, steps: &[ToolStep]) {
        for step in steps {
            let Some(kept) = &step.artifact else { continue };
            let call = ToolCall {
                id: String::new(),
                name: step.name.clone(),
                arguments: step.arguments.clone(),
                provider_state: None,
            };
            self.inner().known.push((kept.clone(), call));
        }
    }
}

impl RunContext<'_> {
    /// What the model gets of a result that is too long for it, which is kept; `None` of any other.
    pub(super) async fn keep_result(
        &self,
        reply: &ToolReply,
        attempt: &Attempt<'_>,
    ) -> Option<(String, KeptResult)> {
        let most = self.run.app.settings.tool_result_max_chars;
        reply.long_text(most)?;
        Box::pin(self.keep_long(reply, attempt, most)).await
    }

    async fn keep_long(
        &self,
        reply: &ToolReply,
        attempt: &Attempt<'_>,
        most: usize,
    ) -> Option<(String, KeptResult)> {
        let tool = RequestedCall::of(&attempt.planned.call).tool;
        if tool == READ_RESULT || !self.tools.reads_results() {
            return None;
        }
        let text = self.whole_text(reply)?;
        let sha256 = sha256_hex(text.as_bytes());
        let id = sha256[..ID_DIGITS].to_owned();
        // Only what the rules leave of it goes out of this process.
        let stored = if self.capabilities.has(FEATURE) {
            let put =
                self.client.put_artifact(self.run.run_key.as_str(), &sha256, text.to_string());
            put.await
                .map_err(|error| tracing::warn!(%error, "a long result is kept in memory only"))
                .is_ok()
        } else {
            false
        };
        let content = reply.beginning((&*text, most), &id, |shown| self.given_back(shown));
        let content = self.run.fence().fence(tool, &content);
        let kept = KeptResult { id, sha256, size: text.len() as u64, stored };
        self.kept.inner().keep(&kept.id, text);
        Some((self.noted(content, attempt), kept))
    }

    /// All of a result, with placeholders where the role's rules replace anything anywhere.
    fn whole_text(&self, reply: &ToolReply) -> Option<Arc<str>> {
        let redacted = match (self.for_model(), &self.redactor) {
            (Some(redactor), _) => reply.redacted(redactor, false),
            (None, Some(redactor)) => reply.redacted(redactor, true),
            (None, None) => None,
        };
        redacted.as_ref().unwrap_or(reply).text().map(Into::into)
    }

    /// A part of a kept result as the model gets it.
    fn given_back(&self, text: &str) -> String {
        match (self.for_model(), &self.redactor) {
            (None, Some(redactor)) => redactor.restore_all(text, false).into_owned(),
            _ => text.to_owned(),
        }
    }

    /// Reads on in a kept result.
    pub(super) async fn read_result(&self, read: &ReadRequest) -> ToolReply {
        let (text, note) = match self.kept_text(&read.id).await {
            Ok(found) => found,
            Err(why) => return ToolReply::NotMade(why),
        };
        // Half of it is for the notes and for what JSON escapes.
        let (how, most) = (read.how.clone(), self.run.app.settings.tool_result_max_chars);
        let most = most.saturating_sub(READ_NOTES).max(most / 2);
        let done = tokio::task::spawn_blocking(move || read_result(&text, &how, most)).await;
        match done {
            // With its values, so that it is redacted as any result.
            Ok(Ok(told)) => match &self.redactor {
                Some(redactor) => {
                    ToolReply::Data(redactor.restore_all(&told, false).into_owned() + note)
                }
                None => ToolReply::Data(told + note),
            },
            Ok(Err(why)) => ToolReply::NotMade(why),
            Err(_) => ToolReply::NotMade("the result could not be read".to_owned()),
        }
    }

    /// The whole of a result, and a note where it may have changed since.
    async fn kept_text(&self, id: &str) -> Result<(Arc<str>, &'static str), String> {
        let (held, known, all) = {
            let inner = self.kept.inner();
            let held =
                inner.texts.iter().find(|(known, _)| known == id).map(|(_, text)| text.clone());
            let known = inner.known.iter().find(|(kept, _)| kept.id == id).cloned();
            let all: Vec<_> = inner.known.iter().map(|(kept, _)| kept.id.clone()).collect();
            (held, known, all)
        };
        if let Some(text) = held {
            return Ok((text, ""));
        }
        let Some((kept, call)) = known else {
            return Err(match all.is_empty() {
                true => format!("there is no result {id:?}: none was too long"),
                false => format!("there is no result {id:?}; there are {}", all.join(", ")),
            });
        };
        if kept.stored {
            match self.client.artifact(self.run.run_key.as_str(), &kept.sha256).await {
                Ok(text) => {
                    let text: Arc<str> = text.into();
                    self.kept.inner().keep(id, text.clone());
                    return Ok((text, ""));
                }
                Err(error) => {
                    tracing::warn!(%error, "a long result could not be read from the backend")
                }
            }
        }
        if !self.tools.only_reads(&self.profile, &call) {
            return Err(format!(
                "all of result {id:?} is there no more, and the call is not made again for it, because it may have \
                 changed something"
            ));
        }
        let reply = self.make_again(&call).await;
        let Some(text) = self.whole_text(&reply).filter(|_| reply.is_ok()) else {
            let why = reply.failure().unwrap_or_default();
            return Err(format!(
                "all of result {id:?} is there no more, and fetching it again failed: {why}"
            ));
        };
        let is_same = sha256_hex(text.as_bytes()) == kept.sha256;
        self.kept.inner().keep(id, text.clone());
        Ok((text, if is_same { "" } else { FETCHED_AGAIN }))
    }

    /// Makes a call once more that only reads, as far as the rules let it pass without a person.
    async fn make_again(&self, call: &ToolCall) -> ToolReply {
        let traceparent = self.run.span.traceparent();
        let client = self.client.clone().with_trace(&traceparent);
        let context = ToolContext {
            client: &client,
            snapshot: &self.snapshot,
            profile: &self.profile,
            tools: &self.tools,
            user: self.run.request.session.user().as_str(),
            tenant: self.run.request.customer.tenant_id.as_deref(),
            task_id: &self.task_id,
            zone: self.run.request.options.timezone,
            run_key: self.run.run_key.as_str(),
            traceparent: Some(&traceparent),
            approved: false,
            approval_required: false,
            in_doubt: false,
            dry: false,
            mentions: None,
        };
        self.tools.call(&context, call, "").await
    }
}

/// What is said of a result that may be another one by now.
const FETCHED_AGAIN: &str = "\n[the call was made again for this: the result has changed since]";

/// The room for notes in what is read, characters.
const READ_NOTES: usize = 200;

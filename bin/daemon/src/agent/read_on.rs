//! Reading on in the long results of a run: in memory, from the backend, or from the call that is made again where it
//! only reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use llm::request::ToolCall;
use mc_client::files::sha256_hex;
use mc_client::steps::KeptResult;
use tokio::sync::Semaphore;

use super::context::RunContext;
use super::kept_results::{Held, Known};
use super::long_results::Rules;
use super::redaction;
use crate::tools::{ReadRequest, Reading, ToolContext, ToolReply, read_result};

/// What is said of a result that is another one by now.
const CHANGED: &str = "\n[the call was made again for this: the result has changed since]";

/// What is said where what was replaced may be all that differs.
const MAY_HAVE_CHANGED: &str =
    "\n[the call was made again for this: the result may have changed since]";

/// How many results are read at a time: one takes many times its size while it is parsed.
static READ: Semaphore = Semaphore::const_new(2);

/// How many are fetched at a time.
static FETCHED: Semaphore = Semaphore::const_new(8);

/// The room for notes in what is read, characters.
const READ_NOTES: usize = 200;

impl RunContext<'_> {
    /// Reads on in a kept result.
    pub(super) async fn read_result(&self, read: &ReadRequest) -> ToolReply {
        let held = match self.kept_text(&read.id).await {
            Ok(held) => held,
            Err(why) => return ToolReply::NotMade(why),
        };
        // Half of it is for the notes and for what JSON escapes.
        let most = self.run.app.settings.tool_result_max_chars;
        let most = most.saturating_sub(READ_NOTES).max(most / 2);
        let (rules, how) = (self.rules_of_results(), read.how.clone());
        let done = looked_at(move || {
            read_result(&held.text, &as_kept(how, &rules), most, &rules.given())
                .map(|told| told + held.note)
        });
        match done.await {
            Some(Ok(told)) => ToolReply::Part(told),
            Some(Err(why)) => ToolReply::NotMade(why),
            None => ToolReply::NotMade("the result could not be read".to_owned()),
        }
    }

    /// The whole of a result.
    async fn kept_text(&self, id: &str) -> Result<Held, String> {
        if let Some(held) = self.kept.held(id) {
            return Ok(held);
        }
        let Some(known) = self.kept.known(id) else {
            let ids = self.kept.ids();
            return Err(match ids.is_empty() {
                true => format!("there is no result {id:?}: none was too long"),
                false => format!("there is no result {id:?}; there are {}", ids.join(", ")),
            });
        };
        let _fetching = known.fetching.lock().await;
        if let Some(held) = self.kept.held(id) {
            return Ok(held);
        }
        let _fetched = FETCHED.acquire().await;
        let held = match self.stored(&known.kept).await {
            Some(text) => Held { id: id.to_owned(), text, is_elsewhere: true, note: "" },
            None => self.fetched_again(&known).await?,
        };
        self.kept.keep(held.clone());
        Ok(held)
    }

    /// A result from the backend, where that has it.
    async fn stored(&self, kept: &KeptResult) -> Option<Arc<str>> {
        if !kept.stored {
            return None;
        }
        let key = self.run.run_key.as_str();
        let text = self.client.artifact(key, &kept.sha256).await;
        let text = text.map_err(
            |error| tracing::warn!(%error, "a long result could not be read from the backend"),
        );
        let text = text.ok()?;
        let values = self.sealed_values(kept).map_err(|()| {
            tracing::warn!("the values of a long result's placeholders cannot be read")
        });
        self.by_rules_of_now(kept, text, values.ok()?).await
    }

    /// A result as it was kept by the rules of then, by those of now.
    async fn by_rules_of_now(
        &self,
        kept: &KeptResult,
        text: String,
        values: BTreeMap<String, String>,
    ) -> Option<Arc<str>> {
        let (rules, replaced) = (self.rules_of_results(), kept.replaced.clone());
        if matches!(rules, Rules::None) && values.is_empty() {
            return Some(text.into());
        }
        let restoring = redaction::restoring(self.run.app, self.run.request);
        let again = move || match (&rules, replaced) {
            (Rules::Replaced(redactor), Some(_)) => {
                redactor.learn(values);
                redactor.redact_again(&text).into()
            }
            (_, Some(replaced)) => {
                restoring.take_up(values);
                let is_json = !replaced.exact && text.trim_start().starts_with(['{', '[', '"']);
                rules.apply(restoring.restore_all(&text, is_json).into())
            }
            (_, None) => rules.apply(text.into()),
        };
        looked_at(again).await
    }

    /// A result of which nothing is left, from the call that gave it, where that only reads.
    async fn fetched_again(&self, known: &Known) -> Result<Held, String> {
        let (kept, id) = (&known.kept, &known.kept.id);
        if !self.tools.only_reads(&self.profile, &known.call) {
            return Err(format!(
                "all of result {id:?} is there no more, and the call is not made again for it, because it may have \
                 changed something"
            ));
        }
        let reply = self.make_again(&known.call).await;
        let (text, rules) = (reply.text().map(str::to_owned), self.rules_of_results());
        let Some(text) = text.filter(|_| reply.is_ok()) else {
            let why = reply.failure().unwrap_or_default();
            return Err(format!(
                "all of result {id:?} is there no more, and fetching it again failed: {why}"
            ));
        };
        let (sha256, was_replaced) = (kept.sha256.clone(), kept.replaced.is_some());
        let whole = looked_at(move || {
            // Other rules, and values that were read since, give an equal answer another hash.
            let is_equal = |text: &str| sha256_hex(text.as_bytes()) == sha256;
            let is_as_it_was = !was_replaced && is_equal(&text);
            let text = rules.apply(text.into());
            let note = match was_replaced {
                _ if is_as_it_was => "",
                false => CHANGED,
                true if is_equal(&text) => "",
                true => MAY_HAVE_CHANGED,
            };
            (text, note)
        });
        let gone = || format!("all of result {id:?} is there no more");
        let (text, note) = whole.await.ok_or_else(gone)?;
        Ok(Held { id: id.clone(), text, is_elsewhere: true, note })
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
            loaded: &[],
        };
        self.tools.call(&context, call, "").await
    }
}

/// Works on a result, as one of few at a time and apart from what waits for others; `None` where that fails.
async fn looked_at<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let reading = READ.acquire().await;
    let done = tokio::task::spawn_blocking(move || {
        // To its end, also where nobody waits for it any more.
        let _reading = reading;
        work()
    });
    done.await.ok()
}

/// What is to be read of a text with placeholders: what is a value is one there, too.
fn as_kept(how: Reading, rules: &Rules) -> Reading {
    let Rules::Replaced(redactor) = rules else { return how };
    let again = |text: String| redactor.redact_again(&text).into_owned();
    match how {
        Reading::From(offset) => Reading::From(offset),
        Reading::Path(path) => Reading::Path(again(path)),
        Reading::Words(words) => Reading::Words(again(words)),
    }
}

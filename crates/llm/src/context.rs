//! The context of one call besides its request, and the count of its retries.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tokio::time::Instant;

use crate::media::MediaUse;
use crate::model::ModelRef;

/// The context of a call: what is not part of the request itself.
#[derive(Debug, Clone, Default)]
pub struct CallContext {
    /// Sent to the provider as the header `traceparent` (W3C Trace Context).
    pub traceparent: Option<String>,
    /// When the caller stops waiting: no delay before a retry goes beyond it. The caller cancels the
    /// call itself by dropping it, which closes the connection.
    pub deadline: Option<Instant>,
    /// The agent's role, for the offline script.
    pub role: String,
    /// The person's own words, for the offline script; the newest user message when `None`.
    pub user_text: Option<String>,
    /// Whether the fallback model is not asked, whatever fails.
    pub without_fallback: bool,
    /// Counts retries and fallbacks. Clones share it, so that it can be read after the call.
    pub tally: Tally,
    /// The test that this call is a part of: its recordings are its own, whatever others say.
    pub case: Option<String>,
    /// Counts what the answer holds so far. Clones share it, so that it can be read when the call is
    /// dropped.
    pub received: Received,
    /// What of the other side's words stands in the log of an attempt that is repeated; all without it.
    pub log_mask: Option<Arc<dyn shown::LogMask>>,
    /// What became of the request's images and documents. Clones share it, so that it can be read after
    /// the call.
    pub shown: Shown,
}

/// What became of a request's images and documents at the model that answered, or was asked last: it may
/// read others than the one that was asked first, and its provider may refuse some.
#[derive(Debug, Clone, Default)]
pub struct Shown(Arc<Mutex<HashMap<String, MediaUse>>>);

impl Shown {
    /// What became of each, by its hash; empty when nothing was asked.
    pub fn by_hash(&self) -> HashMap<String, MediaUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An attempt was made with these.
    pub(crate) fn note(&self, used: HashMap<String, MediaUse>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = used;
    }
}

/// How much of an answer has come, attempt by attempt, for a call that is dropped or fails and for
/// attempts that are made again: the provider charges for them.
#[derive(Debug, Clone, Default)]
pub struct Received(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// What the attempt in flight has received, bytes.
    bytes: AtomicU64,
    attempts: Mutex<Attempts>,
    /// How many events of an attempt are still looked at for the answer's id; 0 unless that is wanted.
    looks: AtomicU64,
    wants_id: bool,
}

#[derive(Debug, Default)]
struct Attempts {
    /// The model that is being asked.
    asked: Option<ModelRef>,
    /// Those that broke off.
    broken: Vec<Attempt>,
    /// The provider's id of the answer.
    id: Option<String>,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The model that was asked.
    pub model: ModelRef,
    /// About how many tokens came.
    pub tokens: u64,
}

/// About this many bytes are a token.
const BYTES_PER_TOKEN: u64 = 4;

/// In how many events of a stream the answer's id is looked for: it stands in the first ones.
const ID_LOOKS: u64 = 4;

impl Received {
    /// One that also notes the provider's id of the answer.
    pub fn with_id() -> Self {
        Self(Arc::new(Counts { wants_id: true, ..Counts::default() }))
    }

    /// The provider's id of the newest attempt's answer, where it is noted and has come.
    pub fn id(&self) -> Option<String> {
        self.attempts(|attempts| attempts.id.clone())
    }

    /// Looks for the id in an event of a stream, or in a whole answer.
    pub(crate) fn look(&self, event: &[u8]) {
        let left = self.0.looks.load(Ordering::Relaxed);
        if left == 0 {
            return;
        }
        let id = id_in(event);
        let left = if id.is_some() { 0 } else { left - 1 };
        self.0.looks.store(left, Ordering::Relaxed);
        self.attempts(|attempts| attempts.id = id);
    }

    /// The attempts whose answer had begun when they failed.
    pub fn broken(&self) -> Vec<Attempt> {
        self.attempts(|attempts| attempts.broken.clone())
    }

    /// The attempt that has not failed, also when nothing has come of it; `None` between attempts.
    pub fn in_flight(&self) -> Option<Attempt> {
        let model = self.attempts(|attempts| attempts.asked.clone())?;
        Some(Attempt { model, tokens: self.tokens() })
    }

    /// An attempt begins.
    pub(crate) fn attempt_begins(&self, model: &ModelRef) {
        self.0.bytes.store(0, Ordering::Relaxed);
        self.0.looks.store(if self.0.wants_id { ID_LOOKS } else { 0 }, Ordering::Relaxed);
        self.attempts(|attempts| {
            attempts.asked = Some(model.clone());
            attempts.id = None;
        });
    }

    /// The attempt failed. What had come of its answer by then stays counted.
    pub(crate) fn attempt_failed(&self) {
        let tokens = self.tokens();
        self.attempts(|attempts| {
            let broken = attempts.asked.take().filter(|_| tokens > 0);
            attempts.broken.extend(broken.map(|model| Attempt { model, tokens }));
        });
    }

    /// Counts a text.
    pub(crate) fn text(&self, text: &str) {
        self.add(text.len() as u64);
    }

    /// Counts an event without text: a piece of a thought or of a call's arguments, about a token.
    pub(crate) fn hidden(&self) {
        self.add(BYTES_PER_TOKEN);
    }

    /// About how many tokens have come of the newest attempt.
    fn tokens(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed).div_ceil(BYTES_PER_TOKEN)
    }

    fn add(&self, bytes: u64) {
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn attempts<T>(&self, work: impl FnOnce(&mut Attempts) -> T) -> T {
        work(&mut self.0.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An answer's id, in the places where the protocols have it.
fn id_in(event: &[u8]) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Event {
        id: Option<String>,
        #[serde(rename = "responseId")]
        response_id: Option<String>,
        message: Option<Inner>,
        response: Option<Inner>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Inner {
        id: Option<String>,
    }
    let event: Event = serde_json::from_slice(event).ok()?;
    let inner = event.message.or(event.response).and_then(|inner| inner.id);
    event.id.or(event.response_id).or(inner).filter(|id| !id.is_empty())
}

/// How often a call was retried or fell back to another model.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<[AtomicU64; 2]>);

impl Tally {
    /// Attempts that followed a delay.
    pub fn retries(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// How often the fallback model was called: 0 or 1.
    pub fn fallbacks(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    /// Counts one more retry.
    pub(crate) fn count_retry(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the use of the fallback.
    pub(crate) fn count_fallback(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_answer_is_found_where_each_protocol_has_it() {
        for event in [
            r#"{"id":"x1","object":"chat.completion.chunk","choices":[]}"#,
            r#"{"type":"message_start","message":{"id":"x1","content":[]}}"#,
            r#"{"type":"response.created","response":{"id":"x1"}}"#,
            r#"{"candidates":[],"responseId":"x1"}"#,
        ] {
            assert_eq!(id_in(event.as_bytes()).as_deref(), Some("x1"), "{event}");
        }
        for event in ["", "[]", "{}", r#"{"id":""}"#, r#"{"message":"no"}"#, r#"{"id":7}"#] {
            assert_eq!(id_in(event.as_bytes()), None, "{event}");
        }
    }

    #[test]
    fn an_id_is_noted_only_where_it_is_wanted_and_is_the_newest_attempts() {
        let model = ModelRef::new(crate::Provider::OpenAi, "m");
        let (with, without) = (Received::with_id(), Received::default());
        for received in [&with, &without] {
            received.attempt_begins(&model);
            received.look(b"{}");
            received.look(br#"{"id":"a"}"#);
            received.look(br#"{"id":"b"}"#);
        }
        assert_eq!((with.id().as_deref(), without.id()), (Some("a"), None));
        with.attempt_begins(&model);
        assert_eq!(with.id(), None);
        with.look(br#"{"id":"c"}"#);
        assert_eq!(with.id().as_deref(), Some("c"));
    }
}

//! Results that are too long for the model (docs/RUNS.md, "Large results"): it gets the beginning, and `read_result` reads
//! on. The whole is kept in the backend (feature `artifacts`), else in memory within bounds; what is not there any more is
//! fetched again where that only reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mc_client::files::sha256_hex;
use mc_client::journal_seal::Place;
use mc_client::steps::{KeptResult, Replaced};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use wombat_core::redact::Redactor;

use super::context::RunContext;
use super::kept_results::Held;
use crate::run::state_machine::PlannedCall;
use crate::tools::{Cut, Given, READ_RESULT, RequestedCall, ToolReply, cut, cut_text};

/// The feature of a backend that keeps them.
const FEATURE: &str = "artifacts";

/// How many digits of its hash name a result.
const ID_DIGITS: usize = 12;

/// How many results are looked at at a time: one takes many times its size while it is parsed. Reading on has its own,
/// as no step of a call waits for that.
static WORKED_ON: Semaphore = Semaphore::const_new(2);

/// How long one waits for that: a call that was made has no step before.
const WAIT: Duration = Duration::from_secs(2);

/// What is looked at of one that has not come to it, bytes.
const MAX_PLAIN: usize = 1024 * 1024;

/// How many times as long as it is with placeholders a beginning may be with values.
const MOST_LONGER: usize = 4;

/// How many bytes of values are sealed with a step. A result that has more is not put into the backend, from which
/// nobody could restore it.
const MAX_VALUES: usize = 256 * 1024;

/// The values of a result's placeholders, as they are sealed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Values {
    /// Of which result.
    sha256: String,
    values: BTreeMap<String, String>,
}

/// What a run's rules do to a long result.
#[derive(Debug, Clone)]
pub(super) enum Rules {
    None,
    /// The model gets placeholders.
    Replaced(Arc<Redactor>),
    /// The model gets values, and other places placeholders.
    Elsewhere(Arc<Redactor>),
}

impl Rules {
    /// As what the model is given what is kept.
    pub(super) fn given(&self) -> Given {
        match self {
            Self::None | Self::Replaced(_) => Given::AsItIs,
            Self::Elsewhere(redactor) => Given::Restored(redactor.clone()),
        }
    }

    /// A result as it is kept: with placeholders.
    pub(super) fn apply(&self, text: Arc<str>) -> Arc<str> {
        match self {
            Self::None => text,
            Self::Replaced(redactor) => redactor.redact_answer(&text).into(),
            Self::Elsewhere(redactor) => redactor.redact_exactly(&text).into(),
        }
    }

    fn redactor(&self) -> Option<&Arc<Redactor>> {
        match self {
            Self::None => None,
            Self::Replaced(redactor) | Self::Elsewhere(redactor) => Some(redactor),
        }
    }

    /// The values of what was replaced in a text, where anybody gets them again.
    fn values(&self, text: &str) -> BTreeMap<String, String> {
        match self {
            Self::Replaced(redactor) if redactor.restores() => redactor.values_in(text),
            Self::Elsewhere(redactor) => redactor.values_in(text),
            Self::None | Self::Replaced(_) => BTreeMap::new(),
        }
    }
}

/// A long result, looked at.
struct Whole {
    text: Arc<str>,
    sha256: String,
    /// The beginning for the model.
    cut: Cut,
    values: BTreeMap<String, String>,
}

impl Whole {
    fn of(text: &str, rules: &Rules, most: usize) -> Self {
        let text = rules.apply(text.into());
        let (sha256, values) = (sha256_hex(text.as_bytes()), rules.values(&text));
        let (mut cut, given) = (cut(&text, most), rules.given());
        cut.shown = given_short(&given, cut.shown);
        cut.shape = cut.shape.map(|shape| given_short(&given, shape));
        Self { text, sha256, cut, values }
    }

    /// Whether all of it can be restored elsewhere.
    fn has_few_values(&self) -> bool {
        self.values.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
            <= MAX_VALUES
    }
}

/// A part of a result as the model is given it; with its placeholders where it would be many times as long.
fn given_short(given: &Given, part: String) -> String {
    let whole = given.part(&part).into_owned();
    let is_short = whole.len() <= MOST_LONGER * part.len();
    if is_short { whole } else { part }
}

/// The beginning of a result of which nothing is kept, by little work.
fn plainly_cut(text: &str, rules: &Rules, most: usize) -> Cut {
    let beginning = &text[..text.floor_char_boundary(MAX_PLAIN)];
    let mut cut = cut_text(&rules.apply(beginning.into()), most);
    let count = cut.shown.chars().count();
    cut.part = format!("the first {count} of about {} characters", text.chars().count());
    cut.shown = given_short(&rules.given(), cut.shown);
    cut
}

/// The text of a result as the body of a call.
struct Body(Arc<str>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl RunContext<'_> {
    /// What the model gets of a result that is too long for it, and what is kept of that; `None` of any other.
    pub(super) async fn keep_result(
        &self,
        reply: &ToolReply,
        planned: &PlannedCall,
    ) -> Option<(String, Option<KeptResult>)> {
        let most = self.run.app.settings.tool_result_max_chars;
        let text = reply.long_text(most)?;
        Box::pin(self.keep_long(text, planned, most)).await
    }

    async fn keep_long(
        &self,
        text: &str,
        planned: &PlannedCall,
        most: usize,
    ) -> Option<(String, Option<KeptResult>)> {
        let tool = RequestedCall::of(&planned.call).tool;
        if tool == READ_RESULT || !self.tools.reads_results() {
            return None;
        }
        let rules = self.rules_of_results();
        let Ok(worked_on) = timeout(WAIT, WORKED_ON.acquire()).await else {
            tracing::warn!("a long result is not kept: too many are looked at");
            let content = plainly_cut(text, &rules, most).told(None);
            return Some((self.run.fence().fence(tool, &content), None));
        };
        // Not before: those that wait would have it twice.
        let text = text.to_owned();
        let whole = tokio::task::spawn_blocking(move || {
            // To its end, also where nobody waits for it any more.
            let _worked_on = worked_on;
            Whole::of(&text, &rules, most)
        });
        let whole = whole.await.ok()?;
        let kept = self.keep_whole(&whole, planned).await;
        let content = whole.cut.told(kept.as_ref().map(|kept| kept.id.as_str()));
        let content = self.run.fence().fence(tool, &content);
        Some((content, kept))
    }

    /// Keeps a result, where it can be read on in: it is in the backend, in memory, or can be fetched again.
    async fn keep_whole(&self, whole: &Whole, planned: &PlannedCall) -> Option<KeptResult> {
        let id = whole.sha256[..ID_DIGITS].to_owned();
        let replaced = self.replaced(whole);
        let can_store = self.capabilities.has(FEATURE) && self.journal.is_enabled();
        let stored = can_store && replaced.is_ok() && self.store(whole).await;
        let can_fetch = self.tools.only_reads(&self.profile, &planned.call);
        let held = !stored && {
            let (id, text) = (id.clone(), whole.text.clone());
            self.kept.keep(Held { id, text, is_elsewhere: can_fetch, note: "" })
        };
        let (sha256, size) = (whole.sha256.clone(), whole.text.len() as u64);
        let replaced = replaced.unwrap_or_else(|()| Some(Replaced::default()));
        (stored || held || can_fetch).then_some(KeptResult { id, sha256, size, stored, replaced })
    }

    /// Puts a result into the backend; whether that has it. Only what the rules leave of it goes out of this process.
    async fn store(&self, whole: &Whole) -> bool {
        let (key, text) = (self.run.run_key.as_str(), Body(whole.text.clone()));
        let put = self.client.put_artifact(key, &whole.sha256, Bytes::from_owner(text)).await;
        if let Err(error) = &put {
            tracing::warn!(%error, "a long result is not kept by the backend");
        }
        put.is_ok()
    }

    /// What was replaced in a result, with the values sealed where they come back; an error where they cannot be.
    fn replaced(&self, whole: &Whole) -> Result<Option<Replaced>, ()> {
        let rules = self.rules_of_results();
        if rules.redactor().is_none() {
            return Ok(None);
        }
        let exact = matches!(rules, Rules::Elsewhere(_));
        if whole.values.is_empty() {
            return Ok(Some(Replaced { exact, values: None }));
        }
        if !whole.has_few_values() {
            return Err(());
        }
        let (sha256, values) = (whole.sha256.clone(), whole.values.clone());
        let plain = serde_json::to_vec(&Values { sha256, values }).map_err(|_| ())?;
        let key = self.run.run_key.as_str();
        let sealed = self.client.sealed(key, Place::Result, &plain).ok_or(())?;
        Ok(Some(Replaced { exact, values: Some(sealed) }))
    }

    /// The values that were sealed with a result; an error where they cannot be read.
    pub(super) fn sealed_values(&self, kept: &KeptResult) -> Result<BTreeMap<String, String>, ()> {
        let sealed = kept.replaced.as_ref().and_then(|replaced| replaced.values.as_ref());
        let Some(sealed) = sealed else { return Ok(BTreeMap::new()) };
        let plain =
            self.client.opened(self.run.run_key.as_str(), Place::Result, sealed).ok_or(())?;
        let all: Values = serde_json::from_slice(&plain).map_err(|_| ())?;
        if all.sha256 == kept.sha256 { Ok(all.values) } else { Err(()) }
    }

    /// What the role's rules do to long results.
    pub(super) fn rules_of_results(&self) -> Rules {
        match (self.for_model(), &self.redactor) {
            (Some(redactor), _) => Rules::Replaced(redactor.clone()),
            (None, Some(redactor)) => Rules::Elsewhere(redactor.clone()),
            (None, None) => Rules::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wombat_core::redact::{RedactKey, RedactRules};

    use super::*;

    fn redactor(to: &str) -> Arc<Redactor> {
        let redact = json!({ "redact": { "to": [to], "kinds": ["email", "key"] } });
        let rules = RedactRules::of_entry(&redact).unwrap().unwrap();
        Arc::new(Redactor::new(rules.into(), RedactKey::new(b"a secret for tests"), "u1"))
    }

    #[test]
    fn a_result_that_has_not_come_to_its_turn_is_cut_by_the_rules() {
        let text = "jane@example.org \u{e9} ".repeat(100_000);
        for (rules, is_given) in [
            (Rules::None, true),
            (Rules::Elsewhere(redactor("journal")), true),
            (Rules::Replaced(redactor("provider")), false),
        ] {
            let cut = plainly_cut(&text, &rules, 500);
            assert_eq!(cut.shown.contains("jane@example.org \u{e9}"), is_given, "{}", cut.shown);
            assert_eq!(cut.shown.contains("[[email:"), !is_given, "{}", cut.shown);
            let told = cut.told(None);
            assert!(told.contains(" of about 1900000 characters; the rest is not kept]"), "{told}");
        }
    }

    #[test]
    fn what_a_model_gets_of_long_values_is_no_many_times_as_long() {
        let list: Vec<_> =
            (0..500).map(|n| json!({ "password": format!("{n:04}").repeat(1_000) })).collect();
        let whole =
            Whole::of(&json!(list).to_string(), &Rules::Elsewhere(redactor("journal")), 2_000);
        assert!(whole.cut.shown.len() <= 2_000 && whole.cut.shown.contains("[[key:"));
        let short = json!(vec!["jane@example.org"; 500]).to_string();
        let whole = Whole::of(&short, &Rules::Elsewhere(redactor("journal")), 2_000);
        assert!(
            whole.cut.shown.contains("jane@example.org") && !whole.cut.shown.contains("[[email")
        );
    }
}

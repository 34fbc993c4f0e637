//! The long results of a run that its process has: as many as there is room for, and what the journal names.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llm::request::ToolCall;
use mc_client::steps::KeptResult;

use super::journal::ToolStep;

/// How much of its results a run keeps in memory, bytes.
const MOST_OF_RUN: usize = 16 * 1024 * 1024;

/// How much all runs keep in memory, bytes.
const MOST: usize = 256 * 1024 * 1024;

/// What all runs keep in memory, bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KeptResults(Mutex<Inner>);

/// A text in memory.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) id: String,
    /// With placeholders where anything of it is replaced.
    pub(super) text: Arc<str>,
    /// Whether it can be fetched again.
    pub(super) is_elsewhere: bool,
    /// What is said of one that may be another one than the model has seen the beginning of.
    pub(super) note: &'static str,
}

/// One that the journal names.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) kept: KeptResult,
    /// The call that gave it.
    pub(super) call: ToolCall,
    /// Held while it is fetched: once for all that read it.
    pub(super) fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The newest last.
    held: Vec<Held>,
    bytes: usize,
    known: Vec<Known>,
}

impl Inner {
    /// Forgets one text: one that is elsewhere, else the oldest.
    fn forget_one(&mut self) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let at = self.held.iter().position(|held| held.is_elsewhere).unwrap_or_default();
        let bytes = self.held.remove(at).text.len();
        self.bytes -= bytes;
        HELD.fetch_sub(bytes, Ordering::Relaxed);
        true
    }

    fn keep(&mut self, held: Held, most: usize) -> bool {
        let bytes = held.text.len();
        if bytes > MOST_OF_RUN {
            return false;
        }
        while self.bytes + bytes > MOST_OF_RUN && self.forget_one() {}
        while HELD.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            HELD.fetch_sub(bytes, Ordering::Relaxed);
            let is_any_elsewhere = self.held.iter().any(|held| held.is_elsewhere);
            if !is_any_elsewhere || !self.forget_one() {
                return false;
            }
        }
        self.bytes += bytes;
        self.held.push(held);
        true
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        while self.forget_one() {}
    }
}

impl KeptResults {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a text, in place of others of the run where there is no room; whether it does. What is elsewhere, too,
    /// takes no more than half of the room of all runs.
    pub(super) fn keep(&self, held: Held) -> bool {
        let mut inner = self.inner();
        if inner.held.iter().any(|known| known.id == held.id) {
            return true;
        }
        let most = if held.is_elsewhere { MOST / 2 } else { MOST };
        inner.keep(held, most)
    }

    /// The text of this id, where it is in memory.
    pub(super) fn held(&self, id: &str) -> Option<Held> {
        self.inner().held.iter().find(|held| held.id == id).cloned()
    }

    /// What the journal names under this id.
    pub(super) fn known(&self, id: &str) -> Option<Known> {
        self.inner().known.iter().find(|known| known.kept.id == id).cloned()
    }

    /// All ids.
    pub(super) fn ids(&self) -> Vec<String> {
        self.inner().known.iter().map(|known| known.kept.id.clone()).collect()
    }

    /// Notes what the journal names, so that it can be read. Of several calls that gave the same one is remembered that
    /// can be made again.
    pub(super) fn note(&self, steps: &[ToolStep], only_reads: impl Fn(&ToolCall) -> bool) {
        for step in steps {
            let Some(kept) = &step.artifact else { continue };
            let (mut inner, new) = (self.inner(), known(step, kept));
            let Some(known) = inner.known.iter_mut().find(|known| known.kept.id == kept.id) else {
                inner.known.push(new);
                continue;
            };
            if !known.kept.stored && kept.stored {
                known.kept.clone_from(kept);
            }
            if !only_reads(&known.call) && only_reads(&new.call) {
                known.call = new.call;
            }
        }
    }
}

fn known(step: &ToolStep, kept: &KeptResult) -> Known {
    let call = ToolCall {
        id: String::new(),
        name: step.name.clone(),
        arguments: step.arguments.clone(),
        provider_state: None,
    };
    Known { kept: kept.clone(), call, fetching: Arc::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(id: &str, megabytes: usize, is_elsewhere: bool) -> Held {
        let text = "x".repeat(megabytes * 1024 * 1024).into();
        Held { id: id.to_owned(), text, is_elsewhere, note: "" }
    }

    #[test]
    fn of_equal_results_the_call_is_known_that_can_be_made_again() {
        let run = KeptResults::default();
        let kept = KeptResult { id: "a".to_owned(), ..KeptResult::default() };
        let step = |name: &str| ToolStep {
            name: name.to_owned(),
            artifact: Some(kept.clone()),
            ..ToolStep::default()
        };
        for (name, known) in [("post", "post"), ("get", "get"), ("post", "get")] {
            run.note(&[step(name)], |call| call.name == "get");
            assert_eq!(run.known("a").unwrap().call.name, known);
            assert_eq!(run.ids(), ["a"]);
        }
    }

    // One test: all runs of the process share what they hold.
    #[test]
    fn the_newest_of_a_run_is_kept_and_a_full_memory_is_told() {
        let run = KeptResults::default();
        assert!(!run.keep(held("large", 17, false)) && run.held("large").is_none());
        for (id, is_elsewhere) in [("a", false), ("b", true), ("c", false), ("d", false)] {
            assert!(run.keep(held(id, 4, is_elsewhere)));
        }
        // What can be fetched again goes first, then the oldest.
        assert!(run.keep(held("e", 4, false)));
        assert!(run.held("b").is_none() && run.held("a").is_some());
        assert!(run.keep(held("f", 4, false)) && run.held("a").is_none());
        let others: Vec<_> = (0..15).map(|_| KeptResults::default()).collect();
        assert!(others.iter().take(7).all(|run| run.keep(held("x", 16, true))));
        assert!(!others[7].keep(held("x", 1, true)));
        assert!(others.iter().skip(7).all(|run| run.keep(held("x", 16, false))));
        // Nothing that was promised is dropped for others, and nothing is promised without room.
        let late = KeptResults::default();
        assert!(!late.keep(held("x", 1, false)) && late.held("x").is_none());
        assert!(run.held("f").is_some());
        drop((run, others));
        assert!(late.keep(held("x", 16, false)));
        drop(late);
        assert_eq!(HELD.load(Ordering::Relaxed), 0);
    }
}

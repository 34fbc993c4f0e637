//! Runs the checks of a chapter and records their outcomes.

use std::time::{Duration, Instant};

use crate::report::{Finished, Outcome};
use crate::verdict::{NotPassed, Verdict};
use crate::world::World;

/// The timeout of one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(180);

/// The checks of one chapter.
pub(crate) struct Suite<'w> {
    world: &'w World,
    chapter: &'static str,
    finished: Vec<Finished>,
}

impl<'w> Suite<'w> {
    /// A chapter whose checks have not run yet.
    pub(crate) fn new(world: &'w World, chapter: &'static str) -> Self {
        Self { world, chapter, finished: Vec::new() }
    }

    /// The outcomes, in order.
    pub(crate) fn finish(self) -> Vec<Finished> {
        self.finished
    }

    /// Runs a check of the required part.
    pub(crate) async fn required(
        &mut self,
        name: &str,
        sentence: &str,
        check: impl AsyncFnOnce(&'w World) -> Verdict,
    ) {
        self.check(name, &[], sentence, check).await;
    }

    /// Runs a check of something that the contract does not ask for: a failure is a warning.
    pub(crate) async fn recommended(
        &mut self,
        name: &str,
        features: &[&str],
        sentence: &str,
        check: impl AsyncFnOnce(&'w World) -> Verdict,
    ) {
        self.check(name, features, sentence, check).await;
        if let Some(last) = self.finished.last_mut() {
            last.is_advice = true;
            if last.outcome == Outcome::Fail {
                last.outcome = Outcome::Warning;
            }
        }
    }

    /// Runs a check if the backend announces all these features, else skips it. The first feature is
    /// the one that the check is about.
    pub(crate) async fn check(
        &mut self,
        name: &str,
        features: &[&str],
        sentence: &str,
        check: impl AsyncFnOnce(&'w World) -> Verdict,
    ) {
        let missing = features.iter().find(|feature| !self.world.features.has(feature));
        let begun = Instant::now();
        let verdict = match missing {
            Some(feature) => Err(NotPassed::Skipped(format!(
                "the backend does not announce the feature {feature}"
            ))),
            None => match tokio::time::timeout(CHECK_TIMEOUT, check(self.world)).await {
                Ok(verdict) => verdict,
                Err(_) => Err(NotPassed::Failed(format!(
                    "timeout: not finished after {} s",
                    CHECK_TIMEOUT.as_secs()
                ))),
            },
        };
        let (outcome, seen) = match verdict {
            Ok(seen) => (Outcome::Pass, seen),
            Err(NotPassed::Failed(seen)) => (Outcome::Fail, seen),
            Err(NotPassed::Skipped(why)) => (Outcome::Skipped, why),
        };
        self.finished.push(Finished {
            chapter: self.chapter.to_owned(),
            check: name.to_owned(),
            feature: features.first().map(|feature| (*feature).to_owned()),
            is_advice: false,
            outcome,
            sentence: sentence.to_owned(),
            seen: self.world.redact(&seen),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

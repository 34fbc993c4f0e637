//! How a check is made, and what comes of it.

use std::time::{Duration, Instant};

use crate::report::{Finished, Outcome};
use crate::verdict::{NotPassed, Verdict};
use crate::world::World;

/// The longest that one check may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The checks of one chapter as they are made.
pub(crate) struct Suite<'w> {
    world: &'w World,
    chapter: &'static str,
    finished: Vec<Finished>,
}

impl<'w> Suite<'w> {
    /// A chapter without checks.
    pub(crate) fn new(world: &'w World, chapter: &'static str) -> Self {
        Self { world, chapter, finished: Vec::new() }
    }

    /// All that was checked.
    pub(crate) fn finish(self) -> Vec<Finished> {
        self.finished
    }

    /// A check of the part that every backend must have.
    pub(crate) async fn required(
        &mut self,
        name: &str,
        sentence: &str,
        check: impl AsyncFnOnce(&'w World) -> Verdict,
    ) {
        self.check(name, &[], sentence, check).await;
    }

    /// A check that is made only where the backend announces all these features. What is named
    /// first is what the check is about.
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
            Some(feature) => Err(NotPassed::Skipped(format!("not offered: {feature}"))),
            None => match tokio::time::timeout(PATIENCE, check(self.world)).await {
                Ok(verdict) => verdict,
                Err(_) => Err(NotPassed::Failed(format!("no end after {} s", PATIENCE.as_secs()))),
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
            outcome,
            sentence: sentence.to_owned(),
            seen: self.world.redact(&seen),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
    }
}

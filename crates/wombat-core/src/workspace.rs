//! The workspace folder: loading it into snapshots, and watching it for changes.

mod load;
mod options;

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::NaiveDate;

use crate::loader::{fingerprint, fingerprint_file};
use crate::workspace::options::BOOT_MARKER;

pub(crate) use load::find_config;

pub use crate::prompt::{
    FileReport, Prompt, PromptMode, PromptRequest, estimate_tokens, time_context,
};
pub use crate::snapshot::{
    AgentReport, PolicyEffect, Problem, RoleError, SkillEndpoint, SkillReadError, Snapshot,
    UnknownRole, WorkspaceStatus,
};
pub use crate::workspace::options::{EnvLookup, SkillsMode, WorkspaceOptions};

/// How often the folder is polled for changes. Only metadata is read; this works for every kind of
/// mount and for replaced links.
const POLL: Duration = Duration::from_millis(400);

/// How long the folder must be unchanged before it is read, so that half an edit is never read.
const SETTLE: Duration = Duration::from_millis(50);

/// How often to wait for a folder that keeps changing: for some seconds it is not read at all, after
/// that only a read during which nothing changed counts.
const MAX_SETTLES: usize = 60;

/// Why the first run could not be marked as complete.
#[derive(Debug, thiserror::Error)]
#[error("the workspace is not writable, so the first run cannot be marked as complete: {0}")]
pub struct BootError(std::io::Error);

/// The workspace. Cheap to clone; all clones see the same snapshots.
#[derive(Clone)]
pub struct Workspace(Arc<Inner>);

struct Inner {
    options: WorkspaceOptions,
    current: ArcSwap<Snapshot>,
    /// Locked while loading, so that an older load never replaces a newer one.
    loading: Mutex<()>,
}

impl Workspace {
    /// Loads the folder. For a missing folder, the snapshot has the status missing.
    pub fn open(options: WorkspaceOptions) -> Self {
        let first = load::load(&options, None);
        log_problems(&first, None);
        let current = ArcSwap::from_pointee(first);
        Self(Arc::new(Inner { options, current, loading: Mutex::new(()) }))
    }

    /// The current snapshot, without file access or locks.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Reloads the folder. A file with unusable new content keeps its last usable one.
    pub fn reload(&self) {
        let _one_at_a_time = self.0.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let next = load::load(&self.0.options, Some(&self.snapshot()));
        self.take(next);
    }

    /// Reloads the folder; returns `false` and keeps the snapshot if the folder changed meanwhile.
    fn reload_unchanged(&self, seen: &Fingerprint) -> bool {
        let _one_at_a_time = self.0.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let next = load::load(&self.0.options, Some(&self.snapshot()));
        let still = self.fingerprint() == *seen;
        if still {
            self.take(next);
        }
        still
    }

    /// Makes a snapshot the current one, if it differs.
    fn take(&self, next: Snapshot) {
        let before = self.snapshot();
        log_problems(&next, Some(&before));
        if next.digest != before.digest
            || next.problems != before.problems
            || next.status != before.status
            || next.boot_complete != before.boot_complete
        {
            tracing::info!(digest = next.digest, "workspace reloaded");
            self.0.current.store(Arc::new(next));
        }
    }

    /// The fingerprint of the folder and the configuration.
    fn fingerprint(&self) -> Fingerprint {
        let options = &self.0.options;
        let config = options.agent_config.as_ref();
        Fingerprint {
            folder: fingerprint(&options.path),
            beside: fingerprint(&options.path.join("../config")),
            config: config.map(|file| fingerprint_file(file)),
            day: chrono::Utc::now().date_naive(),
        }
    }

    /// Starts watching for changes, which take effect within a second. Stops when the guard is dropped.
    pub fn watch(&self) -> WatchGuard {
        let workspace = self.clone();
        let (stop, stopped) = channel::<()>();
        let waited = move |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        let thread = std::thread::Builder::new().name("workspace".to_owned()).spawn(move || {
            let mut known = None;
            while waited(POLL) {
                let mut seen = workspace.fingerprint();
                let mut settles = 0;
                while known != Some(seen) {
                    if !waited(SETTLE) {
                        return;
                    }
                    settles += 1;
                    let again = workspace.fingerprint();
                    let is_still = again == seen;
                    seen = again;
                    if (is_still || settles >= MAX_SETTLES) && workspace.reload_unchanged(&seen) {
                        known = Some(seen);
                    }
                }
            }
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "watching the workspace failed; changes need a restart");
        }
        WatchGuard { stop: Some(stop), thread: thread.ok() }
    }

    /// Marks the first run as complete.
    pub fn mark_boot_complete(&self) -> Result<(), BootError> {
        std::fs::write(self.0.options.path.join(BOOT_MARKER), "").map_err(BootError)?;
        self.reload();
        Ok(())
    }
}

/// The metadata of the folder: when two are equal, nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fingerprint {
    folder: u64,
    beside: u64,
    config: Option<u64>,
    /// The day selects the memory logs.
    day: NaiveDate,
}

fn log_problems(next: &Snapshot, before: Option<&Snapshot>) {
    for problem in &next.problems {
        if !before.is_some_and(|before| before.problems.contains(problem)) {
            match problem.policy {
                Some(PolicyEffect::NoRuns) => {
                    tracing::error!(%problem, "no run may start until this is corrected");
                }
                Some(PolicyEffect::LastGood) => {
                    tracing::error!(%problem, "the last valid version stays in force");
                }
                None => tracing::warn!(%problem, "workspace problem"),
            }
        }
    }
    let told = |skill| before.is_some_and(|before| before.reports.contains(skill));
    for skill in next.reports.iter().filter(|skill| !skill.warnings.is_empty() && !told(skill)) {
        let warnings = skill.warnings.join("; ");
        tracing::warn!(file = skill.location, "skill: {warnings}");
    }
}

/// Watches the workspace until it is dropped.
#[derive(Debug)]
pub struct WatchGuard {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for WatchGuard {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

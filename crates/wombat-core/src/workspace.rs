//! The workspace folder: loading it into snapshots, and noticing when it changes.

mod load;
mod options;

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use chrono::NaiveDate;

use crate::loader::fingerprint;
use crate::workspace::options::BOOT_MARKER;

pub use crate::prompt::{
    FileReport, Prompt, PromptMode, PromptRequest, estimate_tokens, time_context,
};
pub use crate::snapshot::{
    AgentReport, Problem, SkillEndpoint, SkillReadError, Snapshot, WorkspaceStatus,
};
pub use crate::workspace::options::{EnvLookup, SkillsMode, WorkspaceOptions};

/// How often the folder is looked at for changes. Metadata only; works for every kind of mount
/// and for links that are swapped.
const POLL: Duration = Duration::from_millis(400);

/// How long a change must have been over before it is read, so that no half of an edit is seen.
const SETTLE: Duration = Duration::from_millis(50);

/// How often to wait for a folder that keeps changing: for some seconds an edit in progress is not
/// read at all, then at least nothing that changed while it was read.
const MAX_SETTLES: usize = 60;

/// Why the first run could not be marked as over.
#[derive(Debug, thiserror::Error)]
#[error("the workspace cannot be written, so the end of the first run cannot be marked: {0}")]
pub struct BootError(std::io::Error);

/// The workspace. Cheap to clone; all clones see the same snapshots.
#[derive(Clone)]
pub struct Workspace(Arc<Inner>);

struct Inner {
    options: WorkspaceOptions,
    current: ArcSwap<Snapshot>,
    /// Held while loading, so that an older load never replaces a newer one.
    loading: Mutex<()>,
}

impl Workspace {
    /// Loads the folder. A folder that is missing gives a snapshot that says so.
    pub fn open(options: WorkspaceOptions) -> Self {
        let first = load::load(&options, None);
        log_problems(&first, None);
        let current = ArcSwap::from_pointee(first);
        Self(Arc::new(Inner { options, current, loading: Mutex::new(()) }))
    }

    /// The newest snapshot. No file is touched, no lock is taken.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// Reads the folder again. A file whose new content cannot be used keeps its last good one.
    pub fn reload(&self) {
        let _one_at_a_time = self.0.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let next = load::load(&self.0.options, Some(&self.snapshot()));
        self.take(next);
    }

    /// Reads the folder, unless it changes meanwhile; then `false`, and all stays as it was.
    fn reload_unchanged(&self, seen: &Sight) -> bool {
        let _one_at_a_time = self.0.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let next = load::load(&self.0.options, Some(&self.snapshot()));
        let still = self.look() == *seen;
        if still {
            self.take(next);
        }
        still
    }

    /// Makes a snapshot the newest, if it says anything new.
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

    /// What the folder and the configuration look like from outside.
    fn look(&self) -> Sight {
        let options = &self.0.options;
        let config = options.agent_config.as_ref();
        Sight {
            folder: fingerprint(&options.path),
            beside: fingerprint(&options.path.join("../config")),
            config: config.and_then(|file| std::fs::metadata(file).ok()?.modified().ok()),
            day: chrono::Utc::now().date_naive(),
        }
    }

    /// Starts to notice edits: they show within a second. Ends when the guard is dropped.
    pub fn watch(&self) -> WatchGuard {
        let workspace = self.clone();
        let (stop, stopped) = channel::<()>();
        let waited = move |time| stopped.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
        let thread = std::thread::Builder::new().name("workspace".to_owned()).spawn(move || {
            let mut known = None;
            while waited(POLL) {
                let mut seen = workspace.look();
                let mut settles = 0;
                while known != Some(seen) {
                    if !waited(SETTLE) {
                        return;
                    }
                    settles += 1;
                    let again = workspace.look();
                    let is_still = again == seen;
                    seen = again;
                    if (is_still || settles >= MAX_SETTLES) && workspace.reload_unchanged(&seen) {
                        known = Some(seen);
                    }
                }
            }
        });
        if let Err(error) = &thread {
            tracing::error!(%error, "edits of the workspace will not be noticed");
        }
        WatchGuard { stop: Some(stop), thread: thread.ok() }
    }

    /// Marks the first run as over.
    pub fn mark_boot_complete(&self) -> Result<(), BootError> {
        std::fs::write(self.0.options.path.join(BOOT_MARKER), "").map_err(BootError)?;
        self.reload();
        Ok(())
    }
}

/// The folder from outside. Two that are equal mean that nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sight {
    folder: u64,
    beside: u64,
    config: Option<SystemTime>,
    /// Memory logs go by the day.
    day: NaiveDate,
}

fn log_problems(next: &Snapshot, before: Option<&Snapshot>) {
    for problem in &next.problems {
        if !before.is_some_and(|before| before.problems.contains(problem)) {
            tracing::warn!(%problem, "workspace");
        }
    }
}

/// Notices edits until it is dropped.
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

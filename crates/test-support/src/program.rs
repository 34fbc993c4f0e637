//! A program of this workspace as a process.

mod freshness;
mod watcher;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::PATIENCE;
use freshness::BuildDir;
use watcher::Watcher;

/// The programs that this process has found to be up to date, by name.
static CHECKED: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());

/// The start of the log line in which a program reports its address.
const LISTENING: &str = "listening on ";

/// Why a program could not be started or used.
#[derive(Debug)]
pub struct ProgramError(pub String);

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProgramError {}

/// A running program. It is killed when this is dropped, or when this process ends without that; and with it
/// what it has started itself.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    watcher: Option<Watcher>,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Program {
    /// The path of a program, which lies beside the running executable. A test builds the program
    /// first when it is missing or older than its sources.
    ///
    /// # Errors
    /// When it cannot be built; outside of a test, when it has not been built.
    pub fn path(name: &str) -> Result<PathBuf, ProgramError> {
        let exe = std::env::current_exe().map_err(|error| ProgramError(error.to_string()))?;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize();
        if let (Some(build), Ok(workspace)) = (BuildDir::of(&exe), workspace) {
            // Also makes the other threads wait that want the same program.
            let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(path) = checked.get(name) {
                return Ok(path.clone());
            }
            let path = build.up_to_date(&workspace, name)?;
            checked.insert(name.to_owned(), path.clone());
            return Ok(path);
        }
        let found =
            exe.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
        found.ok_or_else(|| {
            ProgramError(format!("{name} is not built: cargo build --workspace --bins"))
        })
    }

    /// Starts a program in a folder, with these settings and no others.
    ///
    /// # Errors
    /// When it is not built or cannot be started.
    pub fn start(
        name: &str,
        dir: &Path,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Result<Self, ProgramError> {
        Self::start_path(&Self::path(name)?, dir, settings, arguments)
    }

    /// The same for any program, by its path, or by its name when `settings` has a `PATH`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_path(
        path: &Path,
        dir: &Path,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Result<Self, ProgramError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut child = Command::new(path)
            .args(arguments)
            .current_dir(dir)
            .env_clear()
            .envs(settings.iter().map(|(name, value)| (name, value)))
            // Ctrl-C on a terminal is for whoever started the programs, and stops them in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| ProgramError(format!("{name} cannot be started: {error}")))?;
        let watcher = child.id().map(Watcher::of).transpose();
        let watcher = watcher.map_err(|error| ProgramError(format!("sh: {error}")))?;
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = child.stdout.take().map(|stdout| collect(stdout, Arc::clone(&log)));
        let stderr = child.stderr.take().map(|stderr| collect(stderr, Arc::clone(&log)));
        let readers = stdout.into_iter().chain(stderr).collect();
        Ok(Self { name, child, watcher, log, readers })
    }

    /// The process's id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its resident memory, bytes; `None` where the system does not report it.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }

    /// All that it has printed.
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// All that it has printed, after its end: waits for the last lines to be read.
    pub async fn full_log(&mut self) -> String {
        for reader in self.readers.drain(..) {
            let _ = reader.await;
        }
        self.log()
    }

    /// The URL that it listens on; waits until it does.
    ///
    /// # Errors
    /// When it exits, or does not listen in time.
    pub async fn url(&mut self) -> Result<String, ProgramError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().ok().flatten();
            if let Some(url) = listening(&self.log()) {
                return Ok(url);
            }
            if let Some(status) = ended {
                self.ended();
                return Err(self.error(&format!("exited at start ({status})")));
            }
            if Instant::now() > deadline {
                return Err(self.error("does not listen"));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it exits.
    ///
    /// # Errors
    /// When it does not exit in time.
    pub async fn wait(&mut self) -> Result<ExitStatus, ProgramError> {
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) => {
                self.ended();
                Ok(status)
            }
            Ok(Err(error)) => Err(self.error(&error.to_string())),
            Err(_) => Err(self.error("does not exit")),
        }
    }

    fn ended(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            watcher.leader_ended();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // A process that has ended in between cannot be reached, and need not be.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends SIGTERM, and waits until it exits.
    ///
    /// # Errors
    /// When it does not stop.
    pub async fn stop(&mut self) -> Result<ExitStatus, ProgramError> {
        self.signal(Signal::TERM);
        self.wait().await
    }

    /// Sends SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When it does not exit even then.
    pub async fn kill(&mut self) -> Result<(), ProgramError> {
        self.signal(Signal::KILL);
        self.wait().await.map(drop)
    }

    fn error(&self, what: &str) -> ProgramError {
        ProgramError(format!("{} {what}. Its log:\n{}", self.name, self.log()))
    }
}

fn collect(
    source: impl AsyncRead + Unpin + Send + 'static,
    log: Arc<Mutex<String>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(source).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(mut log) = log.lock() {
                log.push_str(&line);
                log.push('\n');
            }
        }
    })
}

fn listening(log: &str) -> Option<String> {
    let (_, rest) = log.split_once(LISTENING)?;
    let url: String = rest.chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
    Some(url)
}

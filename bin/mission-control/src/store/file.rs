//! The file of a SQLite database: what keeps it from being opened or written, told with what helps, and
//! whether it takes writes at present.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};
use rustix::io::Errno;
use rustix::process::geteuid;
use sqlx::error::DatabaseError as _;
use sqlx::migrate::MigrateError;
use sqlx::sqlite::SqliteError;
use sqlx::{AnyPool, Error};
use tokio::task::JoinHandle;

use super::open::OpenError;
use super::outcome;

/// How a SQLite file begins (<https://www.sqlite.org/fileformat2.html>, section 1.3).
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What SQLite keeps beside the file.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// The timeout of asking whether the file takes writes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the outcome of a write, or of asking, is taken for true.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Refuses a file that cannot be used, before SQLite opens it: SQLite would open a file that it cannot
/// write for reading, without a word.
pub(super) fn check(file: &Path) -> Result<(), OpenError> {
    let other = || (!is_database(file)).then(|| NO_DATABASE.to_owned());
    problem(file).or_else(other).map_or(Ok(()), |problem| Err(OpenError::Refused(problem)))
}

/// What keeps the file from being written, as far as the file system tells. Opens nothing, so that it may
/// be asked while SQLite has the file open: see [`is_database`].
fn problem(file: &Path) -> Option<String> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    };
    if let Ok(found) = std::fs::metadata(file) {
        if found.is_dir() {
            return Some("it is a folder; name a file in it".to_owned());
        }
        if let Some(problem) = access(file, &found, "it") {
            return Some(problem);
        }
    }
    match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => return Some("its folder is a file".to_owned()),
        Ok(found) => {
            if let Some(problem) = access(folder, &found, "its folder") {
                return Some(format!(
                    "{problem}; SQLite keeps its write-ahead log beside the file"
                ));
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Some("its folder does not exist; make it, or name another one".to_owned());
        }
        Err(error) => return Some(format!("its folder cannot be read: {error}")),
    }
    for suffix in BESIDE {
        let beside = &beside(file, suffix);
        let name = beside.file_name().unwrap_or_default().to_string_lossy();
        let problem = std::fs::metadata(beside)
            .ok()
            .and_then(|found| access(beside, &found, &format!("{name} beside it")));
        if problem.is_some() {
            return problem;
        }
    }
    let is_full = statvfs(folder).is_ok_and(|disk| {
        // What is kept for root is free for root only.
        let free = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        disk.f_blocks > 0 && free == 0
    });
    is_full.then(|| "its disk is full; make room there".to_owned())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    file.with_file_name(&name)
}

/// Where SQLite keeps what was written last.
pub(super) fn log_of(file: &Path) -> PathBuf {
    beside(file, BESIDE[0])
}

/// What keeps this user from reading and writing a file or a folder.
fn access(path: &Path, found: &Metadata, told: &str) -> Option<String> {
    let mut wanted = Access::READ_OK | Access::WRITE_OK;
    if found.is_dir() {
        wanted |= Access::EXEC_OK;
    }
    // By the rights that opening goes by.
    let error = accessat(CWD, path, wanted, AtFlags::EACCESS).err()?;
    let user = geteuid().as_raw();
    Some(match error {
        Errno::ROFS => format!(
            "{told} is on a file system that is mounted read-only; mount it for writing, or name another \
             place in MC_DATA_DIR or DATABASE_URL"
        ),
        Errno::ACCESS => format!(
            "{told} cannot be written by this user (uid {user}): it belongs to uid {}, mode {:04o}; give \
             it to uid {user} with chown, or run this program as its owner",
            found.uid(),
            found.mode() & 0o7777
        ),
        error => format!("{told} cannot be written: {error}"),
    })
}

/// Whether a file is a SQLite database, or is empty and can become one. Only for a file that this process
/// has not open: closing any descriptor of a file drops all locks that the process holds on it, and with
/// SQLite's the next program that closes the database deletes the log that is still written
/// (<https://www.sqlite.org/howtocorrupt.html>, section 2.2).
fn is_database(file: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(file).map(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    // What cannot be read, SQLite tells.
    !matches!(read, Ok(Ok(_))) || start.is_empty() || start == MAGIC
}

/// Why a file could not be opened, by SQLite's error.
pub(super) fn explain(file: &Path, error: Error) -> OpenError {
    let told = match &error {
        // A connection that could not be made at start: SQLite waits for a lock, and so does the pool.
        Error::PoolTimedOut => Some(LOCKED),
        error => why(error),
    };
    match problem(file).or_else(|| told.map(str::to_owned)) {
        Some(told) => OpenError::Refused(told),
        None => OpenError::Failed { cause: error },
    }
}

/// Why the schema of a file could not be brought up to date.
pub(super) fn explain_migration(file: &Path, error: MigrateError) -> OpenError {
    match error {
        MigrateError::VersionMissing(version) => OpenError::Refused(format!(
            "it was written by a newer version of this program (its migration {version} is unknown here); \
             start that version, or name another file"
        )),
        MigrateError::VersionMismatch(version) => OpenError::Refused(format!(
            "its migration {version} was made by another program; name another file"
        )),
        error => explain(file, error.into()),
    }
}

/// SQLite's error as a sentence with what helps; `None` for errors that are not the file's
/// (<https://www.sqlite.org/rescode.html>; the lowest byte of an extended code is its primary one).
pub(super) fn why(error: &Error) -> Option<&'static str> {
    let code = match error {
        Error::Io(error) if is_gone(error) => return Some(GONE),
        // The codes of other databases are numbers, too.
        error => {
            let error = outcome::said(error.as_database_error()?);
            let error = error.try_downcast_ref::<SqliteError>()?;
            error.code()?.parse::<u32>().ok()?
        }
    };
    Some(match code & 0xff {
        5 | 6 => LOCKED,
        8 => {
            "it is read-only; make file and folder writable for this user, on a disk that is mounted for writing"
        }
        10 => "its disk fails; see the system's log, and whether the disk is full or a network's",
        11 => "it is damaged; stop the backend, and restore it from a copy",
        13 => "its disk is full, or a quota is used up; make room",
        14 => {
            "its files cannot be opened; make file and folder writable for this user, and make room"
        }
        26 => NO_DATABASE,
        _ => return None,
    })
}

/// What is told of a file that holds something else.
const NO_DATABASE: &str = "it is not a SQLite database; name another file, or move it away";

/// What is told of a file that another program keeps for itself.
const LOCKED: &str = "another program holds it locked; end that program, or wait for it";

/// What is told of a file that is not there any more.
const GONE: &str = "its file was deleted or replaced while the backend runs, so nothing more is written; \
     put the file back and restart";

#[derive(Debug, thiserror::Error)]
#[error("{GONE}")]
struct Gone;

fn is_gone(error: &io::Error) -> bool {
    outcome::within(error).is_some_and(|error| error.is::<Gone>())
}

/// An opened file, and whether it takes writes.
#[derive(Debug)]
pub(super) struct OpenFile {
    path: PathBuf,
    /// Device and inode of what was opened.
    id: Option<(u64, u64)>,
    last: Mutex<Last>,
    /// Held while asking, so that many callers ask once.
    asking: tokio::sync::Mutex<()>,
    look: tokio::sync::Mutex<Look>,
}

/// What the file system says of the file.
#[derive(Debug, Default)]
struct Look {
    at: Option<Instant>,
    problem: Option<String>,
    /// A look that has not ended yet: a file system may not answer for long, and is asked once.
    running: Option<JoinHandle<Option<String>>>,
}

/// The outcome of the last write, or of asking.
#[derive(Debug, Default)]
struct Last {
    at: Option<Instant>,
    /// Why it failed.
    failure: Option<String>,
    /// What keeps the file from being written, as it was told last.
    told: Option<String>,
}

impl OpenFile {
    /// A file that has just been opened.
    pub(super) fn new(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let id = id(&path);
        Self {
            path,
            id,
            last: Mutex::default(),
            asking: tokio::sync::Mutex::default(),
            look: tokio::sync::Mutex::default(),
        }
    }

    /// Where it is, as an absolute path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Why it could not be written, by SQLite's error.
    pub(super) fn explain(&self, error: Error) -> OpenError {
        explain(&self.path, error)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if the path does not lead to the opened file any more: SQLite would go on writing into a
    /// file that nobody can find.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.id.is_none() || self.id == id(&self.path) {
            return Ok(());
        }
        Err(Error::Io(io::Error::new(ErrorKind::NotFound, Gone)))
    }

    /// Remembers how a write ended.
    pub(super) fn note<T>(&self, outcome: &Result<T, Error>) {
        let failure = match outcome {
            Ok(_) => None,
            // A busy pool says nothing of the file.
            Err(error) => match why(error) {
                Some(why) => Some(why.to_owned()),
                None => return,
            },
        };
        self.remember(failure);
    }

    /// What the file system says of the file, at most [`KNOWN_FOR`] ago.
    async fn look(&self) -> Option<String> {
        let looked = async {
            let mut look = self.look.lock().await;
            if look.running.is_none() && look.at.is_some_and(|at| at.elapsed() < KNOWN_FOR) {
                return look.problem.clone();
            }
            let running = look.running.get_or_insert_with(|| {
                let (path, opened) = (self.path.clone(), self.id);
                tokio::task::spawn_blocking(move || {
                    let is_gone = opened.is_some() && opened != id(&path);
                    if is_gone { Some(GONE.to_owned()) } else { problem(&path) }
                })
            });
            let problem = running.await.unwrap_or_default();
            *look = Look { at: Some(Instant::now()), problem: problem.clone(), running: None };
            problem
        };
        let looked = tokio::time::timeout(PROBE_TIMEOUT, looked).await;
        looked.unwrap_or_else(|_| Some("its file system does not answer".to_owned()))
    }

    /// What keeps the file from being written, by what is known without asking: without its path, for
    /// anybody may be told. The path is in the log.
    pub(super) async fn trouble(&self) -> Option<String> {
        let looked = self.look().await;
        let trouble = looked.or_else(|| self.last().failure.clone());
        let is_new = {
            let mut last = self.last();
            let is_new = last.told != trouble;
            last.told.clone_from(&trouble);
            is_new
        };
        let told = trouble?;
        if is_new {
            tracing::warn!("the database {} cannot be used: {told}", self.path.display());
        }
        Some(format!("the database cannot be used: {told}"))
    }

    /// Whether the file takes writes. A write that succeeded a moment ago is answer enough; else a write
    /// is begun and given up, which writes nothing. Only after a failure something is written, because
    /// a full disk shows in no other way: a row that is deleted in the same transaction.
    pub(super) async fn ask(&self, writer: &AnyPool) -> Result<(), String> {
        let Ok(_one) = tokio::time::timeout(PROBE_TIMEOUT, self.asking.lock()).await else {
            return self.trouble().await.map_or(Ok(()), Err);
        };
        let (is_known, has_failed) = {
            let last = self.last();
            (last.at.is_some_and(|at| at.elapsed() < KNOWN_FOR), last.failure.is_some())
        };
        if !is_known && self.look().await.as_deref() != Some(GONE) {
            let probe = tokio::time::timeout(PROBE_TIMEOUT, probe(writer, has_failed)).await;
            match probe {
                Ok(outcome) => self.note(&outcome),
                Err(_) => {
                    let failure = "a write waits for more than two seconds: another program holds it locked, or there are too many writes";
                    self.remember(Some(failure.to_owned()));
                }
            }
        }
        self.trouble().await.map_or(Ok(()), Err)
    }

    fn remember(&self, failure: Option<String>) {
        let mut last = self.last();
        last.at = Some(Instant::now());
        last.failure = failure;
    }
}

async fn probe(writer: &AnyPool, writes: bool) -> Result<(), Error> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    if !writes {
        return tx.rollback().await;
    }
    for statement in [
        "INSERT INTO idempotency (user_id, endpoint, key, role, body, response, created_at) \
         VALUES ('', 'probe', '', '', '', '', '')",
        "DELETE FROM idempotency WHERE user_id = '' AND endpoint = 'probe'",
    ] {
        sqlx::query(statement).execute(&mut *tx).await?;
    }
    tx.commit().await
}

fn id(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(file: &Path) -> String {
        check(file).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_database_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mc.db");
        assert!(check(&file).is_ok());
        std::fs::write(&file, "").unwrap();
        assert!(check(&file).is_ok());
        std::fs::write(&file, "id,name\n1,x\n").unwrap();
        assert!(refused(&file).contains("not a SQLite database"));
        assert!(refused(dir.path()).contains("is a folder"));
        assert!(refused(&dir.path().join("a/mc.db")).contains("does not exist"));
        assert!(refused(&file.join("mc.db")).contains("is a file"));
    }

    #[tokio::test]
    async fn a_file_that_was_replaced_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mc.db");
        std::fs::write(&path, "").unwrap();
        let file = OpenFile::new(&path);
        assert!(file.check().is_ok());
        std::fs::rename(&path, dir.path().join("other.db")).unwrap();
        std::fs::write(&path, "").unwrap();
        let error = file.check().unwrap_err();
        assert_eq!(why(&error), Some(GONE));
        assert!(file.trouble().await.unwrap().contains("cannot be used: its file was deleted"));
    }
}

//! `wombat-mission-control audit`: the audit log as lines of JSON, and whether its chain is whole.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use mc_client::audit::{ActorKind, AuditEntry, FIRST_PREV, hash_of};
use serde_json::Value;

use crate::store::database::Database;
use crate::store::{Store, StoreError};

/// The longest line of a file: well above what any entry has.
const MAX_LINE: u64 = 16 * 1024 * 1024;

/// What is wrong with an audit log, or why it cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The first entry that is not as it was recorded.
    #[error("the audit log is broken at seq {seq}: {why}")]
    Broken {
        /// Its number, or the one that it must have.
        seq: i64,
        /// What is wrong.
        why: String,
    },
    /// Entries were removed or changed up to one that was there, or the log is another one.
    #[error("no entry of the audit log has the hash {wanted}; it ends at seq {seq} with {found}{}", expired_before(*.expired))]
    OtherHead {
        /// The last entry.
        seq: i64,
        /// Its hash.
        found: String,
        /// The hash that an entry must have.
        wanted: String,
        /// Up to which one entries have expired; 0 where none has.
        expired: i64,
    },
    /// No entry has the hash; one tells that the entry with it has expired. Whoever writes a log anew can write that, too.
    #[error(
        "the entry of the audit log with the hash {wanted} has expired, as a later one says: what it covered cannot \
        be checked; the log goes from seq {first} to {seq} with {found}: keep this head"
    )]
    HeadExpired {
        /// The first entry.
        first: i64,
        /// The last entry.
        seq: i64,
        /// Its hash.
        found: String,
        /// The hash that an entry must have.
        wanted: String,
    },
    /// There is nothing to verify: each log begins with the start of the backend.
    #[error("there is no entry in the audit log of {0}")]
    Empty(String),
    /// The database could not be read.
    #[error("the audit log of {place} cannot be read: {cause}")]
    Database {
        /// Which database.
        place: String,
        /// Why, and what to do.
        cause: String,
    },
    /// A file could not be read, or the export not be written.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
}

fn expired_before(through: i64) -> String {
    match through {
        0 => String::new(),
        through => format!(
            "; those up to seq {through} have expired, and it may be one of them: keep the head of a newer one"
        ),
    }
}

/// A log that was found whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// The number of its last entry.
    pub last: i64,
    /// The hash of its last entry.
    pub head: String,
}

/// Follows a chain from its first entry.
#[derive(Debug)]
struct Chain {
    next: i64,
    prev: String,
    /// What the first entry follows, where older ones have expired: the number of the last of these, and its hash. Until
    /// the entry was seen that tells of it.
    expired: Option<(i64, String)>,
    /// Up to which one entries have expired.
    before: i64,
    /// A hash that an entry must have, as long as none was seen with it.
    wanted: Option<String>,
    /// Whether an entry tells that the one with this hash has expired.
    is_told_of: bool,
}

impl Chain {
    fn new(head: Option<&str>) -> Self {
        let wanted = head.map(str::to_ascii_lowercase);
        let prev = FIRST_PREV.to_owned();
        Self { next: 1, prev, expired: None, before: 0, wanted, is_told_of: false }
    }

    fn broken(&self, why: impl Into<String>) -> AuditError {
        AuditError::Broken { seq: self.next, why: why.into() }
    }

    /// Takes the next entry. Fields that this version does not know are a part of the hash, too.
    fn take(&mut self, entry: &Value) -> Result<(), AuditError> {
        let known: AuditEntry = serde_json::from_value(entry.clone())
            .map_err(|error| self.broken(format!("it is no entry: {error}")))?;
        if self.next == 1 && known.seq > 1 {
            self.begin_at(&known);
        }
        if known.seq != self.next {
            return Err(self.broken(format!("the entry in its place is seq {}", known.seq)));
        }
        if known.prev != self.prev {
            return Err(self.broken("prev is not the hash of the entry before"));
        }
        let hash = hash_of(&self.prev, entry);
        let hash =
            hash.map_err(|error| self.broken(format!("it has no canonical form: {error}")))?;
        if hash != known.hash {
            return Err(self.broken("the entry does not have its hash: it was changed"));
        }
        self.wanted.take_if(|wanted| *wanted == hash);
        self.is_told_of |= self.wanted.is_some() && self.tells_of_wanted(&known);
        self.expired.take_if(|expired| tells_of(&known, expired));
        self.prev = hash;
        self.next += 1;
        Ok(())
    }

    /// Whether an entry tells that the one that is looked for was among those before the first that is there.
    fn tells_of_wanted(&self, entry: &AuditEntry) -> bool {
        let through = entry.details.get("through").and_then(Value::as_i64);
        through.is_some_and(|through| (1..=self.before).contains(&through))
            && expired_with(entry) == self.wanted.as_deref()
    }

    /// Takes the `prev` that the expiry of older entries has left, for which a later entry must stand.
    fn begin_at(&mut self, first: &AuditEntry) {
        self.expired = Some((first.seq - 1, first.prev.clone()));
        self.before = first.seq - 1;
        self.next = first.seq;
        self.prev.clone_from(&first.prev);
    }

    fn end(self, place: &str) -> Result<Verified, AuditError> {
        let last = self.next - 1;
        if last == 0 {
            return Err(AuditError::Empty(place.to_owned()));
        }
        if let Some((through, _)) = self.expired {
            let why = format!(
                "the entries up to {through} are missing, and none tells that they have expired"
            );
            return Err(AuditError::Broken { seq: 1, why });
        }
        let (seq, found, expired) = (last, self.prev, self.before);
        match self.wanted {
            None => Ok(Verified { last, head: found }),
            Some(wanted) if self.is_told_of => {
                Err(AuditError::HeadExpired { first: expired + 1, seq, found, wanted })
            }
            Some(wanted) => Err(AuditError::OtherHead { seq, found, wanted, expired }),
        }
    }
}

/// The hash of the last entry of those that have expired, as an entry tells it.
fn expired_with(entry: &AuditEntry) -> Option<&str> {
    let is_it = entry.act == "data.expired" && entry.actor.kind == ActorKind::System;
    entry.details.get("hash").filter(|_| is_it)?.as_str()
}

/// Whether an entry tells that the log has expired up to this one.
fn tells_of(entry: &AuditEntry, (through, hash): &(i64, String)) -> bool {
    let said = |name: &str| entry.details.get(name);
    said("through").and_then(Value::as_i64) == Some(*through) && expired_with(entry) == Some(hash)
}

/// Verifies an exported log.
pub fn verify_file(file: &Path, head: Option<&str>) -> Result<Verified, AuditError> {
    let place = file.display().to_string();
    let failed = |error| AuditError::File(place.clone(), error);
    let mut lines = BufReader::new(std::fs::File::open(file).map_err(failed)?);
    let mut chain = Chain::new(head);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = std::io::Read::take(&mut lines, MAX_LINE);
        if limited.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return chain.end(&place);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let entry = strict_json::parse(&line);
        let entry = entry.map_err(|error| chain.broken(format!("its line is no JSON: {error}")))?;
        chain.take(&entry)?;
    }
}

/// Verifies the log in the database.
pub async fn verify(database: &Database, head: Option<&str>) -> Result<Verified, AuditError> {
    let mut chain = Chain::new(head);
    each(database, async |entry| {
        let entry = serde_json::to_value(entry).map_err(|error| chain.broken(error.to_string()))?;
        chain.take(&entry)
    })
    .await?;
    chain.end(&database.place())
}

/// Writes the log, one entry a line.
pub async fn export(database: &Database, out: &mut impl Write) -> Result<(), AuditError> {
    let failed = |error| AuditError::File("standard output".to_owned(), error);
    each(database, async |entry| {
        let line = serde_json::to_string(&entry).map_err(std::io::Error::other).map_err(failed)?;
        writeln!(out, "{line}").map_err(failed)
    })
    .await?;
    out.flush().map_err(failed)
}

/// Does something with each entry, oldest first.
async fn each(
    database: &Database,
    mut with: impl AsyncFnMut(AuditEntry) -> Result<(), AuditError>,
) -> Result<(), AuditError> {
    let failed = |cause: String| AuditError::Database { place: database.place(), cause };
    let opened = Store::open_to_read(database).await;
    let store = opened.map_err(|error| failed(error.to_string()))?;
    let unread = |error| match error {
        StoreError::Database(cause) | StoreError::Unavailable { source: cause, .. } => {
            failed(format!("{cause}; it has a log once the backend has started on it"))
        }
        error => failed(error.to_string()),
    };
    let is_server = matches!(database, Database::Postgres(_));
    let mut log = store.whole_audit(is_server).await.map_err(unread)?;
    loop {
        let entries = log.next().await.map_err(unread)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            with(entry).await?;
        }
    }
    drop(log);
    store.close().await;
    Ok(())
}

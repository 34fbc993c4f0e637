//! `wombat-mission-control export`: all that is kept of a user, and the user's files, into a folder; and `retention`:
//! what has expired.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::auth::is_user_id;
use crate::store::audit::{Actor, By};
use crate::store::database::Database;
use crate::store::retention::Retention;
use crate::store::{OpenError, Store, StoreError};

/// The file with all but the files.
const ITEMS: &str = "agent-data.ndjson";

/// Why an export or a deletion failed.
#[derive(Debug, thiserror::Error)]
pub enum OwnedError {
    /// The id is none that a user may have.
    #[error("{0:?} is no user id: it must not be empty, nor have a colon")]
    NoUser(String),
    /// The folder has something in it already.
    #[error("{} is not empty; name a folder that does not exist", .0.display())]
    NotEmpty(PathBuf),
    /// The folder, or a file in it, could not be written.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, std::io::Error),
    /// The database could not be opened.
    #[error("the database {0} cannot be used: {1}")]
    Open(String, OpenError),
    /// The database could not be read or written.
    #[error("the database {0} failed: {1}")]
    Store(String, StoreError),
}

/// How many items of each kind were written.
pub type Counts = BTreeMap<String, u64>;

/// Writes all that is kept of a user into a folder that is not there yet.
pub async fn export(database: &Database, user_id: &str, out: &Path) -> Result<Counts, OwnedError> {
    if !is_user_id(user_id) {
        return Err(OwnedError::NoUser(user_id.to_owned()));
    }
    let failed = |error| OwnedError::Store(database.place(), error);
    let store = open(database).await?;
    make_folder(out)?;
    store.record_export(user_id, By::new(Actor::System)).await.map_err(failed)?;
    let path = out.join(ITEMS);
    let unwritten = |error| OwnedError::File(path.clone(), error);
    let mut items = std::io::BufWriter::new(new_file(&path).map_err(unwritten)?);
    let (mut counts, mut files) = (Counts::new(), Vec::new());
    let mut told = store.owned(user_id.to_owned());
    while let Some(item) = told.recv().await {
        let item = item.map_err(failed)?;
        let line = serde_json::to_string(&item).map_err(|error| failed(error.into()))?;
        writeln!(items, "{line}").map_err(unwritten)?;
        *counts.entry(item.kind.clone()).or_default() += 1;
        if item.kind == "files" {
            files.push(item.item);
        }
    }
    items.flush().map_err(unwritten)?;
    for file in files {
        write_file(&store, user_id, &file, &out.join("files")).await.map_err(
            |error| match error {
                Failed::Store(error) => failed(error),
                Failed::File(path, error) => OwnedError::File(path, error),
            },
        )?;
    }
    store.close().await;
    Ok(counts)
}

/// How many of each kind have expired; deletes them unless it is a `dry_run`.
pub async fn expire(
    database: &Database,
    retention: &Retention,
    dry_run: bool,
) -> Result<Counts, OwnedError> {
    let failed = |error| OwnedError::Store(database.place(), error);
    if dry_run {
        let opened = Store::open_to_read(database).await;
        let store = opened.map_err(|error| OwnedError::Open(database.place(), error))?;
        let counts = store.count_expired(retention).await.map_err(failed)?;
        store.close().await;
        return Ok(counts);
    }
    let store = open(database).await?;
    let counts = store.expire(retention).await.map_err(failed)?;
    store.close().await;
    Ok(counts)
}

async fn open(database: &Database) -> Result<Store, OwnedError> {
    let failed = |error| OwnedError::Open(database.place(), error);
    // A mistyped name must not make a file.
    if let Database::File(file) = database {
        std::fs::metadata(file).map_err(|error| failed(sqlx::Error::Io(error).into()))?;
    }
    Store::open(database).await.map_err(failed)
}

enum Failed {
    Store(StoreError),
    File(PathBuf, std::io::Error),
}

/// Writes the bytes of a file under its id and name. One that has never arrived is left out.
async fn write_file(
    store: &Store,
    user_id: &str,
    known: &Value,
    folder: &Path,
) -> Result<(), Failed> {
    let text = |name: &str| known.get(name).and_then(Value::as_str).unwrap_or_default();
    let found = match store.file(user_id, text("id")).await {
        Ok(found) => found,
        Err(StoreError::FileNotFound { .. }) => return Ok(()),
        Err(error) => return Err(Failed::Store(error)),
    };
    if !folder.exists() {
        make(folder).map_err(|error| Failed::File(folder.to_owned(), error))?;
    }
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ');
    let name = text("name").chars().map(|c| if is_plain(c) { c } else { '_' });
    // With its id before it a name may have 255 bytes.
    let mut name: String = format!("{}-", text("id")).chars().chain(name).collect();
    while name.len() > 255 {
        name.pop();
    }
    let path = folder.join(name);
    let unwritten = |error| Failed::File(path.clone(), error);
    let mut file = new_file(&path).map_err(unwritten)?;
    let mut part = 0;
    while let Some(bytes) = store.file_part(&found, part).await.map_err(Failed::Store)? {
        file.write_all(&bytes).map_err(unwritten)?;
        part += 1;
    }
    Ok(())
}

fn make(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A folder for nobody else's eyes.
fn make_folder(out: &Path) -> Result<(), OwnedError> {
    let failed = |error| OwnedError::File(out.to_owned(), error);
    make(out).map_err(failed)?;
    match std::fs::read_dir(out).map_err(failed)?.next() {
        None => Ok(()),
        Some(_) => Err(OwnedError::NotEmpty(out.to_owned())),
    }
}

fn new_file(path: &Path) -> std::io::Result<std::fs::File> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

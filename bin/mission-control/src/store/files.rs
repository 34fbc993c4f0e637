//! Files of users: what is known of them, and their bytes in parts. A file that no message names is gone a
//! day after it was last put.

use std::collections::HashSet;

use chrono::{DateTime, Duration, Utc};
use mc_client::types::{Attachment, FileMeta, FileRef};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::audit::{Act, Actor, By, record};
use super::error::StoreError;
use super::sql::places;
use super::{Scope, Store, now, stamp};

/// For how long a file is kept that no message names.
const UNREFERENCED: Duration = Duration::hours(24);

/// For how long a file may be arriving.
const ARRIVING: Duration = Duration::hours(1);

/// How many files one query looks up.
const LOOKED_UP_AT_A_TIME: usize = 500;

/// How many files are deleted at a time, so that other writes do not wait long.
const DELETED_AT_A_TIME: i64 = 20;

/// How much is kept of files.
#[derive(Debug, Clone, Copy)]
pub struct FileLimits {
    /// Of one, in bytes.
    pub max_bytes: u64,
    /// Of all of a user's, in bytes.
    pub quota_bytes: u64,
}

impl Default for FileLimits {
    fn default() -> Self {
        Self { max_bytes: 20 * 1024 * 1024, quota_bytes: 1024 * 1024 * 1024 }
    }
}

/// A file that is there.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(super) seq: i64,
    pub(crate) meta: FileMeta,
}

impl Found {
    pub(super) fn of(row: &AnyRow) -> Self {
        let meta = FileMeta {
            file_id: row.get("id"),
            name: row.get("name"),
            media_type: row.get("media_type"),
            size: u64::try_from(row.get::<i64, _>("size")).unwrap_or_default(),
            sha256: row.get("sha256"),
        };
        Self { seq: row.get("seq"), meta }
    }
}

/// What was put before it is gone by now, unless a message names it.
pub(super) fn gone_before() -> String {
    stamp(Utc::now() - UNREFERENCED)
}

/// A file of a user that is whole, and not gone.
async fn find(
    connection: &mut AnyConnection,
    user_id: &str,
    file_id: &str,
) -> Result<Found, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM files WHERE id = $1 AND user_id = $2 AND is_whole = 1 AND (is_attached = 1 OR put_at > $3)",
    )
    .bind(file_id)
    .bind(user_id)
    .bind(gone_before())
    .fetch_optional(connection)
    .await?;
    let unknown = || StoreError::FileNotFound { file_id: file_id.to_owned() };
    row.map(|row| Found::of(&row)).ok_or_else(unknown)
}

/// Deletes a file's bytes and what is known of it.
pub(super) async fn forget(tx: &mut AnyConnection, seq: i64) -> Result<(), StoreError> {
    for statement in
        ["DELETE FROM file_parts WHERE file_seq = $1", "DELETE FROM files WHERE seq = $1"]
    {
        sqlx::query(statement).bind(seq).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Deletes what is gone: of one user, or of all some at a time. Returns how many were deleted.
pub(super) async fn forget_gone(
    tx: &mut AnyConnection,
    user_id: Option<&str>,
    at: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let rows = sqlx::query(
        "SELECT seq, id, user_id, size, is_whole FROM files WHERE is_attached = 0 AND put_at <= $1 \
         AND (is_whole = 0 OR put_at <= $2) AND ($3 = '' OR user_id = $3) ORDER BY put_at LIMIT $4",
    )
    .bind(stamp(at - ARRIVING))
    .bind(stamp(at - UNREFERENCED))
    .bind(user_id.unwrap_or_default())
    .bind(DELETED_AT_A_TIME)
    .fetch_all(&mut *tx)
    .await?;
    for row in &rows {
        forget(&mut *tx, row.get("seq")).await?;
        if row.get::<i64, _>("is_whole") == 1 {
            let (id, user_id): (String, String) = (row.get("id"), row.get("user_id"));
            let act = Act::new(By::new(Actor::System), "file.deleted").of(&user_id);
            let act = act.about("file", &id).with("size", row.get::<i64, _>("size"));
            record(&mut *tx, &act.with("unreferenced", true)).await?;
        }
    }
    Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
}

/// The files that a new message names, each once, which are kept from now on.
pub(super) async fn attach(
    tx: &mut AnyConnection,
    user_id: &str,
    named: &[FileRef],
) -> Result<Vec<Attachment>, StoreError> {
    let (mut attached, mut seen) = (Vec::new(), HashSet::new());
    for FileRef { file_id } in named {
        if !seen.insert(file_id) {
            continue;
        }
        let found = find(&mut *tx, user_id, file_id).await?;
        sqlx::query("UPDATE files SET is_attached = 1, put_at = $2 WHERE seq = $1")
            .bind(found.seq)
            .bind(now())
            .execute(&mut *tx)
            .await?;
        attached.push(Attachment::File(found.meta));
    }
    Ok(attached)
}

impl Store {
    /// What is known of a file of a user.
    pub(crate) async fn file(&self, user_id: &str, file_id: &str) -> Result<Found, StoreError> {
        find(&mut *self.reader.acquire().await?, user_id, file_id).await
    }

    /// A part of a file's bytes; `None` after the last one, and once the file is deleted.
    pub(crate) async fn file_part(
        &self,
        file: &Found,
        part: i64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT bytes FROM file_parts WHERE file_seq = $1 AND part = $2")
            .bind(file.seq)
            .bind(part)
            .fetch_optional(&self.reader)
            .await?;
        Ok(row.map(|row| row.get("bytes")))
    }

    /// Which of some files of a user are there no more.
    pub(crate) async fn gone_files(
        &self,
        user_id: &str,
        files: impl Iterator<Item = &FileMeta>,
    ) -> Result<HashSet<String>, StoreError> {
        let mut gone: HashSet<String> = files.map(|file| file.file_id.clone()).collect();
        let named: Vec<String> = gone.iter().cloned().collect();
        for ids in named.chunks(LOOKED_UP_AT_A_TIME) {
            let text = format!(
                "SELECT id FROM files WHERE user_id = $1 AND is_whole = 1 AND (is_attached = 1 OR put_at > $2) \
                 AND id IN ({})",
                places(3, ids.len())
            );
            let mut query = sqlx::query(AssertSqlSafe(text)).bind(user_id).bind(gone_before());
            for id in ids {
                query = query.bind(id);
            }
            for row in query.persistent(false).fetch_all(&self.reader).await? {
                gone.remove(row.get::<&str, _>("id"));
            }
        }
        Ok(gone)
    }

    /// Deletes a file. Messages that name it keep what they tell of it.
    pub(crate) async fn delete_file(
        &self,
        scope: Scope<'_>,
        file_id: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.write(scope).await?;
        let found = find(&mut tx, scope.user_id, file_id).await?;
        forget(&mut tx, found.seq).await?;
        let act = Act::new(scope.by, "file.deleted").of(scope.user_id).about("file", file_id);
        record(&mut tx, &act.with("size", found.meta.size)).await?;
        Ok(tx.commit_untold().await?)
    }

    /// Deletes files that no message names, and what has never arrived.
    pub(crate) async fn delete_gone_files(&self) -> Result<(), StoreError> {
        loop {
            let mut tx = self.begin().await?;
            let many = forget_gone(&mut tx, None, Utc::now()).await?;
            tx.commit_untold().await?;
            if many < DELETED_AT_A_TIME {
                return Ok(());
            }
        }
    }
}

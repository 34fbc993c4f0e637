//! A file as it arrives: in parts, of which one is in memory at a time. It is there once it is whole.

use chrono::Utc;
use mc_client::types::FileMeta;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row};

use super::audit::{Act, record};
use super::error::StoreError;
use super::files::{FileLimits, Found, forget, forget_gone, gone_before};
use super::{Scope, Store, new_id, now};

/// How many bytes a part has.
const PART: usize = 1024 * 1024;

/// As how many bytes a small file counts.
const LEAST: u64 = 4 * 1024;

/// How many files a user has in a small quota.
const MOST_FILES: u64 = 256 * 1024;

/// A file that arrives. What has arrived is deleted when this is dropped before the end.
pub(crate) struct Upload {
    store: Store,
    user_id: String,
    /// When the token of the agent that sends it was issued.
    issued_at: Option<u64>,
    limits: FileLimits,
    /// Its row, once a part of it is stored.
    seq: Option<i64>,
    /// How many parts are stored.
    parts: i64,
    /// What has arrived since.
    part: Vec<u8>,
    /// What it begins with, which says what it is.
    head: Vec<u8>,
    size: u64,
    hash: Sha256,
}

/// A file that was stored.
pub(crate) struct Stored {
    pub(crate) meta: FileMeta,
    /// Whether there was none like it.
    pub(crate) is_new: bool,
}

impl Upload {
    /// Takes what comes next.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if self.size > self.limits.max_bytes {
            return Err(StoreError::FileTooLarge { max_bytes: self.limits.max_bytes });
        }
        self.hash.update(bytes);
        let room = media_type::HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        while !bytes.is_empty() {
            // A whole part is stored when more comes: the last one is stored with the end.
            if self.part.len() == PART {
                self.store_part().await?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(PART - self.part.len()));
            self.part.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Stores a part of a file that is not whole yet.
    async fn store_part(&mut self) -> Result<(), StoreError> {
        let scope = Scope { issued_at: self.issued_at, ..Scope::of(&self.user_id) };
        let mut tx = self.store.write(scope).await?;
        let room = self.limits.quota_bytes.saturating_add(self.limits.max_bytes);
        let used = used(&mut tx, &self.user_id, false, self.least()).await?;
        if used.saturating_add(PART as u64) > room {
            return Err(self.quota_exceeded(used));
        }
        let arrived = (self.parts + 1).saturating_mul(PART as i64);
        let seq = match self.seq {
            Some(seq) => {
                let kept = sqlx::query("UPDATE files SET size = $1 WHERE seq = $2")
                    .bind(arrived)
                    .bind(seq)
                    .execute(&mut *tx)
                    .await?;
                // It took too long, and was deleted meanwhile.
                if kept.rows_affected() == 0 {
                    return Err(StoreError::NotFound("upload"));
                }
                seq
            }
            None => insert(&mut tx, &self.user_id, &arriving(arrived), false).await?,
        };
        put_part(&mut tx, seq, self.parts, &self.part).await?;
        tx.commit_untold().await?;
        self.seq = Some(seq);
        self.parts += 1;
        self.part.clear();
        Ok(())
    }

    /// As how many bytes a small file counts: what is known of it takes room, too. In a small quota it is less.
    fn least(&self) -> u64 {
        (self.limits.quota_bytes / MOST_FILES).clamp(1, LEAST)
    }

    fn quota_exceeded(&self, used_bytes: u64) -> StoreError {
        StoreError::QuotaExceeded { quota_bytes: self.limits.quota_bytes, used_bytes }
    }

    /// Keeps the file: one with equal bytes, name and type that is there already, or this one.
    pub(crate) async fn finish(
        mut self,
        scope: Scope<'_>,
        name: &str,
        declared: Option<&str>,
    ) -> Result<Stored, StoreError> {
        let hash = std::mem::take(&mut self.hash).finalize();
        let meta = FileMeta {
            file_id: new_id(),
            name: name.to_owned(),
            media_type: media_type::of(declared, name, &self.head),
            size: self.size,
            sha256: mc_client::files::hex(&hash),
        };
        let mut tx = self.store.write(scope).await?;
        forget_gone(&mut tx, Some(&self.user_id), Utc::now()).await?;
        if let Some(known) = equal(&mut tx, &self.user_id, &meta).await? {
            sqlx::query("UPDATE files SET put_at = $1 WHERE seq = $2")
                .bind(now())
                .bind(known.seq)
                .execute(&mut *tx)
                .await?;
            if let Some(seq) = self.seq {
                forget(&mut tx, seq).await?;
            }
            tx.commit_untold().await?;
            self.seq = None;
            return Ok(Stored { meta: known.meta, is_new: false });
        }
        let used = used(&mut tx, &self.user_id, true, self.least()).await?;
        if used.saturating_add(meta.size.max(self.least())) > self.limits.quota_bytes {
            return Err(self.quota_exceeded(used));
        }
        let seq = match self.seq {
            Some(seq) => {
                complete(&mut tx, seq, &meta).await?;
                seq
            }
            None => insert(&mut tx, &self.user_id, &meta, true).await?,
        };
        put_part(&mut tx, seq, self.parts, &self.part).await?;
        let act = Act::new(scope.by, "file.stored").of(scope.user_id);
        record(&mut tx, &act.about("file", &meta.file_id).with("size", meta.size)).await?;
        tx.commit_untold().await?;
        self.seq = None;
        Ok(Stored { meta, is_new: true })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(seq) = self.seq.take() else { return };
        // Without a runtime the program ends; then the rest is deleted an hour later.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let store = self.store.clone();
        runtime.spawn(async move {
            if let Err(error) = store.forget_upload(seq).await {
                tracing::warn!(%error, "the rest of a file that did not arrive is deleted later");
            }
        });
    }
}

/// What is known of a file of which so much has arrived.
fn arriving(size: i64) -> FileMeta {
    let size = u64::try_from(size).unwrap_or_default();
    FileMeta { file_id: new_id(), size, ..FileMeta::default() }
}

/// How many bytes the user's files have, with or without those that are not whole; each at least `least`.
async fn used(
    tx: &mut AnyConnection,
    user_id: &str,
    whole: bool,
    least: u64,
) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT cast(coalesce(sum(CASE WHEN size < $3 THEN $3 ELSE size END), 0) AS BIGINT) AS used FROM files WHERE user_id = $1 AND is_whole >= $2",
    )
    .bind(user_id)
    .bind(i64::from(whole))
    .bind(i64::try_from(least).unwrap_or(i64::MAX))
    .fetch_one(tx)
    .await?;
    Ok(u64::try_from(row.get::<i64, _>("used")).unwrap_or_default())
}

/// The user's file with the same bytes, name and type.
async fn equal(
    tx: &mut AnyConnection,
    user_id: &str,
    meta: &FileMeta,
) -> Result<Option<Found>, StoreError> {
    let row = sqlx::query(
        "SELECT * FROM files WHERE user_id = $1 AND sha256 = $2 AND name = $3 AND media_type = $4 AND is_whole = 1 \
         AND (is_attached = 1 OR put_at > $5)",
    )
    .bind(user_id)
    .bind(&meta.sha256)
    .bind(&meta.name)
    .bind(&meta.media_type)
    .bind(gone_before())
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| Found::of(&row)))
}

async fn insert(
    tx: &mut AnyConnection,
    user_id: &str,
    meta: &FileMeta,
    is_whole: bool,
) -> Result<i64, StoreError> {
    let row = sqlx::query(
        "INSERT INTO files (id, user_id, name, media_type, size, sha256, is_whole, put_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING seq",
    )
    .bind(&meta.file_id)
    .bind(user_id)
    .bind(&meta.name)
    .bind(&meta.media_type)
    .bind(i64::try_from(meta.size).unwrap_or(i64::MAX))
    .bind(&meta.sha256)
    .bind(i64::from(is_whole))
    .bind(now())
    .fetch_one(tx)
    .await?;
    Ok(row.get("seq"))
}

/// The last part of a file has come: from now on it is there.
async fn complete(tx: &mut AnyConnection, seq: i64, meta: &FileMeta) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE files SET id = $1, name = $2, media_type = $3, size = $4, sha256 = $5, is_whole = 1, put_at = $6 \
         WHERE seq = $7",
    )
    .bind(&meta.file_id)
    .bind(&meta.name)
    .bind(&meta.media_type)
    .bind(i64::try_from(meta.size).unwrap_or(i64::MAX))
    .bind(&meta.sha256)
    .bind(now())
    .bind(seq)
    .execute(tx)
    .await?;
    match done.rows_affected() {
        0 => Err(StoreError::NotFound("upload")),
        _ => Ok(()),
    }
}

async fn put_part(
    tx: &mut AnyConnection,
    seq: i64,
    part: i64,
    bytes: &[u8],
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO file_parts (file_seq, part, bytes) VALUES ($1, $2, $3)")
        .bind(seq)
        .bind(part)
        .bind(bytes.to_vec())
        .execute(tx)
        .await?;
    Ok(())
}

impl Store {
    /// Begins to take a file of a user. A part of it is stored under no lease.
    pub(crate) fn upload(&self, scope: Scope<'_>, limits: FileLimits) -> Upload {
        Upload {
            store: self.clone(),
            user_id: scope.user_id.to_owned(),
            issued_at: scope.issued_at,
            limits,
            seq: None,
            parts: 0,
            part: Vec::new(),
            head: Vec::new(),
            size: 0,
            hash: Sha256::new(),
        }
    }

    /// Deletes what has arrived of a file, unless it is whole after all: whoever stored the end may not have
    /// heard of it.
    async fn forget_upload(&self, seq: i64) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query("SELECT seq FROM files WHERE seq = $1 AND is_whole = 0")
            .bind(seq)
            .fetch_optional(&mut *tx)
            .await?;
        if row.is_some() {
            forget(&mut tx, seq).await?;
        }
        Ok(tx.commit_untold().await?)
    }
}

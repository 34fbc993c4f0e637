//! Long results of tools, kept with their run until they expire.

use std::time::Duration;

use chrono::Utc;
use mc_client::artifacts::Artifact;
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::run_rows::find;
use super::{Scope, Store, now, stamp};

/// As how many bytes a small one counts: what is known of it takes room, too.
const LEAST: i64 = 1024;

/// How many are deleted at a time, so that other writes do not wait long.
const DELETED_AT_A_TIME: u64 = 50;

/// How much is kept of long results, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct ArtifactLimits {
    /// Of one, in bytes.
    pub max_bytes: u64,
    /// Of all of a user's, in bytes.
    pub quota_bytes: u64,
    /// How long one is kept after it was last put.
    pub ttl: Duration,
}

impl Default for ArtifactLimits {
    fn default() -> Self {
        Self {
            max_bytes: 8 * 1024 * 1024,
            quota_bytes: 256 * 1024 * 1024,
            ttl: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// A long result as it arrives: its hash is that of its text.
#[derive(Debug)]
pub(crate) struct NewArtifact<'a> {
    pub(crate) run_key: &'a str,
    pub(crate) sha256: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) text: &'a str,
}

/// A long result that is there.
#[derive(Debug)]
pub(crate) struct KeptArtifact {
    pub(crate) media_type: String,
    pub(crate) text: String,
}

/// How many bytes of long results a user has that have not expired.
async fn used(tx: &mut AnyConnection, user_id: &str, at: &str) -> Result<u64, StoreError> {
    let row = sqlx::query(
        "SELECT cast(coalesce(sum(CASE WHEN size < $3 THEN $3 ELSE size END), 0) AS BIGINT) AS used FROM run_artifacts \
         WHERE user_id = $1 AND expires_at > $2",
    )
    .bind(user_id)
    .bind(at)
    .bind(LEAST)
    .fetch_one(tx)
    .await?;
    Ok(u64::try_from(row.get::<i64, _>("used")).unwrap_or_default())
}

impl Store {
    /// Keeps a long result of a run, and whether it was not there. One that is there is kept anew from now on.
    pub(crate) async fn put_artifact(
        &self,
        scope: Scope<'_>,
        new: &NewArtifact<'_>,
        limits: ArtifactLimits,
    ) -> Result<(Artifact, bool), StoreError> {
        let mut tx = self.write(scope).await?;
        let run = find(&mut tx, scope, new.run_key).await?.ok_or(StoreError::NotFound("run"))?;
        let (size, at) = (new.text.len() as u64, now());
        let kept_until = chrono::Duration::from_std(limits.ttl).unwrap_or(chrono::Duration::MAX);
        let expires_at = stamp(Utc::now().checked_add_signed(kept_until).unwrap_or_else(Utc::now));
        let artifact =
            Artifact { sha256: new.sha256.to_owned(), size, expires_at: expires_at.clone() };
        let there = sqlx::query(
            "UPDATE run_artifacts SET expires_at = $3 WHERE run_seq = $1 AND sha256 = $2 AND expires_at > $4",
        )
        .bind(run.seq)
        .bind(new.sha256)
        .bind(&expires_at)
        .bind(&at)
        .execute(&mut *tx)
        .await?;
        if there.rows_affected() > 0 {
            tx.commit_untold().await?;
            return Ok((artifact, false));
        }
        let used_bytes = used(&mut tx, scope.user_id, &at).await?;
        let quota_bytes = limits.quota_bytes;
        if used_bytes.saturating_add(size.max(LEAST.unsigned_abs())) > quota_bytes {
            return Err(StoreError::ArtifactQuota { quota_bytes, used_bytes });
        }
        sqlx::query("DELETE FROM run_artifacts WHERE run_seq = $1 AND sha256 = $2")
            .bind(run.seq)
            .bind(new.sha256)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO run_artifacts \
             (run_seq, user_id, sha256, size, media_type, content, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(run.seq)
        .bind(scope.user_id)
        .bind(new.sha256)
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .bind(new.media_type)
        .bind(new.text)
        .bind(&at)
        .bind(&expires_at)
        .execute(&mut *tx)
        .await?;
        tx.commit_untold().await?;
        Ok((artifact, true))
    }

    /// A long result of a run that has not expired.
    pub(crate) async fn artifact(
        &self,
        scope: Scope<'_>,
        run_key: &str,
        sha256: &str,
    ) -> Result<KeptArtifact, StoreError> {
        let mut reader = self.reader.acquire().await?;
        let missing = StoreError::ArtifactNotFound;
        let Some(run) = find(&mut reader, scope, run_key).await? else { return Err(missing) };
        let row = sqlx::query(
            "SELECT media_type, content FROM run_artifacts WHERE run_seq = $1 AND sha256 = $2 AND expires_at > $3",
        )
        .bind(run.seq)
        .bind(sha256)
        .bind(now())
        .fetch_optional(&mut *reader)
        .await?;
        let kept = |row: sqlx::any::AnyRow| KeptArtifact {
            media_type: row.get("media_type"),
            text: row.get("content"),
        };
        row.map(kept).ok_or(missing)
    }

    /// Deletes long results that have expired.
    pub(crate) async fn delete_expired_artifacts(&self) -> Result<(), StoreError> {
        loop {
            let mut tx = self.begin().await?;
            let gone = sqlx::query(
                "DELETE FROM run_artifacts WHERE (run_seq, sha256) IN \
                 (SELECT run_seq, sha256 FROM run_artifacts WHERE expires_at <= $1 LIMIT 50)",
            )
            .bind(now())
            .execute(&mut *tx)
            .await?;
            tx.commit_untold().await?;
            if gone.rows_affected() < DELETED_AT_A_TIME {
                return Ok(());
            }
        }
    }
}

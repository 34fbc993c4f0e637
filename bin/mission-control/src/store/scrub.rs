//! Leaving nothing of what was erased among the bytes of a file and of its log. The file is written anew while nobody
//! writes; its log is emptied beside the writes, as soon as nobody reads what was there before. Either is noted, so that
//! neither is done twice. A server does so by itself, when it likes to, or is told to.

use std::time::{Duration, Instant};

use sqlx::{AnyConnection, AssertSqlSafe, Executor as _, Row as _};

use super::error::StoreError;
use super::{Store, erased};

/// The bytes may still be in the file (`erased_users.is_scrubbed`).
pub(super) const DUE: i64 = 0;

/// Nothing is left anywhere.
pub(super) const CLEAN: i64 = 1;

/// The file is written anew; its log may still hold something.
const IN_LOG: i64 = 2;

/// For how long those are waited for who read what was there before, and how often it is looked meanwhile.
const READERS: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// How many users are noted at a time.
const AT_A_TIME: usize = 500;

/// Users who are erased, and may still be among the bytes. One of whom there are rows is none of them: whatever is
/// written anew now holds them still.
async fn due(reader: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    let begun = sqlx::query("SELECT user_id FROM erasures").fetch_all(&mut *reader).await?;
    let begun: Vec<_> = begun.iter().map(|row| erased::who(row.get("user_id"))).collect();
    let rows = sqlx::query("SELECT who FROM erased_users WHERE is_scrubbed = $1")
        .bind(DUE)
        .fetch_all(reader)
        .await?;
    Ok(rows.iter().map(|row| row.get("who")).filter(|who| !begun.contains(who)).collect())
}

/// Notes what was done about users.
async fn note(writer: &mut AnyConnection, users: &[String], is: i64) -> Result<(), StoreError> {
    for users in users.chunks(AT_A_TIME) {
        // Hashes: nothing in them needs to be escaped.
        let list: Vec<_> = users.iter().map(|who| format!("'{who}'")).collect();
        let text = format!(
            "UPDATE erased_users SET is_scrubbed = {is} WHERE is_scrubbed = {DUE} AND who IN ({})",
            list.join(", ")
        );
        sqlx::query(AssertSqlSafe(text)).persistent(false).execute(&mut *writer).await?;
    }
    Ok(())
}

impl Store {
    /// Whether something that was erased may still be among the bytes of the file.
    pub(crate) async fn is_scrub_due(&self) -> Result<bool, StoreError> {
        let mut reader = self.reader.acquire().await?;
        if !due(&mut reader).await?.is_empty() {
            return Ok(true);
        }
        let in_log = "SELECT 1 FROM erased_users WHERE is_scrubbed = $1 LIMIT 1";
        Ok(sqlx::query(in_log).bind(IN_LOG).fetch_optional(&mut *reader).await?.is_some())
    }

    /// Leaves nothing of what was erased. Not to be given up halfway, and by one at a time.
    pub(crate) async fn scrub(&self) -> Result<(), StoreError> {
        if self.file.is_some() {
            self.write_anew().await?;
            return self.empty_log().await;
        }
        let mut tx = self.begin().await?;
        let users = due(&mut tx).await?;
        note(&mut tx, &users, CLEAN).await?;
        Ok(tx.commit_untold().await?)
    }

    /// Writes the file anew. Nobody writes meanwhile.
    async fn write_anew(&self) -> Result<(), StoreError> {
        if due(&mut *self.reader.acquire().await?).await?.is_empty() {
            return Ok(());
        }
        let _alone = self.turns.alone().await?;
        let mut writer = self.writer.acquire().await?;
        let users = due(&mut writer).await?;
        writer.execute("VACUUM").await?;
        note(&mut writer, &users, IN_LOG).await
    }

    /// Empties the log.
    async fn empty_log(&self) -> Result<(), StoreError> {
        let since = Instant::now();
        while !self.is_log_emptied().await? {
            if since.elapsed() > READERS {
                tracing::warn!(
                    "something reads the database's file for so long that its log cannot be emptied of what was erased: \
                     another program, or a backup"
                );
                return Err(StoreError::Interrupted);
            }
            tokio::time::sleep(PAUSE).await;
        }
        let done = "UPDATE erased_users SET is_scrubbed = $1 WHERE is_scrubbed = $2";
        let mut tx = self.begin().await?;
        sqlx::query(done).bind(CLEAN).bind(IN_LOG).execute(&mut *tx).await?;
        Ok(tx.commit_untold().await?)
    }

    /// Empties the log unless somebody reads what was there before: then nobody has to wait.
    async fn is_log_emptied(&self) -> Result<bool, StoreError> {
        let mut writer = self.writer.acquire().await?;
        writer.execute("PRAGMA busy_timeout = 0").await?;
        let log = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *writer).await;
        writer.execute(super::database::BUSY_TIMEOUT).await?;
        Ok(log?.get::<i64, _>(0) == 0)
    }
}

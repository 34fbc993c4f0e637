//! The oldest entries of the audit log, which expire: each deletion is recorded in what stays, with the hash that the
//! next entry follows.

use serde_json::json;
use sqlx::Row;

use super::Store;
use super::error::StoreError;
use super::open::OpenError;
use super::postgres::rights;
use super::retention::{Kind, Retention, record};
use super::sql::execute;

/// How many entries are deleted at a time.
const AT_A_TIME: i64 = 500;

/// Entries before the first one that was recorded at `$1` or later. The newest one always stays.
pub(super) const EXPIRED: &str = "audit.seq < coalesce((SELECT a.seq FROM audit a WHERE a.at >= $1 ORDER BY a.seq LIMIT 1), \
    (SELECT max(a.seq) FROM audit a))";

impl Store {
    /// Refuses to keep the audit log for a time only where the role may not delete from it: found at the start, and
    /// not each hour.
    pub(crate) async fn check_retention(&self, retention: &Retention) -> Result<(), OpenError> {
        let Some(peers) = self.peers.as_ref().filter(|_| retention.has(Kind::Audit)) else {
            return Ok(());
        };
        rights::to_expire(&self.reader, &peers.schema).await
    }

    /// Deletes the entries of the audit log that are older; how many.
    pub(super) async fn expire_audit(&self, before: &str) -> Result<u64, StoreError> {
        let first = "SELECT coalesce((SELECT seq FROM audit WHERE at >= $1 ORDER BY seq LIMIT 1), \
            (SELECT max(seq) FROM audit)) AS seq";
        let first = sqlx::query(first).bind(before).fetch_one(&self.reader).await?;
        let Some(end) = first.get::<Option<i64>, _>("seq") else { return Ok(0) };
        let mut many = 0;
        loop {
            let mut tx = self.begin().await?;
            let rows =
                sqlx::query("SELECT seq, hash FROM audit WHERE seq < $1 ORDER BY seq LIMIT $2")
                    .bind(end)
                    .bind(AT_A_TIME)
                    .fetch_all(&mut *tx)
                    .await?;
            let Some(last) = rows.last() else { return Ok(many) };
            let (through, hash) = (last.get::<i64, _>("seq"), last.get::<String, _>("hash"));
            let more = json!({ "through": through, "hash": hash });
            let more = more.as_object().cloned().unwrap_or_default();
            record(&mut tx, Kind::Audit, before, rows.len(), more).await?;
            execute(&mut tx, "DELETE FROM audit_expired".to_owned()).await?;
            execute(&mut tx, format!("INSERT INTO audit_expired (through) VALUES ({through})"))
                .await?;
            execute(&mut tx, format!("DELETE FROM audit_reasons WHERE seq <= {through}")).await?;
            execute(&mut tx, format!("DELETE FROM audit WHERE seq <= {through}")).await?;
            tx.commit_untold().await?;
            many += u64::try_from(rows.len()).unwrap_or_default();
        }
    }
}

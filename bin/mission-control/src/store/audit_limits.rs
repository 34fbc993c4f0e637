//! How often the same may be recorded, so that nobody fills the log.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use mc_client::audit::{AuditEntry, DAEMON_ACTS};
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::audit::{Act, actor, record, subject_of};
use crate::store::{Scope, Store, StoreError, stamp, time};

/// How many acts of its daemon a user's role may have recorded within [`DAEMON_ACTS_WITHIN`]: of each
/// that our daemon records, and of all others together.
const MAX_DAEMON_ACTS: u32 = 60;

const DAEMON_ACTS_WITHIN: Duration = Duration::from_secs(3_600);

/// What our daemon records. Whoever holds a role's token cannot keep them out by recording others.
const OWN_DAEMON_ACTS: [&str; 1] = ["daemon.journal_rejected"];

/// How many entries equal to an act in all but reason and trace there are since a time; counts up to
/// `many`.
async fn equal_since(
    tx: &mut AnyConnection,
    act: &Act<'_>,
    since: &str,
    many: u32,
) -> Result<i64, StoreError> {
    let actor = actor(tx, act.by.actor).await?;
    let subject = match act.user_id {
        Some(user_id) => Some(subject_of(tx, user_id).await?),
        None => None,
    };
    let (kind, id) = act.object.unzip();
    let row = sqlx::query(
        "SELECT count(*) AS equal FROM (SELECT 1 AS one FROM audit WHERE actor_subject = $1 AND at > $2 AND act = $3 \
         AND coalesce(subject, '') = $4 AND coalesce(object_type, '') = $5 AND coalesce(object_id, '') = $6 \
         AND coalesce(actor_role, '') = $7 AND details = $8 LIMIT $9) e",
    )
    .bind(actor.subject)
    .bind(since)
    .bind(act.act)
    .bind(subject.unwrap_or_default())
    .bind(kind.unwrap_or_default())
    .bind(id.unwrap_or_default())
    .bind(actor.role.unwrap_or_default())
    .bind(serde_json::to_string(&act.details)?)
    .bind(i64::from(many))
    .fetch_one(tx)
    .await?;
    Ok(row.get("equal"))
}

/// Records an act of the daemon, unless its role has had too many recorded:
/// [`StoreError::TooManyActs`].
pub async fn record_daemon_act(
    tx: &mut AnyConnection,
    act: &Act<'_>,
) -> Result<AuditEntry, StoreError> {
    let actor = actor(tx, act.by.actor).await?;
    // Of an act of our own its entries count; of another those of all others.
    let is_own = OWN_DAEMON_ACTS.contains(&act.act);
    let own = OWN_DAEMON_ACTS.map(|own| format!("'{own}'")).join(", ");
    let counted = match is_own {
        true => "act = $4".to_owned(),
        false => format!("substr(act, 1, length($4)) = $4 AND act NOT IN ({own})"),
    };
    let row = sqlx::query(AssertSqlSafe(format!(
        "SELECT count(*) AS many, min(at) AS oldest FROM (SELECT at FROM audit WHERE actor_subject = $1 AND at > $2 \
         AND coalesce(actor_role, '') = $3 AND {counted} ORDER BY at DESC LIMIT $5) e",
    )))
    .bind(actor.subject)
    .bind(ago(DAEMON_ACTS_WITHIN))
    .bind(actor.role.unwrap_or_default())
    .bind(if is_own { act.act } else { DAEMON_ACTS })
    .bind(i64::from(MAX_DAEMON_ACTS))
    .fetch_one(&mut *tx)
    .await?;
    if row.get::<i64, _>("many") >= i64::from(MAX_DAEMON_ACTS) {
        let oldest = row.get::<Option<&str>, _>("oldest").and_then(time).unwrap_or_default();
        let free = oldest + TimeDelta::from_std(DAEMON_ACTS_WITHIN).unwrap_or_default();
        let wait = (free - Utc::now()).to_std().unwrap_or_default();
        return Err(StoreError::TooManyActs { retry_after: wait + Duration::from_secs(1) });
    }
    record(tx, act).await
}

/// The time that lies as long ago, as it is stored.
fn ago(time: Duration) -> String {
    stamp(Utc::now() - TimeDelta::from_std(time).unwrap_or_default())
}

impl Store {
    /// Records an act unless so many equal ones were recorded within a time: of the same actor, about
    /// the same user and object, with the same details. For acts that somebody could repeat without end.
    /// An agent's is refused like any write of its own (`scope`).
    pub(crate) async fn record_at_most(
        &self,
        scope: Option<Scope<'_>>,
        act: &Act<'_>,
        many: u32,
        within: Duration,
    ) -> Result<Option<AuditEntry>, StoreError> {
        let mut tx = match scope {
            Some(scope) => self.write(scope).await?,
            None => self.begin().await?,
        };
        if equal_since(&mut tx, act, &ago(within), many).await? >= i64::from(many) {
            return Ok(None);
        }
        let entry = record(&mut tx, act).await?;
        tx.commit().await?;
        Ok(Some(entry))
    }
}

//! The queue of notifications that the dispatcher delivers: leasing, acknowledging.

use std::collections::HashSet;

use chrono::Utc;
use futures::TryStreamExt as _;
use mc_client::types::{Delivered, Delivery};
use sqlx::any::AnyArguments;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Row};

use super::error::StoreError;
use super::paging::{PAGE_BYTES, json_size};
use super::sql::{list, places};
use super::{Store, json_of, now, stamp, time};

/// A notification as its dispatcher gets it.
pub(super) fn delivery(row: &AnyRow) -> Delivery {
    Delivery {
        notification_id: row.get("id"),
        user_id: row.get("user_id"),
        session_key: row.get("session_key"),
        content: row.get("content"),
        task_id: row.get("task_id"),
        run_key: row.get("run_key"),
        created_at: time(row.get("created_at")),
        attempts: u32::try_from(row.get::<i64, _>("attempts")).ok(),
        metadata: json_of(row.get("metadata")),
    }
}

/// Notifications without a lease, oldest first, after a row; of a session nothing behind what is leased.
/// `coalesce` keeps the database from scanning all leased rows by the other index.
const UNLEASED: &str = "SELECT n.seq, n.user_id FROM notifications n WHERE n.delivered_at IS NULL AND n.dead_at IS NULL \
    AND n.leased_until IS NULL AND n.seq > $1 AND NOT EXISTS (SELECT 1 FROM notifications l \
      WHERE l.session_key = n.session_key AND l.seq < n.seq AND l.delivered_at IS NULL AND l.dead_at IS NULL \
        AND l.leased_until IS NOT NULL AND coalesce(l.leased_until, '') > $3) ORDER BY n.seq LIMIT $2";

/// The same of those whose lease expired. The `+` signs keep SQLite from scanning the whole table by its
/// key.
const EXPIRED: &str = "SELECT n.seq, n.user_id FROM notifications n WHERE n.delivered_at IS NULL AND n.dead_at IS NULL \
    AND n.leased_until IS NOT NULL AND n.leased_until <= $3 AND +n.seq > $1 AND NOT EXISTS (SELECT 1 FROM notifications l \
      WHERE l.session_key = n.session_key AND l.seq < n.seq AND l.delivered_at IS NULL AND l.dead_at IS NULL \
        AND l.leased_until IS NOT NULL AND coalesce(l.leased_until, '') > $3) ORDER BY +n.seq LIMIT $2";

/// The least number of rows that are read from the queue at a time.
const CHUNK: u32 = 200;

/// How many rows one statement covers; more do not make it faster.
const ROWS_PER_STATEMENT: usize = 500;

/// How many rows are looked at for more of the users that were found, once no other user fits.
const LOOKED_AT: usize = 1_000;

/// Notifications that may be delivered, oldest first, after a row: at most `size`.
async fn chunk(
    tx: &mut AnyConnection,
    at: &str,
    after: i64,
    size: usize,
) -> Result<Vec<AnyRow>, StoreError> {
    let limit = i64::try_from(size).unwrap_or(i64::MAX);
    let fresh = sqlx::query(UNLEASED).bind(after).bind(limit).bind(at).fetch_all(&mut *tx).await?;
    let ended = sqlx::query(EXPIRED).bind(after).bind(limit).bind(at).fetch_all(tx).await?;
    let mut all = fresh;
    if !ended.is_empty() {
        all.extend(ended);
        all.sort_by_key(|row| row.get::<i64, _>("seq"));
        all.truncate(size);
    }
    Ok(all)
}

/// The rows of notifications that may be delivered, oldest first: at most `limit`, of at most `users`. A long
/// queue is read only as far as needed: no other write runs meanwhile.
async fn choose(
    tx: &mut AnyConnection,
    at: &str,
    users: usize,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let (mut known, mut chosen) = (HashSet::new(), Vec::new());
    let size = limit.max(CHUNK as usize);
    let (mut after, mut looked_at) = (0, 0);
    while chosen.len() < limit && looked_at < LOOKED_AT {
        let chunk = chunk(tx, at, after, size).await?;
        for row in &chunk {
            let user: String = row.get("user_id");
            let fits = known.contains(&user) || known.len() < users;
            if fits && chosen.len() < limit {
                known.insert(user);
                chosen.push(row.get::<i64, _>("seq"));
            }
        }
        if known.len() >= users {
            looked_at += chunk.len();
        }
        match chunk.last() {
            Some(last) if chunk.len() == size => after = last.get("seq"),
            Some(_) | None => break,
        }
    }
    Ok(chosen)
}

/// The first of some notifications, as many as an answer takes, and their row numbers. One is taken
/// at least; the others are left for the next poll, in their order.
async fn read(
    tx: &mut AnyConnection,
    seqs: &[i64],
) -> Result<(Vec<i64>, Vec<Delivery>), StoreError> {
    let (mut taken, mut deliveries, mut size) = (Vec::new(), Vec::new(), 0_usize);
    for some in seqs.chunks(ROWS_PER_STATEMENT) {
        let text =
            format!("SELECT * FROM notifications WHERE seq IN ({}) ORDER BY seq", list(some));
        let mut rows = sqlx::query(AssertSqlSafe(text)).persistent(false).fetch(&mut *tx);
        while let Some(row) = rows.try_next().await? {
            let delivery = delivery(&row);
            size = size.saturating_add(json_size(&delivery)?);
            if size > PAGE_BYTES && !taken.is_empty() {
                return Ok((taken, deliveries));
            }
            taken.push(row.get("seq"));
            deliveries.push(delivery);
        }
    }
    Ok((taken, deliveries))
}

/// The row numbers of the notifications that exist and belong to the user named with them, and
/// their ids and users.
async fn find(
    tx: &mut AnyConnection,
    delivered: &[Delivered],
) -> Result<(Vec<i64>, Vec<(String, String)>), StoreError> {
    let mut ids = AnyArguments::default();
    for one in delivered {
        // A text can always be bound.
        let _bound = ids.add(&one.notification_id);
    }
    let places = places(1, delivered.len());
    let text = format!("SELECT seq, id, user_id FROM notifications WHERE id IN ({places})");
    let rows = sqlx::query_with(AssertSqlSafe(text), ids).persistent(false).fetch_all(tx).await?;
    let asked: HashSet<_> =
        delivered.iter().map(|one| (&*one.notification_id, &*one.user_id)).collect();
    let own = rows.iter().filter(|row| asked.contains(&(row.get("id"), row.get("user_id"))));
    Ok(own.map(|row| (row.get::<i64, _>("seq"), (row.get("id"), row.get("user_id")))).unzip())
}

/// Marks a notification as delivered; `false` if there is none.
async fn deliver(tx: &mut AnyConnection, id: &str, user_id: &str) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE notifications SET delivered_at = coalesce(delivered_at, $1), dead_at = NULL, leased_until = NULL \
         WHERE id = $2 AND user_id = $3",
    )
    .bind(now())
    .bind(id)
    .bind(user_id)
    .execute(tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

impl Store {
    /// How many notifications are neither delivered nor dead letters, and how long the oldest of
    /// them has waited.
    pub(crate) async fn queue_depth(&self) -> Result<(i64, std::time::Duration), StoreError> {
        let (mut waiting, mut oldest) = (0, None);
        // Each has an index of its own.
        for statement in [
            "SELECT count(*) AS waiting, min(created_at) AS oldest FROM notifications \
             WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL",
            "SELECT count(*) AS waiting, min(created_at) AS oldest FROM notifications \
             WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NOT NULL",
        ] {
            let row = sqlx::query(statement).fetch_one(&self.reader).await?;
            waiting += row.get::<i64, _>("waiting");
            let first = row.get::<Option<String>, _>("oldest");
            oldest = match (oldest, first) {
                (Some(one), Some(other)) => Some(std::cmp::min(one, other)),
                (one, other) => one.or(other),
            };
        }
        let oldest = oldest.and_then(|oldest: String| time(&oldest));
        let age = oldest.and_then(|oldest| (Utc::now() - oldest).to_std().ok());
        Ok((waiting, age.unwrap_or_default()))
    }

    /// Undelivered notifications, oldest first. With a lease nobody else gets the same ones until it
    /// expires. A session with a leased notification gets nothing after it, so that deliveries stay
    /// in order. They are as many as an answer takes.
    pub async fn undelivered(
        &self,
        users: u32,
        limit: u32,
        lease_seconds: Option<u32>,
    ) -> Result<Vec<Delivery>, StoreError> {
        let at = Utc::now();
        let mut tx = self.begin().await?;
        let chosen = choose(&mut tx, &stamp(at), users as usize, limit as usize).await?;
        let (leased, deliveries) = read(&mut tx, &chosen).await?;
        if let Some(seconds) = lease_seconds {
            let until = stamp(at + chrono::Duration::seconds(seconds.into()));
            for some in leased.chunks(ROWS_PER_STATEMENT) {
                let text = format!(
                    "UPDATE notifications SET leased_until = $1 WHERE seq IN ({})",
                    list(some)
                );
                sqlx::query(AssertSqlSafe(text))
                    .persistent(false)
                    .bind(&until)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit_untold().await?;
        Ok(deliveries)
    }

    /// Acknowledges a delivery, also of a dead letter. Repeating it is harmless.
    pub async fn deliver(&self, id: &str, user_id: &str) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let found = deliver(&mut tx, id, user_id).await?;
        tx.commit_untold().await?;
        if found { Ok(()) } else { Err(StoreError::NotFound("notification")) }
    }

    /// Acknowledges many deliveries in one write; returns the ids that their users do not have.
    pub async fn deliver_many(&self, delivered: &[Delivered]) -> Result<Vec<String>, StoreError> {
        let mut tx = self.begin().await?;
        let at = now();
        let mut found = HashSet::new();
        for some in delivered.chunks(ROWS_PER_STATEMENT) {
            let (seqs, known) = find(&mut tx, some).await?;
            if seqs.is_empty() {
                continue;
            }
            let text = format!(
                "UPDATE notifications SET delivered_at = coalesce(delivered_at, $1), dead_at = NULL, leased_until = NULL WHERE seq IN ({})",
                list(&seqs)
            );
            sqlx::query(AssertSqlSafe(text)).persistent(false).bind(&at).execute(&mut *tx).await?;
            found.extend(known);
        }
        tx.commit_untold().await?;
        let is_found =
            |one: &&Delivered| found.contains(&(one.notification_id.clone(), one.user_id.clone()));
        let not_found = delivered.iter().filter(|one| !is_found(one));
        Ok(not_found.map(|one| one.notification_id.clone()).collect())
    }
}

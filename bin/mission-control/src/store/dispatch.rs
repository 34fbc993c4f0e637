//! The queue of notifications that the dispatcher delivers: leasing, acknowledging.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use mc_client::types::{Delivered, Delivery};
use sqlx::any::AnyArguments;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Arguments, AssertSqlSafe, Row};

use super::dispatch_order::{Candidate, Order, park, rising};
use super::error::StoreError;
use super::paging::{PAGE_BYTES, json_size};
use super::sql::{list, places};
use super::{Store, json_of, now, quiet_hours, stamp, time, urgency};

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

/// The least number of rows that are read from the queue at a time.
const CHUNK: u32 = 200;

/// How many rows one statement covers; more do not make it faster.
const ROWS_PER_STATEMENT: usize = 500;

/// How many rows that are withheld are read in one transaction.
const WITHHELD: usize = 2_000;

/// How many rows are looked at for more of the users that were found, once no other user fits.
const LOOKED_AT: usize = 1_000;

/// What a poll found.
#[derive(Default)]
struct Chosen {
    seqs: Vec<i64>,
    /// What is withheld.
    quiet: Vec<Candidate>,
}

/// The rows of notifications that may be delivered, in the queue's order: at most `limit`, of at most `users`. A long
/// queue is read only as far as needed: no other write runs meanwhile.
async fn choose(
    tx: &mut AnyConnection,
    at: DateTime<Utc>,
    users: usize,
    limit: usize,
) -> Result<Chosen, StoreError> {
    let (mut known, mut chosen) = (HashSet::new(), Chosen::default());
    let size = limit.max(CHUNK as usize);
    let (mut order, mut looked_at) = (Order::begin(at), 0);
    while chosen.seqs.len() < limit && looked_at < LOOKED_AT && chosen.quiet.len() < WITHHELD {
        let some = order.next(tx, size).await?;
        if some.is_empty() {
            break;
        }
        if known.len() >= users {
            looked_at += some.len();
        }
        for one in some {
            if one.is_quiet {
                chosen.quiet.push(one);
                continue;
            }
            let fits = known.contains(&one.user_id) || known.len() < users;
            if fits && chosen.seqs.len() < limit {
                chosen.seqs.push(one.seq);
                known.insert(one.user_id);
            }
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
    for some in rising(seqs) {
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

/// Acknowledged notifications that exist and belong to the user named with them.
#[derive(Default)]
struct Found {
    seqs: Vec<i64>,
    /// Ids and users.
    known: Vec<(String, String)>,
    /// The sessions in which others may have had their turn because of them.
    sessions: Vec<String>,
}

async fn find(tx: &mut AnyConnection, delivered: &[Delivered]) -> Result<Found, StoreError> {
    let mut ids = AnyArguments::default();
    for one in delivered {
        // A text can always be bound.
        let _bound = ids.add(&one.notification_id);
    }
    let places = places(1, delivered.len());
    let text = format!(
        "SELECT seq, id, user_id, session_key, priority, turn FROM notifications WHERE id IN ({places})"
    );
    let rows = sqlx::query_with(AssertSqlSafe(text), ids).persistent(false).fetch_all(tx).await?;
    let asked: HashSet<_> =
        delivered.iter().map(|one| (&*one.notification_id, &*one.user_id)).collect();
    let mut found = Found::default();
    for row in rows.iter().filter(|row| asked.contains(&(row.get("id"), row.get("user_id")))) {
        found.seqs.push(row.get("seq"));
        found.known.push((row.get("id"), row.get("user_id")));
        if urgency::has_raised(row) {
            found.sessions.push(row.get("session_key"));
        }
    }
    Ok(found)
}

/// Marks a notification as delivered; `false` if there is none.
async fn deliver(tx: &mut AnyConnection, id: &str, user_id: &str) -> Result<bool, StoreError> {
    let row = sqlx::query(
        "UPDATE notifications SET delivered_at = coalesce(delivered_at, $1), dead_at = NULL, leased_until = NULL \
         WHERE id = $2 AND user_id = $3 RETURNING session_key, priority, turn",
    )
    .bind(now())
    .bind(id)
    .bind(user_id)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    if urgency::has_raised(&row) {
        urgency::lower(tx, &[row.get("session_key")]).await?;
    }
    Ok(true)
}

impl Store {
    /// How many notifications are neither delivered nor dead letters, and how long the oldest of
    /// them has waited.
    pub(crate) async fn queue_depth(&self) -> Result<(i64, std::time::Duration), StoreError> {
        let (mut waiting, mut oldest) = (0, None);
        // Each has an index of its own. What quiet hours withhold is not late.
        for statement in [
            "SELECT count(*) AS waiting, min(created_at) AS oldest FROM notifications \
             WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL AND parked = 0",
            "SELECT count(*) AS waiting, CAST(NULL AS TEXT) AS oldest FROM notifications \
             WHERE delivered_at IS NULL AND dead_at IS NULL AND leased_until IS NULL AND parked = 1",
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

    /// Undelivered notifications, in the queue's order. With a lease nobody else gets the same ones until it
    /// expires. A session with a leased notification gets nothing after it, so that deliveries stay
    /// in order; one without anything urgent gets nothing in its user's quiet hours. They are as many as an answer
    /// takes.
    pub async fn undelivered(
        &self,
        users: u32,
        limit: u32,
        lease_seconds: Option<u32>,
    ) -> Result<Vec<Delivery>, StoreError> {
        loop {
            let (deliveries, is_all) = self.some_undelivered(users, limit, lease_seconds).await?;
            if is_all || !deliveries.is_empty() {
                return Ok(deliveries);
            }
        }
    }

    /// The same, and whether that is all: no write may last for as long as a queue of which all is withheld.
    async fn some_undelivered(
        &self,
        users: u32,
        limit: u32,
        lease_seconds: Option<u32>,
    ) -> Result<(Vec<Delivery>, bool), StoreError> {
        let at = Utc::now();
        let mut tx = self.begin().await?;
        let more_end = quiet_hours::move_on(&mut tx, at).await?;
        let chosen = choose(&mut tx, at, users as usize, limit as usize).await?;
        park(&mut tx, &chosen.quiet).await?;
        let is_all = !more_end && chosen.quiet.len() < WITHHELD;
        let (leased, deliveries) = read(&mut tx, &chosen.seqs).await?;
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
        Ok((deliveries, is_all))
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
            let Found { seqs, known, sessions } = find(&mut tx, some).await?;
            if seqs.is_empty() {
                continue;
            }
            let text = format!(
                "UPDATE notifications SET delivered_at = coalesce(delivered_at, $1), dead_at = NULL, leased_until = NULL WHERE seq IN ({})",
                list(&seqs)
            );
            sqlx::query(AssertSqlSafe(text)).persistent(false).bind(&at).execute(&mut *tx).await?;
            urgency::lower(&mut tx, &sessions).await?;
            found.extend(known);
        }
        tx.commit_untold().await?;
        let is_found =
            |one: &&Delivered| found.contains(&(one.notification_id.clone(), one.user_id.clone()));
        let not_found = delivered.iter().filter(|one| !is_found(one));
        Ok(not_found.map(|one| one.notification_id.clone()).collect())
    }
}

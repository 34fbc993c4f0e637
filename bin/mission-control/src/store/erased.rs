//! Whose data was erased, and when: their agents' tokens from before are refused. All of it is in memory, so that no
//! request waits for it, and brought up to date from what other instances write.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use chrono::Utc;
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Row};

use super::error::StoreError;
use super::{Scope, Store, stamp, time};

/// How often other instances' erasures are looked for.
pub(super) const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

/// By how much the clocks of instances may differ.
const SKEW: chrono::Duration = chrono::Duration::minutes(5);

/// Whose data was erased, by a hash, and when in milliseconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Erased(RwLock<HashMap<String, u64>>);

/// The hash that stands for something that must not be written down.
fn hash_of(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hash, byte| {
        let _written = write!(hash, "{byte:02x}");
        hash
    })
}

/// What stands for a user whose data was erased.
pub(super) fn who(user_id: &str) -> String {
    hash_of(&format!("erased user\n{user_id}"))
}

/// What stands for a run that an erasure has cancelled.
pub(super) fn run_of(user_id: &str, run_key: &str) -> String {
    hash_of(&format!("erased run\n{user_id}\n{run_key}"))
}

impl Erased {
    fn when(&self, user_id: &str) -> Option<u64> {
        let users = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if users.is_empty() { None } else { users.get(&who(user_id)).copied() }
    }

    pub(super) fn note(&self, who: String, at: &str) {
        let at = time(at).map(|at| at.timestamp_millis()).and_then(|at| u64::try_from(at).ok());
        let mut users = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = users.entry(who).or_default();
        *known = at.unwrap_or(u64::MAX).max(*known);
    }
}

impl Store {
    /// Whether a token was issued before the data of its user was erased; both in milliseconds since 1970. Many a token
    /// tells the second of its issue only: one of the same second counts as issued before.
    pub(crate) fn is_erased_since(&self, user_id: &str, issued_at: u64) -> bool {
        self.erased.when(user_id).is_some_and(|erased_at| issued_at <= erased_at)
    }

    /// For how long the data has been erased of the user of such a token.
    pub(crate) fn erased_for(&self, user_id: &str, issued_at: u64) -> Option<Duration> {
        let erased_at = self.erased.when(user_id).filter(|erased_at| issued_at <= *erased_at)?;
        let at = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
        Some(Duration::from_millis(at.saturating_sub(erased_at)))
    }

    /// Refuses a write of an agent whose token is no longer valid: it may have waited for its turn while its user's data
    /// was erased, by another instance even. Writes take turns, so that none comes after an erasure unheard of.
    pub(super) async fn check_erased(
        &self,
        tx: &mut AnyConnection,
        scope: Scope<'_>,
    ) -> Result<(), StoreError> {
        let Some(issued_at) = scope.issued_at else { return Ok(()) };
        if self.peers.is_some() {
            let row = sqlx::query("SELECT erased_at FROM erased_users WHERE who = $1")
                .bind(who(scope.user_id))
                .fetch_optional(tx)
                .await?;
            if let Some(row) = row {
                self.erased.note(who(scope.user_id), row.get("erased_at"));
            }
        }
        match self.erased_for(scope.user_id, issued_at) {
            Some(age) => Err(StoreError::TokenErased { age }),
            None => Ok(()),
        }
    }

    /// Whether a run is one of before its user's data was erased, and is gone with it.
    pub(super) async fn is_erased_run(
        &self,
        tx: &mut AnyConnection,
        user_id: &str,
        run_key: &str,
    ) -> Result<bool, StoreError> {
        if self.peers.is_none() && self.erased.when(user_id).is_none() {
            return Ok(false);
        }
        let row = sqlx::query("SELECT 1 FROM erased_runs WHERE who = $1")
            .bind(run_of(user_id, run_key))
            .fetch_optional(tx)
            .await?;
        Ok(row.is_some())
    }

    /// Reads whose data was erased from a time on.
    pub(super) async fn read_erased(&self, from: &str) -> Result<(), sqlx::Error> {
        let rows = sqlx::query("SELECT who, erased_at FROM erased_users WHERE erased_at >= $1")
            .bind(from)
            .fetch_all(&self.reader)
            .await?;
        for row in &rows {
            self.erased.note(row.get("who"), row.get("erased_at"));
        }
        Ok(())
    }

    /// Learns of what other instances erase, as long as it is polled. On a file there are no others.
    pub(crate) async fn follow_erasures(&self) -> Infallible {
        if self.peers.is_none() {
            return std::future::pending().await;
        }
        let mut changed = self.changed.subscribe();
        let mut interval = tokio::time::interval(FOLLOW_INTERVAL);
        // All of them, the first time.
        let mut from = String::new();
        loop {
            // The store holds the sender, so that it is never gone.
            tokio::select! {
                _ = interval.tick() => {}
                _changed = changed.changed() => {}
            }
            let begun = Utc::now();
            match self.read_erased(&from).await {
                // However long it takes until the next time: what was written since is read then.
                Ok(()) => from = stamp(begun - SKEW),
                Err(error) => {
                    tracing::debug!(%error, "erasures by other instances cannot be read; tried again each second");
                }
            }
        }
    }
}

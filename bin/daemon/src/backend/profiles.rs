//! Customers' profiles, as the backend has them, kept for as long as it says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mc_client::client::AgentClient;
use mc_client::error::McError;
use mc_client::profiles::{ProfileAnswer, digest};
use serde_json::Value;

/// How many profiles are kept.
const MAX_KEPT: usize = 4_096;

/// The timeout of asking for one, retries included.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// A profile as it was sent.
#[derive(Debug)]
pub struct KnownProfile {
    /// Its body.
    pub body: Value,
    /// The digest of that.
    pub digest: String,
}

#[derive(Debug, Clone)]
struct Kept {
    profile: Arc<KnownProfile>,
    etag: Option<String>,
    /// Until when it is used without asking.
    until: Instant,
}

/// The profiles that are known, by user and role.
#[derive(Debug, Default)]
pub struct Profiles(Mutex<HashMap<String, Kept>>);

impl Profiles {
    fn kept(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The profile of a client's user and role: the one that is kept for as long as it may be, else the
    /// backend's. Never an older one.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub async fn get(
        &self,
        client: &AgentClient,
        (user, role): (&str, &str),
    ) -> Result<Arc<KnownProfile>, McError> {
        // A role has no line break, so that no two pairs share a key.
        let key = [role, "\n", user].concat();
        let asked = Instant::now();
        let known = self.kept().get(&key).cloned();
        if let Some(kept) = known.as_ref().filter(|kept| asked < kept.until) {
            return Ok(kept.profile.clone());
        }
        let deadline = tokio::time::Instant::now() + ASK_TIMEOUT;
        let etag = known.as_ref().and_then(|kept| kept.etag.as_deref());
        let answer = client.clone().with_deadline(deadline).profile(etag).await;
        let answer = answer.inspect_err(|_| drop(self.kept().remove(&key)))?;
        let ProfileAnswer { body, etag, max_age } = answer;
        let (profile, etag) = match (body, known) {
            (Some(body), _) => {
                let digest = digest(&body)
                    .map_err(|error| McError::BadAnswer { cause: error.to_string() })?;
                (Arc::new(KnownProfile { body, digest }), etag)
            }
            (None, Some(known)) => (known.profile, etag.or(known.etag)),
            (None, None) => {
                let cause = "304 to a request without If-None-Match".to_owned();
                return Err(McError::BadAnswer { cause });
            }
        };
        let mut kept = self.kept();
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        let until = asked + max_age;
        kept.insert(key, Kept { profile: profile.clone(), etag, until });
        Ok(profile)
    }
}

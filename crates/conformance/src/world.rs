//! What a run of the suite knows of the backend, and what it made there.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mc_client::types::Capabilities;
use secrecy::SecretString;

use crate::token::{Keys, ROLE};
use crate::verdict::NotPassed;
use crate::watch::Watch;

/// The users that a run of the suite is about, and how to speak for them.
pub(crate) struct World {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) keys: Keys,
    pub(crate) internal: Option<SecretString>,
    /// Never to be seen in a report.
    secrets: Vec<String>,
    /// What the backend announces.
    pub(crate) features: Capabilities,
    /// Stands in all that is made.
    pub(crate) marker: String,
    /// The two users that most checks are about.
    pub(crate) one: String,
    /// The other one.
    pub(crate) two: String,
    /// Whether the users are of the suite's own making, so that nothing of theirs is anybody's.
    pub(crate) own_users: bool,
    pub(crate) watch: Mutex<Watch>,
    pub(crate) made: Mutex<Made>,
    count: AtomicU32,
}

/// What was made, for the cleaning up.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// User and id.
    pub(crate) tasks: BTreeSet<(String, String)>,
    /// All users that were spoken for.
    pub(crate) users: BTreeSet<String>,
    /// How many messages.
    pub(crate) messages: usize,
    /// How many documents.
    pub(crate) documents: usize,
}

/// What the suite is given to know.
pub(crate) struct Known {
    /// Without a slash at its end.
    pub(crate) url: String,
    pub(crate) keys: Keys,
    pub(crate) internal: Option<SecretString>,
    pub(crate) secrets: Vec<String>,
    pub(crate) users: Option<(String, String)>,
}

impl World {
    /// A world of which nothing is known yet.
    pub(crate) fn new(http: reqwest::Client, known: Known) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let own_users = known.users.is_none();
        let random = || (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let (one, two) = known.users.unwrap_or_else(random);
        Self {
            http,
            url: known.url,
            keys: known.keys,
            internal: known.internal,
            secrets: known.secrets,
            features: Capabilities::default(),
            marker: format!("[wombat conformance {}]", &run[..8]),
            one,
            two,
            own_users,
            watch: Mutex::default(),
            made: Mutex::default(),
            count: AtomicU32::new(0),
        }
    }

    /// A title that tells people where it came from, and that no other check uses.
    pub(crate) fn title(&self, what: &str) -> String {
        format!("{} {what} {}", self.marker, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// A key that nobody else uses.
    pub(crate) fn key(&self) -> String {
        format!("conformance:{}", uuid::Uuid::new_v4())
    }

    /// A user whom nobody has ever heard of.
    pub(crate) fn fresh_user(&self) -> Result<String, NotPassed> {
        if self.own_users {
            return Ok(uuid::Uuid::new_v4().to_string());
        }
        Err(NotPassed::Skipped("needs a user of its own, and users were named".to_owned()))
    }

    /// The key of a session of a user with the suite's agent.
    pub(crate) fn session(&self, user: &str) -> String {
        format!("user:{user}:{ROLE}")
    }

    /// A text without the secrets that stand in it.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[secret]"))
    }

    /// Whether a text holds one of the secrets.
    pub(crate) fn leaks(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| secret.len() >= 8 && text.contains(secret.as_str()))
    }
}

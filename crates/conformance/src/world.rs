//! State of one run of the suite: the backend, its users, what was created.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mc_client::types::Capabilities;
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::token::{Keys, ROLE};
use crate::verdict::NotPassed;
use crate::watch::Watch;

/// The backend under test, the two users of the run, and what was observed and created.
pub(crate) struct World {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    pub(crate) keys: Keys,
    pub(crate) internal: Option<SecretString>,
    /// Redacted in reports.
    secrets: Vec<String>,
    /// The announced capabilities.
    pub(crate) features: Capabilities,
    /// Part of the title of everything that is created.
    pub(crate) marker: String,
    /// The user of most checks.
    pub(crate) one: String,
    /// The other tenant.
    pub(crate) two: String,
    /// Whether the users are random ones, so that fresh users may be used too.
    pub(crate) own_users: bool,
    pub(crate) watch: Mutex<Watch>,
    pub(crate) made: Mutex<Made>,
    /// How the backend refused a person, once asked; `None` where it takes persons.
    pub(crate) no_persons: OnceCell<Option<String>>,
    count: AtomicU32,
}

/// What was created, for the clean-up.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// User and id of each task.
    pub(crate) tasks: BTreeSet<(String, String)>,
    /// All users that were acted for.
    pub(crate) users: BTreeSet<String>,
    /// How many messages.
    pub(crate) messages: usize,
    /// How many documents.
    pub(crate) documents: usize,
}

/// What the suite is given.
pub(crate) struct Setup {
    /// The backend's address, without a slash at the end.
    pub(crate) url: String,
    pub(crate) keys: Keys,
    pub(crate) internal: Option<SecretString>,
    pub(crate) secrets: Vec<String>,
    pub(crate) users: Option<(String, String)>,
}

impl World {
    /// A run that has not asked the backend anything yet.
    pub(crate) fn new(http: reqwest::Client, setup: Setup) -> Self {
        let run = uuid::Uuid::new_v4().simple().to_string();
        let own_users = setup.users.is_none();
        let random = || (uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string());
        let (one, two) = setup.users.unwrap_or_else(random);
        Self {
            http,
            url: setup.url,
            keys: setup.keys,
            internal: setup.internal,
            secrets: setup.secrets,
            features: Capabilities::default(),
            marker: format!("[wombat conformance {}]", &run[..8]),
            one,
            two,
            own_users,
            watch: Mutex::default(),
            made: Mutex::default(),
            no_persons: OnceCell::new(),
            count: AtomicU32::new(0),
        }
    }

    /// A unique title with the run's marker.
    pub(crate) fn title(&self, what: &str) -> String {
        format!("{} {what} {}", self.marker, self.count.fetch_add(1, Ordering::Relaxed))
    }

    /// A fresh idempotency key.
    pub(crate) fn key(&self) -> String {
        format!("conformance:{}", uuid::Uuid::new_v4())
    }

    /// A user without any data.
    pub(crate) fn fresh_user(&self) -> Result<String, NotPassed> {
        if self.own_users {
            return Ok(uuid::Uuid::new_v4().to_string());
        }
        Err(NotPassed::Skipped(
            "needs users without data; run without --user and --other-user".to_owned(),
        ))
    }

    /// The session key of a user with the suite's agent.
    pub(crate) fn session(&self, user: &str) -> String {
        format!("user:{user}:{ROLE}")
    }

    /// A text with its secrets redacted.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| !secret.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "[secret]"))
    }

    /// Whether a text contains a secret.
    pub(crate) fn leaks(&self, text: &str) -> bool {
        self.secrets.iter().any(|secret| secret.len() >= 8 && text.contains(secret.as_str()))
    }
}

//! The audit log (feature `audit`): who did what, append-only, each entry chained to the one before
//! by its hash.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::call::Call;
use crate::client::AgentClient;
use crate::error::McError;
use crate::jcs::{JcsError, canonical};
use crate::url::path;

/// `prev` of the first entry.
pub const FIRST_PREV: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What the acts that an agent token may record begin with.
pub const DAEMON_ACTS: &str = "daemon.";

/// The largest `details` of [`RecordAct`], in bytes of canonical JSON.
pub const MAX_DETAILS: usize = 8 * 1024;

/// The fields that are no part of the hashed entry: what the hash is made with, and what can be erased
/// without breaking the chain.
const UNHASHED: [&str; 5] = ["prev", "hash", "user_id", "actor_user_id", "reason"];

/// Who acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person.
    Person,
    /// A service that holds the internal token, for nobody in particular.
    Service,
    /// An agent, by its token.
    Agent,
    /// The backend itself.
    System,
}

impl ActorKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Person, Self::Service, Self::Agent, Self::System];

    /// The kind as it is transmitted.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Service => "service",
            Self::Agent => "agent",
            Self::System => "system",
        }
    }
}

impl std::str::FromStr for ActorKind {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// The actor of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditActor {
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// A person's or an agent's user: a random text for each user. For others a fixed name.
    pub subject: String,
    /// An agent's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What an entry is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditObject {
    /// Its kind, such as `tool_request`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its id.
    pub id: String,
}

/// An entry of the audit log.
///
/// `hash` is the SHA-256, in hexadecimal digits, of `prev`, a newline and the entry in canonical form
/// (RFC 8785) without `prev`, `hash`, `user_id`, `actor_user_id` and `reason`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number: from 1, without gaps.
    pub seq: i64,
    /// When, in UTC; the hash is over this very text.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who acted.
    pub actor: AuditActor,
    /// What was done, such as `tool_request.approved`.
    pub act: String,
    /// The user whom it concerns: a random text for each user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<AuditObject>,
    /// Further facts.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// The trace of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The hash of the entry before; zeros in the first one.
    pub prev: String,
    /// The hash of this one.
    pub hash: String,
    /// The user behind `subject`; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The user behind the actor's `subject`, where that is another one; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_user_id: Option<String>,
    /// Why, in a person's words; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl AuditEntry {
    /// The hash that this entry must have.
    pub fn hashed(&self) -> Result<String, JcsError> {
        let entry = serde_json::to_value(self).map_err(|_| JcsError::Text)?;
        hash_of(&self.prev, &entry)
    }
}

/// The hash of an entry after the one with the hash `prev`. Fields that this version does not know are
/// a part of it.
pub fn hash_of(prev: &str, entry: &Value) -> Result<String, JcsError> {
    let mut entry = entry.clone();
    if let Value::Object(fields) = &mut entry {
        fields.retain(|name, _| !UNHASHED.contains(&name.as_str()));
    }
    let mut hash = Sha256::new();
    hash.update(prev);
    hash.update("\n");
    hash.update(canonical(&entry)?);
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `POST /audit`: what a daemon records.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordAct {
    /// `daemon.` and a name in `snake_case`.
    pub act: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<AuditObject>,
    /// Further facts, at most 8 KiB.
    #[serde(default)]
    pub details: Map<String, Value>,
    /// Why, in words; not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Makes the call safe to repeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
}

impl AgentClient {
    /// Records an act of the daemon in the backend's audit log (feature `audit`). Retried only when
    /// it has a key.
    pub async fn record_act(&self, act: &RecordAct) -> Result<AuditEntry, McError> {
        let key = act.idempotency_key.as_deref();
        self.caller.fetch(Call::create(&path(&["audit"]), act, key)?).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry() -> AuditEntry {
        serde_json::from_value(json!({
            "seq": 1, "at": "2026-11-29T08:00:00.000000Z", "act": "tool_request.approved",
            "actor": { "type": "person", "subject": "aa" }, "subject": "aa",
            "object": { "type": "tool_request", "id": "7" }, "details": { "b": 5.5, "a": "ü" },
            "prev": FIRST_PREV, "hash": "", "user_id": "ann", "reason": "fine"
        }))
        .unwrap()
    }

    #[test]
    fn the_hash_is_over_the_canonical_entry_without_what_can_be_erased() {
        let canonical = r#"{"act":"tool_request.approved","actor":{"subject":"aa","type":"person"},"at":"2026-11-29T08:00:00.000000Z","details":{"a":"ü","b":5.5},"object":{"id":"7","type":"tool_request"},"seq":1,"subject":"aa"}"#;
        let expected = Sha256::digest(format!("{FIRST_PREV}\n{canonical}"));
        let expected: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(entry().hashed().unwrap(), expected);
        let erased = AuditEntry {
            user_id: None,
            actor_user_id: Some("eve".into()),
            reason: None,
            ..entry()
        };
        assert_eq!(erased.hashed().unwrap(), expected);
    }

    #[test]
    fn every_other_field_changes_the_hash() {
        let before = entry().hashed().unwrap();
        let whole = serde_json::to_value(entry()).unwrap();
        for (name, value) in [
            ("seq", json!(2)),
            ("at", json!("2026-11-29T08:00:00Z")),
            ("act", json!("tool_request.denied")),
            ("actor", json!({ "type": "system", "subject": "aa" })),
            ("subject", json!("bb")),
            ("object", json!({ "type": "tool_request", "id": "8" })),
            ("details", json!({})),
            ("trace_id", json!("t")),
            ("unknown", json!(true)),
        ] {
            let mut changed = whole.clone();
            changed[name] = value;
            assert_ne!(hash_of(FIRST_PREV, &changed).unwrap(), before, "{name}");
        }
        assert_ne!(hash_of(&before, &whole).unwrap(), before);
    }
}

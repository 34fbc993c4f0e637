//! Sealed parts of what a run writes: where a role's journal is redacted, the backend keeps placeholders, and what
//! another instance needs to go on stands beside them, encrypted (AES-256-GCM) under a key of the run that
//! derives from the journal's.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::client::AgentClient;
use crate::deltas::RunEvent;
use crate::journal_keys::JournalKeys;
use crate::runs::{PutRun, PutStep, Run, RunStep};

/// The field that holds what was replaced in the fields beside it.
const SEALED: &str = "sealed";

/// The field of a step that holds the values of its placeholders, for the runs that give them back.
pub const RESTORES: &str = "restores";

/// Separates this use of a key from all others.
const LABEL: &str = "sealed 1";

/// Fields that hold no text of anybody.
const PLAIN: [&str; 10] = [
    "mac",
    RESTORES,
    SEALED,
    "workspace_digest",
    "profile_digest",
    "operation",
    "key",
    "tools_offered",
    "tools_refused",
    "type",
];

/// Fields that are sealed whole: the text of an event, over several of which a value may be split, and JSON in a text.
const WHOLE: [&str; 2] = ["data", "fingerprint"];

/// The fields of a run that hold whole bodies, which are read at other instances.
const BODIES: [&str; 2] = ["answer", "failure"];

/// Replaces values in what a run writes.
pub trait Mask: fmt::Debug + Send + Sync {
    /// Replaces the values in a field; whether there were any.
    fn mask(&self, name: &str, value: &mut Value) -> bool;
}

/// Whose run a part belongs to.
#[derive(Debug, Clone, Copy)]
struct Owner<'a> {
    user: &'a str,
    run_key: &'a str,
}

impl JournalKeys {
    fn seal_part(&self, owner: Owner<'_>, plain: &[u8]) -> Option<String> {
        let key = cipher(self.current_key(LABEL, &[owner.user, owner.run_key]))?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut bytes = plain.to_vec();
        let aad = Aad::from(LABEL.as_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes).ok()?;
        Some(BASE64.encode([&nonce[..], &bytes].concat()))
    }

    fn open_part(&self, owner: Owner<'_>, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        self.all_keys(LABEL, &[owner.user, owner.run_key]).find_map(|key| {
            let mut rest = rest.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let aad = Aad::from(LABEL.as_bytes());
            let opened = cipher(key)?.open_in_place(nonce, aad, &mut rest).ok()?.len();
            rest.truncate(opened);
            Some(rest)
        })
    }
}

fn cipher(key: [u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&AES_256_GCM, &key).ok().map(LessSafeKey::new)
}

impl AgentClient {
    /// The same for a run whose journal is redacted: everything that it writes there is masked, and sealed as far as
    /// it is read again.
    #[must_use]
    pub fn with_mask(mut self, mask: Arc<dyn Mask>) -> Self {
        self.mask = Some(mask);
        self
    }

    fn owner<'a>(&'a self, run_key: &'a str) -> Owner<'a> {
        Owner { user: self.caller.user().unwrap_or_default(), run_key }
    }

    /// Something of a run that only daemons are to read; `None` where there is no key.
    pub fn sealed(&self, run_key: &str, plain: &[u8]) -> Option<String> {
        self.journal_keys.as_ref()?.seal_part(self.owner(run_key), plain)
    }

    /// The same as it was.
    pub fn opened(&self, run_key: &str, sealed: &str) -> Option<Vec<u8>> {
        self.journal_keys.as_ref()?.open_part(self.owner(run_key), sealed)
    }

    /// Masks the fields, and puts what they were beside them.
    fn mask_fields(&self, run_key: &str, mask: &dyn Mask, fields: &mut Map<String, Value>) {
        let mut originals = Map::new();
        for (name, value) in fields.iter_mut().filter(|(name, _)| !PLAIN.contains(&name.as_str())) {
            let original = value.clone();
            let is_text = WHOLE.contains(&name.as_str())
                && value.as_str().is_some_and(|text| !text.is_empty());
            if is_text {
                *value = Value::String(String::new());
            }
            if is_text || mask.mask(name, value) {
                originals.insert(name.clone(), original);
            }
        }
        if originals.is_empty() {
            return;
        }
        match self.sealed(run_key, Value::Object(originals).to_string().as_bytes()) {
            Some(sealed) => drop(fields.insert(SEALED.to_owned(), Value::String(sealed))),
            None => {
                tracing::error!("what was redacted could not be sealed; the run cannot be resumed")
            }
        }
    }

    /// Puts the original fields back.
    fn open_fields(&self, run_key: &str, fields: &mut Map<String, Value>) {
        let Some(Value::String(sealed)) = fields.get(SEALED) else { return };
        let opened = self.opened(run_key, sealed);
        let originals = opened.and_then(|opened| serde_json::from_slice(&opened).ok());
        let Some(Value::Object(originals)) = originals else {
            tracing::warn!(
                run_key,
                "a sealed part cannot be read; is WOMBAT_JOURNAL_KEY another one?"
            );
            return;
        };
        fields.remove(SEALED);
        fields.extend(originals);
    }

    /// A step as it is stored.
    pub(crate) fn masked_step(&self, run_key: &str, step: &PutStep) -> Option<PutStep> {
        let mask = self.mask.as_deref()?;
        let mut step = step.clone();
        if let Value::Object(fields) = &mut step.payload {
            self.mask_fields(run_key, mask, fields);
        }
        Some(step)
    }

    /// A step as it was written.
    #[must_use]
    pub fn opened_step(&self, run_key: &str, mut step: RunStep) -> RunStep {
        if let Value::Object(fields) = &mut step.payload {
            self.open_fields(run_key, fields);
        }
        step
    }

    /// What is written of a run, as it is stored. Beginnings of texts are not read again.
    pub(crate) fn masked_run(&self, run_key: &str, run: &PutRun) -> Option<PutRun> {
        let mask = self.mask.as_deref().filter(|_| !run.extra.is_empty())?;
        let mut run = run.clone();
        for (name, value) in &mut run.extra {
            match value {
                Value::Object(body) if BODIES.contains(&name.as_str()) => {
                    self.mask_fields(run_key, mask, body);
                }
                _ => drop(mask.mask(name, value)),
            }
        }
        Some(run)
    }

    /// A run as it was written.
    pub(crate) fn opened_run(&self, run_key: &str, mut run: Run) -> Run {
        for step in &mut run.steps {
            if let Value::Object(fields) = &mut step.payload {
                self.open_fields(run_key, fields);
            }
        }
        for body in BODIES {
            if let Some(Value::Object(body)) = run.extra.get_mut(body) {
                self.open_fields(run_key, body);
            }
        }
        run
    }

    /// Events as they are stored.
    pub(crate) fn masked_events(
        &self,
        run_key: &str,
        events: &[RunEvent],
    ) -> Option<Vec<RunEvent>> {
        let mask = self.mask.as_deref()?;
        let mut events = events.to_vec();
        for event in &mut events {
            self.mask_fields(run_key, mask, &mut event.fields);
        }
        Some(events)
    }

    /// Events as they were told.
    pub fn open_events(&self, run_key: &str, events: &mut [RunEvent]) {
        for event in events {
            self.open_fields(run_key, &mut event.fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn keys(secret: &str, previous: Option<&str>) -> JournalKeys {
        let text = |text: &str| SecretString::from(text.to_owned());
        JournalKeys::new(&text(secret), previous.map(text).as_ref())
    }

    #[test]
    fn a_part_is_read_by_its_run_and_key_only() {
        let owner = Owner { user: "u1", run_key: "k1" };
        let own = keys("a key for tests", None);
        let sealed = own.seal_part(owner, b"jane@example.org").unwrap();
        assert_ne!(own.seal_part(owner, b"jane@example.org").unwrap(), sealed);
        assert!(!BASE64.decode(&sealed).unwrap().windows(4).any(|part| part == b"jane"));
        assert_eq!(own.open_part(owner, &sealed).unwrap(), b"jane@example.org");
        for other in [Owner { user: "u2", ..owner }, Owner { run_key: "k2", ..owner }] {
            assert!(own.open_part(other, &sealed).is_none());
        }
        assert!(keys("another key", None).open_part(owner, &sealed).is_none());
        let rotated = keys("another key", Some("a key for tests"));
        assert_eq!(rotated.open_part(owner, &sealed).unwrap(), b"jane@example.org");
        let mut bytes = BASE64.decode(&sealed).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        assert!(own.open_part(owner, &BASE64.encode(bytes)).is_none());
        assert!(own.open_part(owner, "AAAA").is_none() && own.open_part(owner, "~").is_none());
    }
}

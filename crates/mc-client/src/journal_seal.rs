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
use crate::error::McError;
use crate::journal_keys::JournalKeys;
use crate::runs::{PutRun, PutStep, Run, RunStep};

/// The field that holds what was replaced in the fields beside it.
const SEALED: &str = "sealed";

/// The field of a step that holds the values of its placeholders, for the runs that give them back.
pub const RESTORES: &str = "restores";

/// The field of a step that holds the values in it that the rules do not find by themselves, with their kinds.
pub const REVEALED: &str = "revealed";

/// Separates this use of a key from all others.
const LABEL: &str = "sealed 1";

/// Fields that hold no text of anybody.
const PLAIN: [&str; 9] = [
    "mac",
    RESTORES,
    REVEALED,
    SEALED,
    "workspace_digest",
    "profile_digest",
    "tools_offered",
    "tools_refused",
    "type",
];

/// Fields that are sealed whole: the text of an event, over several of which a value may be split, JSON in a text, and
/// hashes of arguments, by which whoever tries all numbers could find one.
const WHOLE: [&str; 4] = ["data", "fingerprint", "operation", "key"];

/// The fields of a run that are beginnings of texts, and are not read again. All others are ids and counts.
const TEXTS: [&str; 2] = ["asked", "reply"];

/// The fields of a run that hold whole bodies, which are read at other instances.
const BODIES: [&str; 2] = ["answer", "failure"];

/// Replaces values in what a run writes.
pub trait Mask: fmt::Debug + Send + Sync {
    /// Replaces the values in a field; whether there were any.
    fn mask(&self, name: &str, value: &mut Value) -> bool;
}

/// Whose run a part belongs to, and where it stands there: nowhere else it is read.
#[derive(Debug, Clone, Copy)]
struct Owner<'a> {
    user: &'a str,
    role: &'a str,
    run_key: &'a str,
    place: Place,
}

/// Where in a run a sealed part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Beside the fields of the step of this number.
    Step(u32),
    /// The values of placeholders in the step of this number.
    Restores(u32),
    /// The values in the step of this number that the rules do not find by themselves.
    Revealed(u32),
    /// The values of placeholders in a long result.
    Result,
    /// Beside the fields of the event of this id.
    Event(i64),
    /// In the body of the run that has this name.
    Body(&'static str),
}

/// For messages.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(number) => write!(f, "step {number}"),
            Self::Restores(number) => write!(f, "the values of placeholders of step {number}"),
            Self::Revealed(number) => write!(f, "the values to be found in step {number}"),
            Self::Result => f.write_str("the values of placeholders of a long result"),
            Self::Event(id) => write!(f, "event {id}"),
            Self::Body(name) => write!(f, "field {name} of the run"),
        }
    }
}

impl Owner<'_> {
    /// What a part is sealed with beside its key.
    fn aad(&self) -> Vec<u8> {
        let Self { role, place, .. } = self;
        format!("{LABEL} {place:?} {role}").into_bytes()
    }
}

fn unreadable(place: Place) -> McError {
    let cause =
        format!("a sealed part ({place}) cannot be read; is WOMBAT_JOURNAL_KEY another one?");
    McError::BadAnswer { cause }
}

impl JournalKeys {
    fn seal_part(&self, owner: Owner<'_>, plain: &[u8]) -> Option<String> {
        let key = cipher(self.current_key(LABEL, &[owner.user, owner.run_key]))?;
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let mut bytes = plain.to_vec();
        let aad = Aad::from(owner.aad());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes).ok()?;
        Some(BASE64.encode([&nonce[..], &bytes].concat()))
    }

    fn open_part(&self, owner: Owner<'_>, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(sealed).ok()?;
        let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
        self.all_keys(LABEL, &[owner.user, owner.run_key]).find_map(|key| {
            let mut rest = rest.to_vec();
            let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
            let aad = Aad::from(owner.aad());
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

    fn owner<'a>(&'a self, run_key: &'a str, place: Place) -> Owner<'a> {
        let (user, role) = (self.caller.user(), self.caller.role());
        Owner { user: user.unwrap_or_default(), role: role.unwrap_or_default(), run_key, place }
    }

    /// Something of a run that only daemons are to read, for this place; `None` where there is no key.
    pub fn sealed(&self, run_key: &str, place: Place, plain: &[u8]) -> Option<String> {
        self.journal_keys.as_ref()?.seal_part(self.owner(run_key, place), plain)
    }

    /// The same as it was.
    pub fn opened(&self, run_key: &str, place: Place, sealed: &str) -> Option<Vec<u8>> {
        self.journal_keys.as_ref()?.open_part(self.owner(run_key, place), sealed)
    }

    /// Masks the fields, and puts what they were beside them.
    fn mask_fields(
        &self,
        (run_key, place): (&str, Place),
        mask: &dyn Mask,
        fields: &mut Map<String, Value>,
    ) -> Result<(), McError> {
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
            return Ok(());
        }
        let plain = Value::Object(originals).to_string();
        let sealed = self.sealed(run_key, place, plain.as_bytes()).ok_or_else(|| {
            // Nothing is written that nobody could go on from.
            McError::BadAnswer { cause: "what is redacted could not be sealed".to_owned() }
        })?;
        fields.insert(SEALED.to_owned(), Value::String(sealed));
        Ok(())
    }

    /// Puts the original fields back; only those that are there.
    fn open_fields(
        &self,
        (run_key, place): (&str, Place),
        fields: &mut Map<String, Value>,
    ) -> Result<(), McError> {
        let Some(sealed) = fields.get(SEALED) else { return Ok(()) };
        let opened = sealed.as_str().and_then(|sealed| self.opened(run_key, place, sealed));
        let originals = opened.and_then(|opened| serde_json::from_slice(&opened).ok());
        let Some(Value::Object(originals)) = originals else {
            tracing::warn!(
                run_key,
                part = %place,
                "a sealed part cannot be read; is WOMBAT_JOURNAL_KEY another one?"
            );
            return Err(unreadable(place));
        };
        fields.remove(SEALED);
        for (name, original) in originals {
            if let Some(field) = fields.get_mut(&name) {
                *field = original;
            }
        }
        Ok(())
    }

    /// A step as it is stored.
    pub(crate) fn masked_step(
        &self,
        run_key: &str,
        index: u32,
        step: &PutStep,
    ) -> Result<Option<PutStep>, McError> {
        let Some(mask) = self.mask.as_deref() else { return Ok(None) };
        let mut step = step.clone();
        if let Value::Object(fields) = &mut step.payload {
            self.mask_fields((run_key, Place::Step(index)), mask, fields)?;
        }
        Ok(Some(step))
    }

    /// A step as it was written. What of it cannot be read stays as it is: its MAC is then that of another one.
    #[must_use]
    pub fn opened_step(&self, run_key: &str, mut step: RunStep) -> RunStep {
        if let Value::Object(fields) = &mut step.payload {
            let _as_it_is = self.open_fields((run_key, Place::Step(step.index)), fields);
        }
        step
    }

    /// What is written of a run, as it is stored.
    pub(crate) fn masked_run(
        &self,
        run_key: &str,
        run: &PutRun,
    ) -> Result<Option<PutRun>, McError> {
        let Some(mask) = self.mask.as_deref().filter(|_| !run.extra.is_empty()) else {
            return Ok(None);
        };
        let mut run = run.clone();
        for body in BODIES {
            if let Some(Value::Object(fields)) = run.extra.get_mut(body) {
                self.mask_fields((run_key, Place::Body(body)), mask, fields)?;
            }
        }
        for (name, value) in &mut run.extra {
            if TEXTS.contains(&name.as_str()) {
                mask.mask(name, value);
            }
        }
        Ok(Some(run))
    }

    /// A run as it was written. A body that cannot be read is none: nobody takes what is left of it for a reply.
    pub(crate) fn opened_run(&self, run_key: &str, mut run: Run) -> Run {
        let steps = std::mem::take(&mut run.steps);
        run.steps = steps.into_iter().map(|step| self.opened_step(run_key, step)).collect();
        for body in BODIES {
            if let Some(Value::Object(fields)) = run.extra.get_mut(body)
                && self.open_fields((run_key, Place::Body(body)), fields).is_err()
            {
                run.extra.remove(body);
            }
        }
        run
    }

    /// Events as they are stored, the first of which has the id `first`.
    pub(crate) fn masked_events(
        &self,
        run_key: &str,
        first: i64,
        events: &[RunEvent],
    ) -> Result<Option<Vec<RunEvent>>, McError> {
        let Some(mask) = self.mask.as_deref() else { return Ok(None) };
        let mut events = events.to_vec();
        for (id, event) in (first..).zip(&mut events) {
            self.mask_fields((run_key, Place::Event(id)), mask, &mut event.fields)?;
        }
        Ok(Some(events))
    }

    /// Events as they were told.
    ///
    /// # Errors
    /// When one cannot be read: what it told is not known.
    pub fn open_events(&self, run_key: &str, events: &mut [RunEvent]) -> Result<(), McError> {
        for event in events {
            let place = Place::Event(event.id.unwrap_or_default());
            self.open_fields((run_key, place), &mut event.fields)?;
        }
        Ok(())
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
        let owner = Owner { user: "u1", role: "scout", run_key: "k1", place: Place::Event(1) };
        let own = keys("a key for tests", None);
        let sealed = own.seal_part(owner, b"jane@example.org").unwrap();
        assert_ne!(own.seal_part(owner, b"jane@example.org").unwrap(), sealed);
        assert!(!BASE64.decode(&sealed).unwrap().windows(4).any(|part| part == b"jane"));
        assert_eq!(own.open_part(owner, &sealed).unwrap(), b"jane@example.org");
        for other in [
            Owner { user: "u2", ..owner },
            Owner { run_key: "k2", ..owner },
            Owner { role: "writer", ..owner },
            Owner { place: Place::Event(2), ..owner },
            Owner { place: Place::Step(1), ..owner },
        ] {
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

//! Message authentication codes of journal steps (docs/RUNS.md, "The journal").
//!
//! The backend keeps a run's journal, and whoever holds an agent token of the user may write there.
//! What the daemon goes on from must therefore be what a daemon wrote: each step carries a MAC over
//! the run, the step's place, the step before it, and its content.

mod chain;

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::idempotency::{hex, write_object};

pub use chain::{CALLING, JournalChain, JournalFault, TOOL};

/// The field of a step's payload that holds its MAC: 64 hexadecimal digits.
const FIELD: &str = "mac";

/// Separates this use of a secret from all others of the same secret.
const KEY_LABEL: &[u8] = b"wombat journal key 1";

/// Says what is authenticated; a later form gets another one.
const STEP_LABEL: &str = "wombat journal step 1";

/// The same for texts outside of a journal.
const TEXTS_LABEL: &str = "wombat texts 1";

/// The keys of the journal: the one that steps are sealed with, and the previous one, which only
/// verifies.
#[derive(Clone)]
pub struct JournalKeys {
    current: Hmac<Sha256>,
    previous: Option<Hmac<Sha256>>,
}

impl fmt::Debug for JournalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JournalKeys").finish_non_exhaustive()
    }
}

impl JournalKeys {
    /// Keys derived from secrets or PEM texts. White space at the ends and carriage returns do not
    /// count, so that the same key may come from a file and from a variable.
    pub fn new(secret: &SecretString, previous: Option<&SecretString>) -> Self {
        Self { current: derive(secret), previous: previous.map(derive) }
    }
}

fn derive(secret: &SecretString) -> Hmac<Sha256> {
    let text = secret.expose_secret().trim().replace('\r', "");
    let mut mac = keyed(text.as_bytes());
    mac.update(KEY_LABEL);
    keyed(&mac.finalize().into_bytes())
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length, so that this never falls back.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

/// The run that a journal belongs to. A step is valid in no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalOwner {
    /// The run's key.
    pub run_key: String,
    /// The user that the run acts for.
    pub user_id: String,
    /// The role that it acts as.
    pub role: String,
}

/// A step's place in its journal.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    owner: &'a JournalOwner,
    index: u32,
    kind: &'a str,
    /// The MAC of what was before it; see [`JournalChain`].
    previous: &'a str,
}

impl JournalKeys {
    /// Puts the MAC into a payload.
    fn seal(&self, place: Place<'_>, payload: &mut Map<String, Value>) {
        let mac = update(self.current.clone(), place, payload).finalize();
        payload.insert(FIELD.to_owned(), Value::String(hex(&mac.into_bytes())));
    }

    /// The MAC of texts that are kept outside of a journal. `label` says what they are.
    pub fn tag(&self, label: &str, texts: &[&str]) -> String {
        hex(&update_texts(self.current.clone(), label, texts).finalize().into_bytes())
    }

    /// A key for another use, which derives from the one that steps are sealed with and from texts.
    pub(crate) fn current_key(&self, label: &str, texts: &[&str]) -> [u8; 32] {
        update_texts(self.current.clone(), label, texts).finalize().into_bytes().into()
    }

    /// The same, and the one that derives from the previous key.
    pub(crate) fn all_keys(&self, label: &str, texts: &[&str]) -> impl Iterator<Item = [u8; 32]> {
        let all = std::iter::once(&self.current).chain(&self.previous);
        all.map(move |key| update_texts(key.clone(), label, texts).finalize().into_bytes().into())
    }

    /// Whether a MAC is that of these texts.
    pub fn is_tag(&self, tag: &str, label: &str, texts: &[&str]) -> bool {
        let Some(tag) = unhex(tag) else { return false };
        let fits =
            |key: &Hmac<Sha256>| update_texts(key.clone(), label, texts).verify_slice(&tag).is_ok();
        fits(&self.current) || self.previous.as_ref().is_some_and(fits)
    }

    /// Whether a payload has a MAC that is valid at this place.
    fn is_valid(&self, place: Place<'_>, payload: &Map<String, Value>) -> bool {
        let Some(tag) = mac_of(payload).and_then(unhex) else { return false };
        // Compares in constant time.
        let fits =
            |key: &Hmac<Sha256>| update(key.clone(), place, payload).verify_slice(&tag).is_ok();
        fits(&self.current) || self.previous.as_ref().is_some_and(fits)
    }
}

/// The MAC in a payload.
fn mac_of(payload: &Map<String, Value>) -> Option<&str> {
    payload.get(FIELD)?.as_str()
}

fn update(mut mac: Hmac<Sha256>, place: Place<'_>, payload: &Map<String, Value>) -> Hmac<Sha256> {
    let mut content = Vec::new();
    write_object(payload.iter().filter(|(name, _)| *name != FIELD), &mut content);
    let Place { owner, index, kind, previous } = place;
    let index = index.to_string();
    let texts = [STEP_LABEL, &owner.run_key, &owner.user_id, &owner.role, &index, kind, previous];
    for part in texts.map(str::as_bytes).into_iter().chain([content.as_slice()]) {
        update_part(&mut mac, part);
    }
    mac
}

fn update_texts(mut mac: Hmac<Sha256>, label: &str, texts: &[&str]) -> Hmac<Sha256> {
    for part in [TEXTS_LABEL, label].iter().chain(texts) {
        update_part(&mut mac, part.as_bytes());
    }
    mac
}

/// With its length, so that no two sequences of parts give the same bytes.
fn update_part(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

/// The bytes of 64 hexadecimal digits in lower case.
fn unhex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;

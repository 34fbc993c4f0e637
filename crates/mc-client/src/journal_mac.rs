//! Message authentication codes of journal steps (docs/RUNS.md, "The journal").
//!
//! The backend keeps a run's journal, and whoever holds an agent token of the user may write there.
//! What the daemon goes on from must therefore be what a daemon wrote: each step carries a MAC over
//! the run, the step's place, the step before it, and its content.

mod chain;

use hmac::{Hmac, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::idempotency::{hex, write_object};
use crate::journal_keys::{unhex, update_part};

pub use crate::journal_keys::JournalKeys;
pub use chain::{CALLING, JournalChain, JournalFault, TOOL};

/// The field of a step's payload that holds its MAC: 64 hexadecimal digits.
const FIELD: &str = "mac";

/// Says what is authenticated; a later form gets another one.
const STEP_LABEL: &str = "wombat journal step 1";

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

#[cfg(test)]
mod tests;

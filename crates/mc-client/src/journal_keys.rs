//! The keys of the journal, and what else derives from them.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::idempotency::hex;

/// Separates this use of a secret from all others of the same secret.
const KEY_LABEL: &[u8] = b"wombat journal key 1";

/// The same for texts outside of a journal.
const TEXTS_LABEL: &str = "wombat texts 1";

/// The keys of the journal: the one that steps are sealed with, and the previous one, which only
/// verifies.
#[derive(Clone)]
pub struct JournalKeys {
    pub(crate) current: Hmac<Sha256>,
    pub(crate) previous: Option<Hmac<Sha256>>,
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

impl JournalKeys {
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
}

fn update_texts(mut mac: Hmac<Sha256>, label: &str, texts: &[&str]) -> Hmac<Sha256> {
    for part in [TEXTS_LABEL, label].iter().chain(texts) {
        update_part(&mut mac, part.as_bytes());
    }
    mac
}

/// With its length, so that no two sequences of parts give the same bytes.
pub(crate) fn update_part(mac: &mut Hmac<Sha256>, part: &[u8]) {
    mac.update(&(part.len() as u64).to_be_bytes());
    mac.update(part);
}

/// The bytes of 64 hexadecimal digits in lower case.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
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

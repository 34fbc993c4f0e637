//! The page's password.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// What the key is derived with that signs browsers' cookies.
const DEVICE_SALT: &[u8] = b"wombat mission control: devices";

/// The page's password as an Argon2 hash (RFC 9106) in PHC form; the password itself is not kept.
#[derive(Clone)]
pub struct BoardPassword {
    hash: String,
    device_key: [u8; 32],
}

impl fmt::Debug for BoardPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoardPassword(…)")
    }
}

impl BoardPassword {
    /// From a hash that begins with `$argon2`, or from the password itself. The error says what is
    /// wrong with the hash.
    pub fn new(given: &SecretString) -> Result<Self, String> {
        let given = given.expose_secret();
        if given.starts_with("$argon2") {
            PasswordHash::new(given).map_err(|error| format!("is not an Argon2 hash: {error}"))?;
            let device_key = Sha256::new().chain_update(DEVICE_SALT).chain_update(given);
            return Ok(Self { hash: given.to_owned(), device_key: device_key.finalize().into() });
        }
        let failed = |error: &dyn fmt::Display| format!("could not be hashed: {error}");
        let hash = Argon2::default().hash_password(given.as_bytes());
        let hash = hash.map_err(|error| failed(&error))?.to_string();
        // As slow as a check of the password: a cookie is no faster way to guess it.
        let mut device_key = [0; 32];
        let derived =
            Argon2::default().hash_password_into(given.as_bytes(), DEVICE_SALT, &mut device_key);
        derived.map_err(|error| failed(&error))?;
        Ok(Self { hash, device_key })
    }

    /// What signs the cookies of browsers that have logged in: the same after a restart and on all
    /// instances, as long as the password, or the hash, is given as it was.
    pub(crate) fn device_key(&self) -> &[u8; 32] {
        &self.device_key
    }

    /// Whether this is the password. Slow, on purpose.
    pub(crate) fn fits(&self, password: &str) -> bool {
        PasswordHash::new(&self.hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_be_given_as_a_hash_and_is_not_shown() {
        let plain = BoardPassword::new(&"secret".to_owned().into()).unwrap();
        let hash = BoardPassword::new(&plain.hash.clone().into()).unwrap();
        assert!(hash.fits("secret") && !hash.fits("Secret") && !hash.fits(&plain.hash));
        assert!(!format!("{hash:?}").contains("argon2"));
        assert!(BoardPassword::new(&"$argon2id$nonsense".to_owned().into()).is_err());
    }
}

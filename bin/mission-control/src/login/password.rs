//! The page's password.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use secrecy::{ExposeSecret as _, SecretString};

/// The page's password as an Argon2 hash (RFC 9106) in PHC form; the password itself is not kept.
#[derive(Clone)]
pub struct BoardPassword(String);

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
            return Ok(Self(given.to_owned()));
        }
        let hash = Argon2::default().hash_password(given.as_bytes());
        let hash = hash.map_err(|error| format!("could not be hashed: {error}"))?;
        Ok(Self(hash.to_string()))
    }

    /// Whether this is the password. Slow, on purpose.
    pub(crate) fn fits(&self, password: &str) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_be_given_as_a_hash_and_is_not_shown() {
        let plain = BoardPassword::new(&"secret".to_owned().into()).unwrap();
        let hash = BoardPassword::new(&plain.0.clone().into()).unwrap();
        assert!(hash.fits("secret") && !hash.fits("Secret") && !hash.fits(&plain.0));
        assert!(!format!("{hash:?}").contains("argon2"));
        assert!(BoardPassword::new(&"$argon2id$nonsense".to_owned().into()).is_err());
    }
}

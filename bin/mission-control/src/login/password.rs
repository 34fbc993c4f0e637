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
        if let Some(hash) = argon2_hash(given) {
            check(&hash).map_err(|error| format!("is not an Argon2 hash: {error}"))?;
            let device_key = Sha256::new().chain_update(DEVICE_SALT).chain_update(&hash);
            return Ok(Self { hash, device_key: device_key.finalize().into() });
        }
        // Taken for a password it would let nobody in, or whoever has read the hash.
        if let Some(kind) = other_hash(given) {
            return Err(format!(
                "is {kind}; allowed: an Argon2 hash ($argon2id$…), or the password itself"
            ));
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

/// The Argon2 hash that a text is: as it stands, with each `$` doubled for a Compose file, in quotes
/// that docker's `--env-file` keeps, or with Django's name of the algorithm before it.
fn argon2_hash(given: &str) -> Option<String> {
    let text = given.trim();
    let unquoted =
        ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    let text = unquoted.unwrap_or(text);
    let text = text.strip_prefix("argon2").filter(|rest| rest.starts_with('$')).unwrap_or(text);
    // No part of a hash is empty.
    let text = if text.starts_with("$$argon2") { text.replace("$$", "$") } else { text.to_owned() };
    text.starts_with("$argon2").then_some(text)
}

/// Whether passwords can be checked against a hash. One without its last part fits none.
fn check(hash: &str) -> Result<(), String> {
    let parsed = PasswordHash::new(hash).map_err(|error| error.to_string())?;
    if parsed.salt.is_none() || parsed.hash.is_none() {
        return Err("its end is missing".to_owned());
    }
    match Argon2::default().verify_password(b"", &parsed) {
        Ok(()) => Err("it is that of an empty password".to_owned()),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// The hash of another kind that a text is, in words.
fn other_hash(given: &str) -> Option<&'static str> {
    let text = given.trim().trim_matches(['\'', '"']).replace("$$", "$");
    // A line of htpasswd.
    let hash = match text.split_once(":$") {
        Some((_, rest)) => format!("${rest}"),
        None => text,
    };
    // Of the crypt functions (crypt(5)), and of Django and Werkzeug.
    let kinds = [
        (
            "a bcrypt hash",
            &["$2$", "$2a$", "$2b$", "$2x$", "$2y$", "bcrypt$", "bcrypt_sha256$"][..],
        ),
        ("a scrypt hash", &["$scrypt$", "$7$", "$s0$", "scrypt$", "scrypt:"]),
        ("a yescrypt hash", &["$y$", "$gy$"]),
        ("a PBKDF2 hash", &["$pbkdf2", "pbkdf2_sha", "pbkdf2:"]),
        ("a SHA-crypt hash", &["$5$", "$6$", "$sha1$"]),
        ("an MD5-crypt hash", &["$1$", "$apr1$", "$md5"]),
        (
            "an LDAP hash",
            &["{SHA", "{SSHA", "{CRYPT}", "{MD5}", "{SMD5}", "{ARGON2", "{BCRYPT}", "{PBKDF2"],
        ),
    ];
    let known = kinds.iter().find(|(_, starts)| starts.iter().any(|start| hash.starts_with(start)));
    let is_mangled = || {
        let mut parts = hash.split(',');
        let is = |part: Option<&str>, name: &str| part.is_some_and(|part| part.starts_with(name));
        hash.starts_with('=')
            && parts.next().is_some()
            && is(parts.next(), "t=")
            && is(parts.next(), "p=")
    };
    match known {
        Some((kind, _)) => Some(kind),
        None if is_mangled() => Some(
            "what a shell or Compose leaves of an Argon2 hash (put it in single quotes, or write $$ in a Compose file)",
        ),
        None => None,
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

    #[test]
    fn a_hash_is_taken_as_people_have_it() {
        // Cheap to check, unlike those that are made here.
        let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
        let hash = argon2.hash_password(b"secret").unwrap().to_string();
        let doubled = hash.replace('$', "$$");
        for text in [
            hash.clone(),
            doubled,
            format!("'{hash}'"),
            format!("\"{hash}\" "),
            format!("argon2{hash}"),
        ] {
            let password = BoardPassword::new(&text.clone().into()).unwrap();
            assert!(password.fits("secret") && !password.fits(&text), "{text}");
        }
        let (without_end, _) = hash.rsplit_once('$').unwrap();
        let error = BoardPassword::new(&without_end.to_owned().into()).unwrap_err();
        assert_eq!(error, "is not an Argon2 hash: its end is missing");
    }

    #[test]
    fn a_hash_of_another_kind_is_no_password() {
        for (text, kind) in [
            ("$2b$12$abcdefghijklmnopqrstuv", "a bcrypt hash"),
            ("'$2y$10$abc'", "a bcrypt hash"),
            ("$$2y$$10$$abc", "a bcrypt hash"),
            ("admin:$2y$10$abc", "a bcrypt hash"),
            ("admin:$apr1$abc$def", "an MD5-crypt hash"),
            (
                "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
                "a scrypt hash",
            ),
            ("scrypt:32768:8:1$abc$def", "a scrypt hash"),
            ("$6$salt$abc", "a SHA-crypt hash"),
            ("$y$j9T$abc$def", "a yescrypt hash"),
            ("pbkdf2_sha256$600000$abc$def=", "a PBKDF2 hash"),
            ("{SSHA}abc", "an LDAP hash"),
            ("=19=19456,t=2,p=1", "what a shell or Compose leaves of an Argon2 hash"),
        ] {
            let error = BoardPassword::new(&text.to_owned().into()).unwrap_err();
            assert!(error.starts_with(&format!("is {kind}")), "{text}: {error}");
            assert!(!error.contains("abc"), "{error}");
        }
        for text in ["$ecret$1", "0123456789$abcdef", "a=b,t=1,p=2", "correct horse", "$$"] {
            assert_eq!((argon2_hash(text), other_hash(text)), (None, None), "{text}");
        }
    }
}

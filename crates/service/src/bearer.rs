//! `Authorization: Bearer`, the one form of a token that every version of Prometheus can send.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Whether the header's value (RFC 6750, section 2.1) is this token. Takes constant time, which
/// reveals neither content nor length of the token.
pub fn matches(authorization: Option<&[u8]>, token: &SecretString) -> bool {
    let Some((scheme, given)) = authorization.and_then(|value| value.split_at_checked(7)) else {
        return false;
    };
    let hash = |bytes: &[u8]| Sha256::digest(bytes);
    scheme.eq_ignore_ascii_case(b"bearer ")
        && bool::from(hash(given.trim_ascii()).ct_eq(&hash(token.expose_secret().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_as_a_bearer_opens() {
        let token = SecretString::from("right");
        for value in ["Bearer right", "bearer  right"] {
            assert!(matches(Some(value.as_bytes()), &token), "{value}");
        }
        for value in ["", "right", "Bearer ", "Bearer wrong", "Bearer right2", "Basic right"] {
            assert!(!matches(Some(value.as_bytes()), &token), "{value}");
        }
        assert!(!matches(None, &token));
    }
}

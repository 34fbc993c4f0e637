//! Agent tokens: valid ones, and every kind that a verifier must refuse (RFC 8725).

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{EncodingKey, Header};
use mc_client::token::{Algorithm, Key, TokenError};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use sha2::{Sha256, Sha512};

/// How long the suite's own tokens are valid, in seconds.
const TTL: u64 = 300;

/// The role of the suite's agents.
pub(crate) const ROLE: &str = "conformance";

/// The keys of the tokens that the backend must accept.
pub(crate) struct Keys {
    key: EncodingKey,
    algorithm: jsonwebtoken::Algorithm,
    symmetric: Option<Vec<u8>>,
    public: Option<Vec<u8>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Base64url, as the parts of a token are encoded.
pub(crate) fn part(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The claims of a valid token; made five seconds ago, as the daemon's.
pub(crate) fn claims(user_id: &str, role: &str) -> Map<String, Value> {
    let iat = now() - 5;
    let claims = json!({
        "type": "agent", "user_id": user_id, "agent_role": role, "sub": format!("wombat:{role}"),
        "iss": "wombat", "iat": iat, "nbf": iat, "exp": now() + TTL,
        "jti": uuid::Uuid::new_v4().to_string()
    });
    match claims {
        Value::Object(claims) => claims,
        _ => Map::new(),
    }
}

impl Keys {
    /// From the key that the daemon has; `public` is the public half, if there is one.
    pub(crate) fn new(
        key: &Key,
        algorithm: Algorithm,
        public: Option<&str>,
    ) -> Result<Self, TokenError> {
        let unfit = |error: jsonwebtoken::errors::Error| TokenError::Key(error.to_string());
        let jwt = match algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
            Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        let (encoding, symmetric) = match key {
            Key::Secret(secret) if algorithm.is_symmetric() => {
                let bytes = secret.expose_secret().as_bytes();
                (EncodingKey::from_secret(bytes), Some(bytes.to_vec()))
            }
            Key::Pem(pem) if !algorithm.is_symmetric() => {
                let bytes = pem.expose_secret().as_bytes();
                let key = match algorithm {
                    Algorithm::Es256 => EncodingKey::from_ec_pem(bytes),
                    Algorithm::EdDsa => EncodingKey::from_ed_pem(bytes),
                    Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 | Algorithm::Rs256 => {
                        EncodingKey::from_rsa_pem(bytes)
                    }
                };
                (key.map_err(unfit)?, None)
            }
            Key::Secret(_) | Key::Pem(_) => {
                return Err(TokenError::Key("the key does not fit the algorithm".to_owned()));
            }
        };
        let public = public.map(|text| text.as_bytes().to_vec());
        Ok(Self { key: encoding, algorithm: jwt, symmetric, public })
    }

    /// The name of the algorithm that the backend must accept, and no other.
    pub(crate) fn algorithm(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// Tokens signed with other HMAC algorithms and the same secret, with their names; none without a
    /// secret.
    pub(crate) fn siblings(&self, claims: &Map<String, Value>) -> Vec<(String, String)> {
        use jsonwebtoken::Algorithm::{HS256, HS384, HS512};
        let others = [HS256, HS384, HS512].into_iter().filter(|other| *other != self.algorithm);
        match self.symmetric {
            Some(_) => others
                .filter_map(|other| {
                    let token =
                        jsonwebtoken::encode(&Header::new(other), claims, &self.key).ok()?;
                    Some((format!("{other:?} with the same secret"), token))
                })
                .collect(),
            None => Vec::new(),
        }
    }

    /// Signs with the right key and the right algorithm.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> Result<String, TokenError> {
        jsonwebtoken::encode(&Header::new(self.algorithm), claims, &self.key)
            .map_err(|error| TokenError::Sign(error.to_string()))
    }

    /// The public key, if it was given.
    pub(crate) fn public(&self) -> Option<&[u8]> {
        self.public.as_deref()
    }

    /// Whether the key is a shared secret.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.symmetric.is_some()
    }
}

/// A token with an arbitrary header, signed with HMAC-SHA-256 and an arbitrary key.
pub(crate) fn forge(header: &Value, claims: &Map<String, Value>, key: &[u8]) -> String {
    let message = unsigned(header, claims);
    let signature = Hmac::<Sha256>::new_from_slice(key).map(|mut mac| {
        mac.update(message.as_bytes());
        mac.finalize().into_bytes().to_vec()
    });
    format!("{message}.{}", part(signature.unwrap_or_default()))
}

/// The same with HMAC-SHA-512.
pub(crate) fn forge_512(header: &Value, claims: &Map<String, Value>, key: &[u8]) -> String {
    let message = unsigned(header, claims);
    let signature = Hmac::<Sha512>::new_from_slice(key).map(|mut mac| {
        mac.update(message.as_bytes());
        mac.finalize().into_bytes().to_vec()
    });
    format!("{message}.{}", part(signature.unwrap_or_default()))
}

/// Header and claims, without a signature and the dot before it.
pub(crate) fn unsigned(header: &Value, claims: &Map<String, Value>) -> String {
    let claims = Value::Object(claims.clone());
    format!("{}.{}", part(header.to_string()), part(claims.to_string()))
}

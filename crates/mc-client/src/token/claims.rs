//! Algorithms, keys and claims of agent tokens.

use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// `type` of every agent token.
pub(super) const TOKEN_TYPE: &str = "agent";

/// `iss` of every agent token.
pub(super) const ISSUER: &str = "wombat";

/// How the TypeScript original and its renamed successor begin `sub`.
pub(super) const LEGACY_SUBJECTS: [&str; 2] = ["wombat", "clasper"];

/// How far the clocks of who mints and who verifies may differ.
pub(crate) const LEEWAY: Duration = Duration::from_secs(60);

/// How long before now a token says that it was made, for backends that allow for no difference.
pub(super) const BACK: Duration = Duration::from_secs(5);

/// A shorter secret can be guessed (RFC 7518, section 3.2: as long as the hash).
pub const MIN_SECRET_BYTES: usize = 32;

/// How tokens are signed (`AGENT_JWT_ALGORITHM`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256, the default.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS#1 1.5, SHA-256.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All algorithms, as settings name them.
    pub const ALLOWED: &str = "HS256, HS384, HS512, RS256, ES256 or EdDSA";

    /// Whether both sides share one secret.
    pub fn is_symmetric(self) -> bool {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => true,
            Self::Rs256 | Self::Es256 | Self::EdDsa => false,
        }
    }

    pub(super) fn jwt(self) -> jsonwebtoken::Algorithm {
        match self {
            Self::Hs256 => jsonwebtoken::Algorithm::HS256,
            Self::Hs384 => jsonwebtoken::Algorithm::HS384,
            Self::Hs512 => jsonwebtoken::Algorithm::HS512,
            Self::Rs256 => jsonwebtoken::Algorithm::RS256,
            Self::Es256 => jsonwebtoken::Algorithm::ES256,
            Self::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        }
    }
}

impl FromStr for Algorithm {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "HS256" => Ok(Self::Hs256),
            "HS384" => Ok(Self::Hs384),
            "HS512" => Ok(Self::Hs512),
            "RS256" => Ok(Self::Rs256),
            "ES256" => Ok(Self::Es256),
            "EdDSA" => Ok(Self::EdDsa),
            _ => Err(()),
        }
    }
}

/// A secret, or one half of a key pair as PEM.
#[derive(Debug, Clone)]
pub enum Key {
    /// `AGENT_JWT_SECRET`.
    Secret(SecretString),
    /// The text of a PEM file: private to sign, public to verify.
    Pem(SecretString),
}

/// Why a token could not be minted or was rejected.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// The key does not fit the algorithm. The text contains no key material.
    #[error("{0}")]
    Key(String),
    /// The token could not be signed.
    #[error("the agent token could not be signed: {0}")]
    Sign(String),
    /// The token is not valid now: it has expired, or is not valid yet.
    #[error("the agent token is not valid now: {0}")]
    Untimely(String),
    /// The key is the right one, and the token is one of the TypeScript original, which are not
    /// accepted; the text says what differs.
    #[error("the agent token is one of the TypeScript original: {0}")]
    Legacy(String),
    /// The key is the right one, and a claim is missing or wrong; the text says which.
    #[error("the agent token has other claims than the contract: {0}")]
    Claims(String),
    /// The token is signed by another algorithm, so that nothing is known of its key.
    #[error("the agent token is signed with {0}")]
    Algorithm(String),
    /// The token is not valid, or is signed with another key; the reason is for the log.
    #[error("the agent token is not valid: {0}")]
    Invalid(String),
}

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `agent`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The user that the agent acts for: the tenant.
    pub user_id: String,
    /// The agent's role.
    pub agent_role: String,
    /// `wombat:{role}`.
    pub sub: String,
    /// `wombat`; empty where an original's token has none.
    pub iss: String,
    /// Seconds since 1970.
    pub iat: u64,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Seconds since 1970.
    pub exp: u64,
    /// Unique for every token; empty where an original's token has none.
    pub jti: String,
    /// The backend's own id of the agent, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The same user again, in a token that is for one thing only: to store what that user said
    /// (feature `user_messages`). Nothing that a model calls is sent with such a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
}

impl Claims {
    /// Whether the token may store what its user said.
    pub fn speaks_for_user(&self) -> bool {
        self.on_behalf_of.as_ref() == Some(&self.user_id)
    }
}

//! The agent token: a short-lived JWT that lets an agent act as one user only.
//!
//! Programs mint it, the reference backend verifies it. The verifier follows RFC 8725: one pinned
//! algorithm, all claims required, nothing else accepted.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `type` of every agent token.
const TOKEN_TYPE: &str = "agent";

/// `iss` of every agent token.
const ISSUER: &str = "wombat";

/// The clock skew that is accepted.
const LEEWAY: Duration = Duration::from_secs(5);

/// A token is renewed when less than this is left of its lifetime.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

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

    fn jwt(self) -> jsonwebtoken::Algorithm {
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
    /// The token is not valid; the reason is for the log.
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
    /// `wombat`.
    pub iss: String,
    /// Seconds since 1970.
    pub iat: u64,
    /// Seconds since 1970.
    pub exp: u64,
    /// Unique for every token.
    pub jti: String,
    /// The backend's own id of the agent, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
}

/// Mints tokens.
pub struct TokenMinter {
    key: EncodingKey,
    algorithm: Algorithm,
    ttl: Duration,
    key_id: Option<String>,
}

impl fmt::Debug for TokenMinter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMinter").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl TokenMinter {
    /// A minter of tokens with the lifetime `ttl`.
    pub fn new(key: &Key, algorithm: Algorithm, ttl: Duration) -> Result<Self, TokenError> {
        let unfit = |what: &str| TokenError::Key(format!("{what} does not fit the algorithm"));
        let key = match (key, algorithm) {
            (Key::Secret(secret), algorithm) if algorithm.is_symmetric() => {
                EncodingKey::from_secret(secret.expose_secret().as_bytes())
            }
            (Key::Secret(_), _) => return Err(unfit("a secret")),
            (Key::Pem(pem), Algorithm::Rs256) => {
                EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes())
                    .map_err(|error| TokenError::Key(format!("not an RSA private key: {error}")))?
            }
            (Key::Pem(pem), Algorithm::Es256) => {
                EncodingKey::from_ec_pem(pem.expose_secret().as_bytes())
                    .map_err(|error| TokenError::Key(format!("not an EC private key: {error}")))?
            }
            (Key::Pem(pem), Algorithm::EdDsa) => {
                EncodingKey::from_ed_pem(pem.expose_secret().as_bytes()).map_err(|error| {
                    TokenError::Key(format!("not an Ed25519 private key: {error}"))
                })?
            }
            (Key::Pem(_), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512) => {
                return Err(unfit("a PEM key"));
            }
        };
        Ok(Self { key, algorithm, ttl, key_id: None })
    }

    /// Puts the key's id into each token as `kid` (RFC 7515, section 4.1.4), for backends that have
    /// several keys.
    #[must_use]
    pub fn with_key_id(mut self, key_id: Option<String>) -> Self {
        self.key_id = key_id;
        self
    }

    /// A token for one user and one role.
    pub fn mint(&self, user_id: &str, role: &str) -> Result<AgentToken, TokenError> {
        let now = SystemTime::now();
        let iat = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let claims = Claims {
            kind: TOKEN_TYPE.to_owned(),
            user_id: user_id.to_owned(),
            agent_role: role.to_owned(),
            sub: format!("{ISSUER}:{role}"),
            iss: ISSUER.to_owned(),
            iat,
            exp: iat + self.ttl.as_secs(),
            jti: Uuid::now_v7().to_string(),
            agent_id: None,
        };
        let mut header = Header::new(self.algorithm.jwt());
        header.kid.clone_from(&self.key_id);
        let jwt = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|error| TokenError::Sign(error.to_string()))?;
        let mut header =
            HeaderValue::from_str(&jwt).map_err(|error| TokenError::Sign(error.to_string()))?;
        header.set_sensitive(true);
        Ok(AgentToken { header, expires_at: now + self.ttl })
    }
}

/// A signed token. Its text is available only as a header value that logs do not show.
#[derive(Debug, Clone)]
pub struct AgentToken {
    header: HeaderValue,
    expires_at: SystemTime,
}

impl AgentToken {
    /// The value of `X-Agent-Token`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// When it expires.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    fn is_fresh(&self, ttl: Duration) -> bool {
        let left = self.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        left > RENEW_BEFORE.min(ttl / 2)
    }
}

/// Authentication as one user and role: a token that is renewed before it expires.
#[derive(Debug)]
pub struct AgentAuth {
    minter: Arc<TokenMinter>,
    user_id: String,
    role: String,
    current: Mutex<AgentToken>,
}

impl AgentAuth {
    /// Mints the first token.
    pub fn new(minter: Arc<TokenMinter>, user_id: &str, role: &str) -> Result<Self, TokenError> {
        let current = Mutex::new(minter.mint(user_id, role)?);
        Ok(Self { minter, user_id: user_id.to_owned(), role: role.to_owned(), current })
    }

    /// The value of `X-Agent-Token`, of a token that stays valid for a call.
    pub fn header(&self) -> Result<HeaderValue, TokenError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is_fresh(self.minter.ttl) {
            *current = self.minter.mint(&self.user_id, &self.role)?;
        }
        Ok(current.header())
    }
}

/// Verifies tokens.
pub struct TokenVerifier {
    /// The current key first, then previous keys during a rotation.
    keys: Vec<DecodingKey>,
    validation: Validation,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier").finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// A verifier that accepts only this algorithm.
    pub fn new(key: &Key, algorithm: Algorithm) -> Result<Self, TokenError> {
        let mut validation = Validation::new(algorithm.jwt());
        validation.leeway = LEEWAY.as_secs();
        // RFC 7519, section 4.1.5.
        validation.validate_nbf = true;
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        Ok(Self { keys: vec![Self::decoding(key, algorithm)?], validation })
    }

    /// Accepts tokens of a previous key of the same algorithm, too, during a key rotation. The `kid`
    /// of a token is never looked up (RFC 8725, section 3.10): each key is tried.
    pub fn with_previous(mut self, key: &Key, algorithm: Algorithm) -> Result<Self, TokenError> {
        self.keys.push(Self::decoding(key, algorithm)?);
        Ok(self)
    }

    fn decoding(key: &Key, algorithm: Algorithm) -> Result<DecodingKey, TokenError> {
        let unfit = |what: &str| TokenError::Key(format!("{what} does not fit the algorithm"));
        Ok(match (key, algorithm) {
            (Key::Secret(secret), algorithm) if algorithm.is_symmetric() => {
                DecodingKey::from_secret(secret.expose_secret().as_bytes())
            }
            (Key::Secret(_), _) => return Err(unfit("a secret")),
            (Key::Pem(pem), Algorithm::Rs256) => {
                DecodingKey::from_rsa_pem(pem.expose_secret().as_bytes())
                    .map_err(|error| TokenError::Key(format!("not an RSA public key: {error}")))?
            }
            (Key::Pem(pem), Algorithm::Es256) => {
                DecodingKey::from_ec_pem(pem.expose_secret().as_bytes())
                    .map_err(|error| TokenError::Key(format!("not an EC public key: {error}")))?
            }
            (Key::Pem(pem), Algorithm::EdDsa) => {
                DecodingKey::from_ed_pem(pem.expose_secret().as_bytes()).map_err(|error| {
                    TokenError::Key(format!("not an Ed25519 public key: {error}"))
                })?
            }
            (Key::Pem(_), Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512) => {
                return Err(unfit("a PEM key"));
            }
        })
    }

    /// The claims of a valid token.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let decode = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation);
        let mut keys = self.keys.iter();
        let mut tried = keys.next().map(decode);
        // Only a wrong signature may be that of another key.
        while let Some(Err(error)) = &tried
            && matches!(error.kind(), jsonwebtoken::errors::ErrorKind::InvalidSignature)
            && let Some(key) = keys.next()
        {
            tried = Some(decode(key));
        }
        let data = tried
            .ok_or_else(|| TokenError::Invalid("there is no key".to_owned()))?
            .map_err(|error| TokenError::Invalid(error.to_string()))?;
        let claims = data.claims;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let invalid = |why: &str| Err(TokenError::Invalid(why.to_owned()));
        if claims.kind != TOKEN_TYPE {
            return invalid("type is not agent");
        }
        if claims.user_id.is_empty() || claims.agent_role.is_empty() || claims.jti.is_empty() {
            return invalid("user_id, agent_role or jti is empty");
        }
        if claims.sub != format!("{ISSUER}:{}", claims.agent_role) {
            return invalid("sub is not wombat:{agent_role}");
        }
        if claims.iat > (now + LEEWAY).as_secs() {
            return invalid("iat is in the future");
        }
        Ok(claims)
    }
}

#[cfg(test)]
mod tests;

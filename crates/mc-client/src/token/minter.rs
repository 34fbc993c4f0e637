//! Minting agent tokens, and renewing them.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use jsonwebtoken::{EncodingKey, Header};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use super::claims::{Algorithm, BACK, Claims, ISSUER, Key, TOKEN_TYPE, TokenError};

/// A token is renewed when less than this is left of its lifetime.
const RENEW_BEFORE: Duration = Duration::from_secs(60);

/// How old a token must be that is replaced because it was refused: where it is the key that is wrong, no call is sent
/// twice for nothing.
const RENEWED_AFTER: Duration = Duration::from_secs(2);

/// Mints tokens.
pub struct TokenMinter {
    key: EncodingKey,
    algorithm: Algorithm,
    ttl: Duration,
    key_id: Option<String>,
    /// Whether tokens are sent as `Authorization: Bearer`, too.
    as_bearer: bool,
    /// All tokens that it minted, to be cut from answers.
    sent: shown::Tokens,
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
        Ok(Self {
            key,
            algorithm,
            ttl,
            key_id: None,
            as_bearer: false,
            sent: shown::Tokens::default(),
        })
    }

    /// Puts the key's id into each token as `kid` (RFC 7515, section 4.1.4), for backends that have
    /// several keys.
    #[must_use]
    pub fn with_key_id(mut self, key_id: Option<String>) -> Self {
        self.key_id = key_id;
        self
    }

    /// Has tokens sent as `Authorization: Bearer`, too (RFC 6750, section 2.1), for frameworks that look
    /// there.
    #[must_use]
    pub fn with_bearer(mut self, as_bearer: bool) -> Self {
        self.as_bearer = as_bearer;
        self
    }

    /// A token for one user and one role.
    pub fn mint(&self, user_id: &str, role: &str) -> Result<AgentToken, TokenError> {
        self.sign(user_id, role, false)
    }

    /// A token; `speaks_for_user`: whether it may store what the user said.
    fn sign(
        &self,
        user_id: &str,
        role: &str,
        speaks_for_user: bool,
    ) -> Result<AgentToken, TokenError> {
        let now = SystemTime::now();
        let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let iat = seconds.saturating_sub(BACK.as_secs());
        let claims = Claims {
            kind: TOKEN_TYPE.to_owned(),
            user_id: user_id.to_owned(),
            agent_role: role.to_owned(),
            sub: format!("{ISSUER}:{role}"),
            iss: ISSUER.to_owned(),
            iat,
            nbf: Some(iat),
            exp: seconds + self.ttl.as_secs(),
            jti: Uuid::now_v7().to_string(),
            agent_id: None,
            on_behalf_of: speaks_for_user.then(|| user_id.to_owned()),
        };
        let mut header = Header::new(self.algorithm.jwt());
        header.kid.clone_from(&self.key_id);
        let jwt = jsonwebtoken::encode(&header, &claims, &self.key)
            .map_err(|error| TokenError::Sign(error.to_string()))?;
        self.sent.note(&jwt);
        let bearer = self.as_bearer.then(|| sensitive(&format!("Bearer {jwt}"))).transpose()?;
        Ok(AgentToken { header: sensitive(&jwt)?, bearer, expires_at: now + self.ttl })
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, TokenError> {
    let header = HeaderValue::from_str(text);
    let mut header = header.map_err(|error| TokenError::Sign(error.to_string()))?;
    header.set_sensitive(true);
    Ok(header)
}

/// A signed token. Its text is available only as a header value that logs do not show.
#[derive(Debug, Clone)]
pub struct AgentToken {
    header: HeaderValue,
    bearer: Option<HeaderValue>,
    pub(super) expires_at: SystemTime,
}

impl AgentToken {
    /// The value of `X-Agent-Token`.
    pub fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The value of `Authorization`, where it is sent there, too.
    pub fn bearer(&self) -> Option<HeaderValue> {
        self.bearer.clone()
    }

    /// When it expires.
    pub fn expires_at(&self) -> SystemTime {
        self.expires_at
    }

    /// Whether it stays valid for a call. With more left than a token ever has, the clock was put back.
    fn is_fresh(&self, ttl: Duration) -> bool {
        let left = self.expires_at.duration_since(SystemTime::now()).unwrap_or_default();
        left > RENEW_BEFORE.min(ttl / 2) && left <= ttl
    }
}

/// Authentication as one user and role: a token that is renewed before it expires.
#[derive(Debug)]
pub struct AgentAuth {
    minter: Arc<TokenMinter>,
    user_id: String,
    role: String,
    speaks_for_user: bool,
    pub(super) current: Mutex<AgentToken>,
    /// The same user and role, with tokens that may store what the user said.
    for_user: OnceLock<Arc<Self>>,
    /// When the user's data was erased, as far as a backend has told.
    erased_at: Arc<Mutex<Option<SystemTime>>>,
}

impl AgentAuth {
    /// Mints the first token.
    pub fn new(minter: Arc<TokenMinter>, user_id: &str, role: &str) -> Result<Self, TokenError> {
        Self::with_claim(minter, user_id, role, false, Arc::default())
    }

    fn with_claim(
        minter: Arc<TokenMinter>,
        user_id: &str,
        role: &str,
        speaks_for_user: bool,
        erased_at: Arc<Mutex<Option<SystemTime>>>,
    ) -> Result<Self, TokenError> {
        let current = Mutex::new(minter.sign(user_id, role, speaks_for_user)?);
        let (user_id, role) = (user_id.to_owned(), role.to_owned());
        let for_user = OnceLock::new();
        Ok(Self { minter, user_id, role, speaks_for_user, current, for_user, erased_at })
    }

    /// The same user and role, with tokens that may store what the user said.
    pub(crate) fn for_user(&self) -> Result<Arc<Self>, TokenError> {
        if let Some(known) = self.for_user.get() {
            return Ok(Arc::clone(known));
        }
        let erased_at = Arc::clone(&self.erased_at);
        let new =
            Self::with_claim(self.minter.clone(), &self.user_id, &self.role, true, erased_at)?;
        Ok(Arc::clone(self.for_user.get_or_init(|| Arc::new(new))))
    }

    /// The user that its tokens name.
    pub(crate) fn user(&self) -> &str {
        &self.user_id
    }

    /// The role that its tokens name.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// All tokens of its minter, to be cut from answers.
    pub(crate) fn sent(&self) -> &shown::Tokens {
        &self.minter.sent
    }

    /// A token that stays valid for a call.
    pub fn token(&self) -> Result<AgentToken, TokenError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.is_fresh(self.minter.ttl) {
            *current = self.minter.sign(&self.user_id, &self.role, self.speaks_for_user)?;
        }
        Ok(current.clone())
    }

    /// Whether the user's data was erased after something began that calls with these tokens, as far as is known.
    pub(crate) fn is_erased_since(&self, began: SystemTime) -> bool {
        let erased_at = self.erased_at.lock().unwrap_or_else(PoisonError::into_inner);
        erased_at.is_some_and(|erased_at| began <= erased_at)
    }

    /// Notes when the user's data was erased, after a call that began then was refused because of it. Whoever calls
    /// next has another token, however new this one is.
    pub(crate) fn note_erased(&self, erased_at: SystemTime, began: SystemTime) {
        {
            let mut known = self.erased_at.lock().unwrap_or_else(PoisonError::into_inner);
            *known = Some(known.map_or(erased_at, |known| known.max(erased_at)));
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.expires_at - self.minter.ttl > began {
            return;
        }
        if let Ok(new) = self.minter.sign(&self.user_id, &self.role, self.speaks_for_user) {
            *current = new;
        }
    }

    /// After a call that began then was refused: whether there is another token to try. One that is as new as can be is
    /// not replaced.
    pub(crate) fn renew(&self, began: SystemTime) -> bool {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let minted = current.expires_at - self.minter.ttl;
        if minted > began {
            return true;
        }
        if minted.elapsed().unwrap_or_default() < RENEWED_AFTER {
            return false;
        }
        match self.minter.sign(&self.user_id, &self.role, self.speaks_for_user) {
            Ok(new) => {
                *current = new;
                true
            }
            Err(_) => false,
        }
    }

    /// The value of `X-Agent-Token`, of a token that stays valid for a call.
    pub fn header(&self) -> Result<HeaderValue, TokenError> {
        Ok(self.token()?.header)
    }
}

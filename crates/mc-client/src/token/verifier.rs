//! Verifying agent tokens.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use secrecy::ExposeSecret as _;

use serde_json::{Map, Value};

use super::claims::{
    Algorithm, Claims, ISSUER, Key, LEEWAY, LEGACY_SUBJECTS, TOKEN_TYPE, TokenError,
};

/// Verifies tokens.
pub struct TokenVerifier {
    /// The current key first, then previous keys during a rotation.
    keys: Vec<DecodingKey>,
    validation: Validation,
    /// Whether tokens of the TypeScript original are accepted, too.
    accepts_legacy: bool,
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
        // What else is required is looked at below, where it can be said what is missing.
        validation.set_required_spec_claims(&["exp"]);
        let keys = vec![Self::decoding(key, algorithm)?];
        Ok(Self { keys, validation, accepts_legacy: false })
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

    /// Accepts tokens of the TypeScript original, too: without `iss` and `jti`, and with a `sub` that
    /// begins with either of its names (`AGENT_JWT_LEGACY`).
    #[must_use]
    pub fn with_legacy(mut self, accepts_legacy: bool) -> Self {
        self.accepts_legacy = accepts_legacy;
        self
    }

    /// Whether it accepts tokens of the TypeScript original.
    pub fn accepts_legacy(&self) -> bool {
        self.accepts_legacy
    }

    /// The claims of a valid token.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let given = self.decode(token)?;
        let claims = Claims {
            kind: text(&given, "type")?,
            user_id: text(&given, "user_id")?,
            agent_role: text(&given, "agent_role")?,
            sub: text(&given, "sub")?,
            iss: optional_text(&given, "iss")?,
            iat: seconds(&given, "iat")?,
            nbf: given.contains_key("nbf").then(|| seconds(&given, "nbf")).transpose()?,
            exp: seconds(&given, "exp")?,
            jti: optional_text(&given, "jti")?,
            agent_id: given.get("agent_id").and_then(Value::as_str).map(str::to_owned),
            on_behalf_of: given.get("on_behalf_of").and_then(Value::as_str).map(str::to_owned),
        };
        if claims.kind != TOKEN_TYPE {
            return Err(TokenError::Claims("type is not agent".to_owned()));
        }
        let differs = departures(&claims)?;
        if !differs.is_empty() && !self.accepts_legacy {
            return Err(TokenError::Legacy(differs.join(", ")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if claims.iat > (now + LEEWAY).as_secs() {
            return Err(TokenError::Untimely("iat is in the future".to_owned()));
        }
        Ok(claims)
    }

    /// What a token says, if one of the keys signed it and it is valid now.
    fn decode(&self, token: &str) -> Result<Given, TokenError> {
        let decode = |key| jsonwebtoken::decode::<Given>(token, key, &self.validation);
        let mut keys = self.keys.iter();
        let mut tried = keys.next().map(decode);
        // Only a wrong signature may be that of another key.
        while let Some(Err(error)) = &tried
            && matches!(error.kind(), ErrorKind::InvalidSignature)
            && let Some(key) = keys.next()
        {
            tried = Some(decode(key));
        }
        let tried = tried.ok_or_else(|| TokenError::Invalid("there is no key".to_owned()))?;
        let given = tried.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => {
                TokenError::Untimely(error.to_string())
            }
            ErrorKind::MissingRequiredClaim(name) => {
                TokenError::Claims(format!("{name} is missing"))
            }
            ErrorKind::InvalidClaimFormat(name) => {
                TokenError::Claims(format!("{name} is of another kind"))
            }
            ErrorKind::InvalidAudience => {
                TokenError::Claims("aud names another audience".to_owned())
            }
            ErrorKind::InvalidAlgorithm => {
                let given = jsonwebtoken::decode_header(token).map(|header| header.alg);
                given.map_or_else(
                    |error| TokenError::Invalid(error.to_string()),
                    |alg| TokenError::Algorithm(format!("{alg:?}")),
                )
            }
            _ => TokenError::Invalid(error.to_string()),
        })?;
        Ok(given.claims)
    }
}

/// What a token says, of whatever kind.
type Given = Map<String, Value>;

/// A claim that must be there, with a text.
fn text(given: &Given, name: &str) -> Result<String, TokenError> {
    match given.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::String(_)) => Err(TokenError::Claims(format!("{name} is empty"))),
        Some(_) => Err(TokenError::Claims(format!("{name} is not a string"))),
        None => Err(TokenError::Claims(format!("{name} is missing"))),
    }
}

/// A claim that may be missing; empty then.
fn optional_text(given: &Given, name: &str) -> Result<String, TokenError> {
    if given.contains_key(name) { text(given, name) } else { Ok(String::new()) }
}

/// A time, in seconds since 1970, with a fraction or without (RFC 7519, section 2, `NumericDate`).
fn seconds(given: &Given, name: &str) -> Result<u64, TokenError> {
    let value = given.get(name).ok_or_else(|| TokenError::Claims(format!("{name} is missing")))?;
    let whole = || value.as_f64().filter(|seconds| *seconds >= 0.0 && *seconds < 1e15);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded above")]
    let seconds = value.as_u64().or_else(|| whole().map(|seconds| seconds as u64));
    seconds.ok_or_else(|| TokenError::Claims(format!("{name} is not a time in seconds")))
}

/// In what a token is one of the original; an error where it is none of either's.
fn departures(claims: &Claims) -> Result<Vec<&'static str>, TokenError> {
    let mut differs = Vec::new();
    match claims.iss.as_str() {
        ISSUER => {}
        "" => differs.push("iss is missing"),
        _ => return Err(TokenError::Claims("iss is not wombat".to_owned())),
    }
    if claims.jti.is_empty() {
        differs.push("jti is missing");
    }
    let names = claims.sub.strip_suffix(&claims.agent_role).and_then(|sub| sub.strip_suffix(':'));
    match names {
        Some(ISSUER) => {}
        Some(name) if LEGACY_SUBJECTS.contains(&name) => {
            differs.push("sub is clasper:{agent_role}")
        }
        _ => return Err(TokenError::Claims("sub is not wombat:{agent_role}".to_owned())),
    }
    Ok(differs)
}

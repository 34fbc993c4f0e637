//! Verifying agent tokens.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation};
use secrecy::ExposeSecret as _;

use super::claims::{Algorithm, Claims, ISSUER, Key, LEEWAY, TOKEN_TYPE, TokenError};

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
            && matches!(error.kind(), ErrorKind::InvalidSignature)
            && let Some(key) = keys.next()
        {
            tried = Some(decode(key));
        }
        let data = tried
            .ok_or_else(|| TokenError::Invalid("there is no key".to_owned()))?
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature | ErrorKind::ImmatureSignature => {
                    TokenError::Untimely(error.to_string())
                }
                _ => TokenError::Invalid(error.to_string()),
            })?;
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
            return Err(TokenError::Untimely("iat is in the future".to_owned()));
        }
        Ok(claims)
    }
}

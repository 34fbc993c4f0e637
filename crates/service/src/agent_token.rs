//! The settings of agent tokens, `AGENT_JWT_*`, shared by several programs.

use std::path::PathBuf;
use std::sync::Arc;

use mc_client::token::{Algorithm, Key, MIN_SECRET_BYTES, TokenMinter};
use secrecy::{ExposeSecret, SecretString};

use crate::settings::Reader;

/// The result of reading the settings of agent tokens.
#[derive(Debug, Clone, Default)]
pub struct AgentTokens {
    /// Mints tokens; `None` when no key is set.
    pub minter: Option<Arc<TokenMinter>>,
    /// What signs the tokens; other keys can be derived from it.
    pub key: Option<Key>,
    /// A warning for the log.
    pub warning: Option<String>,
}

/// Reads `AGENT_JWT_SECRET` or `AGENT_JWT_PRIVATE_KEY`, `AGENT_JWT_ALGORITHM`, `AGENT_JWT_KEY_ID`,
/// `AGENT_JWT_BEARER` and `AGENT_JWT_TTL_SECS`. With `required`, a missing key is a problem.
pub fn read(reader: &mut Reader<'_>, required: bool) -> AgentTokens {
    let secret = reader.secret("AGENT_JWT_SECRET");
    let pem_file: Option<PathBuf> = reader.optional("AGENT_JWT_PRIVATE_KEY").map(PathBuf::from);
    let algorithm = reader.parse::<Algorithm>("AGENT_JWT_ALGORITHM", "HS256", Algorithm::ALLOWED);
    let ttl = reader.seconds("AGENT_JWT_TTL_SECS", 900, 10..=86_400);
    let key_id = reader.optional("AGENT_JWT_KEY_ID");
    let as_bearer = reader.flag("AGENT_JWT_BEARER", false);
    let Some(algorithm) = algorithm else {
        return AgentTokens::default();
    };
    let (name, key) = if algorithm.is_symmetric() {
        ("AGENT_JWT_SECRET", secret.map(Key::Secret))
    } else {
        let name = "AGENT_JWT_PRIVATE_KEY";
        match pem_file.map(|path| (std::fs::read_to_string(&path), path)) {
            None => (name, None),
            Some((Ok(text), _)) => (name, Some(Key::Pem(SecretString::from(text)))),
            Some((Err(error), path)) => {
                reader.problem(name, format!("{} cannot be read: {error}", path.display()));
                return AgentTokens::default();
            }
        }
    };
    let Some(key) = key else {
        if required {
            reader.problem(
                name,
                "is not set; the backend must hold the same secret or its public half",
            );
        }
        return AgentTokens::default();
    };
    let warning = match &key {
        Key::Secret(secret) if secret.expose_secret().len() < MIN_SECRET_BYTES => Some(format!(
            "AGENT_JWT_SECRET is shorter than {MIN_SECRET_BYTES} bytes and can be guessed; make one with openssl rand -hex 32, for both sides"
        )),
        Key::Secret(_) | Key::Pem(_) => None,
    };
    match TokenMinter::new(&key, algorithm, ttl) {
        Ok(minter) => AgentTokens {
            minter: Some(Arc::new(minter.with_key_id(key_id).with_bearer(as_bearer))),
            key: Some(key),
            warning,
        },
        Err(error) => {
            reader.problem(name, error);
            AgentTokens::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Layers;

    fn problems(pairs: &[(&str, &str)], required: bool) -> (AgentTokens, String) {
        let layers = Layers::from_pairs(pairs.iter().copied());
        let mut reader = Reader::new(&layers);
        let tokens = read(&mut reader, required);
        (tokens, reader.finish().map(|_| String::new()).unwrap_or_else(|e| e.to_string()))
    }

    #[test]
    fn a_missing_key_is_a_problem_only_where_it_is_required() {
        assert!(problems(&[], true).1.contains("AGENT_JWT_SECRET is not set"));
        let (tokens, problem) = problems(&[], false);
        assert!(tokens.minter.is_none() && problem.is_empty(), "{problem}");
    }

    #[test]
    fn a_short_secret_works_and_is_warned_about() {
        let (tokens, problem) = problems(&[("AGENT_JWT_SECRET", "canary")], true);
        assert!(tokens.minter.is_some() && problem.is_empty(), "{problem}");
        assert!(tokens.warning.is_some_and(|text| !text.contains("canary")));
    }

    #[test]
    fn an_unknown_algorithm_or_an_unreadable_key_file_is_named() {
        assert!(problems(&[("AGENT_JWT_ALGORITHM", "none")], true).1.contains("HS256, HS384"));
        let pairs =
            [("AGENT_JWT_ALGORITHM", "EdDSA"), ("AGENT_JWT_PRIVATE_KEY", "/nowhere/key.pem")];
        assert!(problems(&pairs, true).1.contains("/nowhere/key.pem cannot be read"));
    }
}

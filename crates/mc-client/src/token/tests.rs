use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn secret(text: &str) -> Key {
    Key::Secret(text.into())
}

fn verifier() -> TokenVerifier {
    TokenVerifier::new(&secret(SECRET), Algorithm::Hs256).unwrap()
}

fn claims(change: impl FnOnce(&mut Value)) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "type": "agent", "user_id": "u", "agent_role": "scout", "sub": "wombat:scout",
        "iss": "wombat", "iat": now, "exp": now + 60, "jti": "1"
    });
    change(&mut claims);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

#[test]
fn a_minted_token_is_accepted_and_says_who() {
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let minter =
            TokenMinter::new(&secret(SECRET), algorithm, Duration::from_secs(900)).unwrap();
        let token = minter.mint("u:1", "scout").unwrap();
        let verifier = TokenVerifier::new(&secret(SECRET), algorithm).unwrap();
        let claims = verifier.verify(token.header().to_str().unwrap()).unwrap();
        assert_eq!((claims.user_id.as_str(), claims.agent_role.as_str()), ("u:1", "scout"));
        // Made five seconds ago, for backends that allow for no difference of clocks.
        assert_eq!((claims.exp - claims.iat, claims.nbf), (905, Some(claims.iat)));
        assert!(!format!("{token:?}").contains("eyJ"), "a token must not show in logs");
    }
}

#[test]
fn every_claim_is_required_and_checked() {
    assert!(verifier().verify(&claims(|_| ())).is_ok());
    for name in ["type", "user_id", "agent_role", "sub", "iss", "iat", "exp", "jti"] {
        let token = claims(|claims| {
            claims.as_object_mut().unwrap().remove(name);
        });
        assert!(verifier().verify(&token).is_err(), "without {name}");
    }
    for (name, value) in [
        ("type", json!("user")),
        ("iss", json!("other")),
        ("sub", json!("wombat:other")),
        ("exp", json!(1)),
        ("iat", json!(9_999_999_999_u64)),
        ("user_id", json!("")),
    ] {
        assert!(verifier().verify(&claims(|claims| claims[name] = value)).is_err(), "{name}");
    }
}

/// A token of the TypeScript original: `iat`, `exp` and no `iss`, `jti`, `nbf`.
fn original(secret: &str, change: impl FnOnce(&mut Value)) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "type": "agent", "user_id": "u", "agent_role": "scout", "sub": "clasper:scout",
        "iat": now, "exp": now + 7_200
    });
    change(&mut claims);
    let key = EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap()
}

#[test]
fn tokens_of_the_original_are_accepted_where_that_is_asked_for() {
    let legacy = verifier().with_legacy(true);
    for sub in ["clasper:scout", "wombat:scout"] {
        let token = original(SECRET, |claims| claims["sub"] = json!(sub));
        let claims = legacy.verify(&token).unwrap();
        assert_eq!((claims.user_id.as_str(), claims.agent_role.as_str()), ("u", "scout"));
        let refused = verifier().verify(&token).unwrap_err();
        assert!(matches!(&refused, TokenError::Legacy(what) if what.contains("iss is missing")));
    }
    assert!(legacy.verify(&claims(|_| ())).is_ok(), "those of the contract, too");
    // One of the two is enough to be one of the original.
    for name in ["iss", "jti"] {
        let token = claims(|claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert!(legacy.verify(&token).is_ok(), "without {name}");
        assert!(matches!(verifier().verify(&token), Err(TokenError::Legacy(_))));
    }
}

#[test]
fn a_token_of_the_original_keeps_to_all_else() {
    let legacy = verifier().with_legacy(true);
    for (name, value) in [
        ("type", json!("user")),
        ("iss", json!("other")),
        ("iss", json!("")),
        ("jti", json!("")),
        ("jti", json!(7)),
        ("sub", json!("zenvy:scout")),
        ("sub", json!("clasper:lead")),
        ("sub", json!("clasperscout")),
        ("user_id", json!("")),
        ("user_id", json!(7)),
        ("agent_role", Value::Null),
        ("iat", json!("now")),
    ] {
        let token = original(SECRET, |claims| claims[name] = value.clone());
        let refused = legacy.verify(&token).unwrap_err();
        assert!(matches!(refused, TokenError::Claims(_)), "{name}={value}: {refused:?}");
    }
    for name in ["type", "user_id", "agent_role", "sub", "iat", "exp"] {
        let token = original(SECRET, |claims| drop(claims.as_object_mut().unwrap().remove(name)));
        let refused = legacy.verify(&token).unwrap_err();
        assert!(matches!(&refused, TokenError::Claims(what) if what.contains(name)), "{refused:?}");
    }
    for (name, time) in [("exp", 1_u64), ("iat", 9_999_999_999)] {
        let refused = legacy.verify(&original(SECRET, |claims| claims[name] = json!(time)));
        assert!(matches!(refused, Err(TokenError::Untimely(_))), "{name}");
    }
    // A fraction of a second is a time, too.
    let token = original(SECRET, |claims| claims["iat"] = json!(1_700_000_000.5));
    assert_eq!(legacy.verify(&token).unwrap().iat, 1_700_000_000);
}

#[test]
fn a_wrong_secret_is_told_apart_from_wrong_claims_always() {
    let other = "f".repeat(32);
    for verifier in [verifier(), verifier().with_legacy(true)] {
        for token in [
            original(&other, |_| ()),
            original(&other, |claims| claims["exp"] = json!(1)),
            original(&other, |claims| claims["type"] = json!("user")),
        ] {
            let refused = verifier.verify(&token).unwrap_err();
            assert!(matches!(refused, TokenError::Invalid(_)), "{refused:?}");
        }
        let minter = TokenMinter::new(&secret(SECRET), Algorithm::Hs512, Duration::from_secs(60));
        let token = minter.unwrap().mint("u", "scout").unwrap();
        let refused = verifier.verify(token.header().to_str().unwrap()).unwrap_err();
        assert!(matches!(&refused, TokenError::Algorithm(alg) if alg == "HS512"), "{refused:?}");
    }
}

#[test]
fn another_algorithm_another_secret_or_no_signature_is_refused() {
    let other = TokenMinter::new(&secret(SECRET), Algorithm::Hs512, Duration::from_secs(60));
    let token = other.unwrap().mint("u", "scout").unwrap();
    assert!(verifier().verify(token.header().to_str().unwrap()).is_err());
    let other = TokenMinter::new(&secret("x"), Algorithm::Hs256, Duration::from_secs(60));
    let token = other.unwrap().mint("u", "scout").unwrap();
    assert!(verifier().verify(token.header().to_str().unwrap()).is_err());
    let signed = claims(|_| ());
    let body = signed.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{body}.");
    assert!(verifier().verify(&none).is_err());
    let head = signed.split('.').next().unwrap();
    assert!(verifier().verify(&format!("{head}.{body}.")).is_err());
    assert!(verifier().verify("").is_err());
}

#[test]
fn a_key_that_does_not_fit_the_algorithm_is_refused_without_showing_it() {
    let error =
        TokenMinter::new(&Key::Pem("canary".into()), Algorithm::Rs256, Duration::from_secs(1));
    assert!(!error.unwrap_err().to_string().contains("canary"));
    assert!(TokenVerifier::new(&secret("s"), Algorithm::EdDsa).is_err());
    assert!(TokenVerifier::new(&Key::Pem("s".into()), Algorithm::Hs256).is_err());
}

#[test]
fn clocks_may_differ_by_half_a_minute_and_not_by_hours() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    for (shift, accepted) in [(0, true), (30, true), (-30, true), (120, false), (-1_000, false)] {
        let token = claims(|claims| {
            let minted = now.saturating_add_signed(shift);
            claims["iat"] = json!(minted - 5);
            claims["nbf"] = json!(minted - 5);
            claims["exp"] = json!(minted + 10);
        });
        let verified = verifier().verify(&token);
        assert_eq!(verified.is_ok(), accepted, "{shift} s: {verified:?}");
        assert!(accepted || matches!(verified, Err(TokenError::Untimely(_))), "{verified:?}");
    }
}

#[test]
fn a_token_is_sent_as_bearer_where_it_is_asked_for() {
    let of = |as_bearer| {
        let minter = TokenMinter::new(&secret(SECRET), Algorithm::Hs256, Duration::from_secs(60));
        let auth = AgentAuth::new(Arc::new(minter.unwrap().with_bearer(as_bearer)), "u", "scout");
        auth.unwrap().token().unwrap()
    };
    let token = of(true);
    let bearer = token.bearer().unwrap();
    assert!(bearer.is_sensitive() && token.header().is_sensitive());
    assert_eq!(bearer.to_str().unwrap(), format!("Bearer {}", token.header().to_str().unwrap()));
    assert!(of(false).bearer().is_none());
}

#[test]
fn a_token_is_replaced_before_it_ends() {
    let minter = TokenMinter::new(&secret(SECRET), Algorithm::Hs256, Duration::from_secs(900));
    let auth = AgentAuth::new(Arc::new(minter.unwrap()), "u", "scout").unwrap();
    assert_eq!(auth.header().unwrap(), auth.header().unwrap());
    let before = auth.header().unwrap();
    auth.current.lock().unwrap().expires_at = SystemTime::now() + Duration::from_secs(59);
    assert_ne!(auth.header().unwrap(), before);
    // The clock was ahead by an hour, and was put right: the token is from the future.
    let before = auth.header().unwrap();
    auth.current.lock().unwrap().expires_at = SystemTime::now() + Duration::from_secs(4500);
    assert_ne!(auth.header().unwrap(), before);
}

#[test]
fn a_token_that_is_refused_is_replaced_unless_it_is_new() {
    let ttl = Duration::from_secs(900);
    let minter = TokenMinter::new(&secret(SECRET), Algorithm::Hs256, ttl);
    let auth = AgentAuth::new(Arc::new(minter.unwrap()), "u", "scout").unwrap();
    let before = auth.header().unwrap();
    assert!(!auth.renew(SystemTime::now()));
    assert_eq!(auth.header().unwrap(), before);
    auth.current.lock().unwrap().expires_at -= Duration::from_secs(3);
    let began = SystemTime::now();
    assert!(auth.renew(began));
    assert_ne!(auth.header().unwrap(), before);
    // Another call has had it replaced meanwhile.
    assert!(auth.renew(began));
}

#[test]
fn a_token_of_before_an_erasure_is_replaced_for_what_begins_after_it() {
    let ttl = Duration::from_secs(900);
    let minter = TokenMinter::new(&secret(SECRET), Algorithm::Hs256, ttl);
    let auth = AgentAuth::new(Arc::new(minter.unwrap()), "u", "scout").unwrap();
    let before = auth.header().unwrap();
    let began = SystemTime::now();
    assert!(!auth.is_erased_since(began));
    let erased_at = began + Duration::from_millis(1);
    auth.note_erased(erased_at, began);
    assert_ne!(auth.header().unwrap(), before);
    assert!(auth.is_erased_since(began) && auth.for_user().unwrap().is_erased_since(began));
    assert!(!auth.is_erased_since(erased_at + Duration::from_millis(1)));
    // One of longer ago tells nothing new.
    auth.note_erased(began - Duration::from_secs(9), began);
    assert!(auth.is_erased_since(began));
}

#[test]
fn while_keys_are_changed_both_count_and_no_third() {
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let verifier = TokenVerifier::new(&secret(&new), Algorithm::Hs256)
        .and_then(|verifier| verifier.with_previous(&secret(&old), Algorithm::Hs256))
        .unwrap();
    for (key, counts) in [(&old, true), (&new, true), (&"x".repeat(32), false)] {
        let minter =
            TokenMinter::new(&secret(key), Algorithm::Hs256, Duration::from_secs(60)).unwrap();
        let token = minter.with_key_id(Some("k1".to_owned())).mint("u", "scout").unwrap();
        let token = token.header();
        let token = token.to_str().unwrap();
        assert_eq!(jsonwebtoken::decode_header(token).unwrap().kid.as_deref(), Some("k1"));
        assert_eq!(verifier.verify(token).is_ok(), counts);
    }
    // What is wrong with a token of the new key is said, and not that the old one did not sign it.
    let expired = TokenMinter::new(&secret(&new), Algorithm::Hs256, Duration::ZERO).unwrap();
    let mut claims = serde_json::to_value(
        verifier.verify(expired.mint("u", "r").unwrap().header().to_str().unwrap()).unwrap(),
    )
    .unwrap();
    claims["exp"] = json!(1);
    let key = EncodingKey::from_secret(new.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    assert!(verifier.verify(&token).unwrap_err().to_string().contains("Expired"));
    // Another algorithm's key is no second key.
    let first = TokenVerifier::new(&secret(&new), Algorithm::Hs256).unwrap();
    assert!(first.with_previous(&Key::Pem("x".into()), Algorithm::Hs256).is_err());
}

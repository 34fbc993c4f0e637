//! The signatures of the four schemes, over the bytes as they came.
//!
//! Sources: standardwebhooks.com (specification), docs.github.com ("Validating webhook deliveries"),
//! docs.stripe.com ("Receive events: verify manually"), docs.slack.dev ("Verifying requests from Slack").

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use wombat_core::hooks::Scheme;

/// How far the time of a signature may be from now, seconds.
const TOLERANCE: u64 = 300;

/// What the secrets of Standard Webhooks begin with; base64 follows.
const PREFIX: &str = "whsec_";

/// Why a request is not the service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Untrusted {
    /// No secret makes this signature of this body.
    Signature,
    /// It is genuine, and was made too long ago, or will be.
    Stale,
}

/// What a request says about itself, before it is believed.
struct Claim {
    /// What precedes the body in what is signed.
    prefix: String,
    /// The signatures, each of which may count.
    signatures: Vec<String>,
    /// How they are written.
    form: Form,
    /// When it was signed, seconds since 1970; GitHub does not tell.
    at: Option<i64>,
    /// The id under which the service sends it again.
    id: Option<String>,
}

enum Form {
    Hex,
    Base64,
}

/// Checks a request, and returns the id in its signed headers, where the scheme has one.
pub(super) fn verify(
    scheme: Scheme,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[SecretString],
    now: i64,
) -> Result<Option<String>, Untrusted> {
    let claim = claim(scheme, headers).ok_or(Untrusted::Signature)?;
    let keys = secrets.iter().flat_map(|secret| keys(scheme, secret.expose_secret()));
    // With an empty one, as of a bare `whsec_`, anybody can sign.
    let keys = keys.filter(|key| !key.is_empty());
    let is_genuine = keys.fold(false, |found, key| found | claim.is_signed_by(&key, body));
    if !is_genuine {
        return Err(Untrusted::Signature);
    }
    match claim.at {
        Some(at) if now.abs_diff(at) > TOLERANCE => Err(Untrusted::Stale),
        Some(_) | None => Ok(claim.id),
    }
}

impl Claim {
    /// Computes one signature for the key, however many are offered.
    fn is_signed_by(&self, key: &[u8], body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return false };
        mac.update(self.prefix.as_bytes());
        mac.update(body);
        let made = mac.finalize().into_bytes();
        let made = match self.form {
            Form::Hex => super::event::hex(&made),
            Form::Base64 => STANDARD.encode(made),
        };
        let equals = |offered: &String| bool::from(offered.as_bytes().ct_eq(made.as_bytes()));
        self.signatures.iter().fold(false, |found, offered| found | equals(offered))
    }
}

/// The keys that a secret stands for. One of Standard Webhooks is base64; where that is not certain, its
/// own bytes count as well.
fn keys(scheme: Scheme, secret: &str) -> Vec<Vec<u8>> {
    let raw = secret.as_bytes().to_vec();
    match scheme {
        Scheme::Github | Scheme::Stripe | Scheme::Slack => vec![raw],
        Scheme::Standard => {
            let encoded = secret.strip_prefix(PREFIX);
            match (encoded, STANDARD.decode(encoded.unwrap_or(secret))) {
                (Some(_), Ok(key)) => vec![key],
                (None, Ok(key)) => vec![raw, key],
                (_, Err(_)) => vec![raw],
            }
        }
    }
}

fn claim(scheme: Scheme, headers: &HeaderMap) -> Option<Claim> {
    match scheme {
        Scheme::Standard => standard(headers, "webhook").or_else(|| standard(headers, "svix")),
        Scheme::Github => {
            let signature = once(headers, "x-hub-signature-256")?.strip_prefix("sha256=")?;
            let signatures = vec![signature.to_ascii_lowercase()];
            let (prefix, form) = (String::new(), Form::Hex);
            Some(Claim { prefix, signatures, form, at: None, id: None })
        }
        Scheme::Stripe => stripe(once(headers, "stripe-signature")?),
        Scheme::Slack => {
            let timestamp = once(headers, "x-slack-request-timestamp")?;
            let signature = once(headers, "x-slack-signature")?.strip_prefix("v0=")?;
            let signatures = vec![signature.to_ascii_lowercase()];
            let at = Some(seconds(timestamp)?);
            Some(Claim {
                prefix: format!("v0:{timestamp}:"),
                signatures,
                form: Form::Hex,
                at,
                id: None,
            })
        }
    }
}

/// `{name}-id`, `{name}-timestamp` and `{name}-signature`: several signatures between spaces, of which
/// those of another version are none of ours.
fn standard(headers: &HeaderMap, name: &str) -> Option<Claim> {
    let of = |part: &str| once(headers, &format!("{name}-{part}"));
    let (id, timestamp) = (of("id").filter(|id| !id.is_empty())?, of("timestamp")?);
    let signatures = of("signature")?.split_ascii_whitespace();
    let signatures = signatures.filter_map(|one| one.strip_prefix("v1,")).map(str::to_owned);
    Some(Claim {
        prefix: format!("{id}.{timestamp}."),
        signatures: signatures.collect(),
        form: Form::Base64,
        at: Some(seconds(timestamp)?),
        id: Some(id.to_owned()),
    })
}

/// `t=TIME,v1=SIGNATURE`, with as many signatures as there are secrets.
fn stripe(header: &str) -> Option<Claim> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let of =
        |name: &'static str| parts().filter(move |(key, _)| *key == name).map(|(_, value)| value);
    let mut times = of("t");
    let timestamp = times.next()?;
    if times.next().is_some() {
        return None;
    }
    Some(Claim {
        prefix: format!("{timestamp}."),
        signatures: of("v1").map(str::to_ascii_lowercase).collect(),
        form: Form::Hex,
        at: Some(seconds(timestamp)?),
        id: None,
    })
}

/// The value of a header that comes exactly once.
fn once<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Seconds since 1970, written in digits alone.
fn seconds(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;

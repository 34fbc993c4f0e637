//! Signatures: a plain HMAC header, and the headers of the Standard Webhooks specification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// The prefix of a Standard Webhooks secret; base64 follows.
const PREFIX: &str = "whsec_";

/// The headers of one attempt.
pub(super) fn headers(
    secret: Option<&SecretString>,
    id: &str,
    timestamp: i64,
    body: &str,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        // Ids, digits and base64 are always valid in a header.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set(CONTENT_TYPE.as_str(), "application/json");
    set("webhook-id", id);
    set("webhook-timestamp", &timestamp.to_string());
    if let Some(secret) = secret {
        let secret = secret.expose_secret();
        set("x-wombat-signature", &hex(&hmac(secret.as_bytes(), body)));
        let signed = hmac(&standard_key(secret), &format!("{id}.{timestamp}.{body}"));
        set("webhook-signature", &format!("v1,{}", STANDARD.encode(signed)));
    }
    headers
}

/// The key of Standard Webhooks: decoded after `whsec_`, else the bytes as given.
fn standard_key(secret: &str) -> Vec<u8> {
    let decoded = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
    decoded.unwrap_or_else(|| secret.as_bytes().to_vec())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC accepts keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specifications_come_out() {
        // RFC 4231, test case 2.
        assert_eq!(
            hex(&hmac(b"Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // The example of the Standard Webhooks libraries.
        let secret: SecretString = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned().into();
        let headers = headers(
            Some(&secret),
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            "{\"test\": 2432232314}",
        );
        assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(headers["webhook-timestamp"], "1614265330");
    }

    #[test]
    fn without_a_secret_nothing_is_signed() {
        let headers = headers(None, "msg_1", 1, "{}");
        assert!(
            !headers.contains_key("webhook-signature")
                && !headers.contains_key("x-wombat-signature")
        );
        assert_eq!(headers["webhook-id"], "msg_1");
    }
}

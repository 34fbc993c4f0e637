use axum::http::{HeaderName, HeaderValue};

use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn check(
    scheme: Scheme,
    pairs: &[(&'static str, &str)],
    body: &str,
    secrets: &[&str],
    now: i64,
) -> Result<Option<String>, Untrusted> {
    let secrets: Vec<_> = secrets.iter().map(|secret| SecretString::from(*secret)).collect();
    verify(scheme, &headers(pairs), body.as_bytes(), &secrets, now)
}

/// The example of the Standard Webhooks libraries.
const STANDARD_EXAMPLE: [(&str, &str); 3] = [
    ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
    ("webhook-timestamp", "1614265330"),
    ("webhook-signature", "v1,bm9l v2,g0hM9SsE v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
];
const STANDARD_BODY: &str = "{\"test\": 2432232314}";
const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_example_of_standard_webhooks_is_genuine_for_300_seconds() {
    let at = |now| {
        check(Scheme::Standard, &STANDARD_EXAMPLE, STANDARD_BODY, &["x", STANDARD_SECRET], now)
    };
    let id = Some("msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned());
    for now in [1_614_265_030, 1_614_265_330, 1_614_265_630] {
        assert_eq!(at(now), Ok(id.clone()), "{now}");
    }
    for now in [1_614_265_029, 1_614_265_631, 0, i64::MAX] {
        assert_eq!(at(now), Err(Untrusted::Stale), "{now}");
    }
    // Without `whsec_`, as base64.
    let bare = &STANDARD_SECRET[PREFIX.len()..];
    let now = 1_614_265_330;
    assert_eq!(
        check(Scheme::Standard, &STANDARD_EXAMPLE, STANDARD_BODY, &[bare], now),
        Ok(id.clone())
    );
    let svix = [("svix-id", 0), ("svix-timestamp", 1), ("svix-signature", 2)];
    let svix = svix.map(|(name, at)| (name, STANDARD_EXAMPLE[at].1));
    assert_eq!(check(Scheme::Standard, &svix, STANDARD_BODY, &[STANDARD_SECRET], now), Ok(id));
}

#[test]
fn an_empty_key_signs_nothing() {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"").unwrap();
    mac.update(b"msg_1.1614265330.{}");
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let pairs = [
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", &*signature),
    ];
    for secret in [PREFIX, ""] {
        let checked = check(Scheme::Standard, &pairs, "{}", &[secret], 1_614_265_330);
        assert_eq!(checked, Err(Untrusted::Signature), "{secret:?}");
    }
}

#[test]
fn the_example_of_github_is_genuine() {
    // docs.github.com, "Validating webhook deliveries", "Testing the webhook payload validation".
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let pairs = [("x-hub-signature-256", signature)];
    let check = |body, secret| check(Scheme::Github, &pairs, body, &[secret], 0);
    assert_eq!(check("Hello, World!", "It's a Secret to Everybody"), Ok(None));
    assert_eq!(check("Hello, World?", "It's a Secret to Everybody"), Err(Untrusted::Signature));
    assert_eq!(check("Hello, World!", "It's a secret to Everybody"), Err(Untrusted::Signature));
}

#[test]
fn the_example_of_slack_is_genuine() {
    // docs.slack.dev, "Verifying requests from Slack", "Step-by-step walk-through".
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
                &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
                &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
                &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let pairs = [
        ("x-slack-request-timestamp", "1531420618"),
        (
            "x-slack-signature",
            "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        ),
    ];
    let check =
        |body, now| check(Scheme::Slack, &pairs, body, &["8f742231b10e8888abcd99yyyzzz85a5"], now);
    assert_eq!(check(body, 1_531_420_618), Ok(None));
    assert_eq!(check(body, 1_531_420_919), Err(Untrusted::Stale));
    assert_eq!(check(&body[1..], 1_531_420_618), Err(Untrusted::Signature));
}

/// A signature of Stripe's scheme, made here: Stripe publishes the scheme with its own secrets hidden.
fn stripe(secret: &str, at: &str, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.{body}").as_bytes());
    crate::hooks::event::hex(&mac.finalize().into_bytes())
}

#[test]
fn stripe_signs_with_each_of_its_secrets() {
    let (old, new) = (stripe("whsec_old", "1000", "{}"), stripe("whsec_new", "1000", "{}"));
    let header = format!("t=1000,v1={old},v1={},v0=6ffbb59b", new.to_uppercase());
    let pairs = [("stripe-signature", header.as_str())];
    for (secrets, now, expected) in [
        (vec!["whsec_old"], 1000, Ok(None)),
        (vec!["whsec_new"], 1300, Ok(None)),
        (vec!["other", "whsec_new"], 700, Ok(None)),
        (vec!["whsec_new"], 1301, Err(Untrusted::Stale)),
        (vec!["other"], 1000, Err(Untrusted::Signature)),
        (vec!["other"], 5000, Err(Untrusted::Signature)),
    ] {
        assert_eq!(check(Scheme::Stripe, &pairs, "{}", &secrets, now), expected, "{secrets:?}");
    }
    for bad in [
        format!("t=1000,t=1000,v1={old}"),
        format!("v1={old}"),
        format!("t=1000,v0={old}"),
        format!("t=+1000,v1={old}"),
        "t=1000".to_owned(),
        String::new(),
    ] {
        let pairs = [("stripe-signature", bad.as_str())];
        let checked = check(Scheme::Stripe, &pairs, "{}", &["whsec_old"], 1000);
        assert_eq!(checked, Err(Untrusted::Signature), "{bad}");
    }
}

#[test]
fn what_is_missing_or_stands_twice_is_no_signature() {
    let now = 1_614_265_330;
    for left_out in 0..3 {
        let mut pairs = STANDARD_EXAMPLE.to_vec();
        pairs.remove(left_out);
        let checked = check(Scheme::Standard, &pairs, STANDARD_BODY, &[STANDARD_SECRET], now);
        assert_eq!(checked, Err(Untrusted::Signature));
        let mut pairs = STANDARD_EXAMPLE.to_vec();
        pairs.push(pairs[left_out]);
        let checked = check(Scheme::Standard, &pairs, STANDARD_BODY, &[STANDARD_SECRET], now);
        assert_eq!(checked, Err(Untrusted::Signature));
    }
    for scheme in [Scheme::Github, Scheme::Stripe, Scheme::Slack] {
        assert_eq!(check(scheme, &STANDARD_EXAMPLE, "{}", &["s"], now), Err(Untrusted::Signature));
    }
}

proptest::proptest! {
    #[test]
    fn no_header_panics_or_opens(value in "[t=,v1. 0-9a-z+/-]{0,40}") {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature", "stripe-signature",
            "x-hub-signature-256", "x-slack-signature", "x-slack-request-timestamp"];
        let pairs = names.map(|name| (name, value.trim()));
        for (_, scheme) in Scheme::ALL {
            let checked = check(scheme, &pairs, "[]", &["s"], 0);
            proptest::prop_assert!(checked.is_err());
        }
    }
}

//! Redaction of a text.

use std::sync::Arc;

use serde_json::json;
use wombat_core::redact::{RedactKey, RedactRules, Redactor};

/// Words without any value.
const WORDS: &str =
    "The order of last week has not come, and nobody has answered since; please look into it. ";

/// Some values, as a message of support has them.
const VALUES: &str = "I am jane.doe@example.org, +49 30 901820, and paid DE89 3704 0044 0532 0130 00 by 4111 1111 1111 1111. ";

/// All kinds, over a text in which one line in ten has values: what a kilobyte of it costs.
pub(crate) fn run() {
    let redact = json!({ "redact": { "to": ["provider"], "mode": "redact-restore",
        "kinds": ["email", "phone", "iban", "card", "key"] } });
    let Ok(Some(rules)) = RedactRules::of_entry(&redact) else { return };
    let redactor = Redactor::new(Arc::new(rules), RedactKey::new(b"bench"), "u1");
    let line = WORDS.repeat(9) + VALUES;
    let text = line.repeat(100);
    let kilobytes = u32::try_from(text.len() / 1_000).unwrap_or(1);
    let redacted = redactor.redact(&text).into_owned();
    let time = super::median(20, || {
        std::hint::black_box(redactor.redact(&text));
    });
    super::row("redaction of all kinds, a kilobyte of text", time / kilobytes, "");
    let time = super::median(100, || {
        std::hint::black_box(redactor.restore(&redacted));
    });
    super::row("… and giving the values back", time / kilobytes, "");
}

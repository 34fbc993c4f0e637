use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ALL: [&str; 5] = ["email", "phone", "iban", "card", "key"];

fn rules(redact: Value) -> RedactRules {
    RedactRules::of_entry(&json!({ "redact": redact })).unwrap().unwrap()
}

fn restoring() -> Arc<RedactRules> {
    let patterns = json!([{ "name": "member", "regex": r"\bM-\d{4}\b" }, { "name": "digits", "regex": r"\d{8}" }]);
    let redact =
        json!({ "to": ["provider"], "kinds": ALL, "patterns": patterns, "mode": "redact-restore" });
    Arc::new(rules(redact))
}

fn redactor(user: &str) -> Redactor {
    Redactor::new(restoring(), RedactKey::new(b"a secret for tests"), user)
}

fn found(text: &str) -> Vec<(&'static str, String)> {
    let rules = RedactRules::all_kinds(None);
    let all = rules.find(text).into_iter();
    let named = all.map(|found| {
        let kind = ALL.into_iter().find(|kind| *kind == found.kind).unwrap();
        (kind, text[found.range].to_owned())
    });
    named.collect()
}

#[test]
fn each_kind_is_found_as_people_write_it() {
    for (text, kind, value) in [
        ("Write to jane.doe+x@mail.example.org.", "email", "jane.doe+x@mail.example.org"),
        ("<müller@exämple.de>", "email", "müller@exämple.de"),
        ("?to=jane%40example.org&x", "email", "jane%40example.org"),
        ("call +49 (0)30 1234-5678, please", "phone", "+49 (0)30 1234-5678"),
        ("call 0049301234567", "phone", "0049301234567"),
        ("tel:+493012345678;x", "phone", "+493012345678"),
        ("IBAN DE89 3704 0044 0532 0130 00 of Ann", "iban", "DE89 3704 0044 0532 0130 00"),
        ("gb82west12345698765432", "iban", "gb82west12345698765432"),
        ("card 4111 1111 1111 1111, 12/30", "card", "4111 1111 1111 1111"),
        ("378282246310005", "card", "378282246310005"),
        ("5500-0055-5555-5559", "card", "5500-0055-5555-5559"),
        ("use sk-test_0123456789abcdefghij now", "key", "sk-test_0123456789abcdefghij"),
        ("password: hunter2hunter", "key", "hunter2hunter"),
        ("Authorization: Bearer abc.def-0123456789", "key", "abc.def-0123456789"),
    ] {
        assert_eq!(found(text), [(kind, value.to_owned())], "{text}");
    }
}

#[test]
fn what_only_looks_alike_is_left() {
    for text in [
        "jane@localhost",
        "a @ b.c",
        "@example.org",
        "at 2026-11-30T12:00:00+01000000",
        "+1234567",
        "00 12",
        "10:00 20261130 is a time",
        "DE88370400440532013000",
        "4111 1111 1111 1112",
        "order 12345678901234567890123",
        "1764500000006",
        "the token: something",
        "0190c6a2-1111-7222-8333-444455556666",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn numbers_have_their_check_digits() {
    assert!(luhn("4111 1111 1111 1111") && !luhn("4111111111111112") && !luhn("") && !luhn("0000"));
    assert!(mod97("DE89370400440532013000") && mod97("GB82 WEST 1234 5698 7654 32"));
    assert!(!mod97("DE88370400440532013000") && !mod97("DE89"));
}

#[test]
fn what_overlaps_is_one_value_and_no_part_of_it_stays() {
    let overlapping = json!([{ "name": "a", "regex": "abc" }, { "name": "b", "regex": "cdefg" }]);
    let rules = rules(json!({ "to": ["provider"], "patterns": overlapping }));
    let found = rules.find("xabcdefgx");
    assert_eq!(found, [Found { range: 1..8, kind: "b" }]);
}

#[test]
fn a_pattern_with_a_check_finds_only_what_is_right() {
    let patterns = json!([{ "name": "id", "regex": r"\d{6}", "check": "luhn" }]);
    let rules = rules(json!({ "to": ["journal"], "patterns": patterns }));
    let found = rules.find("123455 and 123456");
    assert_eq!(found, [Found { range: 0..6, kind: "id" }]);
}

#[test]
fn equal_values_have_equal_placeholders_in_every_run_of_the_user_only() {
    let (one, again, other) = (redactor("u1"), redactor("u1"), redactor("u2"));
    let text = "from jane@example.org to jane@example.org";
    let redacted = one.redact(text).into_owned();
    let (_, placeholder) = redacted.split_once(" to ").unwrap();
    assert_eq!(redacted, format!("from {placeholder} to {placeholder}"));
    assert!(placeholder.starts_with("[[email:") && placeholder.len() == 18, "{placeholder}");
    assert_eq!(again.redact(text), redacted.as_str());
    assert_ne!(other.redact(text), redacted.as_str());
    // Another run that has not seen the value, or another user's, gives nothing away.
    assert_eq!(redactor("u1").restore(&redacted), redacted.as_str());
    assert_eq!(other.restore(&redacted), redacted.as_str());
}

#[test]
fn what_somebody_types_like_a_placeholder_never_becomes_a_value() {
    let placeholder = redactor("u1").redact("jane@example.org").into_owned();
    for text in
        [format!("{placeholder} is jane@example.org"), format!("jane@example.org is {placeholder}")]
    {
        let redactor = redactor("u1");
        let redacted = redactor.redact(&text).into_owned();
        assert!(!redacted.contains("jane@"), "{redacted}");
        assert_eq!(redactor.restore(&redacted), text);
    }
    // In one text of a run, and in a later one.
    let redactor = redactor("u1");
    let first = redactor.redact("jane@example.org").into_owned();
    let second = redactor.redact(&first).into_owned();
    assert_ne!(second, first);
    assert_eq!(redactor.restore(&second), first.as_str());
    // The form of a placeholder hides nothing.
    assert!(!redactor.redact("[[email:12345678]]").contains("12345678"));
    assert!(!redactor.redact("[[email:jane@example.org]]").contains("jane"));
}

#[test]
fn unknown_placeholders_stay() {
    let redactor = redactor("u1");
    let text = "see [[email:deadbeef]] and [[card:00c0ffee]] [[x:1]]";
    assert_eq!(redactor.redact(text), text);
    assert_eq!(redactor.restore(text), text);
}

#[test]
fn another_instance_restores_what_it_has_learnt() {
    let (first, second) = (redactor("u1"), redactor("u1"));
    let redacted = first.redact("card 4111111111111111, M-1234").into_owned();
    let values = first.values_in(&redacted);
    assert_eq!(values.len(), 2);
    second.learn(values);
    assert_eq!(second.restore(&redacted), "card 4111111111111111, M-1234");
    assert_eq!(second.values_in("[[card:00000000]]"), BTreeMap::new());
}

#[test]
fn json_is_redacted_in_texts_names_and_numbers() {
    let redactor = redactor("u1");
    let mut value =
        json!({ "a@example.org": [4_111_111_111_111_111_u64, true], "b": "x\n0049301234567" });
    let original = value.clone();
    assert!(redactor.mask_value(&mut value, true));
    let text = value.to_string();
    for secret in ["example.org", "4111", "00493"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(redactor.restore_value(&mut value));
    assert_eq!(value["b"], original["b"]);
    assert_eq!(value["a@example.org"][0], "4111111111111111");
    assert!(!redactor.mask_value(&mut json!({ "n": 12, "t": "none" }), true));
    // What JSON has escaped is found.
    let answer = r#"{"mail":"jane\u0040example.org","text":"\n+49301234567"}"#;
    let answer = redactor.redact_answer(answer);
    assert!(!answer.contains("jane") && !answer.contains("4930"), "{answer}");
}

#[test]
fn a_bad_rule_names_its_place() {
    let pattern = |fields: Value| json!({ "to": ["provider"], "patterns": [fields] });
    for (redact, told) in [
        (json!([]), "redact: must be an object"),
        (json!({ "too": [] }), "redact: unknown key \"too\"; did you mean \"to\"?"),
        (json!({ "to": "provider" }), "redact.to: must be a list"),
        (json!({ "to": ["provider", "log"] }), "redact.to[1]: there is no \"log\""),
        (json!({ "to": [], "kinds": ["email"] }), "redact.to: names no place"),
        (json!({ "to": ["provider"] }), "redact: names nothing to replace"),
        (
            json!({ "to": ["provider"], "kinds": ["mail"] }),
            "redact.kinds[0]: there is no \"mail\"; did you mean \"email\"?",
        ),
        (
            json!({ "to": ["provider"], "kinds": ["email"], "mode": "restore" }),
            "redact.mode: \"restore\" is not redact or redact-restore",
        ),
        (pattern(json!("x")), "redact.patterns[0]: must be an object"),
        (pattern(json!({ "name": "a" })), "redact.patterns[0].regex: is missing"),
        (
            pattern(json!({ "name": "A", "regex": "x" })),
            "redact.patterns[0].name: \"A\" is not 1 to 32",
        ),
        (
            pattern(json!({ "name": "email", "regex": "x" })),
            "redact.patterns[0].name: \"email\" is a kind",
        ),
        (
            pattern(json!({ "name": "a", "regex": "(?=x)" })),
            "redact.patterns[0].regex: \"(?=x)\" is not valid in RE2's syntax: look-around",
        ),
        (
            pattern(json!({ "name": "a", "regex": "x*" })),
            "redact.patterns[0].regex: \"x*\" fits the empty text",
        ),
        (
            pattern(json!({ "name": "a", "regex": "x".repeat(501) })),
            "redact.patterns[0].regex: has 501 characters",
        ),
        (
            pattern(json!({ "name": "a", "regex": r"\w{500}" })),
            "redact.patterns[0].regex: is too large",
        ),
        (
            pattern(json!({ "name": "a", "regex": "x", "check": "crc" })),
            "redact.patterns[0].check: \"crc\" is not luhn or mod97",
        ),
        (
            pattern(json!({ "name": "a", "regex": "x", "kind": 1 })),
            "redact.patterns[0]: unknown key \"kind\"",
        ),
        (
            json!({ "to": ["provider"], "patterns": vec![json!({}); 51] }),
            "redact.patterns: has 51 patterns",
        ),
    ] {
        let errors = RedactRules::of_entry(&json!({ "redact": redact })).unwrap_err();
        assert!(errors[0].starts_with(told), "{errors:?} is not {told}");
    }
    let twice = json!([{ "name": "a", "regex": "x" }, { "name": "a", "regex": "y" }]);
    let errors =
        RedactRules::of_entry(&json!({ "redact": { "to": ["journal"], "patterns": twice } }))
            .unwrap_err();
    assert_eq!(errors, ["redact.patterns[1].name: another pattern is \"a\", too"]);
}

#[test]
fn rules_are_told_in_a_line() {
    let told = restoring().told();
    assert_eq!(told, "email, phone, iban, card, key, member, digits in provider (redact-restore)");
}

/// Texts in which values, placeholders and parts of both stand side by side.
fn texts() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("jane@example.org".to_owned()),
        Just("+49 30 1234567".to_owned()),
        Just("DE89370400440532013000".to_owned()),
        Just("4111 1111 1111 1111".to_owned()),
        Just("sk-0123456789abcdefABCDEF".to_owned()),
        Just("M-1234".to_owned()),
        Just("[[email:deadbeef]]".to_owned()),
        // The placeholder that a value here has.
        Just(redactor("u1").redact("jane@example.org").into_owned()),
        "\\[{1,3}[a-z]{0,5}:?[0-9a-f]{0,9}\\]{0,3}",
        "[0-9 @.:+\\-a-zé]{0,12}",
        ".{0,6}",
    ];
    proptest::collection::vec(part, 0..10).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_text_comes_back_exactly(earlier in texts(), text in texts()) {
        let redactor = redactor("u1");
        let before = redactor.redact(&earlier).into_owned();
        let redacted = redactor.redact(&text).into_owned();
        prop_assert_eq!(redactor.restore(&redacted), text);
        prop_assert_eq!(redactor.restore(&before), earlier);
        // What is masked once more stays.
        prop_assert_eq!(redactor.mask(&redacted).into_owned(), redactor.mask(&redactor.mask(&redacted)).into_owned());
    }

    #[test]
    fn a_stream_is_the_whole_text_wherever_it_is_split(text in texts(), size in 1_usize..6) {
        let redactor = redactor("u1");
        let redacted = redactor.redact(&text).into_owned();
        let whole = redactor.restore(&redacted).into_owned();
        let ends = redacted.char_indices().map(|(at, _)| at).chain([redacted.len()]);
        for at in ends {
            let mut stream = StreamRestorer::default();
            let mut told = stream.push(&redactor, &redacted[..at]);
            told += &stream.push(&redactor, &redacted[at..]);
            told += &stream.finish();
            prop_assert_eq!(&told, &whole);
        }
        let (mut stream, mut told) = (StreamRestorer::default(), String::new());
        let chars: Vec<char> = redacted.chars().collect();
        for piece in chars.chunks(size) {
            told += &stream.push(&redactor, &piece.iter().collect::<String>());
        }
        told += &stream.finish();
        prop_assert_eq!(told, whole);
    }

    #[test]
    fn no_text_breaks_the_scanners(text in ".{0,200}") {
        let rules = restoring();
        let mut free = 0;
        for found in rules.find(&text) {
            prop_assert!(found.range.start >= free && text.get(found.range.clone()).is_some());
            free = found.range.end;
        }
    }
}

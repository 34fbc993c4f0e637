//! Values that the rules find only by what stands around them, such as the word before a password, and that stand
//! without it where a part of a text is read.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use regex::Regex;
use serde_json::Value;

use super::redactor::{Redactor, kind_in};
use super::spans::Found;

/// The longest value that is revealed, bytes: of a longer one the placeholder stays.
const MAX_VALUE: usize = 4 * 1024;

/// How many bytes of values of one text are looked for: all its placeholders stay where there are more.
const MAX_VALUES: usize = 256 * 1024;

/// See the module. Some more with each text that is revealed.
#[derive(Debug, Default)]
pub(super) struct Alone(RwLock<Arc<Vec<Arc<Batch>>>>);

/// What one text has revealed.
#[derive(Debug)]
pub(super) struct Batch {
    find: Regex,
    /// The kinds of the values.
    kinds: HashMap<String, String>,
}

impl Batch {
    fn of(kinds: HashMap<String, String>) -> Option<Self> {
        let mut values: Vec<&str> = kinds.keys().map(String::as_str).collect();
        // Of two that begin alike the longer one is found.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        let values: Vec<String> = values.into_iter().map(regex::escape).collect();
        // An error where it would be too large.
        Some(Self { find: Regex::new(&values.join("|")).ok()?, kinds })
    }

    fn has(&self, value: &str) -> bool {
        self.kinds.contains_key(value)
    }
}

impl Alone {
    /// All of them.
    pub(super) fn all(&self) -> Arc<Vec<Arc<Batch>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether all of them are known from then on.
    fn add(&self, mut kinds: HashMap<String, String>) -> bool {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kinds.retain(|value, _| !all.iter().any(|batch| batch.has(value)));
        if kinds.is_empty() {
            return true;
        }
        let Some(batch) = Batch::of(kinds) else { return false };
        let more = all.iter().cloned().chain([Arc::new(batch)]).collect();
        *all = Arc::new(more);
        true
    }
}

/// Puts what of a text is such a value behind what the rules have found.
pub(super) fn find<'a>(all: &'a [Arc<Batch>], text: &str, found: &mut Vec<Found<'a>>) {
    for batch in all {
        for one in batch.find.find_iter(text).filter(|one| !one.is_empty()) {
            let kind = batch.kinds.get(one.as_str()).map_or("", String::as_str);
            found.push(Found { range: one.range(), kind });
        }
    }
}

impl Redactor {
    /// [`Redactor::restore_all`] of a part of a text: what the rules would not find in it any more is found from here
    /// on wherever it stands. Of what is too long for that the placeholders stay.
    pub fn reveal<'t>(&self, part: &'t str, is_json: bool) -> Cow<'t, str> {
        let (mut alone, mut bytes) = (HashMap::new(), 0);
        for (placeholder, value) in self.values_in(part) {
            let Some(kind) = kind_in(&placeholder).filter(|_| value.len() <= MAX_VALUE) else {
                continue;
            };
            let given = if is_json { within_json(&value) } else { value };
            let found = self.rules().find(&given);
            let is_whole = found.iter().any(|found| found.range == (0..given.len()));
            if !is_whole && !given.is_empty() {
                bytes += given.len();
                if bytes > MAX_VALUES {
                    return Cow::Borrowed(part);
                }
                alone.insert(given, kind.to_owned());
            }
        }
        if !alone.is_empty() && !self.alone().add(alone) {
            return Cow::Borrowed(part);
        }
        self.restore_short(part, is_json, MAX_VALUE)
    }

    /// What of a text was revealed before, with its kind: what another instance has to know to find it.
    pub fn revealed_in(&self, text: &str) -> BTreeMap<String, String> {
        let (all, mut found) = (self.alone().all(), Vec::new());
        find(&all, text, &mut found);
        let values = found
            .into_iter()
            .map(|Found { range, kind }| (text[range].to_owned(), kind.to_owned()));
        values.collect()
    }

    /// Takes up what another instance has revealed; whether that is found from here on.
    pub fn take_up_revealed(&self, values: BTreeMap<String, String>) -> bool {
        self.alone().add(values.into_iter().collect())
    }

    /// Whether anything was revealed.
    pub fn has_revealed(&self) -> bool {
        !self.alone().all().is_empty()
    }
}

/// A text as it stands within one of JSON.
fn within_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{RedactKey, RedactRules, border_before, in_quotes};
    use super::*;

    fn redactor() -> Redactor {
        let redact = json!({ "to": ["journal"], "kinds": ["email", "key"],
            "patterns": [{ "name": "pin", "regex": "pin is [0-9]{4}" }] });
        let rules = RedactRules::of_entry(&json!({ "redact": redact })).unwrap().unwrap();
        Redactor::new(Arc::new(rules), RedactKey::new(b"a secret for tests"), "u1")
    }

    #[test]
    fn what_is_revealed_without_its_name_is_found_from_then_on() {
        let redactor = redactor();
        let text = r#"{"password":"hunter2x","mail":"jane@example.org","note":"pin is 1234"}"#;
        let redacted = redactor.redact_exactly(text).into_owned();
        let password = &redacted[13..redacted.find("\",\"mail").unwrap()];
        assert!(password.starts_with("[[key:"), "{redacted}");
        assert_eq!(redactor.mask("it is hunter2x"), "it is hunter2x");
        assert_eq!(redactor.reveal(password, false), "hunter2x");
        assert_eq!(redactor.mask("it is hunter2x"), format!("it is {password}"));
        // One more, and each by itself.
        redactor.take_up([("[[key:00000001]]".to_owned(), "a\"b12345".to_owned())].into());
        assert_eq!(redactor.reveal("[[key:00000001]]", true), "a\\\"b12345");
        let masked = redactor.mask("a\\\"b12345, hunter2x").into_owned();
        assert!(masked.ends_with(&format!("]], {password}")), "{masked}");
        // Another instance finds it, too, once it was told.
        let other = self::redactor();
        let revealed = redactor.revealed_in("hunter2x and a\\\"b12345, jane@example.org");
        assert!(revealed.keys().eq(["a\\\"b12345", "hunter2x"]), "{revealed:?}");
        assert!(!other.has_revealed() && other.take_up_revealed(revealed));
        assert_eq!(other.mask("it is hunter2x"), format!("it is {password}"));
        // What the rules find by itself is not remembered.
        assert_eq!(redactor.reveal(&redacted, false), text);
        assert_eq!(redactor.alone().all().len(), 2);
    }

    #[test]
    fn of_what_is_long_the_placeholders_stay() {
        let redactor = redactor();
        let long = ("[[key:00000001]]".to_owned(), "a1".repeat(3_000));
        redactor.take_up([long, ("[[key:00000002]]".to_owned(), "b2b2".to_owned())].into());
        let told = redactor.reveal("[[key:00000001]] [[key:00000002]]", false);
        assert_eq!(told, "[[key:00000001]] b2b2");
        // Each is short, and all of them are too many to look for.
        let name = |n: u32| format!("[[key:{n:08x}]]");
        let values = (0..4_000).map(|n| (name(n), format!("{n:04}").repeat(1_000)));
        redactor.take_up(values.collect());
        let part: String = (0..4_000).map(name).collect();
        assert!(redactor.reveal(&part, false) == part);
    }

    #[test]
    fn a_text_is_cut_before_a_placeholder_and_not_within() {
        let text = "é [[email:12345678]] [[x";
        for at in [3, 4, 10, 19] {
            assert_eq!(border_before(text, at), 3, "{at}");
        }
        for at in [0, 2, 21, 22, 25] {
            assert_eq!(border_before(text, at), at);
        }
    }

    #[test]
    fn numbers_that_were_replaced_are_texts() {
        let json = r#"{"a[[":[[card:12345678]],"b":["\"[[card:12345678]]",[[phone:12345678]]]}"#;
        let value: Value = serde_json::from_str(&in_quotes(json)).unwrap();
        assert_eq!(
            value,
            json!({ "a[[": "[[card:12345678]]", "b": ["\"[[card:12345678]]", "[[phone:12345678]]"] })
        );
        assert!(matches!(in_quotes("[[1]]"), Cow::Borrowed(_)));
    }
}

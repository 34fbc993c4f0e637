//! The redactor of one run: replaces values by placeholders, and knows those that it has replaced.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::placeholder::{RedactKey, all_in};
use super::rules::{RedactMode, RedactRules};

/// See the module. What it restores is known to this run of this user only.
#[derive(Debug)]
pub struct Redactor {
    rules: Arc<RedactRules>,
    key: RedactKey,
    user: String,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    values: HashMap<String, String>,
    /// The placeholders of kinds and values.
    placeholders: HashMap<(String, String), String>,
    /// What others wrote in the form of a placeholder.
    written: HashSet<String>,
}

impl Redactor {
    /// The redactor of a run of this user.
    pub fn new(rules: Arc<RedactRules>, key: RedactKey, user: &str) -> Self {
        Self { rules, key, user: user.to_owned(), known: Mutex::default() }
    }

    /// Its rules.
    pub fn rules(&self) -> &RedactRules {
        &self.rules
    }

    /// Whether values come back into what leaves the run.
    pub fn restores(&self) -> bool {
        self.rules.to.provider && self.rules.mode == RedactMode::RedactRestore
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text from outside, with placeholders in place of values. Where values come back, exactly this text does:
    /// what somebody wrote in the form of a placeholder never stands for a value.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if !self.restores() {
            return self.mask(text);
        }
        let written: Vec<_> = all_in(text).collect();
        let mut pieces = Vec::new();
        let mut from = 0;
        if !written.is_empty() {
            let mut known = self.known();
            for range in written {
                let literal = &text[range.clone()];
                if known.values.contains_key(literal) {
                    pieces.push((from..range.start, Some(range.clone())));
                    from = range.end;
                } else {
                    known.written.insert(literal.to_owned());
                }
            }
        }
        pieces.push((from..text.len(), None));
        self.replace(text, &pieces, true)
    }

    /// A text that may have placeholders by now, which stay, with placeholders in place of values.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut pieces = Vec::new();
        let mut from = 0;
        let written: Vec<_> = all_in(text).collect();
        if !written.is_empty() {
            let known = self.known();
            for range in written {
                if known.values.contains_key(&text[range.clone()]) {
                    pieces.push((from..range.start, Some(range.clone())));
                    from = range.end;
                }
            }
        }
        pieces.push((from..text.len(), None));
        self.replace(text, &pieces, false)
    }

    /// Replaces what is found in pieces of a text. Between them stand known placeholders, which somebody else wrote
    /// where they are `foreign`.
    fn replace<'t>(
        &self,
        text: &'t str,
        pieces: &[(std::ops::Range<usize>, Option<std::ops::Range<usize>>)],
        foreign: bool,
    ) -> Cow<'t, str> {
        let mut out: Option<String> = None;
        let mut copied = 0;
        for (piece, literal) in pieces {
            for found in self.rules.find(&text[piece.clone()]) {
                let range = piece.start + found.range.start..piece.start + found.range.end;
                let out = out.get_or_insert_with(String::new);
                out.push_str(&text[copied..range.start]);
                out.push_str(&self.placeholder(found.kind, &text[range.clone()]));
                copied = range.end;
            }
            if let Some(literal) = literal.as_ref().filter(|_| foreign) {
                let out = out.get_or_insert_with(String::new);
                out.push_str(&text[copied..literal.start]);
                out.push_str(&self.placeholder(kind_of(text, literal), &text[literal.clone()]));
                copied = literal.end;
            }
        }
        match out {
            Some(mut out) => {
                out.push_str(&text[copied..]);
                Cow::Owned(out)
            }
            None => Cow::Borrowed(text),
        }
    }

    /// The placeholder of a value, known from here on.
    fn placeholder(&self, kind: &str, value: &str) -> String {
        let mut known = self.known();
        let named = (kind.to_owned(), value.to_owned());
        if let Some(placeholder) = known.placeholders.get(&named) {
            return placeholder.clone();
        }
        let mut attempt = 0;
        let placeholder = loop {
            let placeholder = self.key.placeholder(&self.user, kind, value, attempt);
            let is_free = known.values.get(&placeholder).is_none_or(|other| other == value);
            if is_free && !known.written.contains(&placeholder) {
                break placeholder;
            }
            attempt += 1;
        };
        known.values.insert(placeholder.clone(), value.to_owned());
        known.placeholders.insert(named, placeholder.clone());
        placeholder
    }

    /// A text with the values in place of their placeholders; all others stay.
    pub fn restore<'t>(&self, text: &'t str) -> Cow<'t, str> {
        if memchr::memmem::find(text.as_bytes(), b"[[").is_none() {
            return Cow::Borrowed(text);
        }
        let known = self.known();
        let mut out: Option<String> = None;
        let mut copied = 0;
        for range in all_in(text) {
            let Some(value) = known.values.get(&text[range.clone()]) else { continue };
            let out = out.get_or_insert_with(String::new);
            out.push_str(&text[copied..range.start]);
            out.push_str(value);
            copied = range.end;
        }
        match out {
            Some(mut out) => {
                out.push_str(&text[copied..]);
                Cow::Owned(out)
            }
            None => Cow::Borrowed(text),
        }
    }

    /// The values of all placeholders in a text: what another instance has to know to restore it.
    pub fn values_in(&self, text: &str) -> BTreeMap<String, String> {
        let known = self.known();
        let placeholders = all_in(text).map(|range| &text[range]);
        let values = placeholders
            .filter_map(|name| Some((name.to_owned(), known.values.get(name)?.clone())));
        values.collect()
    }

    /// Takes up what another instance has replaced in this run.
    pub fn learn(&self, values: BTreeMap<String, String>) {
        let mut known = self.known();
        for (placeholder, value) in values {
            if let Some(kind) = kind_in(&placeholder) {
                let named = (kind.to_owned(), value.clone());
                known.placeholders.insert(named, placeholder.clone());
                known.values.insert(placeholder, value);
            }
        }
    }
}

/// The kind that a placeholder at a place names.
fn kind_of<'t>(text: &'t str, range: &std::ops::Range<usize>) -> &'t str {
    kind_in(&text[range.clone()]).unwrap_or_default()
}

fn kind_in(placeholder: &str) -> Option<&str> {
    let mut all = all_in(placeholder);
    all.next().filter(|range| range.len() == placeholder.len())?;
    Some(placeholder.strip_prefix("[[")?.split_once(':')?.0)
}

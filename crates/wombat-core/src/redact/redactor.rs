//! The redactor of one run: replaces values by placeholders, and knows those that it has replaced.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::alone::{self, Alone};
use super::escapes::meant;
use super::placeholder::{RedactKey, all_in, all_written, percent_encoded};
use super::rules::{RedactMode, RedactRules};
use super::spans::merge;

/// See the module. What it restores is known to this run of this user only.
#[derive(Debug)]
pub struct Redactor {
    rules: Arc<RedactRules>,
    key: RedactKey,
    user: String,
    known: Mutex<Known>,
    alone: Alone,
}

#[derive(Debug, Default)]
struct Known {
    values: HashMap<String, String>,
    /// The placeholders of kinds and values.
    placeholders: HashMap<(String, String), String>,
    /// The placeholders that earlier attempts of the run have given to a model: they come back, whatever the rules are.
    learnt: HashSet<String>,
}

impl Redactor {
    /// The redactor of a run of this user.
    pub fn new(rules: Arc<RedactRules>, key: RedactKey, user: &str) -> Self {
        let (user, known, alone) = (user.to_owned(), Mutex::default(), Alone::default());
        Self { rules, key, user, known, alone }
    }

    /// Its rules.
    pub fn rules(&self) -> &RedactRules {
        &self.rules
    }

    /// Whether values come back into what leaves the run.
    pub fn restores(&self) -> bool {
        self.gives_back() || !self.known().learnt.is_empty()
    }

    /// Whether the rules say so.
    pub(super) fn gives_back(&self) -> bool {
        self.rules.to.provider && self.rules.mode == RedactMode::RedactRestore
    }

    /// What is found without what stands around it.
    pub(super) fn alone(&self) -> &Alone {
        &self.alone
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A text from outside, with placeholders in place of values. Where values come back, exactly this text does:
    /// what somebody wrote in the form of a placeholder gets one itself, and so never stands for a value.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.gives_back() {
            true => self.redact_exactly(text),
            false => self.mask(text),
        }
    }

    /// The same whether or not values come back by the rules.
    pub fn redact_exactly<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.replace(text, &Manner { literals: Literals::Nested, ..Manner::default() })
    }

    /// A text that may have placeholders by now, which stay, with placeholders in place of values.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.replace(text, &Manner::default())
    }

    /// A text that was redacted before, by rules that may have been others: everything in the form of a placeholder
    /// stays.
    pub fn redact_again<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.replace(text, &Manner { literals: Literals::AllStay, ..Manner::default() })
    }

    /// Replaces what is found in a text.
    pub(super) fn replace<'t>(&self, text: &'t str, manner: &Manner<'_>) -> Cow<'t, str> {
        let mut out: Option<String> = None;
        let mut copied = 0;
        let revealed = self.alone.all();
        let mut put = |range: Range<usize>, kind: &str, value: &str| {
            let out = out.get_or_insert_with(String::new);
            out.push_str(&text[copied..range.start]);
            out.push_str(&self.placeholder(kind, value));
            copied = range.end;
        };
        for piece in self.pieces(text, manner.literals) {
            match piece {
                Piece::Text(piece) => {
                    let part = &text[piece.clone()];
                    let mut found = match manner.field.filter(|_| piece.start == 0) {
                        Some(name) => self.rules.find_in_field(name, part),
                        None => self.rules.find(part),
                    };
                    if !revealed.is_empty() {
                        alone::find(&revealed, part, &mut found);
                        found = merge(found);
                    }
                    for found in found {
                        let value = &part[found.range.clone()];
                        let range = piece.start + found.range.start..piece.start + found.range.end;
                        match manner.is_json {
                            true => put(range, found.kind, &meant(value)),
                            false => put(range, found.kind, value),
                        }
                    }
                }
                Piece::Literal(range) => {
                    let literal = &text[range.clone()];
                    put(range, kind_in(literal).unwrap_or_default(), literal);
                }
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

    /// What of a text is looked at, and what of it is replaced whole; placeholders that stay are between.
    fn pieces(&self, text: &str, literals: Literals) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut from = 0;
        for range in all_in(text) {
            let stays = match literals {
                Literals::Nested => false,
                Literals::AllStay => true,
                Literals::KnownStay => {
                    if !self.known().values.contains_key(&text[range.clone()]) {
                        continue;
                    }
                    true
                }
            };
            pieces.push(Piece::Text(from..range.start));
            from = range.end;
            if !stays {
                pieces.push(Piece::Literal(range));
            }
        }
        pieces.push(Piece::Text(from..text.len()));
        pieces
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
            if known.values.get(&placeholder).is_none_or(|other| other == value) {
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
        self.restore_as(text, false)
    }

    /// The same with values as they stand within a text of JSON, where it `is_json`.
    pub fn restore_as<'t>(&self, text: &'t str, is_json: bool) -> Cow<'t, str> {
        let all = self.gives_back();
        self.put_back(text, is_json, &Back { all, ..Back::default() })
    }

    /// The same of an argument of a call, in which a model may have written a placeholder as links have it.
    pub(super) fn restore_argument<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let all = self.gives_back();
        self.put_back(text, false, &Back { all, links: true, ..Back::default() })
    }

    /// A text with all values that this run knows, whether or not they come back by the rules: what was redacted
    /// only to be cut.
    pub fn restore_all<'t>(&self, text: &'t str, is_json: bool) -> Cow<'t, str> {
        self.put_back(text, is_json, &Back { all: true, ..Back::default() })
    }

    /// The same without values that have more bytes.
    pub(super) fn restore_short<'t>(
        &self,
        text: &'t str,
        is_json: bool,
        longest: usize,
    ) -> Cow<'t, str> {
        self.put_back(text, is_json, &Back { all: true, longest, ..Back::default() })
    }

    fn put_back<'t>(&self, text: &'t str, is_json: bool, back: &Back) -> Cow<'t, str> {
        let is_encoded = back.links && memchr::memchr(b'%', text.as_bytes()).is_some();
        if memchr::memmem::find(text.as_bytes(), b"[[").is_none() && !is_encoded {
            return Cow::Borrowed(text);
        }
        let known = self.known();
        let mut out: Option<String> = None;
        let mut copied = 0;
        for written in all_written(text, is_encoded) {
            let Some(value) = known.values.get(&*written.name) else { continue };
            let comes_back = back.all || known.learnt.contains(&*written.name);
            if !comes_back || value.len() > back.longest {
                continue;
            }
            let out = out.get_or_insert_with(String::new);
            out.push_str(&text[copied..written.range.start]);
            if written.is_encoded {
                out.extend(percent_encoded(value));
            } else if is_json {
                let quoted = Value::from(value.as_str()).to_string();
                out.push_str(&quoted[1..quoted.len() - 1]);
            } else {
                out.push_str(value);
            }
            copied = written.range.end;
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
        self.know(values, true);
    }

    /// The same of what no model was given placeholders of: only [`Redactor::restore_all`] gives it back.
    pub fn take_up(&self, values: BTreeMap<String, String>) {
        self.know(values, false);
    }

    fn know(&self, values: BTreeMap<String, String>, is_learnt: bool) {
        let mut known = self.known();
        for (placeholder, value) in values {
            if let Some(kind) = kind_in(&placeholder) {
                let named = (kind.to_owned(), value.clone());
                known.placeholders.insert(named, placeholder.clone());
                if is_learnt {
                    known.learnt.insert(placeholder.clone());
                }
                known.values.insert(placeholder, value);
            }
        }
    }
}

/// How values are replaced.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner<'a> {
    /// What becomes of what has the form of a placeholder.
    pub(super) literals: Literals,
    /// The name of the field whose text it is.
    pub(super) field: Option<&'a str>,
    /// Whether the text is JSON: its placeholders stand for what it means.
    pub(super) is_json: bool,
}

/// What becomes of what has the form of a placeholder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Literals {
    /// Those that the run knows stay; all others are a text like any.
    #[default]
    KnownStay,
    /// All stay.
    AllStay,
    /// Each is a value.
    Nested,
}

/// Which placeholders become values again.
struct Back {
    /// All that are known, and not only those that were learnt.
    all: bool,
    /// Also those that a model has written as links have them.
    links: bool,
    /// The longest value, bytes.
    longest: usize,
}

impl Default for Back {
    fn default() -> Self {
        Self { all: false, links: false, longest: usize::MAX }
    }
}

/// A part of a text.
enum Piece {
    /// To be looked at.
    Text(Range<usize>),
    /// To be replaced.
    Literal(Range<usize>),
}

pub(super) fn kind_in(placeholder: &str) -> Option<&str> {
    let mut all = all_in(placeholder);
    all.next().filter(|range| range.len() == placeholder.len())?;
    Some(placeholder.strip_prefix("[[")?.split_once(':')?.0)
}

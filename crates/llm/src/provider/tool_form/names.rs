//! Names that a provider takes, in place of those that it does not.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The longest name that all providers take.
pub(super) const MAX_NAME: usize = 64;

/// Hash characters that keep names distinct.
const HASH_LETTERS: usize = 8;

/// Which names are taken: letters and digits of ASCII and `_`, at most [`MAX_NAME`] characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameRule {
    /// Whether the first character must be a letter or `_`.
    pub(super) letter_first: bool,
    /// Whether `.` is taken, too.
    pub(super) dots: bool,
    /// Whether `-` is taken, too.
    pub(super) dashes: bool,
}

impl NameRule {
    fn takes(self, c: char) -> bool {
        c.is_ascii_alphanumeric()
            || c == '_'
            || (c == '.' && self.dots)
            || (c == '-' && self.dashes)
    }

    /// Whether a name is taken as it is.
    pub(super) fn fits(self, name: &str) -> bool {
        let begins_well =
            |c: char| if self.letter_first { c.is_ascii_alphabetic() || c == '_' } else { true };
        name.len() <= MAX_NAME
            && name.chars().next().is_some_and(begins_well)
            && name.chars().all(|c| self.takes(c))
    }

    /// A name that is taken, as similar as possible, and the same each time. Different names may
    /// become the same.
    pub(super) fn fit(self, name: &str) -> String {
        let mut fitted = String::new();
        let mut gap = false;
        for c in name.chars() {
            let plain = if self.takes(c) { Cow::Owned(c.to_string()) } else { ascii(c).into() };
            if plain.is_empty() {
                gap = true;
                continue;
            }
            if std::mem::take(&mut gap) && !fitted.is_empty() {
                fitted.push('_');
            }
            fitted.push_str(&plain);
        }
        if !fitted.contains(|c: char| c.is_ascii_alphanumeric()) {
            return if name.is_empty() { "unnamed".to_owned() } else { hashed("name", name) };
        }
        if self.letter_first && !fitted.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            fitted.insert(0, '_');
        }
        if fitted.len() > MAX_NAME { hashed(&fitted, name) } else { fitted }
    }
}

/// A common letter in ASCII; empty for other characters.
fn ascii(c: char) -> &'static str {
    match c {
        'ä' | 'æ' => "ae",
        'ö' | 'ø' => "oe",
        'ü' => "ue",
        'Ä' | 'Æ' => "Ae",
        'Ö' | 'Ø' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'ç' | 'č' | 'ć' => "c",
        'è' | 'é' | 'ê' | 'ë' | 'ě' | 'ę' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' | 'ń' => "n",
        'ò' | 'ó' | 'ô' | 'õ' => "o",
        'š' | 'ś' | 'ş' => "s",
        'ù' | 'ú' | 'û' => "u",
        'ž' | 'ź' | 'ż' => "z",
        _ => "",
    }
}

/// A name with a hash of the original, which keeps it apart from others.
fn hashed(fitted: &str, original: &str) -> String {
    let kept = fitted.len().min(MAX_NAME - HASH_LETTERS - 1);
    let hash = original.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        // FNV-1a: stable across processes and versions.
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{}_{hash:08x}", &fitted[..kept])
}

/// Names that differ at the provider, in both directions. Names that it takes keep themselves.
#[derive(Debug, Default)]
pub(super) struct NameMap {
    to_wire: HashMap<String, String>,
    to_original: HashMap<String, String>,
}

impl NameMap {
    /// Finds a distinct name for each one that the rule does not take. It depends on the other names
    /// only where two would become the same.
    pub(super) fn of(names: &BTreeSet<&str>, rule: NameRule) -> Self {
        let mut wanted: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for name in names.iter().filter(|name| !rule.fits(name)) {
            wanted.entry(rule.fit(name)).or_default().push(name);
        }
        let mut map = Self::default();
        for (fitted, originals) in wanted {
            let alone = originals.len() == 1 && !names.contains(fitted.as_str());
            for original in originals {
                let mut wire = if alone { fitted.clone() } else { hashed(&fitted, original) };
                let mut salt = original.to_owned();
                while names.contains(wire.as_str()) || map.to_original.contains_key(&wire) {
                    salt.push('_');
                    wire = hashed(&fitted, &salt);
                }
                map.to_original.insert(wire.clone(), original.to_owned());
                map.to_wire.insert(original.to_owned(), wire);
            }
        }
        map
    }

    pub(super) fn is_empty(&self) -> bool {
        self.to_wire.is_empty()
    }

    /// The provider's name, where it differs.
    pub(super) fn wire(&self, original: &str) -> Option<&str> {
        self.to_wire.get(original).map(String::as_str)
    }

    /// The original of a provider's name, where it differs.
    pub(super) fn original(&self, wire: &str) -> Option<&str> {
        self.to_original.get(wire).map(String::as_str)
    }

    /// All names that differ: the original and the provider's, sorted.
    pub(super) fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<_> =
            self.to_wire.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
        pairs.sort_unstable();
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: NameRule = NameRule { letter_first: true, dots: false, dashes: true };

    #[test]
    fn names_stay_readable() {
        for (name, fitted) in [
            ("filter[name]", "filter_name"),
            ("$top", "top"),
            ("größe", "groesse"),
            ("3d_render", "_3d_render"),
            ("list tasks", "list_tasks"),
            ("functions.list_tasks", "functions_list_tasks"),
            ("", "unnamed"),
        ] {
            assert_eq!(NAME.fit(name), fitted, "{name}");
        }
        for name in ["名前", "😀", "-", &"x".repeat(200), &"ü".repeat(64), "\u{0}"] {
            assert!(NAME.fits(&NAME.fit(name)), "{name} {}", NAME.fit(name));
        }
        assert_ne!(NAME.fit("名前"), NAME.fit("住所"));
    }

    #[test]
    fn two_names_never_become_one() {
        let names = BTreeSet::from(["a b", "a_b", "a.b", "$top", "other", "名前"]);
        let map = NameMap::of(&names, NAME);
        let wire: BTreeSet<_> = names.iter().map(|name| map.wire(name).unwrap_or(name)).collect();
        assert_eq!(wire.len(), names.len(), "{wire:?}");
        assert!(wire.iter().all(|name| NAME.fits(name)), "{wire:?}");
        for name in &names {
            if let Some(wire) = map.wire(name) {
                assert_eq!(map.original(wire), Some(*name));
            }
        }
        // What is not concerned keeps its name.
        let alone = NameMap::of(&BTreeSet::from(["$top"]), NAME);
        assert_eq!(alone.wire("$top"), map.wire("$top"));
    }
}

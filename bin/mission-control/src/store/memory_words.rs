//! What of a memory's text is compared and searched. Both databases get the same words, so that they find the
//! same.

use sha2::{Digest as _, Sha256};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// The most bytes of a word; what follows does not count. Databases leave out longer ones, each by a
/// limit of its own.
const MAX_WORD: usize = 200;

/// English words that say nothing about what is looked for. They count only where there are no others.
const COMMON: [&str; 71] = [
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can",
    "could", "did", "do", "does", "for", "from", "had", "has", "have", "he", "her", "his", "how",
    "i", "if", "in", "is", "it", "its", "me", "my", "no", "not", "of", "on", "or", "our", "please",
    "she", "should", "so", "some", "than", "that", "the", "their", "them", "then", "there", "they",
    "this", "to", "was", "we", "were", "what", "when", "where", "which", "who", "why", "will",
    "with", "would", "you", "your", "s",
];

/// The SHA-256 of a text after NFC, case and white-space folding: equal for texts that say the same.
pub(super) fn folded(text: &str) -> String {
    let text: String = text.nfc().flat_map(fold).nfc().collect();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    hex(text.as_bytes())
}

/// Whose a memory is, as one word that can be searched.
pub(super) fn holder(kind: char, id: &str) -> String {
    format!("{kind}{}", &hex(id.as_bytes())[..32])
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A letter without its case: what all its forms have in common, such as ß and SS.
fn fold(letter: char) -> impl Iterator<Item = char> {
    // Its upper case is that of i, with which it has nothing to do.
    let is_dotless = letter == 'ı';
    let folded = letter.to_uppercase().flat_map(char::to_lowercase);
    is_dotless.then_some(letter).into_iter().chain(folded.filter(move |_| !is_dotless))
}

/// The words of a text: without case and accents, each sign of a writing without spaces for itself.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(fold) {
        if is_sign(letter) {
            words.extend([letter.to_string(), String::new()]);
        } else if letter.is_alphanumeric() {
            if let Some(word) = words.last_mut()
                && word.len() + letter.len_utf8() <= MAX_WORD
            {
                word.push(letter);
            }
        } else {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Whether words of such signs follow on each other without spaces.
fn is_sign(c: char) -> bool {
    matches!(u32::from(c), 0x0E00..=0x0EFF | 0x3040..=0x30FF | 0x3400..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
}

/// The words that a search is for: each once, and common ones only where there are no others.
pub(super) fn searched(text: &str) -> Vec<String> {
    let mut all = words(text);
    all.sort();
    all.dedup();
    let telling: Vec<_> =
        all.iter().filter(|word| !COMMON.contains(&word.as_str())).cloned().collect();
    if telling.is_empty() { all } else { telling }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_say_the_same_are_equal() {
        for (one, other) in [
            ("Likes tea", "  likes\n\tTEA "),
            ("Caf\u{e9}", "cafe\u{301}"),
            ("Straße", "STRASSE"),
            ("ΟΔΟΣ", "οδος"),
            ("a\u{a0}b", "a\u{3000}b"),
        ] {
            assert_eq!(folded(one), folded(other), "{one} {other}");
        }
        for (one, other) in [("Likes tea.", "likes tea"), ("ısı", "isi"), ("cafe", "café")] {
            assert_ne!(folded(one), folded(other), "{one} {other}");
        }
    }

    #[test]
    fn words_are_found_without_case_accents_and_spaces() {
        assert_eq!(words("Zürich, l'été — ÆØ 42"), ["zurich", "l", "ete", "æø", "42"]);
        assert_eq!(words("東京 tower"), ["東", "京", "tower"]);
        assert_eq!(words("…!"), Vec::<String>::new());
        assert_eq!(searched("What is the colour of the car?"), ["car", "colour"]);
        assert_eq!(searched("who is it"), ["is", "it", "who"]);
        assert_eq!(
            words(&format!("{} z", "x".repeat(5_000))),
            ["x".repeat(MAX_WORD), "z".to_owned()]
        );
    }
}

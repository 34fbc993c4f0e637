//! Phrases in the messages of providers.
//!
//! A phrase is lower case. `*` stands for any text, `#` for a number in any notation (`131072`,
//! `131,072`, `32k`), `^` at its beginning for the beginning of a message, and `'` for any quote.

/// The most bytes that a `*` stands for: words that are farther apart belong to different sentences.
const MAX_GAP: usize = 200;

/// A text in the form that phrases are compared with: lower case, one kind of quote, single spaces.
pub(super) fn normalized(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.extend(word.chars().flat_map(char::to_lowercase).map(|c| match c {
            '`' | '"' | '‘' | '’' | '“' | '”' => '\'',
            other => other,
        }));
    }
    plain
}

/// A normalized text without the names in its quotes, which are a tool's or a field's: `'credit_check'`
/// becomes `''`. Quoted sentences stay.
pub(super) fn without_quoted_names(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\'') {
        let (before, quoted) = rest.split_at(at + 1);
        bare.push_str(before);
        rest = quoted;
        let is_opening = !before[..at].ends_with(char::is_alphanumeric);
        let name = quoted.split(['\'', ' ']).next().unwrap_or_default();
        if is_opening && quoted[name.len()..].starts_with('\'') {
            bare.push('\'');
            rest = &quoted[name.len() + 1..];
        }
    }
    bare + rest
}

/// The keys of messages in a dictionary that is printed as text.
const MESSAGE_KEYS: [&str; 4] = ["'message': '", "'msg': '", "'error': '", "'detail': '"];

/// A normalized text without what is in its quotes, except for the messages of a printed dictionary. The
/// same without names only, where no other words are left.
pub(super) fn without_quotes(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let (mut at, mut kept) = (0, false);
    while let Some(found) = text[at..].find('\'') {
        let opening = at + found;
        bare.push_str(&text[at..=opening]);
        at = opening + 1;
        let is_opening = !text[..opening].ends_with(char::is_alphanumeric);
        if !is_opening {
            continue;
        }
        let Some(closing) = closing_quote(&text[at..]) else { continue };
        if MESSAGE_KEYS.iter().any(|key| text[..at].ends_with(key)) {
            bare.push_str(&text[at..at + closing]);
            kept = true;
        }
        bare.push('\'');
        at += closing + 1;
    }
    bare.push_str(&text[at..]);
    let has_words =
        bare.split(' ').filter(|word| word.chars().any(char::is_alphabetic)).count() > 1;
    if has_words || kept { bare } else { without_quoted_names(text) }
}

/// Where a quote ends: at one that no letter follows, as one follows an apostrophe.
fn closing_quote(text: &str) -> Option<usize> {
    text.match_indices('\'')
        .map(|(at, _)| at)
        .find(|at| !text[at + 1..].starts_with(char::is_alphanumeric))
}

/// Whether a normalized text contains a phrase.
pub(super) fn contains(text: &str, phrase: &str) -> bool {
    if let Some(phrase) = phrase.strip_prefix('^') {
        return matches_here(text, phrase);
    }
    let literal = &phrase[..phrase.find(['*', '#']).unwrap_or(phrase.len())];
    if literal.is_empty() {
        return starts(text).any(|at| matches_here(&text[at..], phrase));
    }
    text.match_indices(literal).any(|(at, _)| matches_here(&text[at..], phrase))
}

fn starts(text: &str) -> impl Iterator<Item = usize> + '_ {
    text.char_indices().map(|(at, _)| at)
}

/// Whether a text begins with a phrase.
fn matches_here(text: &str, phrase: &str) -> bool {
    let Some(at) = phrase.find(['*', '#']) else { return text.starts_with(phrase) };
    let (literal, rest) = phrase.split_at(at);
    let Some(text) = text.strip_prefix(literal) else { return false };
    if let Some(rest) = rest.strip_prefix('#') {
        return after_number(text).is_some_and(|text| matches_here(text, rest));
    }
    let rest = rest.trim_start_matches('*');
    starts(text)
        .chain([text.len()])
        .take_while(|at| *at <= MAX_GAP)
        .any(|at| matches_here(&text[at..], rest))
}

/// What follows a number at the beginning of a text.
fn after_number(text: &str) -> Option<&str> {
    let text = text.strip_prefix(['(', '[', '\'']).unwrap_or(text);
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || ",._".contains(c));
    let digits = &text[..text.len() - rest.len()];
    // The full stop of a sentence may have been taken for a part of the number.
    let ends_sentence = digits.ends_with(['.', ',']);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = if ends_sentence { &text[digits.len() - 1..] } else { rest };
    let rest = rest.strip_prefix(['k', 'm']).unwrap_or(rest);
    Some(rest.strip_prefix([')', ']', '\'']).unwrap_or(rest))
}

/// The numbers in a text.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = u64> + '_ {
    let is_part = |c: char| c.is_ascii_digit() || c == ',' || c == '_';
    text.split(move |c: char| !is_part(c)).filter_map(|number| {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        digits.parse().ok()
    })
}

/// The number behind one of these words in a normalized text.
pub(super) fn number_after(text: &str, words: &[&str]) -> Option<u64> {
    words.iter().find_map(|word| {
        let (_, after) = text.split_once(word)?;
        let after = after.trim_start_matches([' ', '(', '[', '\'']);
        after.starts_with(|c: char| c.is_ascii_digit()).then(|| numbers(after).next())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(text: &str, phrase: &str) -> bool {
        contains(&normalized(text), phrase)
    }

    #[test]
    fn numbers_and_gaps_are_found_in_every_notation() {
        let phrase = "limit of # tokens";
        for text in [
            "Limit of 131072 tokens",
            "limit of 131,072 tokens.",
            "a limit of (32k) tokens",
            "limit of `9` tokens",
        ] {
            assert!(has(text, phrase), "{text}");
        }
        assert!(!has("limit of many tokens", phrase));
        assert!(has("is 8192. But 9000 were sent", "is #. but"));
        assert!(has("input 1 of at most 2", "input*at most #"));
        assert!(!has(&format!("input {} at most 2", "x".repeat(300)), "input*at most"));
    }

    #[test]
    fn quotes_spaces_and_beginnings_do_not_matter_or_do() {
        assert!(has("The  `temperature`\nis", "'temperature' is"));
        assert!(has("Temperature: bad", "^temperature:"));
        assert!(!has("the temperature: bad", "^temperature:"));
        assert!(!has("", "x") && has("", "^*"));
    }

    #[test]
    fn names_in_quotes_are_left_out_and_apostrophes_are_none() {
        let bare = |text: &str| without_quoted_names(&normalized(text));
        assert_eq!(bare("tool `credit_check` isn't \"free.of\" it"), "tool '' isn't '' it");
        assert_eq!(bare("{'error': 'no credit left'}"), "{'': 'no credit left'}");
        assert_eq!(bare("'open"), "'open");
    }

    #[test]
    fn quoted_sentences_are_left_out_unless_they_are_all() {
        let bare = |text: &str| without_quotes(&normalized(text));
        assert_eq!(bare("Bad tool: `Cancel what isn't paid`, no"), "bad tool: '', no");
        assert_eq!(bare("isn't"), "isn't");
        assert_eq!(bare("'No credit left'"), "'no credit left'");
        let printed = "Error code: 400 - {'error': {'message': 'No credit left'}}";
        assert_eq!(bare(printed), "error code: 400 - {'': {'': 'no credit left'}}");
    }

    #[test]
    fn numbers_are_read_with_their_separators() {
        let found: Vec<u64> = numbers("max 100,000 > 64_000 (v4), 8.").collect();
        assert_eq!(found, [100_000, 64_000, 4, 8]);
    }
}

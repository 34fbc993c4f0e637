//! What a provider's sentence must not carry on: keys, identifiers, and what URLs may hide.

/// Prefixes of the providers' keys.
const KEY_PREFIXES: [&str; 8] = ["sk-", "gsk_", "xai-", "aiza", "pk-", "hf_", "nvapi-", "ak-"];
/// The shortest word with such a prefix that is taken for a key.
const MIN_KEY: usize = 12;
/// The shortest run of letters and digits that is taken for an identifier or a key.
const MIN_ID: usize = 20;

/// A sentence of at most so many characters without keys and the like.
pub(super) fn scrubbed(sentence: &str, max_chars: usize) -> String {
    let words: Vec<String> = sentence.split_whitespace().map(word).collect();
    let text = words.join(" ");
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn word(word: &str) -> String {
    if let Some(at) = word.find("://") {
        return url(word, at);
    }
    let is_edge = |c: char| !c.is_ascii_alphanumeric() && c != '*';
    let inner = word.trim_matches(is_edge);
    let lower = inner.to_ascii_lowercase();
    let is_key = KEY_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if is_key && inner.len() >= MIN_KEY {
        return word.replace(inner, "[key]");
    }
    let runs = inner.split(|c: char| !c.is_ascii_alphanumeric());
    let is_id = |run: &str| {
        run.len() >= MIN_ID
            && run.bytes().any(|b| b.is_ascii_digit())
            && run.bytes().any(|b| b.is_ascii_alphabetic())
    };
    if runs.into_iter().any(is_id) {
        return word.replace(inner, "[id]");
    }
    word.to_owned()
}

/// A URL without user, password, query and fragment.
fn url(word: &str, scheme_end: usize) -> String {
    let (scheme, rest) = word.split_at(scheme_end + "://".len());
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let rest = &rest[..end];
    let host_end = rest.find('/').unwrap_or(rest.len());
    let host = rest[..host_end].rfind('@').map_or(0, |at| at + 1);
    format!("{scheme}{}", &rest[host..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_identifiers_and_urls_lose_what_is_secret() {
        for (given, expected) in [
            (
                "Incorrect API key provided: sk-proj-abc123def456.",
                "Incorrect API key provided: [key].",
            ),
            ("key 'AIzaSyA1234567890' is bad", "key '[key]' is bad"),
            ("in organization `org_01kgg5588eftc8k70aes4864eb` on", "in organization `[id]` on"),
            (
                "see https://user:pw@host.example/a?key=secret#x now",
                "see https://host.example/a now",
            ),
            (
                "model claude-haiku-4-5-20251001 and\n gpt-4o",
                "model claude-haiku-4-5-20251001 and gpt-4o",
            ),
            ("ask sk-it", "ask sk-it"),
        ] {
            assert_eq!(scrubbed(given, 400), expected);
        }
        assert_eq!(scrubbed("äöü", 2), "äö…");
    }
}

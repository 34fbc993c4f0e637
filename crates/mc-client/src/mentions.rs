//! `@role` mentions in texts: one rule for what a backend notifies and what the daemon lets agents name.

/// The longest role.
const MAX_ROLE: usize = 64;

/// Whether a text can be a role's name: `[A-Za-z0-9][A-Za-z0-9_-]{0,63}`.
pub fn is_role(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.len() <= MAX_ROLE
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The roles that a text mentions, each once, in order. A mention begins a word; text between
/// backticks does not count.
pub fn mentioned_roles(text: &str) -> Vec<String> {
    let mut roles = Vec::new();
    let mut in_code = false;
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '`' {
            // A backtick that is never closed does not open code.
            in_code = !in_code && rest.contains('`');
        }
        if c == '@'
            && !in_code
            && !(before.is_alphanumeric() || matches!(before, '_' | '.' | '-' | '@'))
        {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                .unwrap_or(rest.len());
            let role = rest[..end].trim_end_matches(['-', '_']);
            if is_role(role) && !roles.iter().any(|known| known == role) {
                roles.push(role.to_owned());
            }
        }
        before = c;
    }
    roles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_begins_a_word_and_counts_once() {
        for (text, roles) in [
            ("@scout find it, @analyst too, @scout!", vec!["scout", "analyst"]),
            ("mail me@scout.example or @", vec![]),
            ("(@jarvis) and `@code`", vec!["jarvis"]),
            ("@-x @_y @a/../b", vec!["a"]),
            ("ü@scout @scout-", vec!["scout"]),
            ("it's `broken @scout", vec!["scout"]),
            ("```\n@scout\n``` @jarvis", vec!["jarvis"]),
        ] {
            assert_eq!(mentioned_roles(text), roles, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_text_each_mention_is_a_role_and_stands_in_it(text in "[@`a-z ü_.-]{0,60}") {
            for role in mentioned_roles(&text) {
                proptest::prop_assert!(is_role(&role));
                let mention = format!("@{role}");
                proptest::prop_assert!(text.contains(&mention));
            }
        }
    }
}

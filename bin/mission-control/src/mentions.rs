//! `@role` in what a person writes.

/// The longest role.
const MAX_ROLE: usize = 64;

/// The roles that a text mentions, each once, in order. A mention begins a word; what stands in
/// code is none.
pub(crate) fn mentioned_roles(text: &str) -> Vec<String> {
    let mut roles = Vec::new();
    let mut in_code = false;
    let mut before = ' ';
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c == '`' {
            in_code = !in_code;
        }
        if c == '@'
            && !in_code
            && !(before.is_alphanumeric() || matches!(before, '_' | '.' | '-' | '@'))
        {
            let end = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
                .unwrap_or(rest.len());
            let role = rest[..end].trim_end_matches(['-', '_']);
            let starts_well = role.starts_with(|c: char| c.is_ascii_alphanumeric());
            if starts_well && role.len() <= MAX_ROLE && !roles.iter().any(|known| known == role) {
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
        ] {
            assert_eq!(mentioned_roles(text), roles, "{text}");
        }
    }
}

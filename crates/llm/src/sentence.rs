//! Descriptions of a bounded length.

/// Cuts a text to at most `max` characters: at the end of a sentence if there is one in its second half,
/// else between words. `None` when it is short enough.
pub fn cut_at_sentence(text: &str, max: usize) -> Option<String> {
    let (end, _) = text.char_indices().nth(max)?;
    let room = &text[..end];
    let half = room.len() / 2;
    let ends_sentence = |(at, c): (usize, char)| {
        let next = text[at + c.len_utf8()..].chars().next();
        let is_end = c == '\n'
            || matches!(c, '。' | '！' | '？')
            || (matches!(c, '.' | '!' | '?') && next.is_some_and(char::is_whitespace));
        (is_end && at >= half).then_some(at + c.len_utf8())
    };
    if let Some(at) = room.char_indices().rev().find_map(ends_sentence) {
        return Some(room[..at].trim_end().to_owned());
    }
    // Room for the mark that something is missing.
    let (end, _) = text.char_indices().nth(max.saturating_sub(2))?;
    let room = &text[..end];
    let at = room.rfind(char::is_whitespace).filter(|at| *at >= half).unwrap_or(room.len());
    Some(format!("{} …", room[..at].trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_ends_with_a_sentence() {
        assert_eq!(cut_at_sentence("Short.", 6), None);
        assert_eq!(
            cut_at_sentence("Lists v1.2 things. And then more", 24).as_deref(),
            Some("Lists v1.2 things.")
        );
        assert_eq!(cut_at_sentence("word word word word", 12).as_deref(), Some("word word …"));
        assert_eq!(cut_at_sentence(&"ü".repeat(50), 10).as_deref(), Some("üüüüüüüü …"));
        let long = "A sentence of words. ".repeat(100);
        let cut = cut_at_sentence(&long, 1_024).unwrap();
        assert!(cut.chars().count() <= 1_024 && cut.ends_with("words."), "{cut}");
    }
}

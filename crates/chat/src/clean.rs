//! Removes terminal control sequences from the text of models and tools.
//!
//! A control sequence could change what the screen shows, the window's title, or the clipboard. It is
//! removed as a whole where its end can be found, and of all control characters only line breaks and
//! tabs remain.

/// Cleans text that arrives in pieces: a sequence may begin in one and end in another.
#[derive(Debug, Clone, Default)]
pub(super) struct Cleaner(State);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// Behind an ESC.
    Escape,
    /// Behind ESC and intermediate characters, as in the choice of a character set.
    Intermediate,
    /// In the parameters of a control sequence (CSI).
    Sequence,
    /// In a control string (OSC, DCS, APC, PM, SOS).
    String,
    /// Behind an ESC in a control string: its end, if `\` follows.
    StringEscape,
}

impl Cleaner {
    /// The next piece, cleaned.
    pub(super) fn piece(&mut self, text: &str) -> String {
        text.chars().filter(|c| self.keeps(*c)).collect()
    }

    /// Whether a character is text. ECMA-48 defines what belongs to a sequence. Anything else ends the
    /// sequence, so that an unterminated one swallows at most the rest of its line.
    fn keeps(&mut self, c: char) -> bool {
        if matches!(c, '\n' | '\t') {
            self.0 = State::Text;
            return true;
        }
        let (next, keeps) = match (self.0, c) {
            (State::String, '\u{1b}') => (State::StringEscape, false),
            (State::String, '\u{7}' | '\u{9c}') | (State::StringEscape, '\\') => {
                (State::Text, false)
            }
            (State::String, _) => (State::String, false),
            (_, '\u{1b}') => (State::Escape, false),
            (_, '\u{9b}') | (State::Escape | State::StringEscape, '[') => (State::Sequence, false),
            (_, '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}')
            | (State::Escape | State::StringEscape, ']' | 'P' | 'X' | '^' | '_') => {
                (State::String, false)
            }
            (State::Sequence, ' '..='?') => (State::Sequence, false),
            (State::Sequence, '@'..='~') => (State::Text, false),
            (State::Escape | State::StringEscape | State::Intermediate, ' '..='/') => {
                (State::Intermediate, false)
            }
            (State::Escape | State::StringEscape | State::Intermediate, '0'..='~') => {
                (State::Text, false)
            }
            (_, c) => (State::Text, !c.is_control()),
        };
        self.0 = next;
        keeps
    }
}

/// A whole text, cleaned.
pub(super) fn clean(text: &str) -> String {
    Cleaner::default().piece(text)
}

/// A whole text, cleaned, on one line of at most `most` characters.
pub(super) fn one_line(text: &str, most: usize) -> String {
    let line = clean(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_go_as_a_whole_and_text_stays() {
        for (text, cleaned) in [
            ("plain, ünï, 🦘\n\tline", "plain, ünï, 🦘\n\tline"),
            ("\u{1b}[31;1mred\u{1b}[0m", "red"),
            ("\u{1b}[2J\u{1b}[Hgone", "gone"),
            ("\u{1b}]0;title\u{7}a\u{1b}]8;;http://x\u{1b}\\b", "ab"),
            ("\u{1b}]52;c;cm0gLXJm\u{9c}clipboard", "clipboard"),
            ("\u{1b}P1$r\u{1b}\\dcs", "dcs"),
            ("\u{9b}31mc1 csi", "c1 csi"),
            ("\u{9d}0;title\u{7}c1 osc", "c1 osc"),
            ("\u{1b}(0charset\u{1b}c", "charset"),
            ("over\rwritten\u{8}\u{7f}\u{0}\u{7}\u{85}", "overwritten"),
        ] {
            assert_eq!(clean(text), cleaned, "{text:?}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_swallows_no_more_than_its_line() {
        assert_eq!(clean("a\u{1b}]0;b\nc"), "a\nc");
        assert_eq!(clean("a\u{1b}[31\nc"), "a\nc");
        assert_eq!(clean("a\u{1b}[3ü"), "aü");
    }

    #[test]
    fn a_sequence_in_pieces_goes_too() {
        let text = "a\u{1b}]0;t\u{1b}\\b\u{1b}[31mc\u{9b}1md";
        let mut cleaner = Cleaner::default();
        let pieces: String = text.chars().map(|c| cleaner.piece(&c.to_string())).collect();
        assert_eq!(pieces, "abcd");
    }

    #[test]
    fn whatever_comes_no_control_character_leaves() {
        let mut random = 1_u32;
        for _ in 0..20_000 {
            let text: String = (0..12)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let all = "\u{1b}[]P\\;m0\u{7}\u{9b}\u{9c}\u{9d}\r\n\ta\u{0}\u{7f}\u{90}X^_(";
                    all.chars().nth((random >> 16) as usize % all.chars().count()).unwrap()
                })
                .collect();
            let left = clean(&text);
            assert!(left.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control()), "{text:?}");
        }
    }

    #[test]
    fn a_line_is_one_and_short() {
        assert_eq!(one_line("a\n  b\u{1b}[1m", 10), "a b");
        assert_eq!(one_line("äöüß€", 4), "äöü…");
    }
}

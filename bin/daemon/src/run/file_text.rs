//! The text of a file for models, which see no bytes: what letters it is in, and how much of it there is
//! room for. It is data from outside, so that whoever gives it to a model fences it.

use std::borrow::Cow;

use chardetng::EncodingDetector;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// The most bytes that one character takes in an encoding that is read here.
const MAX_CHAR_BYTES: usize = 4;

/// Of how many bytes the encoding is guessed.
const GUESS_BYTES: usize = 64 * 1024;

/// Text has at most one control character in so many characters: more are no text.
const MAX_CONTROL_SHARE: usize = 50;

/// The beginning of a file's text, at most this many characters, with a note where it is cut. `None` where
/// the bytes are no text.
pub fn text_of(bytes: &[u8], max_chars: usize) -> Option<String> {
    let enough = max_chars.saturating_add(1).saturating_mul(MAX_CHAR_BYTES);
    beginning(bytes, enough, max_chars, |text| text)
}

/// The same of a text in which something is replaced before it is cut: all of it is read.
pub fn changed_text_of(
    bytes: &[u8],
    max_chars: usize,
    change: impl for<'t> FnOnce(&'t str) -> Cow<'t, str>,
) -> Option<String> {
    beginning(bytes, bytes.len(), max_chars, |text| change(&text).into_owned().into())
}

fn beginning(
    bytes: &[u8],
    enough: usize,
    max_chars: usize,
    change: impl for<'t> FnOnce(Cow<'t, str>) -> Cow<'t, str>,
) -> Option<String> {
    let head = &bytes[..bytes.len().min(enough)];
    let is_part = head.len() < bytes.len();
    let text = decode(head, is_part);
    if !is_text(&text) {
        return None;
    }
    let text = change(text);
    let end = text.char_indices().nth(max_chars).map(|(end, _)| end);
    if end.is_none() && !is_part {
        return Some(text.into_owned());
    }
    let end = end.unwrap_or(text.len());
    let shown = text[..end].chars().count();
    let size = bytes.len();
    Some(format!("{}\n[cut: the first {shown} characters of {size} bytes]", &text[..end]))
}

/// Bytes as text. Those that the encoding does not know become U+FFFD.
fn decode(bytes: &[u8], is_part: bool) -> Cow<'_, str> {
    let (encoding, begin) = match Encoding::for_bom(bytes) {
        Some(known) => known,
        None => (guess(bytes, is_part), 0),
    };
    let (text, _) = encoding.decode_without_bom_handling(&bytes[begin..]);
    if !is_part {
        return text;
    }
    // The last character may be there in part only.
    match text.trim_end_matches('\u{fffd}').len() {
        whole if text.len() - whole <= '\u{fffd}'.len_utf8() => text[..whole].to_owned().into(),
        _ => text,
    }
}

fn guess(bytes: &[u8], is_part: bool) -> &'static Encoding {
    let is_utf8 = match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Cut within a character.
        Err(error) => is_part && error.error_len().is_none(),
    };
    if is_utf8 && !bytes.contains(&0) {
        return UTF_8;
    }
    if let Some(wide) = utf16(bytes) {
        return wide;
    }
    let mut detector = EncodingDetector::new();
    detector.feed(&bytes[..bytes.len().min(GUESS_BYTES)], true);
    detector.guess(None, false)
}

/// UTF-16 without its mark: text in Latin letters, or with line ends and blanks, has zeros in every second
/// place and nowhere else.
fn utf16(bytes: &[u8]) -> Option<&'static Encoding> {
    let bytes = &bytes[..bytes.len().min(GUESS_BYTES)];
    if bytes.len() < 4 || !bytes.contains(&0) {
        return None;
    }
    let zeros =
        |first: usize| bytes.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd) = (zeros(0), zeros(1));
    let (enough, none) = (bytes.len() / 20, bytes.len() / 1000);
    match (even, odd) {
        _ if odd > enough && even <= none => Some(UTF_16LE),
        _ if even > enough && odd <= none => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether decoded bytes are text and no noise.
fn is_text(text: &str) -> bool {
    let is_odd =
        |c: &char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{c}') || *c == '\u{fffd}';
    let odd = text.chars().filter(is_odd).count();
    !text.contains('\0') && odd * MAX_CONTROL_SHARE <= text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_the_letters_that_it_is_in() {
        let all = "Größe, цена, 値段\n";
        let utf16 = |order: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(order).collect()
        };
        assert_eq!(text_of(all.as_bytes(), 100).unwrap(), all);
        assert_eq!(text_of(&[b"\xef\xbb\xbf", all.as_bytes()].concat(), 100).unwrap(), all);
        assert_eq!(text_of(&utf16(u16::to_le_bytes, &format!("\u{feff}{all}")), 100).unwrap(), all);
        let lines = "a line of text\r\nand another\r\n";
        assert_eq!(text_of(&utf16(u16::to_le_bytes, lines), 100).unwrap(), lines);
        assert_eq!(text_of(&utf16(u16::to_be_bytes, lines), 100).unwrap(), lines);
        assert_eq!(
            text_of(b"Gr\xf6\xdfe und Stra\xdfe, f\xfcr \xc4pfel", 100).unwrap(),
            "Größe und Straße, für Äpfel"
        );
        let (sjis, _, _) =
            encoding_rs::SHIFT_JIS.encode("東京の値段は高いです。ありがとうございます。");
        assert!(text_of(&sjis, 100).unwrap().starts_with("東京の値段"));
        assert_eq!(text_of(b"", 100).unwrap(), "");
    }

    #[test]
    fn noise_is_no_text() {
        assert_eq!(text_of(b"PK\x03\x04\x00\x00\x00\x00\x08\x00", 100), None);
        let noise: Vec<u8> =
            (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert_eq!(text_of(&noise, 1_000), None);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        let text = "é".repeat(1_000);
        assert_eq!(text_of(text.as_bytes(), 1_000).unwrap(), text);
        let cut = text_of(text.as_bytes(), 999).unwrap();
        assert_eq!(
            cut,
            format!("{}\n[cut: the first 999 characters of 2000 bytes]", "é".repeat(999))
        );
        let cut = text_of("値".repeat(1_000).as_bytes(), 10).unwrap();
        assert_eq!(
            cut,
            format!("{}\n[cut: the first 10 characters of 3000 bytes]", "値".repeat(10))
        );
        let cut = text_of("😀".repeat(1_000).as_bytes(), 10).unwrap();
        assert!(cut.starts_with(&"😀".repeat(10)) && cut.contains("first 10 characters"), "{cut}");
    }
}

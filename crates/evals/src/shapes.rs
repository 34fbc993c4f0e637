//! Placeholders of the form of what they stand for, with valid check digits.

use crate::finder::{PatternCheck, luhn, mod97};

/// The n-th placeholder of a kind, of the form of a value.
pub(crate) fn placeholder(
    kind: &str,
    check: Option<PatternCheck>,
    value: &str,
    n: usize,
) -> String {
    match (kind, check) {
        ("email", _) => format!("person{n}@example.com"),
        ("phone", _) => phone(value, n),
        ("user", _) => user(value, n),
        ("key", _) => key(value, n),
        (_, Some(PatternCheck::Luhn)) => checked_by_luhn(value, n),
        (_, Some(PatternCheck::Mod97)) => checked_by_mod97(value, n),
        (_, None) => own(value, n),
    }
}

/// The value's characters with its digits replaced by those of a number, from the right; the others become zeros.
/// `keep` leaves the first ones as they are.
fn with_digits(value: &str, n: usize, keep: usize) -> String {
    let mut number = n;
    let mut chars: Vec<char> = value.chars().collect();
    let places: Vec<usize> =
        chars.iter().enumerate().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect();
    for at in places.into_iter().skip(keep).rev() {
        let digit = u32::try_from(number % 10).unwrap_or_default();
        chars[at] = char::from_digit(digit, 10).unwrap_or('0');
        number /= 10;
    }
    chars.into_iter().collect()
}

/// A number of nobody: country code and separators stay.
fn phone(value: &str, n: usize) -> String {
    let keep = if value.starts_with('+') { 2 } else { 4 };
    with_digits(value, n, keep)
}

fn user(value: &str, n: usize) -> String {
    let is_uuid = value.len() == 36
        && value.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        });
    if is_uuid {
        return format!("00000000-0000-4000-8000-{n:012x}");
    }
    let is_number = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    match is_number {
        true => {
            let width = value.len();
            // No number of people begins with a zero.
            format!("9{n:0>rest$}", rest = width.saturating_sub(1))
        }
        false => format!("user-{n}"),
    }
}

/// A key that opens nothing: its kind stays, which is what stands before the first of its own characters.
fn key(value: &str, n: usize) -> String {
    if value.starts_with("-----BEGIN") {
        let mut lines = value.lines();
        let (first, last) =
            (lines.next().unwrap_or_default(), lines.next_back().unwrap_or_default());
        return format!("{first}\nplaceholder{n}\n{last}");
    }
    let known = ["AKIA", "ASIA", "AIza", "eyJ"];
    let kept = match known.iter().find(|prefix| value.starts_with(**prefix)) {
        Some(prefix) => prefix.len(),
        None => value.find(['-', '_']).map_or(0, |at| at + 1),
    };
    if value.starts_with("eyJ") {
        return format!("eyJplaceholder.placeholder{n:08}.placeholder");
    }
    let (prefix, rest) = value.split_at(kept);
    let width = rest.chars().count();
    format!("{prefix}{n:0>width$}")
}

/// A pattern's match: other digits; where it has too few of them, other letters, too.
fn own(value: &str, n: usize) -> String {
    let digits =
        u32::try_from(value.bytes().filter(u8::is_ascii_digit).count()).unwrap_or(u32::MAX);
    let room = 10_usize.checked_pow(digits).unwrap_or(usize::MAX);
    let replaced = with_digits(value, n, 0);
    if n < room {
        return replaced;
    }
    let (mut number, mut out) = (n / room, Vec::new());
    for c in replaced.chars().rev() {
        let base = match c {
            'a'..='z' => b'a',
            'A'..='Z' => b'A',
            _ => {
                out.push(c);
                continue;
            }
        };
        let letter = u8::try_from(number % 26).unwrap_or_default();
        out.push(char::from(base + letter));
        number /= 26;
    }
    out.into_iter().rev().collect()
}

/// The last digit is chosen so that the sum is right.
fn checked_by_luhn(value: &str, n: usize) -> String {
    // Nobody issues cards whose numbers begin so.
    let digits: Vec<usize> = digit_places(value);
    let Some((last, before)) = digits.split_last() else { return own(value, n) };
    let mut chars: Vec<char> = with_digits(value, n * 10, 0).chars().collect();
    if let Some(first) = before.first() {
        chars[*first] = '9';
    }
    for check in '0'..='9' {
        chars[*last] = check;
        let all: String = chars.iter().filter(|c| c.is_ascii_digit()).collect();
        if luhn(&all) == 0 {
            break;
        }
    }
    chars.into_iter().collect()
}

fn digit_places(value: &str) -> Vec<usize> {
    value.chars().enumerate().filter(|(_, c)| c.is_ascii_digit()).map(|(at, _)| at).collect()
}

/// The country stays, letters become X, and the two check digits are chosen so that the remainder is right.
fn checked_by_mod97(value: &str, n: usize) -> String {
    let mut seen = 0;
    let mut chars: Vec<char> = with_digits(value, n, 2).chars().collect();
    let mut checks = Vec::new();
    for (at, c) in chars.iter_mut().enumerate().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        match seen {
            0 | 1 => {}
            2 | 3 => {
                *c = '0';
                checks.push(at);
            }
            _ if c.is_ascii_alphabetic() => *c = 'X',
            _ => {}
        }
        seen += 1;
    }
    let plain: String = chars.iter().filter(|c| c.is_ascii_alphanumeric()).collect();
    if let (Some(remainder), [first, second]) = (mod97(&plain), checks.as_slice()) {
        let check = 98 - remainder;
        chars[*first] = char::from_digit(check / 10, 10).unwrap_or('0');
        chars[*second] = char::from_digit(check % 10, 10).unwrap_or('0');
    }
    chars.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finder::{Finder, holds};

    #[test]
    fn a_placeholder_has_the_form_of_what_it_stands_for() {
        let finder = Finder::default();
        for (kind, value) in [
            ("email", "ann@mail.org"),
            ("phone", "+49 (30) 123456-78"),
            ("phone", "0041 79 123 45 67"),
            ("iban", "DE89 3704 0044 0532 0130 00"),
            ("iban", "GB82WEST12345698765432"),
            ("card", "4111-1111-1111-1111"),
            ("card", "378282246310005"),
            ("key", "sk-proj-abcdefghij0123456789"),
            ("key", "ghp_abcdefghijklmnopqrst0123456789"),
            ("key", "AKIAIOSFODNN7EXAMPLE"),
        ] {
            let found = finder.find(value);
            assert_eq!(found.len(), 1, "{value}");
            for n in [1, 42, 100_000] {
                let shape = placeholder(kind, found[0].check, value, n);
                let again = finder.find(&shape);
                assert_eq!(again.len(), 1, "{value} {shape}");
                assert_eq!(
                    (again[0].kind.as_str(), again[0].at.clone()),
                    (kind, 0..shape.len()),
                    "{shape}"
                );
                assert_ne!(shape, value);
                assert_ne!(shape, placeholder(kind, found[0].check, value, n + 1));
            }
        }
    }

    #[test]
    fn separators_stay_and_check_digits_are_right() {
        let card = placeholder("card", Some(PatternCheck::Luhn), "4111 1111 1111 1111", 3);
        assert!(card.starts_with("9000 0000 0000 003"), "{card}");
        let iban = placeholder("iban", Some(PatternCheck::Mod97), "DE89 3704 0044 0532 0130 00", 3);
        assert!(iban.starts_with("DE") && iban.ends_with(" 0000 0000 0000 0000 03"), "{iban}");
        let plain: String = iban.chars().filter(|c| *c != ' ').collect();
        assert!(holds(&plain, PatternCheck::Mod97), "{iban}");
    }

    #[test]
    fn users_and_own_patterns_keep_their_form() {
        let user = |value: &str| placeholder("user", None, value, 7);
        assert_eq!(user("ann"), "user-7");
        assert_eq!(user("12345"), "90007");
        assert_eq!(
            user("0190a5c2-1111-7222-8333-444455556666"),
            "00000000-0000-4000-8000-000000000007"
        );
        assert_eq!(placeholder("customer", None, "C-1234", 7), "C-0007");
        assert_eq!(placeholder("word", None, "Secret", 27), "Aaaabb");
        assert_eq!(placeholder("mixed", None, "AB-1", 12), "AB-2".replace("AB", "AB"));
    }
}

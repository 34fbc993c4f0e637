//! Placeholders of the form of what they stand for, with valid check digits.

/// The fewest characters of a pattern's match that are taken for one with check digits.
const MIN_CHECKED: usize = 6;

/// Check digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Of card numbers (ISO/IEC 7812).
    Luhn,
    /// Of IBANs (ISO/IEC 7064).
    Mod97,
}

/// The n-th placeholder of a kind, of the form of a value.
pub(crate) fn placeholder(kind: &str, value: &str, n: usize) -> String {
    match (kind, check_of(kind, value)) {
        ("email", _) => format!("person{n}@example.com"),
        ("phone", _) => phone(value, n),
        ("user", _) => user(value, n),
        ("key", _) => key(value, n),
        (kind, Some(Check::Luhn)) => checked_by_luhn(value, n, kind == "card"),
        (_, Some(Check::Mod97)) => checked_by_mod97(value, n),
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

/// What keys of services begin with, the longer ones first.
const KEY_PREFIXES: [&str; 30] = [
    "github_pat_",
    "sk-ant-",
    "sk-proj-",
    "sk_live_",
    "sk_test_",
    "pk_live_",
    "pk_test_",
    "rk_live_",
    "rk_test_",
    "whsec_",
    "glpat-",
    "nvapi-",
    "npm_",
    "gsk_",
    "hf_",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "xai-",
    "AKIA",
    "ASIA",
    "AIza",
    "sk-",
    "pk-",
    "rk-",
];

/// A key that opens nothing. Of a service's key stays what all of its kind begin with, and of any other nothing.
fn key(value: &str, n: usize) -> String {
    if let Some(rest) = value.strip_prefix("-----BEGIN ") {
        let label = rest.split("-----").next().unwrap_or_default();
        let is_label = |c: char| c.is_ascii_uppercase() || c == ' ';
        let label = if label.chars().all(is_label) { label } else { "PRIVATE KEY" };
        // Where it stands in one line, a line break would end the text that it is in.
        let end = if value.contains('\n') { '\n' } else { ' ' };
        return format!("-----BEGIN {label}-----{end}placeholder{n}{end}-----END {label}-----");
    }
    if value.starts_with("eyJ") && value.matches('.').count() == 2 {
        return format!("eyJplaceholder.placeholder{n:08}.placeholder");
    }
    let known = KEY_PREFIXES.iter().find(|prefix| value.starts_with(**prefix));
    let prefix = known.copied().unwrap_or_default();
    let width = value.chars().count().saturating_sub(prefix.len());
    // A letter, so that it is taken for a key again.
    match known {
        Some(_) => format!("{prefix}{n:0>width$}"),
        None => format!("k{n:0>rest$}", rest = width.saturating_sub(1)),
    }
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
fn checked_by_luhn(value: &str, n: usize, is_card: bool) -> String {
    let digits: Vec<usize> = digit_places(value);
    let Some((last, before)) = digits.split_last() else { return own(value, n) };
    // By its first two digits a number is known as a card's.
    let keep = if is_card { 2 } else { 0 };
    let mut chars: Vec<char> = with_digits(value, n * 10, keep).chars().collect();
    if let Some(first) = before.first().filter(|_| !is_card) {
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
    let mut chars: Vec<char> = with_digits(value, n, 2).chars().collect();
    let mut checks = Vec::new();
    let written = chars.iter_mut().enumerate().filter(|(_, c)| c.is_ascii_alphanumeric());
    for (nth, (at, c)) in written.enumerate() {
        match nth {
            0 | 1 => {}
            2 | 3 => {
                *c = '0';
                checks.push(at);
            }
            _ if c.is_ascii_alphabetic() => *c = 'X',
            _ => {}
        }
    }
    let plain: String = chars.iter().filter(|c| c.is_ascii_alphanumeric()).collect();
    if let (Some(remainder), [first, second]) = (mod97(&plain), checks.as_slice()) {
        let check = 98 - remainder;
        chars[*first] = char::from_digit(check / 10, 10).unwrap_or('0');
        chars[*second] = char::from_digit(check % 10, 10).unwrap_or('0');
    }
    chars.into_iter().collect()
}

/// Whether check digits are right, and of which kind.
pub(crate) fn check_of(kind: &str, value: &str) -> Option<Check> {
    let plain: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    match kind {
        "card" => Some(Check::Luhn),
        "iban" => Some(Check::Mod97),
        "email" | "phone" | "key" | "user" => None,
        // A pattern's matches may have some, too.
        _ if plain.len() < MIN_CHECKED => None,
        _ if plain.bytes().all(|b| b.is_ascii_digit()) => {
            (luhn(&plain) == 0).then_some(Check::Luhn)
        }
        _ => (mod97(&plain) == Some(1)).then_some(Check::Mod97),
    }
}

/// The sum of Luhn's algorithm, modulo 10.
fn luhn(digits: &str) -> u32 {
    let digits = digits.bytes().rev().map(|b| u32::from(b.wrapping_sub(b'0')));
    let sum = digits.enumerate().map(|(at, digit)| match at % 2 {
        0 => digit,
        _ if digit > 4 => 2 * digit - 9,
        _ => 2 * digit,
    });
    sum.sum::<u32>() % 10
}

/// The remainder of an IBAN; `None` where there is something else than letters and digits.
fn mod97(text: &str) -> Option<u32> {
    if !text.is_ascii() || text.len() < 4 {
        return None;
    }
    let (head, rest) = text.split_at(4);
    let mut remainder = 0_u32;
    for c in rest.chars().chain(head.chars()) {
        let value = c.to_digit(36)?;
        let tens = if value < 10 { 10 } else { 100 };
        remainder = (remainder * tens + value) % 97;
    }
    Some(remainder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_stay_and_check_digits_are_right() {
        for n in [1, 3, 42, 9_999] {
            let card = placeholder("card", "4111 1111 1111 1111", n);
            let plain: String = card.chars().filter(char::is_ascii_digit).collect();
            assert!(card.starts_with("4100 0000 00") && luhn(&plain) == 0, "{card}");
            for iban in ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"] {
                let shape = placeholder("iban", iban, n);
                let plain: String = shape.chars().filter(|c| *c != ' ').collect();
                assert_eq!((mod97(&plain), shape.len()), (Some(1), iban.len()), "{shape}");
                assert_eq!(shape[..2], iban[..2]);
            }
        }
        assert_eq!(placeholder("customer", "79927398713", 5).len(), 11);
        assert_eq!(
            check_of("customer", &placeholder("customer", "79927398713", 5)),
            Some(Check::Luhn)
        );
    }

    #[test]
    fn users_keys_and_own_patterns_keep_their_form() {
        let user = |value: &str| placeholder("user", value, 7);
        assert_eq!(user("ann"), "user-7");
        assert_eq!(user("12345"), "90007");
        assert_eq!(
            user("0190a5c2-1111-7222-8333-444455556666"),
            "00000000-0000-4000-8000-000000000007"
        );
        for (kind, value, shape) in [
            ("customer", "C-1234", "C-0007"),
            ("word", "Secret", "Aaaaah"),
            ("email", "ann@x.org", "person7@example.com"),
            ("phone", "+49 (30) 123456-78", "+49 (00) 000000-07"),
            ("phone", "0041 79 123 45 67", "0041 00 000 00 07"),
            ("key", "sk-abcdefghij0123456789", "sk-00000000000000000007"),
            ("key", "AKIAIOSFODNN7EXAMPLE", "AKIA0000000000000007"),
            ("key", "Sup3rSecret9-", "k000000000007"),
            ("key", "ya29.abcdef-ghi", "k00000000000007"),
            (
                "key",
                "-----BEGIN PRIVATE KEY-----\\nMIIEv\\n-----END PRIVATE KEY-----",
                "-----BEGIN PRIVATE KEY----- placeholder7 -----END PRIVATE KEY-----",
            ),
            (
                "key",
                "-----BEGIN RSA PRIVATE KEY-----\nMIIEv\nabc",
                "-----BEGIN RSA PRIVATE KEY-----\nplaceholder7\n-----END RSA PRIVATE KEY-----",
            ),
        ] {
            assert_eq!(placeholder(kind, value, 7), shape);
        }
    }
}

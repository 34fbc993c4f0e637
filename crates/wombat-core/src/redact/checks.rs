//! Check digits.

/// Whether the digits of a text fulfil Luhn's formula, as the numbers of cards do. What is no digit is passed
/// over; a text without digits fulfils nothing.
pub fn luhn(text: &str) -> bool {
    let (mut sum, mut count, mut any) = (0, 0, false);
    for digit in text.chars().rev().filter_map(|c| c.to_digit(10)) {
        let doubled = if count % 2 == 1 { digit * 2 } else { digit };
        sum += if doubled > 9 { doubled - 9 } else { doubled };
        count += 1;
        any |= digit != 0;
    }
    any && sum % 10 == 0
}

/// Whether a text fulfils the check of an IBAN (ISO 7064, mod 97): its first four letters and digits are put to the
/// end, and letters count from 10. What is neither is passed over.
pub fn mod97(text: &str) -> bool {
    let chars: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    if chars.len() < 5 {
        return false;
    }
    let (begin, rest) = chars.split_at(4);
    let mut sum = 0_u32;
    for value in rest.iter().chain(begin).filter_map(|c| c.to_digit(36)) {
        sum = (if value > 9 { sum * 100 } else { sum * 10 } + value) % 97;
    }
    sum == 1
}

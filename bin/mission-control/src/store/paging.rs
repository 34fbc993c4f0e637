//! Pages of a list, and the cursors that lead from one to the next.

use mc_client::types::Page;
use sqlx::Row;
use sqlx::any::AnyRow;

/// The cursor that leads on from a row's number.
pub fn cursor(mut seq: i64) -> String {
    let mut digits = Vec::new();
    while seq > 0 {
        let digit = u32::try_from(seq % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        seq /= 36;
    }
    std::iter::once('c').chain(digits.into_iter().rev()).collect()
}

/// The row's number that a cursor was made of; `None` for any text that [`cursor`] does not make.
pub fn seq_of(text: &str) -> Option<i64> {
    let seq = i64::from_str_radix(text.strip_prefix('c')?, 36).ok()?;
    // Only one spelling of a number is given out.
    (cursor(seq) == *text).then_some(seq)
}

/// How many rows to ask for, so that [`page`] sees whether there are more than fit.
pub(super) fn rows_for(limit: u32) -> i64 {
    i64::from(limit) + 1
}

/// The page that rows make, of which there may be one more than fits.
pub(super) fn page<T>(rows: &[AnyRow], limit: u32, item: impl Fn(&AnyRow) -> T) -> Page<T> {
    let shown = &rows[..rows.len().min(limit as usize)];
    let has_more = rows.len() > shown.len();
    let next_cursor = shown.last().filter(|_| has_more).map(|row| cursor(row.get::<i64, _>("seq")));
    Page { items: shown.iter().map(item).collect(), next_cursor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_text_than_a_cursor_is_taken_for_one() {
        for text in ["", "c", "c-1", "c+1", "c01", "C1", "cZ", "c1 ", "1", "czzzzzzzzzzzzzzzz"] {
            assert_eq!(seq_of(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_cursor_leads_to_the_row_it_was_made_of(seq in 1..i64::MAX) {
            proptest::prop_assert_eq!(seq_of(&cursor(seq)), Some(seq));
        }
    }
}

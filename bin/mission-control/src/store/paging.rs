//! Pages of a list, and the cursors that lead from one to the next.

use std::io::Write;

use futures::{Stream, TryStreamExt as _};
use mc_client::types::Page;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::error::StoreError;

/// The most bytes that the items of a page have as JSON, unless one alone has more.
pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

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

/// Counts what is written to it.
struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How many bytes a value has as JSON.
pub(crate) fn json_size(value: &impl Serialize) -> Result<usize, serde_json::Error> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value)?;
    Ok(counter.0)
}

/// The page that rows make, of which there may be one more than fits. It ends before its items take
/// more than [`PAGE_BYTES`] as JSON, but has one at least: rows are read only as far as needed.
pub(super) async fn page<T: Serialize>(
    mut rows: impl Stream<Item = Result<AnyRow, sqlx::Error>> + Unpin,
    limit: u32,
    item: impl Fn(&AnyRow) -> T,
) -> Result<Page<T>, StoreError> {
    let (mut items, mut size, mut last) = (Vec::new(), 0_usize, 0_i64);
    while let Some(row) = rows.try_next().await? {
        let item = item(&row);
        size = size.saturating_add(json_size(&item)?);
        if items.len() >= limit as usize || (size > PAGE_BYTES && !items.is_empty()) {
            return Ok(Page { items, next_cursor: Some(cursor(last)) });
        }
        last = row.get("seq");
        items.push(item);
    }
    Ok(Page { items, next_cursor: None })
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

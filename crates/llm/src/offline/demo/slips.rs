//! Words that were typed wrong.

/// Whether a word is another one with a slip: one letter wrong, missing, too many or swapped with the
/// next; in longer words two.
pub(super) fn is_slip(word: &str, known: &str) -> bool {
    let (word, known): (Vec<char>, Vec<char>) = (word.chars().collect(), known.chars().collect());
    let slips = match known.len() {
        0..=4 => return word == known,
        5..=7 => 1,
        _ => 2,
    };
    // Few slips are at the beginning of a word, and most pairs of different words differ there.
    word.first() == known.first()
        && word.len().abs_diff(known.len()) <= slips
        && distance(&word, &known) <= slips
}

/// How many letters differ (optimal string alignment: a swap of neighbours counts as one).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

//! Numbers with what they count.

/// A number with its noun: `1 role`, `2 roles`, `3 entries`.
pub fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("1 {noun}"),
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{number} {stem}ies"),
        _ => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let all =
            [counted(1_usize, "role"), counted(0_u64, "role"), counted(2_u32, "more problem")];
        assert_eq!(all, ["1 role", "0 roles", "2 more problems"]);
        let all = [counted(1, "entry"), counted(2, "entry"), counted(2, "key")];
        assert_eq!(all, ["1 entry", "2 entries", "2 keys"]);
    }
}

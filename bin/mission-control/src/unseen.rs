//! Characters that cannot be seen.

/// Ranges of characters that show nothing, or that change how others show.
///
/// Default_Ignorable_Code_Point of
/// <https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt>; then the general
/// categories Cc, Cf, Co, Zl, Zp and Zs without the space, of
/// <https://www.unicode.org/Public/16.0.0/ucd/extracted/DerivedGeneralCategory.txt>; noncharacters;
/// and the blank pattern of Braille.
const UNSEEN: [(u32, u32); 36] = [
    (0x00, 0x1f),
    (0x7f, 0xa0),
    (0xad, 0xad),
    (0x034f, 0x034f),
    (0x0600, 0x0605),
    (0x061c, 0x061c),
    (0x06dd, 0x06dd),
    (0x070f, 0x070f),
    (0x0890, 0x0891),
    (0x08e2, 0x08e2),
    (0x115f, 0x1160),
    (0x1680, 0x1680),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x2000, 0x200f),
    (0x2028, 0x202f),
    (0x205f, 0x206f),
    (0x2800, 0x2800),
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xe000, 0xf8ff),
    (0xfdd0, 0xfdef),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfffc),
    (0xfffe, 0xffff),
    (0x110bd, 0x110bd),
    (0x110cd, 0x110cd),
    (0x13430, 0x1343f),
    (0x1bca0, 0x1bca3),
    (0x1d173, 0x1d17a),
    (0x1fffe, 0x1ffff),
    (0xe0000, 0xe0fff),
    (0xf0000, 0xfffff),
    (0x100000, 0x10ffff),
];

/// Whether a character is in one of some ranges.
pub(crate) fn within(c: char, ranges: &[(u32, u32)]) -> bool {
    let c = u32::from(c);
    ranges.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

/// Whether a character cannot be seen, or turns others round.
pub(crate) fn is_unseen(c: char) -> bool {
    within(c, &UNSEEN)
}

//! What stands around a token at the edge of a text and says nothing: punctuation, emoji, Markdown
//! marks, HTML tags, code fences.

/// The most bytes of an HTML tag or entity.
const MAX_TAG: usize = 200;

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// A letter or digit.
    Letter(char),
    /// Something that says nothing.
    Mark,
}

/// The parts of a text, in order.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece> {
    scan(text).map(|(_, _, piece)| piece)
}

/// The parts of a text with where each starts and ends.
fn scan(text: &str) -> impl Iterator<Item = (usize, usize, Piece)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = text.get(at..)?;
        let first = rest.chars().next()?;
        let (length, piece) = match mark(rest, at == 0 || text[..at].ends_with('\n')) {
            Some(length) => (length, Piece::Mark),
            None if is_letter(first) => (first.len_utf8(), Piece::Letter(first)),
            None => (first.len_utf8(), Piece::Mark),
        };
        let start = at;
        at += length;
        Some((start, at, piece))
    })
}

/// The length of a mark of several characters, some of which may be letters.
fn mark(rest: &str, starts_line: bool) -> Option<usize> {
    let bytes = rest.as_bytes();
    match bytes.first()? {
        // A fence with the name of its language.
        b'`' | b'~' if starts_line && (rest.starts_with("```") || rest.starts_with("~~~")) => {
            let line = rest.find('\n')?;
            let name = rest[..line].trim_start_matches(['`', '~']).trim();
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "+-_.#".contains(c));
            (plain && name.len() < 30).then_some(line)
        }
        b'<' => {
            let end = bytes.iter().take(MAX_TAG).position(|b| *b == b'>')?;
            is_tag(&rest[1..end]).then_some(end + 1)
        }
        // An entity, as &nbsp; and a name for an emoji, as :tada:.
        open @ (b'&' | b':') => {
            let close = if *open == b'&' { b';' } else { b':' };
            let end = bytes.iter().skip(1).take(40).position(|b| *b == close)?;
            let name = &bytes[1..=end];
            let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_+-#".contains(b);
            let is_word = name.iter().any(u8::is_ascii_alphabetic) || *open == b'&';
            (!name.is_empty() && name.iter().all(plain) && is_word).then_some(end + 2)
        }
        // A keycap: a digit, perhaps U+FE0F, and U+20E3.
        digit if digit.is_ascii_digit() => {
            let after = rest[1..].strip_prefix('\u{fe0f}').unwrap_or(&rest[1..]);
            let after = after.strip_prefix('\u{20e3}')?;
            Some(rest.len() - after.len())
        }
        _ => None,
    }
}

/// Whether what stands between `<` and `>` is an HTML tag or a comment, and no address or sentence.
fn is_tag(inner: &str) -> bool {
    let (closes, opened) = (inner.strip_prefix('/'), inner.strip_prefix('!'));
    let named = closes.unwrap_or(inner);
    let rest = named.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let is_named = named.starts_with(|c: char| c.is_ascii_alphabetic());
    let after = rest.trim();
    let is_spaced = rest.starts_with(char::is_whitespace);
    opened.is_some()
        || is_named
            && (after.is_empty()
                || closes.is_none() && (after == "/" || is_spaced && after.contains('=')))
}

/// The most opened tags that are looked at for words.
const MAX_OPENED: usize = 20;

/// The opened tags of a text that are neither closed nor layout: who reads the text may take them for
/// words, as in `<disk>`.
pub(super) fn odd_tags(text: &str) -> String {
    let layout = ["a", "b", "br", "code", "div", "em", "hr", "i", "p", "pre", "span", "strong"];
    let tags = scan(text).map(|(start, end, _)| &text[start..end]);
    let opened = tags.filter_map(|tag| {
        let inner = tag.strip_prefix('<').filter(|_| tag.ends_with('>'))?;
        let name = inner.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
        (!name.is_empty()).then_some((tag, name))
    });
    let odd = opened.take(MAX_OPENED).filter(|(_, name)| {
        !layout.iter().any(|one| one.eq_ignore_ascii_case(name))
            && !text.contains(&format!("</{name}>"))
    });
    odd.map(|(tag, _)| tag).collect::<Vec<_>>().join(" ")
}

/// Whether a text may hold the token somewhere, in any letter case. Most replies do not, and this is
/// found out many bytes at a time.
pub(super) fn may_hold(text: &str, token: &str) -> bool {
    let first = token.split('_').next().unwrap_or_default().as_bytes();
    // `b` is the rarest letter of `heartbeat`.
    let Some(at) = first.iter().position(|letter| letter.eq_ignore_ascii_case(&b'b')) else {
        return true;
    };
    let bytes = text.as_bytes();
    memchr::memchr2_iter(b'b', b'B', bytes).any(|b| {
        let start = b.checked_sub(at);
        let word = start.and_then(|start| bytes.get(start..start + first.len()));
        word.is_some_and(|word| word.eq_ignore_ascii_case(first))
    })
}

/// Whether a character is a letter or digit, and no emoji that Unicode counts among them.
fn is_letter(c: char) -> bool {
    let emoji =
        matches!(c, '\u{2139}' | '\u{24c2}' | '\u{3297}' | '\u{3299}' | '\u{1f100}'..='\u{1f2ff}');
    c.is_alphanumeric() && !emoji
}

/// Whether words of the character's script are written without spaces between them, so that a token
/// may stand right beside it.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}')
}

/// The text without what says nothing at its start, and without blanks and marks at its end.
pub(super) fn bare(text: &str) -> &str {
    let start = first_said(text).unwrap_or(text.len());
    // What opens a word or a number belongs to it.
    let start = text[..start].trim_end_matches(opens).len();
    before_marks(&text[start..])
}

/// What follows the token that a text begins with.
pub(super) fn after_leading<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    // A token begins with a letter, so that it stands where the marks end.
    let start = first_said(text)?;
    let end = start + length_of(&text[start..], token)?;
    let (before, after) = (&text[..start], &text[end..]);
    if joins(before.chars().rev()) || joins(after.chars()) {
        return None;
    }
    let line = after.lines().next().unwrap_or_default();
    let marks = match first_said(line) {
        Some(said) => after[..said].trim_end_matches(opens).len(),
        None => line.len(),
    };
    let rest = after[marks..].trim();
    let pairs = [after, after.trim_start()];
    let left = wraps(before).into_iter().flatten().find(|(_, close)| {
        !close.is_empty() && !pairs.iter().any(|after| after.starts_with(close.as_str()))
    });
    Some(left.and_then(|(_, close)| rest.strip_suffix(&*close)).unwrap_or(rest).trim_end())
}

/// What precedes the token that a text ends with.
pub(super) fn before_trailing<'a>(text: &'a str, token: &str) -> Option<&'a str> {
    let end = scan(text).filter(|(.., piece)| *piece != Piece::Mark).last()?.1;
    // A little more than the token, for its `\_`.
    let near = text[..end].char_indices().rev().map(|(at, _)| at).take(token.len() + 1);
    let start = near.into_iter().find(|at| length_of(&text[*at..], token) == Some(end - at))?;
    let (before, after) = (&text[..start], &text[end..]);
    if joins(before.chars().rev()) || joins(after.chars()) {
        return None;
    }
    let rest = before_marks(before);
    // What closes after the token and opened before all of the text.
    let whole = wraps(text).into_iter().flatten();
    let left = whole.filter(|(open, close)| {
        !open.is_empty()
            && after.trim_start().starts_with(close.as_str())
            && !before.trim_end().ends_with(open.as_str())
    });
    let rest = left.fold(rest, |rest, (open, _)| rest.strip_prefix(&*open).unwrap_or(rest));
    Some(rest.trim())
}

/// Where the first letter or digit is.
fn first_said(text: &str) -> Option<usize> {
    scan(text).find(|(.., piece)| *piece != Piece::Mark).map(|(start, ..)| start)
}

/// Without the blanks, marks and tags that lead up to a token; what ends a sentence stays.
fn before_marks(text: &str) -> &str {
    let mut rest = text;
    loop {
        let before = rest.len();
        rest = rest.trim_end_matches(leads_up);
        let tag = ['<', '&'].into_iter().filter_map(|open| rest.rfind(open)).max();
        let is_tag = |at: &usize| mark(&rest[*at..], false) == Some(rest.len() - at);
        let line = rest.rfind('\n').map_or(0, |at| at + 1);
        let is_fence =
            rest[line..].starts_with("```") && !rest[line..].contains(char::is_whitespace);
        if let Some(at) = tag.filter(is_tag).or(is_fence.then_some(line)) {
            rest = &rest[..at];
        }
        if rest.len() == before {
            return rest;
        }
    }
}

/// What a text is wrapped in at its start: a fence, a tag, emphasis; each with what closes it.
fn wraps(text: &str) -> [Option<(String, String)>; 3] {
    let marks = &text[..first_said(text).unwrap_or(text.len())];
    let marks = marks.trim();
    let fence = ["```", "~~~"].iter().find(|fence| marks.starts_with(**fence)).map(|fence| {
        let line = marks.lines().next().unwrap_or_default();
        (line.to_owned(), (*fence).to_owned())
    });
    let tag = marks.rfind('<').and_then(|at| {
        let tag = &marks[at..];
        let name: String = tag[1..].chars().take_while(char::is_ascii_alphanumeric).collect();
        let tag = &tag[..=tag.find('>')?];
        (!name.is_empty()).then(|| (tag.to_owned(), format!("</{name}>")))
    });
    let is_emphasis = |c: char| matches!(c, '*' | '_' | '`' | '~');
    let emphasis = &marks[marks.trim_end_matches(is_emphasis).len()..];
    let emphasis = (!emphasis.is_empty() && fence.is_none())
        .then(|| (emphasis.to_owned(), emphasis.chars().rev().collect()));
    [fence, tag, emphasis]
}

/// The length of the token at the start of a text, in any letter case, its `_` also as `\_` or a
/// space.
fn length_of(text: &str, token: &str) -> Option<usize> {
    let (first, second) = token.split_once('_')?;
    let head = text.get(..first.len()).filter(|head| head.eq_ignore_ascii_case(first))?;
    let rest = &text[head.len()..];
    let between = ["\\_", "_", " ", "\u{a0}"].into_iter().find(|b| rest.starts_with(b))?;
    let tail = rest[between.len()..].get(..second.len())?;
    tail.eq_ignore_ascii_case(second).then_some(first.len() + between.len() + second.len())
}

/// Whether what stands beside a token makes another word of it, as in `HEARTBEAT_OKAY`.
fn joins(mut beside: impl Iterator<Item = char>) -> bool {
    beside.find(|c| *c != '_').is_some_and(|c| is_letter(c) && !is_unspaced(c))
}

/// What belongs to the word or number after it.
fn opens(c: char) -> bool {
    matches!(
        c,
        '<' | '('
            | '['
            | '{'
            | '"'
            | '\''
            | '\u{201c}'
            | '\u{201e}'
            | '\u{ab}'
            | '\u{bf}'
            | '\u{a1}'
            | '$'
            | '\u{20ac}'
            | '\u{a3}'
            | '#'
            | '+'
            | '@'
            | '/'
            | '\u{300c}'
            | '\u{300e}'
            | '\u{300a}'
            | '\u{3010}'
            | '\u{ff08}'
    )
}

/// What stands between a text and the token after it, and does not end a sentence.
fn leads_up(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '*' | '_'
                | '`'
                | '~'
                | '#'
                | '-'
                | '\u{2013}'
                | '\u{2014}'
                | '('
                | '['
                | '"'
                | '\u{201c}'
                | ':'
                | ','
                | ';'
                | '|'
                | '\u{ff08}'
        )
}

//! Values in quotes.

/// How a variable in braces is looked up.
pub(super) struct Expansion<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

/// A value in quotes.
pub(super) struct Quoted {
    /// Its text, with escapes and variables replaced.
    pub(super) text: String,
    /// Why another reader reads another text.
    pub(super) differs: Option<&'static str>,
    /// Variables that have neither a value nor a default.
    pub(super) unset: Vec<String>,
    /// The length in bytes, with the closing quote.
    pub(super) used: usize,
}

/// Reads what follows an opening quote, up to the same quote; over several lines if need be. `None` when
/// it is not closed.
///
/// In double quotes `\n`, `\"`, `\\` and the other escapes of python-dotenv are replaced, and `${NAME}` and
/// `${NAME:-default}` are expanded, unless a backslash comes before the `$`. In single quotes the
/// only escapes are `\'` and `\\`. Any other backslash stands for itself.
pub(super) fn read(inner: &str, quote: char, expansion: &Expansion<'_>) -> Option<Quoted> {
    let mut quoted = Quoted { text: String::new(), differs: None, unset: Vec::new(), used: 0 };
    let mut rest = inner;
    loop {
        let c = rest.chars().next()?;
        let after = &rest[c.len_utf8()..];
        if c == quote {
            quoted.used = inner.len() - after.len();
            quoted.differs = quoted.differs.or_else(|| differs_by_braces(&inner[..quoted.used]));
            return Some(quoted);
        }
        rest = match c {
            '\\' => {
                let escaped = after.chars().next()?;
                match unescaped(escaped, quote) {
                    Some(text) => {
                        quoted.text.push(text);
                        if escaped != 'n' {
                            quoted.differs = Some("only some readers replace its \\");
                        }
                    }
                    None => quoted.text.extend(['\\', escaped]),
                }
                &after[escaped.len_utf8()..]
            }
            '$' if quote == '"' => match reference(after) {
                Some((name, default, after)) => {
                    match ((expansion.0)(name), default) {
                        (Some(value), _) => quoted.text.push_str(&value),
                        (None, Some(default)) => quoted.text.push_str(default),
                        (None, None) => quoted.unset.push(name.to_owned()),
                    }
                    after
                }
                None => {
                    quoted.text.push(c);
                    after
                }
            },
            c => {
                quoted.text.push(c);
                after
            }
        };
    }
}

/// What an escape stands for.
fn unescaped(c: char, quote: char) -> Option<char> {
    match (c, quote) {
        ('\\' | '\'', _) | ('"', '"') => Some(c),
        ('a', '"') => Some('\u{7}'),
        ('b', '"') => Some('\u{8}'),
        ('f', '"') => Some('\u{c}'),
        ('n', '"') => Some('\n'),
        ('r', '"') => Some('\r'),
        ('t', '"') => Some('\t'),
        ('v', '"') => Some('\u{b}'),
        _ => None,
    }
}

/// The name, the default and the rest of `{NAME}` or `{NAME:-default}`.
fn reference(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let (inner, rest) = text.strip_prefix('{')?.split_once('}')?;
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    // A quote or a line's end in a default is no default.
    (is_name && !inner.contains(['"', '\n'])).then_some((name, default, rest))
}

/// Whether the readers differ because one of them expands what stands in braces.
pub(super) fn differs_by_braces(text: &str) -> Option<&'static str> {
    let (_, after) = text.split_once("${")?;
    after.contains('}').then_some("only some readers expand ${…}")
}

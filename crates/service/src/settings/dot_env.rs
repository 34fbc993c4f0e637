//! `.env`, read as the readers of the frameworks beside us read the same file: python-dotenv 1.2.4
//! and npm's dotenv 16 to 18, which a test compares line by line (`cases.jsonl`).
//!
//! Where these two differ, this one follows python-dotenv, and says so when the value is a secret: two
//! sides that read two secrets out of one line find it out as a 401. One rule is its own: `${NAME}` is
//! expanded in double quotes only, where python-dotenv does it everywhere and dotenv nowhere. No crate
//! has these rules: dotenvy 0.15 expands a bare `$`, refuses a value with a space and keeps a BOM.
//!
//! The file belongs to the whole application. A line that is not one of our settings is never a problem.

mod quoted;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use self::quoted::{Expansion, Quoted};
use super::names;

/// The most of a file that is read.
const MAX_BYTES: u64 = 1024 * 1024;

/// What a file has for us.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Lines {
    /// The lines of our settings.
    pub(super) ours: Vec<Entry>,
    /// The names that others gave a value, and their lines.
    pub(super) others: Vec<(usize, String)>,
    /// All values, of others as well, by variable.
    pub(super) values: BTreeMap<String, String>,
}

/// What is wrong with a line of another form.
const FORM: &str = "is not of the form NAME=value";

/// A line that sets, or was meant to set, one of our settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The number of its first line, from 1.
    pub(super) line: usize,
    /// The name of the variable.
    pub(super) name: String,
    /// What the line says.
    pub(super) what: What,
}

/// What a line of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A value, which may be empty.
    Value {
        /// The value.
        text: String,
        /// Why another reader gets another value out of the line.
        differs: Option<&'static str>,
        /// The variables that it names in `${…}` and that have neither a value nor a default.
        unset: Vec<String>,
    },
    /// A name alone, which docker takes for "as in the environment".
    Bare,
    /// No value can be read.
    Broken(&'static str),
    /// The line stands within a quoted value, which began on this line.
    Within(usize),
}

/// The lines of ours of a file; nothing when there is no such file. A folder of that name is one of
/// Python's virtual environments.
pub(super) fn read(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Lines, String> {
    if path.is_dir() {
        return Ok(Lines::default());
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err("is longer than 1 MiB".to_owned());
    }
    // What PowerShell's `>` writes.
    if bytes
        .get(..2)
        .is_some_and(|first| matches!(first, [0xff, 0xfe] | [0xfe, 0xff] | [0, _] | [_, 0]))
    {
        return Err("is UTF-16; save it as UTF-8".to_owned());
    }
    Ok(parse(&String::from_utf8_lossy(&bytes), env))
}

/// The lines of ours. `env` comes before earlier lines where a value names a variable.
pub(super) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Lines {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut file = File { env, values: BTreeMap::new(), lines: Lines::default(), lost_until: 0 };
    let mut rest = text.as_str();
    let mut line = 1;
    loop {
        let start = rest.trim_start_matches(is_space);
        line += newlines(&rest[..rest.len() - start.len()]);
        if start.is_empty() {
            return Lines { values: file.values, ..file.lines };
        }
        let used = file.statement(start, line);
        line += newlines(&start[..used]);
        rest = &start[used..];
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// White space as Python has it, which counts four separators among it.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// White space within a line.
fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n'
}

/// The length of the first line, without its end.
fn line_length(text: &str) -> usize {
    text.find('\n').unwrap_or(text.len())
}

/// A file in the course of reading.
struct File<'a> {
    env: &'a dyn Fn(&str) -> Option<String>,
    /// All values so far, those of others as well: later lines may name them.
    values: BTreeMap<String, String>,
    lines: Lines,
    /// The last line that python-dotenv skips together with a broken one before it.
    lost_until: usize,
}

/// A value, and how much of the text it took.
struct Found {
    text: String,
    differs: Option<&'static str>,
    unset: Vec<String>,
    used: usize,
}

impl File<'_> {
    /// Reads one statement, which begins with its first character, and returns its length.
    fn statement(&mut self, text: &str, line: usize) -> usize {
        let whole_line = line_length(text);
        if text.starts_with('#') {
            return whole_line;
        }
        let Some((name, after, is_quoted)) = name_of(text) else {
            self.broken(text, line, FORM);
            return whole_line;
        };
        let Some(value) = after.trim_start_matches(is_blank).strip_prefix('=') else {
            let rest = after.trim_start_matches(is_blank);
            if rest.is_empty() || rest.starts_with(['\n', '#']) {
                self.add(line, name, What::Bare);
            } else {
                self.broken(text, line, FORM);
            }
            return whole_line;
        };
        match self.value(value, line) {
            Ok(found) => {
                let used = text.len() - value.len() + found.used;
                if found.used > line_length(value) {
                    self.within(&text[..used], line);
                }
                self.values.insert(name.to_owned(), found.text.clone());
                let what = match found.text {
                    text if text.contains('\u{fffd}') => What::Broken("is not UTF-8"),
                    text if text.contains('\0') => What::Broken("holds a NUL character"),
                    text => {
                        let differs = match found.differs {
                            None if is_quoted => Some("the name stands in quotes"),
                            None if line <= self.lost_until => {
                                Some("a quote in a line before it is not closed there")
                            }
                            differs => differs,
                        };
                        What::Value { text, differs, unset: found.unset }
                    }
                };
                if name.contains(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.')) {
                    self.broken(text, line, FORM);
                } else {
                    self.add(line, name, what);
                }
                used
            }
            Err((why, until)) => {
                self.lost_until = self.lost_until.max(until);
                self.add(line, name, What::Broken(why));
                whole_line
            }
        }
    }

    /// Adds what a line says, if it is one of ours.
    fn add(&mut self, line: usize, name: &str, what: What) {
        if names::ALL.contains(&name) {
            self.lines.ours.push(Entry { line, name: name.to_owned(), what });
        } else if matches!(what, What::Value { .. }) {
            self.lines.others.push((line, name.to_owned()));
        }
    }

    /// A line that cannot be read is ours when its first word is.
    fn broken(&mut self, text: &str, line: usize, why: &'static str) {
        let first = &text[..line_length(text)];
        let words = ["export ", "set ", "declare -x ", "- ", "$env:", "$"];
        let first = words.iter().find_map(|word| first.strip_prefix(word)).unwrap_or(first);
        self.add(line, leading_name(first), What::Broken(why));
    }

    /// Lines within a quoted value that look like settings of ours.
    fn within(&mut self, text: &str, line: usize) {
        for (number, inner) in (line..).zip(text.lines()).skip(1) {
            let inner = inner.trim_start_matches(is_space);
            let inner = inner.strip_prefix("export ").unwrap_or(inner);
            let name = leading_name(inner);
            if inner[name.len()..].trim_start().starts_with('=') {
                self.add(number, name, What::Within(line));
            }
        }
    }

    /// The value that follows a `=`, or why there is none, with the last line that belongs to it.
    fn value(&self, text: &str, line: usize) -> Result<Found, (&'static str, usize)> {
        let start = text.trim_start_matches(is_blank);
        let blanks = &text[..text.len() - start.len()];
        let odd_blank = blanks.contains(|c| c != ' ').then_some(ODD_BLANK);
        let whole_line = line_length(text);
        let quote = match start.chars().next() {
            Some('#') if !blanks.is_empty() => None,
            Some(quote @ ('\'' | '"')) => Some(quote),
            Some(_) | None => {
                let (text, differs) = unquoted(&start[..line_length(start)]);
                let next = start[line_length(start)..].trim_start_matches(is_space);
                let reads_on = text.is_empty() && next.starts_with(['\'', '"', '`']);
                let differs = differs.or(odd_blank).or(reads_on.then_some(READS_ON));
                let text = text.to_owned();
                return Ok(Found { text, differs, unset: Vec::new(), used: whole_line });
            }
        };
        let Some(quote) = quote else {
            let text = String::new();
            let differs = Some(odd_blank.unwrap_or(OLDER));
            return Ok(Found { text, differs, unset: Vec::new(), used: whole_line });
        };
        let lookup = |name: &str| (self.env)(name).or_else(|| self.values.get(name).cloned());
        let inner = &start[1..];
        let Some(Quoted { text: value, differs, unset, used }) =
            quoted::read(inner, quote, &Expansion(&lookup))
        else {
            return Err(("has a quote that is not closed", line));
        };
        let after = &inner[used..];
        let end = line_length(after);
        let comment = after[..end].trim_start_matches(is_blank);
        if !comment.is_empty() && !comment.starts_with('#') {
            let until = line + newlines(&inner[..used]);
            return Err(("goes on after its closing quote", until));
        }
        let used = text.len() - after.len() + end;
        Ok(Found { text: value, differs: differs.or(odd_blank), unset, used })
    }
}

/// The name at the beginning of a statement, what follows it, and whether it stands in quotes.
fn name_of(text: &str) -> Option<(&str, &str, bool)> {
    let unprefixed = text.strip_prefix("export").filter(|rest| rest.starts_with(is_blank));
    let text = unprefixed.map_or(text, |rest| rest.trim_start_matches(is_blank));
    if let Some(inner) = text.strip_prefix('\'') {
        let (name, rest) = inner.split_once('\'')?;
        return (!name.is_empty() && !name.contains('\n')).then_some((name, rest, true));
    }
    let end = text.find(|c: char| is_space(c) || matches!(c, '=' | '#')).unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], &text[end..], false))
}

/// The letters, digits and underscores at the beginning of a line, past a quote.
fn leading_name(line: &str) -> &str {
    let line = line.trim_start_matches(['\'', '"']);
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(line.len());
    &line[..end]
}

/// White space that node's own reader keeps.
const ODD_BLANK: &str = "a tab or the like stands around it";

/// python-dotenv 1.2.2 has no comment right after the `=`.
const OLDER: &str = "older python-dotenv takes the # for the value";

/// npm's dotenv takes a quoted text in the next line for the value.
const READS_ON: &str = "dotenv takes the next line for it";

/// The text of a value without quotes, up to the end of its line or to a `#` after white space.
fn unquoted(line: &str) -> (&str, Option<&'static str>) {
    let comment = line.match_indices('#').map(|(at, _)| &line[..at]);
    let text = comment.into_iter().find(|before| before.ends_with(is_space));
    let untrimmed = text.unwrap_or(line);
    let text = untrimmed.trim_end_matches(is_space);
    let differs = if untrimmed[text.len()..].contains(|c| c != ' ') {
        Some(ODD_BLANK)
    } else if text.contains('#') {
        Some("dotenv ends it at the #")
    } else if text.starts_with('`') {
        Some("dotenv takes the ` for a quote")
    } else {
        quoted::differs_by_braces(text)
    };
    (text, differs)
}

#[cfg(test)]
mod tests;

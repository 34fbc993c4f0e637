//! Words of crontabs and of systemd units.

/// The five fields in a form that every cron understands: a step from a single value, `5/20`, is
/// written as a range, because some crons accept steps of ranges only.
pub(super) fn plain_fields(cron: &str) -> String {
    let last = ["59", "23", "31", "12", "7"];
    let fields = cron.split_whitespace().zip(last).map(|(field, last)| {
        let parts = field.split(',').map(|part| match part.split_once('/') {
            Some((from, step)) if from != "*" && !from.contains('-') => {
                format!("{from}-{last}/{step}")
            }
            Some(_) | None => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(",")
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// A word of a systemd command line (systemd.service(5), "Command lines"; systemd.syntax(7),
/// "Quoting").
pub(super) fn systemd_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,=:".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut word = String::with_capacity(text.len() + 2);
    for c in escape_specifiers(text).chars() {
        match c {
            '\\' | '"' => word.extend(['\\', c]),
            '$' => word.push_str("$$"),
            c if c.is_ascii_control() => word.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => word.push(c),
        }
    }
    format!("\"{word}\"")
}

/// Text in which systemd sees no specifiers.
pub(super) fn escape_specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

/// A word for the shell, in a line that cron reads before the shell does. Cron ends the command at a
/// `%`, takes `\%` for one, and some crons (Debian's, cronie) also take `\\` for a single backslash,
/// quoted or not: so quotes keep two backslashes apart.
pub(super) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut word = String::with_capacity(text.len() + 2);
    for c in text.chars() {
        match c {
            '\\' => word.push_str(r"\''"),
            '\'' => word.push_str(r"'\''"),
            '%' => word.push_str(r"'\%'"),
            c => word.push(c),
        }
    }
    format!("'{word}'")
}

/// A comment: text without line breaks and other control characters.
pub(super) fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

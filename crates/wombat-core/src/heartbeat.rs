//! Silent heartbeats: replies that say "nothing to do", and empty checklists.

mod edges;

use unicode_normalization::char::is_combining_mark;

use edges::Piece;

/// What an agent answers when nothing needs attention.
pub const TOKEN: &str = "HEARTBEAT_OK";

/// What to do with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatReply {
    /// Store no message. What the reply said besides the token is its note.
    Silent {
        /// `None` when it said nothing else.
        note: Option<String>,
    },
    /// Store this text.
    Reply(String),
}

/// Applies the rule of docs/RUNS.md. On a heartbeat, a reply that begins or ends with the token and
/// has at most `most` letters and digits besides it is silent. On other runs (`most` is `None`) the
/// token is stripped from the edges, and only an otherwise empty reply is silent. In the middle of a
/// text the token has no effect.
pub fn heartbeat_reply(text: &str, most: Option<usize>) -> HeartbeatReply {
    let Some(rest) = without_token(text) else {
        return HeartbeatReply::Reply(text.to_owned());
    };
    let said = said(rest);
    if said <= most.unwrap_or(0) {
        let note = if said > 0 { edges::bare(rest).to_owned() } else { edges::odd_tags(text) };
        HeartbeatReply::Silent { note: (!note.is_empty()).then_some(note) }
    } else {
        HeartbeatReply::Reply(rest.to_owned())
    }
}

/// The text without the token at its start, its end or both; `None` when it is at neither.
fn without_token(text: &str) -> Option<&str> {
    if !edges::may_hold(text, TOKEN) {
        return None;
    }
    let text = text.trim();
    let after_first = edges::after_leading(text, TOKEN);
    let rest = after_first.unwrap_or(text);
    edges::before_trailing(rest, TOKEN).or(after_first)
}

/// How many letters and digits a text says: those of HTML tags and of emoji are none.
fn said(text: &str) -> usize {
    edges::pieces(text)
        .map(|piece| usize::from(matches!(piece, Piece::Letter(c) if !is_combining_mark(c))))
        .sum()
}

/// Whether a checklist has only headings, blank lines and empty bullets, so that no model needs to be
/// called for it.
pub fn is_empty_checklist(text: &str) -> bool {
    text.lines().map(str::trim).all(|line| {
        let bullet = line
            .strip_prefix(['-', '*', '+'])
            .map(str::trim)
            .map(|rest| rest.trim_start_matches("[ ]").trim_start_matches("[x]").trim());
        line.is_empty() || is_heading(line) || bullet == Some("")
    })
}

fn is_heading(line: &str) -> bool {
    let text = line.trim_start_matches('#');
    text.len() < line.len() && (text.is_empty() || text.starts_with(' '))
}

#[cfg(test)]
mod tests;

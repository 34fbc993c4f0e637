//! Silent heartbeats: replies that say "nothing to do", and empty checklists.

/// What an agent answers when nothing needs attention.
pub const TOKEN: &str = "HEARTBEAT_OK";

/// The most characters beside the token for which a heartbeat's reply still counts as silent.
const MAX_EXTRA_CHARS: usize = 300;

/// The most punctuation marks that may follow the token at the end of a text.
const MAX_PUNCTUATION: usize = 4;

/// What to do with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatReply {
    /// Store nothing.
    Silent,
    /// Store this text.
    Reply(String),
}

/// Applies the rule of docs/RUNS.md. On a heartbeat, a reply that begins or ends with the token
/// and has at most 300 further characters is silent. On other runs the token is stripped from the
/// edges, and only an otherwise empty reply is silent. In the middle of a text it has no effect.
pub fn heartbeat_reply(text: &str, is_heartbeat: bool) -> HeartbeatReply {
    let bare = strip_edges(text);
    let Some(rest) = without_token(bare) else {
        return HeartbeatReply::Reply(text.to_owned());
    };
    let rest = strip_edges(rest);
    let silent =
        if is_heartbeat { rest.chars().count() <= MAX_EXTRA_CHARS } else { rest.is_empty() };
    if silent { HeartbeatReply::Silent } else { HeartbeatReply::Reply(rest.trim().to_owned()) }
}

/// The text without the token at its start or end; `None` when it is at neither.
fn without_token(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix(TOKEN) {
        // HEARTBEAT_OKAY is another word.
        if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return Some(rest.trim_start_matches(is_mark));
        }
    }
    let trimmed = text.trim_end_matches(is_mark);
    if text[trimmed.len()..].chars().count() > MAX_PUNCTUATION {
        return None;
    }
    let rest = trimmed.strip_suffix(TOKEN)?;
    (!rest.ends_with(|c: char| c.is_alphanumeric() || c == '_')).then_some(rest)
}

fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() && c != '<' && c != '_'
}

/// Drops white space, Markdown marks and HTML tags from both edges.
fn strip_edges(text: &str) -> &str {
    let mut text = text;
    loop {
        let before = text.len();
        text = text.trim();
        text = text.trim_start_matches(['*', '_', '`', '~', '#', '>']);
        text = text.trim_end_matches(['*', '_', '`', '~', '#']);
        if text.starts_with('<')
            && let Some(end) = text.find('>')
        {
            text = &text[end + 1..];
        }
        if text.ends_with('>')
            && let Some(start) = text.rfind('<')
        {
            text = &text[..start];
        }
        if text.len() == before {
            return text;
        }
    }
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
mod tests {
    use super::*;

    fn reply(text: &str) -> HeartbeatReply {
        HeartbeatReply::Reply(text.to_owned())
    }

    #[test]
    fn a_heartbeat_is_silent_when_it_begins_or_ends_with_the_token() {
        let limit = "x".repeat(300);
        for silent in [
            "HEARTBEAT_OK",
            " HEARTBEAT_OK\n",
            "**HEARTBEAT_OK**",
            "`HEARTBEAT_OK`",
            "<b>HEARTBEAT_OK</b>",
            "HEARTBEAT_OK.",
            "HEARTBEAT_OK!!!!",
            "All quiet. HEARTBEAT_OK",
            "HEARTBEAT_OK nothing to do",
            &format!("HEARTBEAT_OK {limit}"),
            &format!("{limit} HEARTBEAT_OK..."),
        ] {
            assert_eq!(heartbeat_reply(silent, true), HeartbeatReply::Silent, "{silent}");
        }
        let long = "x".repeat(301);
        assert_eq!(heartbeat_reply(&format!("HEARTBEAT_OK {long}"), true), reply(&long));
        for said in
            ["a HEARTBEAT_OK b", "HEARTBEAT_OKAY", "XHEARTBEAT_OK", "text HEARTBEAT_OK!!!!!"]
        {
            assert_eq!(heartbeat_reply(said, true), reply(said), "{said}");
        }
    }

    #[test]
    fn elsewhere_the_token_is_stripped_and_only_an_empty_rest_is_silent() {
        assert_eq!(heartbeat_reply("HEARTBEAT_OK", false), HeartbeatReply::Silent);
        assert_eq!(heartbeat_reply("HEARTBEAT_OK: done.", false), reply("done."));
        assert_eq!(heartbeat_reply("Done. HEARTBEAT_OK", false), reply("Done."));
        assert_eq!(heartbeat_reply("**bold** words", false), reply("**bold** words"));
    }

    #[test]
    fn a_checklist_of_headings_and_empty_bullets_asks_for_nothing() {
        for empty in ["", "\n\n", "# Heartbeat\n\n## Daily\n- \n* [ ]\n-\n", "#\n"] {
            assert!(is_empty_checklist(empty), "{empty:?}");
        }
        for full in ["- look", "# H\ntext", "#hashtag", "- [ ] look"] {
            assert!(!is_empty_checklist(full), "{full:?}");
        }
    }
}

//! Thoughts that a model writes into its text, between `<think>` and `</think>`: they are no reply.
//!
//! Servers without a parser for a model's thoughts pass them on this way; models are trained on these
//! tags. Sources: <https://docs.vllm.ai/en/latest/features/reasoning_outputs.html>,
//! <https://platform.minimax.io/docs/guides/text-m2-function-call>,
//! <https://inference-docs.cerebras.ai/capabilities/reasoning> (`raw`).

use crate::request::AssistantMessage;

/// The tags that open a thought, and those that close it.
const TAGS: [(&str, &str); 4] = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<seed:think>", "</seed:think>"),
];

/// Takes the thoughts out of a streamed text. The pieces may be of any size.
///
/// A tag counts outside of code only. At the beginning of a line, a thought that is never closed lasts
/// to the end of the text; elsewhere such a tag is a word like others.
#[derive(Debug)]
pub(super) struct ThoughtFilter {
    /// The beginning of what may be a tag.
    held: String,
    thought: Option<Thought>,
    code: Code,
    /// The backticks just read, and whether they began the line.
    ticks: (usize, bool),
    /// Whether the line is blank so far.
    at_line_start: bool,
    /// White space before the first word: it belongs to the reply unless a thought follows.
    indent: String,
    /// Whether the reply has a word yet.
    has_words: bool,
    found: bool,
    /// The bytes of the reply so far.
    len: usize,
    /// The newest character of the reply.
    last: char,
    /// The length of the reply behind the first closing tag that closes nothing, and is no mention.
    stray: Option<usize>,
}

/// An open thought.
#[derive(Debug)]
struct Thought {
    close: &'static str,
    /// The whole of it, if it becomes text when it is not closed.
    kept: Option<Kept>,
}

/// What may be a thought, opened in the middle of a line.
#[derive(Debug)]
struct Kept {
    text: String,
    /// The length of its opening tag.
    open: usize,
    /// Whether the tag ends its line. Otherwise the thought must end in it.
    is_block: bool,
}

/// The most bytes of a line in which the end of a thought is looked for.
const MAX_LINE: usize = 4 * 1024;

impl Kept {
    /// Adds a part of a text, as far as it can belong to the thought. Returns the length of that, and
    /// whether the thought turns out to be text there.
    fn add(&mut self, part: &str) -> (usize, bool) {
        for (at, next) in part.char_indices().filter(|_| !self.is_block) {
            let is_blank =
                || self.text[self.open..].trim().is_empty() && part[..at].trim().is_empty();
            if next == '\n' && is_blank() {
                self.is_block = true;
                break;
            }
            if next == '\n' || self.text.len() + at >= MAX_LINE {
                self.text.push_str(&part[..at]);
                return (at, true);
            }
        }
        self.text.push_str(part);
        (part.len(), false)
    }
}

/// Markdown code.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Code {
    None,
    /// Within a line, between so many backticks.
    Span(usize),
    /// Lines below so many backticks.
    Fence(usize),
}

/// Whether a text begins with a tag.
#[derive(Debug, PartialEq)]
enum Match {
    Whole,
    /// It is shorter, and matches so far.
    SoFar,
    No,
}

impl ThoughtFilter {
    pub(super) fn new() -> Self {
        Self {
            held: String::new(),
            thought: None,
            code: Code::None,
            ticks: (0, false),
            at_line_start: true,
            indent: String::new(),
            has_words: false,
            found: false,
            len: 0,
            last: '\n',
            stray: None,
        }
    }

    /// Whether the reply differs from the text; see [`reply`].
    pub(super) fn has_thoughts(&self, is_whole: bool) -> bool {
        self.found || is_whole && self.stray.is_some()
    }

    /// The part of the reply that is known after a further piece. Most pieces have no tag and are
    /// passed on as they are.
    pub(super) fn push(&mut self, piece: String) -> String {
        if self.is_plain(&piece) {
            self.pass(&piece);
            return piece;
        }
        let text = std::mem::take(&mut self.held) + &piece;
        self.read(&text, false)
    }

    /// The rest of the reply, at the end of the text.
    pub(super) fn finish(&mut self) -> String {
        let text = std::mem::take(&mut self.held);
        let mut rest = self.read(&text, true);
        match self.thought.take() {
            Some(Thought { kept: Some(kept), .. }) => rest.push_str(&kept.text),
            Some(Thought { kept: None, .. }) => self.found = true,
            None => {}
        }
        if !self.has_words && !self.found {
            rest.insert_str(0, &std::mem::take(&mut self.indent));
        }
        rest
    }

    fn is_plain(&self, piece: &str) -> bool {
        self.thought.is_none()
            && self.held.is_empty()
            && !piece.bytes().any(|byte| matches!(byte, b'<' | b'`'))
            && (self.has_words || self.indent.is_empty() && !piece.starts_with(char::is_whitespace))
    }

    /// Takes notice of a piece without a tag.
    fn pass(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        self.close_ticks();
        let line = match piece.rsplit_once('\n') {
            Some((_, line)) => {
                self.end_line();
                line
            }
            None => piece,
        };
        self.at_line_start &= line.trim_start().is_empty();
        self.has_words = true;
        self.len += piece.len();
        self.last = piece.chars().next_back().unwrap_or(self.last);
    }

    fn read(&mut self, text: &str, is_last: bool) -> String {
        let mut reply = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let tag = if self.thought.is_some() {
                self.skip_thought(&mut rest, is_last, &mut reply)
            } else if next == '<' && self.code_after_ticks() == Code::None {
                self.open_thought(&mut rest, is_last)
            } else {
                Match::No
            };
            match tag {
                Match::Whole => {}
                Match::SoFar => {
                    rest.clone_into(&mut self.held);
                    break;
                }
                Match::No => {
                    let Some(next) = rest.chars().next() else { break };
                    rest = &rest[next.len_utf8()..];
                    self.emit(next, &mut reply);
                }
            }
        }
        reply
    }

    /// Skips a thought up to its end, or as far as is known. What turns out to be none is emitted.
    fn skip_thought(&mut self, rest: &mut &str, is_last: bool, reply: &mut String) -> Match {
        let Some(thought) = &mut self.thought else { return Match::No };
        let mut tag = 0;
        loop {
            let end = rest[tag..].find('<').map_or(rest.len(), |end| tag + end);
            if let Some(kept) = &mut thought.kept {
                let (skipped, is_text) = kept.add(&rest[..end]);
                if is_text {
                    *rest = &rest[skipped..];
                    let text = std::mem::take(&mut kept.text);
                    self.thought = None;
                    text.chars().for_each(|next| self.emit(next, reply));
                    return Match::Whole;
                }
            }
            *rest = &rest[end..];
            if rest.is_empty() {
                return Match::Whole;
            }
            match begins(rest, thought.close) {
                Match::Whole => {
                    *rest = &rest[thought.close.len()..];
                    self.thought = None;
                    self.found = true;
                    return Match::Whole;
                }
                Match::SoFar if !is_last => return Match::SoFar,
                // The `<` is skipped with what follows it.
                Match::SoFar | Match::No => tag = 1,
            }
        }
    }

    /// Opens a thought, if that is what a `<` begins.
    fn open_thought(&mut self, rest: &mut &str, is_last: bool) -> Match {
        let mut is_begun = false;
        for (open, close) in TAGS {
            match begins(rest, open) {
                Match::Whole => {
                    self.close_ticks();
                    let kept = (!self.at_line_start).then(|| Kept {
                        text: rest[..open.len()].to_owned(),
                        open: open.len(),
                        is_block: false,
                    });
                    self.thought = Some(Thought { close, kept });
                    if !self.has_words {
                        self.indent.clear();
                    }
                    *rest = &rest[open.len()..];
                    return Match::Whole;
                }
                Match::SoFar => is_begun = true,
                Match::No => {}
            }
            match begins(rest, close) {
                Match::Whole if self.stray.is_none() && self.ends_here() => {
                    self.stray = Some(self.len + self.indent.len() + close.len());
                }
                Match::Whole => {}
                Match::SoFar => is_begun = true,
                Match::No => {}
            }
        }
        if is_begun && !is_last { Match::SoFar } else { Match::No }
    }

    /// Whether a closing tag here is the end of a thought: a mention stands behind a space, a quote or
    /// a bracket.
    fn ends_here(&self) -> bool {
        let is_mention = |last: char| {
            last.is_whitespace() || matches!(last, '"' | '\'' | '“' | '„' | '‘' | '«' | '(' | '[')
        };
        self.at_line_start || !is_mention(self.last)
    }

    fn emit(&mut self, next: char, reply: &mut String) {
        if next == '`' {
            if self.ticks.0 == 0 {
                self.ticks.1 = self.at_line_start;
            }
            self.ticks.0 += 1;
        } else {
            self.close_ticks();
        }
        if next == '\n' {
            self.end_line();
        }
        let is_space = next.is_whitespace();
        self.at_line_start &= is_space;
        if is_space && !self.has_words {
            // Between a thought and the reply it means nothing.
            if !self.found {
                self.indent.push(next);
            }
            return;
        }
        if !self.has_words {
            self.has_words = true;
            self.len += self.indent.len();
            reply.push_str(&self.indent);
            self.indent.clear();
        }
        self.len += next.len_utf8();
        self.last = next;
        reply.push(next);
    }

    fn end_line(&mut self) {
        self.at_line_start = true;
        if let Code::Span(_) = self.code {
            self.code = Code::None;
        }
    }

    fn close_ticks(&mut self) {
        self.code = self.code_after_ticks();
        self.ticks.0 = 0;
    }

    fn code_after_ticks(&self) -> Code {
        match (self.code, self.ticks) {
            (code, (0, _)) => code,
            (Code::None, (ticks @ 3.., true)) => Code::Fence(ticks),
            (Code::None, (ticks, _)) => Code::Span(ticks),
            (Code::Span(open), (ticks, _)) if open == ticks => Code::None,
            (Code::Fence(open), (ticks, true)) if ticks >= open => Code::None,
            (code, _) => code,
        }
    }
}

fn begins(text: &str, tag: &str) -> Match {
    let (text, tag) = (text.as_bytes(), tag.as_bytes());
    let common = text.len().min(tag.len());
    if !text[..common].eq_ignore_ascii_case(&tag[..common]) {
        Match::No
    } else if common == tag.len() {
        Match::Whole
    } else {
        Match::SoFar
    }
}

/// The reply in a message: that in its text (see [`reply`]), but not nothing because of a closing tag
/// alone, unless there are calls.
pub(super) fn reply_in(message: &AssistantMessage, is_whole: bool) -> String {
    let found = reply(&message.text, is_whole);
    let is_lost = is_whole && found.trim().is_empty() && message.tool_calls.is_empty();
    if is_lost { reply(&message.text, false) } else { found }
}

/// The reply in a whole text, which equals what the pieces of the text gave. With `is_whole`, what
/// stands before a closing tag that closes nothing is a thought, too: some servers write the opening
/// tag into the prompt. It must begin its line or follow a word directly.
fn reply(text: &str, is_whole: bool) -> String {
    let mut filter = ThoughtFilter::new();
    let mut reply = filter.read(text, true);
    reply += &filter.finish();
    match filter.stray {
        Some(end) if is_whole && reply.is_char_boundary(end) => {
            reply[end..].trim_start().to_owned()
        }
        _ => reply,
    }
}

#[cfg(test)]
mod tests;

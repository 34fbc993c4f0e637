//! The output: answers go to standard output, everything about them to standard error.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use daemon_client::{RunAnswer, RunStatus};
use serde_json::Value;
use service::progress::Progress;

use super::clean::{Cleaner, clean, one_line};

const DIM: Style = Style::new().dimmed();
const RED: Style = AnsiColor::Red.on_default();

/// How much is shown of a call's arguments and of a name, characters.
const ARGUMENTS: usize = 80;
const NAME: usize = 64;

/// How much is shown of the reason why a call failed, characters.
const REASON: usize = 240;

/// When the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// As it arrives, for a person.
    Live,
    /// Once it is complete, and nothing else: what a model says before it calls a tool is not part of
    /// the answer.
    Whole,
}

/// Prints answers and notes.
pub(super) struct Screen<'w> {
    answer: Answer,
    out: Box<dyn Write + 'w>,
    notes: Box<dyn Write + 'w>,
    cleaner: Cleaner,
    /// Whether the cursor is behind text on an unfinished line.
    open: bool,
    /// Text since the last tool call.
    said: String,
    /// The turn of the model that speaks, and where its text begins in `said`.
    turn: (Option<u32>, usize),
    /// Calls without a result: id and description.
    calls: Vec<(String, String)>,
    progress: Option<Progress>,
}

impl<'w> Screen<'w> {
    /// A screen. `notes` must strip colours when it is not a terminal.
    pub(super) fn new(answer: Answer, out: impl Write + 'w, notes: impl Write + 'w) -> Self {
        Self {
            answer,
            out: Box::new(out),
            notes: Box::new(notes),
            cleaner: Cleaner::default(),
            open: false,
            said: String::new(),
            turn: (None, 0),
            calls: Vec::new(),
            progress: None,
        }
    }

    /// Shows what is being waited for, if it takes long.
    pub(super) fn wait(&mut self, what: &str) {
        // The progress line would overwrite an unfinished line.
        if !self.open {
            self.progress = Some(Progress::start(what));
        }
    }

    /// A piece of the answer, of this turn of the model.
    pub(super) fn chunk(&mut self, text: &str, step: Option<u32>) -> io::Result<()> {
        if self.turn.0 != step {
            self.turn = (step, self.said.len());
        }
        let text = self.cleaner.piece(text);
        if text.is_empty() {
            return Ok(());
        }
        self.said.push_str(&text);
        match self.answer {
            Answer::Live => self.print(&text),
            Answer::Whole => Ok(()),
        }
    }

    /// What a turn said beyond its first characters is void, and is said anew.
    pub(super) fn restarted(&mut self, step: u32, from: u64) -> io::Result<()> {
        let (turn, begin) = self.turn;
        let said = self.said.get(begin..).unwrap_or_default();
        let kept = usize::try_from(from).ok().and_then(|from| said.char_indices().nth(from));
        let (Some((kept, _)), true) = (kept, turn == Some(step)) else { return Ok(()) };
        self.said.truncate(begin + kept);
        self.cleaner = Cleaner::default();
        if self.answer == Answer::Live {
            self.note("(that was not valid, and is written again)")?;
        }
        self.wait("thinking");
        Ok(())
    }

    fn print(&mut self, text: &str) -> io::Result<()> {
        self.progress = None;
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        self.open = !text.ends_with('\n');
        Ok(())
    }

    /// A tool is called. The call is printed with its result.
    pub(super) fn call(&mut self, id: String, name: &str, arguments: &Value) -> io::Result<()> {
        let said = std::mem::take(&mut self.said);
        self.turn.1 = 0;
        self.cleaner = Cleaner::default();
        if self.answer == Answer::Whole && !said.trim().is_empty() {
            self.note(&said)?;
        }
        self.close_line()?;
        let name = one_line(name, NAME);
        self.wait(&format!("calling {name}"));
        self.calls.push((id, call_line(&name, arguments)));
        Ok(())
    }

    /// A tool call has ended, or failed for this reason, which is empty when it is unknown.
    pub(super) fn result(
        &mut self,
        id: &str,
        name: &str,
        verdict: Result<(), &str>,
        ms: u64,
    ) -> io::Result<()> {
        let line = match self.calls.iter().position(|(call, _)| call == id) {
            Some(at) => self.calls.remove(at).1,
            None => one_line(name, NAME),
        };
        let verdict = match verdict {
            Ok(()) => "ok".to_owned(),
            Err("") => "failed".to_owned(),
            Err(why) => format!("failed ({})", one_line(why, REASON)),
        };
        self.note(&format!("· {line}  {verdict}, {}", duration(ms)))?;
        self.wait("thinking");
        Ok(())
    }

    /// A run has ended without an error.
    pub(super) fn done(&mut self, done: &RunAnswer) -> io::Result<()> {
        let response = done.response.as_deref().unwrap_or_default();
        // What was streamed is on the screen already; an answer that was not streamed is printed now.
        if self.answer == Answer::Whole || self.said.trim().is_empty() {
            let response = clean(response);
            if !response.is_empty() {
                self.print(&response)?;
            }
        }
        self.said.clear();
        self.turn = (None, 0);
        self.end_with(match done.status {
            RunStatus::AwaitingApproval => "awaiting approval",
            RunStatus::AwaitingAnswer => "awaiting an answer",
            RunStatus::Ok | RunStatus::Other(_) => "no result",
        })?;
        if let Some(warning) = &done.context_warning {
            self.note(&one_line(warning, 300))?;
        }
        self.note(&summary(done))
    }

    /// Ends whatever is on the screen: what follows begins on a line of its own.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.end_with("no result")
    }

    /// The same, with a verdict for the calls without a result.
    fn end_with(&mut self, verdict: &str) -> io::Result<()> {
        self.close_line()?;
        self.cleaner = Cleaner::default();
        // An incomplete answer is not printed as an answer, but must not be lost.
        let said = std::mem::take(&mut self.said);
        self.turn = (None, 0);
        if self.answer == Answer::Whole && !said.trim().is_empty() {
            self.note(&said)?;
        }
        for (_, line) in std::mem::take(&mut self.calls) {
            self.note(&format!("· {line}  {verdict}"))?;
        }
        Ok(())
    }

    fn close_line(&mut self) -> io::Result<()> {
        self.progress = None;
        if std::mem::take(&mut self.open) {
            self.out.write_all(b"\n")?;
            self.out.flush()?;
        }
        Ok(())
    }

    /// A note, dimmed, on lines of its own.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        self.line(DIM, text)
    }

    /// An error, in red.
    pub(super) fn error(&mut self, text: &str) -> io::Result<()> {
        self.line(RED, text)
    }

    fn line(&mut self, style: Style, text: &str) -> io::Result<()> {
        self.close_line()?;
        for line in clean(text).lines() {
            writeln!(self.notes, "{style}{line}{style:#}")?;
        }
        self.notes.flush()
    }
}

/// A tool call on one line.
pub(super) fn call_line(name: &str, arguments: &Value) -> String {
    let name = one_line(name, NAME);
    match arguments {
        Value::Null => name,
        Value::Object(fields) if fields.is_empty() => name,
        arguments => format!("{name} {}", one_line(&arguments.to_string(), ARGUMENTS)),
    }
}

fn duration(ms: u64) -> String {
    if ms < 1_000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1_000, ms % 1_000 / 100) }
}

/// Model, tokens and cost of a run.
fn summary(done: &RunAnswer) -> String {
    let model =
        done.model.as_deref().map_or_else(|| "no model called".into(), |m| one_line(m, NAME));
    let usage = &done.usage;
    let cost = &done.cost;
    let cost = match (cost.known, &*cost.currency) {
        (false, _) => "price unknown".to_owned(),
        (true, "USD") => format!("${:.6}", cost.total_cost),
        (true, currency) => format!("{:.6} {}", cost.total_cost, one_line(currency, 8)),
    };
    format!("{model} · {} tokens in, {} out · {cost}", usage.prompt_tokens, usage.completion_tokens)
}

#[cfg(test)]
mod tests {
    use daemon_client::{Cost, Usage};
    use serde_json::json;

    use super::*;

    fn done(response: &str) -> RunAnswer {
        RunAnswer {
            response: Some(response.to_owned().into()),
            model: Some("m\u{1b}[2J".into()),
            usage: Usage { prompt_tokens: 100, completion_tokens: 10, ..Usage::default() },
            cost: Cost {
                total_cost: 0.000_021,
                currency: "USD".into(),
                known: true,
                ..Cost::default()
            },
            ..RunAnswer::default()
        }
    }

    /// What is printed of a run with a tool whose model and arguments attack the terminal.
    fn printed(answer: Answer) -> (String, String) {
        let (mut out, mut notes) = (Vec::new(), anstream::StripStream::new(Vec::new()));
        let mut screen = Screen::new(answer, &mut out, &mut notes);
        screen.chunk("I look\u{1b}]0;t", Some(1)).unwrap();
        screen.chunk("itle\u{7}.", Some(1)).unwrap();
        let arguments = json!({ "title": format!("\u{1b}[31m{}", "x".repeat(200)) });
        screen.call("1".to_owned(), "find\u{9b}2J", &arguments).unwrap();
        screen.call("2".to_owned(), "lost", &json!({})).unwrap();
        screen.result("1", "find", Err("404: no\nsuch"), 1_250).unwrap();
        screen.chunk("The an\u{1b}[3", Some(3)).unwrap();
        screen.chunk("1mswer", Some(3)).unwrap();
        screen.done(&done("The an\u{1b}[31mswer")).unwrap();
        drop(screen);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(out), text(notes.into_inner()))
    }

    #[test]
    fn an_answer_is_streamed_without_control_sequences() {
        let (out, notes) = printed(Answer::Live);
        assert_eq!(out, "I look.\nThe answer\n");
        let lines: Vec<_> = notes.lines().collect();
        assert!(lines[0].starts_with("· find {\"title\":\"") && lines[0].len() < 150, "{notes}");
        assert!(lines[0].ends_with("…  failed (404: no such), 1.2 s"), "{notes}");
        assert_eq!(lines[1..], ["· lost  no result", "m · 100 tokens in, 10 out · $0.000021"]);
        // What JSON escapes in arguments is letters, and harmless.
        assert!(notes.chars().all(|c| c == '\n' || !c.is_control()), "{notes:?}");
    }

    #[test]
    fn a_whole_answer_stands_alone() {
        let (out, notes) = printed(Answer::Whole);
        assert_eq!(out, "The answer\n");
        assert!(notes.starts_with("I look.\n· find "), "{notes}");
    }

    #[test]
    fn an_answer_that_breaks_off_is_no_answer_but_is_not_lost() {
        for (answer, expected) in [(Answer::Live, ("Half", "")), (Answer::Whole, ("", "Half"))] {
            let (mut out, mut notes) = (Vec::new(), anstream::StripStream::new(Vec::new()));
            let mut screen = Screen::new(answer, &mut out, &mut notes);
            screen.chunk("Half", None).unwrap();
            screen.end().unwrap();
            drop(screen);
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
            assert_eq!((text(out).as_str(), text(notes.into_inner()).as_str()), expected);
        }
    }

    #[test]
    fn an_answer_that_was_not_streamed_is_printed_at_the_end() {
        let mut out = Vec::new();
        let mut screen = Screen::new(Answer::Live, &mut out, io::sink());
        screen.done(&done("from the store\n")).unwrap();
        drop(screen);
        assert_eq!(out, b"from the store\n");
    }
}

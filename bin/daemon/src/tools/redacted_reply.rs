//! A tool's answer as a model gets it whose role has values replaced.

use mc_client::types::FileMeta;
use serde_json::Value;
use wombat_core::redact::Redactor;
use wombat_core::untrusted::FenceMark;

use super::reply::{ToolReply, cut};

/// The longest error that is told with its values.
const MAX_ERROR_CHARS: usize = 600;

impl ToolReply {
    /// [`ToolReply::content`], cut where no value is, so that whoever replaces them later finds them whole.
    pub fn whole_content(
        &self,
        redactor: &Redactor,
        (tool, max_chars): (&str, usize),
        mark: &FenceMark,
    ) -> String {
        // These are not cut.
        let is_whole = matches!(self, Self::Saved(_) | Self::Denied(_));
        let redacted = if is_whole { None } else { self.redacted(redactor, true) };
        let Some(redacted) = redacted else { return self.content(tool, max_chars, mark) };
        // Before it is fenced: of what comes back nothing may end the fence.
        redacted.content_by((tool, mark), &|text, is_json| {
            redactor.restore_all(&cut(text, max_chars), is_json).into_owned()
        })
    }

    /// What is told of it in few words, of which no value is a part only.
    pub fn told_whole(
        &self,
        redactor: &Redactor,
        told: impl Fn(&Self) -> Option<String>,
    ) -> Option<String> {
        // A long result of which nothing is told is not looked through.
        let of_values = told(self)?;
        let Some(redacted) = self.redacted(redactor, true) else { return Some(of_values) };
        let told = told(&redacted)?;
        let whole = redactor.restore_all(&told, false);
        let is_short = whole.chars().count() <= MAX_ERROR_CHARS;
        let is_line = is_short && !whole.contains(char::is_control);
        Some(if is_line { whole.into_owned() } else { told })
    }

    /// The same with placeholders in place of values, before anything of it is cut or fenced; `None` where it holds
    /// nothing from outside. What is told of a call quotes its arguments, which have the values again. From what is
    /// `exact`, exactly the same comes back ([`Redactor::restore_all`]).
    pub fn redacted(&self, redactor: &Redactor, exact: bool) -> Option<Self> {
        let text = |text: &str| match exact {
            true => redactor.redact_exactly(text).into_owned(),
            false => redactor.redact(text).into_owned(),
        };
        let answer = |said: &str| match exact {
            true => text(said),
            false => redactor.redact_answer(said).into_owned(),
        };
        let body = |body: &Value| {
            let mut body = body.clone();
            match exact {
                true => redactor.redact_value_as(&mut body, true),
                false => redactor.redact_value(&mut body),
            };
            body
        };
        Some(match self {
            Self::Data(said) => Self::Data(answer(said)),
            Self::Part(said) if exact => Self::Part(text(said)),
            Self::Part(said) => Self::Part(redactor.redact_again(said).into_owned()),
            Self::Recorded { ok, text } => Self::Recorded { ok: *ok, text: answer(text) },
            // The files themselves come beside the text.
            Self::Files { text, .. } => Self::Files { text: answer(text), files: Vec::new() },
            Self::Saved(file) => Self::Saved(FileMeta { name: text(&file.name), ..file.clone() }),
            Self::Rejected(said) => Self::Rejected(body(said)),
            Self::Unclear(said) => Self::Unclear(body(said)),
            Self::NotSent(said) => Self::NotSent(body(said)),
            Self::NotMade(why) => Self::NotMade(text(why)),
            Self::Forbidden { why, rule } => Self::Forbidden { why: text(why), rule: rule.clone() },
            Self::NeedsApproval(what) => Self::NeedsApproval(text(what)),
            Self::InDoubt(what) => Self::InDoubt(text(what)),
            Self::Denied(why) => Self::Denied(text(why)),
            Self::Answered(said) => Self::Answered(body(said)),
            Self::Refused { code, why } => Self::Refused { code, why: text(why) },
            Self::Trusted(_) | Self::Judged { .. } | Self::OfRun(_) => return None,
        })
    }
}

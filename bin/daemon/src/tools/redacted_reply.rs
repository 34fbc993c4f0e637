//! A tool's answer as a model gets it whose role has values replaced.

use mc_client::types::FileMeta;
use serde_json::Value;
use wombat_core::redact::Redactor;

use super::reply::ToolReply;

impl ToolReply {
    /// The same with placeholders in place of values, before anything of it is cut or fenced; `None` where it holds
    /// nothing from outside. What is told of a call quotes its arguments, which have the values again.
    pub fn redacted(&self, redactor: &Redactor) -> Option<Self> {
        let text = |text: &str| redactor.redact(text).into_owned();
        let answer = |text: &str| redactor.redact_answer(text).into_owned();
        let body = |body: &Value| {
            let mut body = body.clone();
            redactor.redact_value(&mut body);
            body
        };
        Some(match self {
            Self::Data(said) => Self::Data(answer(said)),
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

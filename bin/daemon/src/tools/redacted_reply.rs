//! A tool's answer as a model gets it whose role has values replaced.

use mc_client::types::FileMeta;
use serde_json::Value;
use wombat_core::redact::Redactor;

use super::reply::ToolReply;

impl ToolReply {
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

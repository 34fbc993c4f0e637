//! What is told of a tool's reply: to the model, and in few words to people.

use serde_json::json;

use super::attempts::Attempt;
use super::context::RunContext;
use crate::run::state_machine::PlannedCall;
use crate::tools::{RequestedCall, ToolReply};

impl RunContext<'_> {
    /// The text of a reply for the model.
    pub(super) fn content(&self, reply: &ToolReply, planned: &PlannedCall) -> String {
        let tool = match reply {
            ToolReply::Denied(_) => &planned.call.name,
            _ => RequestedCall::of(&planned.call).tool,
        };
        let (most, fence) = (self.run.app.settings.tool_result_max_chars, self.run.fence());
        if let Some(redactor) = self.for_model() {
            let redacted = reply.redacted(redactor, false);
            return redacted.as_ref().unwrap_or(reply).content(tool, most, fence);
        }
        match &self.redactor {
            Some(redactor) => reply.whole_content(redactor, (tool, most), fence),
            None => reply.content(tool, most, fence),
        }
    }

    /// What is told of a reply in few words.
    pub(super) fn of_whole(
        &self,
        reply: &ToolReply,
        told: impl Fn(&ToolReply) -> Option<String>,
    ) -> Option<String> {
        match &self.redactor {
            Some(redactor) => reply.told_whole(redactor, told),
            None => told(reply),
        }
    }

    /// The same, after a note on the arguments where a person gave the call others.
    pub(super) fn content_of(&self, reply: &ToolReply, attempt: &Attempt<'_>) -> String {
        self.noted(self.content(reply, &attempt.planned), attempt)
    }

    /// A result after a note on the arguments where a person gave the call others.
    pub(super) fn noted(&self, content: String, attempt: &Attempt<'_>) -> String {
        if attempt.requested.is_none() {
            return content;
        }
        let requested = RequestedCall::of(&attempt.planned.call);
        let mut note = json!({ "approved_with_other_arguments": requested.arguments });
        if let Some(redactor) = self.for_model() {
            redactor.redact_value(&mut note);
        }
        let note = note.to_string();
        let note = self.run.fence().fence("the user's approval", &note);
        format!("{note}\n{content}")
    }
}

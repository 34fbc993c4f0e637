//! `ask_user`: questions to a person (feature `decisions`; docs/RUNS.md, "A person's word"). A question is
//! asked once, the run waits without anything in memory, and the model gets the answer, or that nobody
//! gives one.

use mc_client::tool_requests::{
    CreateToolRequest, ToolRequest, ToolRequestKind, ToolRequestStatus,
};

use super::approval::{Decision, Word, is_same};
use super::attempts::Attempt;
use super::context::RunContext;
use super::requests::told;
use crate::run::error::RunError;
use crate::tools::{ASK_USER, Question};

/// How many questions a run may ask.
const MAX_QUESTIONS: usize = 8;

impl RunContext<'_> {
    /// Asks a question, the `nth` of the run, or reads the answer where there is one.
    pub(super) async fn answer_to(
        &self,
        attempt: &Attempt<'_>,
        question: &Question,
        nth: usize,
    ) -> Result<Decision, RunError> {
        if nth > MAX_QUESTIONS {
            return Ok(Decision::Refused(format!(
                "this run has asked {MAX_QUESTIONS} questions, and may ask no more; go on with what you know"
            )));
        }
        let request = CreateToolRequest {
            task_id: self.task_id.clone(),
            run_key: self.run.run_key.as_str().to_owned(),
            session_key: self.run.request.session.to_string(),
            tool: ASK_USER.to_owned(),
            arguments: question.arguments.clone(),
            idempotency_key: attempt.question_key(self.run.run_key),
            kind: ToolRequestKind::Question,
            ttl_secs: Some(self.run.app.settings.background.question_ttl.as_secs()),
            ..CreateToolRequest::default()
        };
        let asked = self.ask_person(&request).await?;
        Ok(read(&request, asked))
    }
}

fn read(request: &CreateToolRequest, asked: ToolRequest) -> Decision {
    let word = Word::on(&asked);
    let nobody = |why: String| Decision::Denied(word.clone(), format!("nobody answers: {why}"));
    match asked.known_status() {
        Some(ToolRequestStatus::Pending) => Decision::Pending(Box::new(told(asked))),
        Some(ToolRequestStatus::Answered) if is_same(request, &asked) => {
            Decision::Answered(word, asked.answer.unwrap_or_default())
        }
        Some(ToolRequestStatus::Answered) => nobody("another question was answered".to_owned()),
        Some(ToolRequestStatus::Denied | ToolRequestStatus::Approved) => match &asked.note {
            Some(note) => nobody(format!("a person left it unanswered, and says: {note}")),
            None => nobody("a person left it unanswered".to_owned()),
        },
        Some(ToolRequestStatus::Expired) => nobody("the time for it is over".to_owned()),
        Some(ToolRequestStatus::Cancelled) | None => {
            nobody("the question was withdrawn".to_owned())
        }
    }
}

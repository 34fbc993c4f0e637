//! Asks a model what it thinks of a run.

use evals::{Case, Ended, JudgeSpec, Judgement, Judging, judgement, question};
use llm::CallContext;
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ToolChoice, ToolList};
use tokio::time::Instant;

use crate::eval_case::Trial;

/// The role under which a judge is asked, for scripts and recordings.
const ROLE: &str = "judge";

impl Trial {
    /// The model that judges.
    ///
    /// # Errors
    /// When it is no model.
    pub(crate) fn judge_of(&self, judge: &JudgeSpec) -> Result<ModelRef, String> {
        match &judge.model {
            Some(name) => ModelRef::parse(name, self.judge.provider)
                .map_err(|error| format!("judge.model: {error}")),
            None => Ok(self.judge.clone()),
        }
    }
}

/// Asks the judge: what it says, or why there is no judgement; and what asking took, which counts either way.
pub(crate) async fn judge(
    trial: &Trial,
    judge: &JudgeSpec,
    case: &Case,
    run: &Ended,
) -> (Result<Judgement, String>, Option<Judging>) {
    let model = match trial.judge_of(judge) {
        Ok(model) => model,
        Err(why) => return (Err(why), None),
    };
    let (task, asked) = question(judge, case, run);
    let request = LlmRequest {
        model,
        messages: vec![Message::system(task), Message::user(asked)],
        tools: ToolList::default(),
        tool_choice: ToolChoice::None,
        max_output_tokens: None,
        temperature: Some(0.0),
        response_schema: None,
    };
    let call = CallContext {
        role: ROLE.to_owned(),
        deadline: Some(Instant::now() + trial.app.settings.run_timeout),
        without_fallback: true,
        case: Some(case.id.clone()),
        ..CallContext::default()
    };
    let answered = match trial.app.llm.complete(&request, &call).await {
        Ok(answered) => answered,
        Err(error) => return (Err(format!("the judge cannot be asked: {error}")), None),
    };
    let cost = llm::cost_or_unknown(&answered.model, answered.provider, &answered.usage);
    let cost_usd = cost.known.then(|| llm::round_usd(cost.total_cost));
    let judging = Judging { tokens: answered.usage.total_tokens, cost_usd };
    (judgement(&answered.message.text), Some(judging))
}

//! Asks a model what it thinks of a run.

use evals::{Case, Ended, JudgeSpec, Judgement, judgement, question};
use llm::model::ModelRef;
use llm::request::{LlmRequest, Message, ToolChoice, ToolList};
use llm::{CallContext, Tier};
use tokio::time::Instant;

use crate::state::App;

/// The role under which a judge is asked, for scripts and recordings.
const ROLE: &str = "judge";

/// Asks the judge.
///
/// # Errors
/// Why there is no judgement.
pub(crate) async fn judge(
    app: &App,
    judge: &JudgeSpec,
    case: &Case,
    run: &Ended,
) -> Result<Judgement, String> {
    let model = match &judge.model {
        Some(name) => ModelRef::parse(name, app.settings.llm.default.provider)
            .map_err(|error| format!("judge.model: {error}"))?,
        None => app.llm.model(Tier::Default).clone(),
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
        deadline: Some(Instant::now() + app.settings.run_timeout),
        without_fallback: true,
        case: Some(case.id.clone()),
        ..CallContext::default()
    };
    let answered = app.llm.complete(&request, &call).await;
    let answered = answered.map_err(|error| format!("the judge cannot be asked: {error}"))?;
    judgement(&answered.message.text)
}

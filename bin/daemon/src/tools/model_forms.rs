//! What the models' providers take of the roles' tools: for `/health`, `check` and the log.

use std::collections::BTreeMap;

use llm::LlmClient;
use llm::model::ModelRef;
use llm::request::{ToolChange, ToolList, ToolProblem};
use wombat_core::session::Role;

use super::source_state::ModelTools;

/// The most problems of one kind that are shown for a model, in each place.
const MAX_SHOWN: usize = 50;

/// A role's tools at one model's provider.
#[derive(Debug, Clone)]
pub(super) struct ModelForm {
    model: ModelRef,
    problems: Vec<ToolProblem>,
    /// Why the model sees none of them.
    unseen: Option<String>,
}

/// The tools at the models of all tiers and at the fallback, each model once.
pub(super) fn of_tools(llm: &LlmClient, tools: &ToolList) -> Vec<ModelForm> {
    let form = |model: &ModelRef| ModelForm {
        model: model.clone(),
        problems: llm.tool_problems(model, tools),
        unseen: llm.unseen_tools(model),
    };
    llm.models().into_iter().map(form).collect()
}

/// Logs what models do not see of a role's tools.
pub(super) fn log(role: &Role, forms: &[ModelForm]) {
    for ModelForm { model, problems, .. } in forms {
        let lost = problems.iter().filter(|problem| is_loss(problem.change));
        let (shown, more) = bounded(lost.map(ToString::to_string).collect());
        if !shown.is_empty() {
            let what = shown.join("; ");
            tracing::warn!(%role, %model, more, "tools are changed or left out for the provider: {what}");
        }
    }
}

/// Whether a model sees less than there is.
fn is_loss(change: ToolChange) -> bool {
    match change {
        ToolChange::LeftOut | ToolChange::Cut => true,
        ToolChange::Mapped => false,
    }
}

/// The first of many, and how many more there are.
fn bounded(mut all: Vec<String>) -> (Vec<String>, usize) {
    let more = all.len().saturating_sub(MAX_SHOWN);
    all.truncate(MAX_SHOWN);
    (all, more)
}

/// The problems of several roles by model, each once.
fn by_model(forms: &[ModelForm]) -> Vec<(&ModelRef, Vec<&ToolProblem>)> {
    let mut models: Vec<(&ModelRef, Vec<&ToolProblem>)> = Vec::new();
    for form in forms {
        let at = models.iter().position(|(model, _)| *model == &form.model).unwrap_or_else(|| {
            models.push((&form.model, Vec::new()));
            models.len() - 1
        });
        for problem in &form.problems {
            if !models[at].1.contains(&problem) {
                models[at].1.push(problem);
            }
        }
    }
    models
}

/// For `/health`: by model, what is left out, cut and mapped, and why none is seen.
pub(super) fn report(forms: &[ModelForm]) -> BTreeMap<String, ModelTools> {
    let of_model = |(model, problems): (&ModelRef, Vec<&ToolProblem>)| {
        let of_kind = |change: ToolChange| {
            let of_kind = problems.iter().filter(|problem| problem.change == change);
            let shown = of_kind.map(|problem| format!("{:?}: {}", problem.tool, problem.reason));
            let (mut shown, more) = bounded(shown.collect());
            if more > 0 {
                shown.push(format!("and {more} more"));
            }
            shown
        };
        let unseen = forms.iter().filter(|form| form.model == *model);
        let tools = ModelTools {
            left_out: of_kind(ToolChange::LeftOut),
            cut: of_kind(ToolChange::Cut),
            mapped: of_kind(ToolChange::Mapped),
            unseen: unseen.filter_map(|form| form.unseen.clone()).next(),
        };
        (model.to_string(), tools)
    };
    by_model(forms).into_iter().map(of_model).collect()
}

/// For `check`: a line each, those that lose something and those that do not.
pub(super) fn lines(forms: &[ModelForm]) -> (Vec<String>, Vec<String>) {
    let (mut lost, mut mapped) = (Vec::new(), Vec::new());
    for (model, problems) in by_model(forms) {
        for (is_lost, lines) in [(true, &mut lost), (false, &mut mapped)] {
            let of_kind = problems.iter().filter(|problem| is_loss(problem.change) == is_lost);
            let (shown, more) = bounded(of_kind.map(|what| format!("{model}: {what}")).collect());
            lines.extend(shown);
            if more > 0 {
                lines.push(format!("{model}: and {more} more"));
            }
        }
    }
    (lost, mapped)
}
